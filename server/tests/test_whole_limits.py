"""What a peer may cost before and after it logs on: connections in all, from one address, and time."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from server import connection as server_connection
from server.messages.create import Disposition
from server.messages.header import Command
from server.messages.read_write import ReadRequest
from server.status import NT
from server.tests.rough import ANONYMOUS, rough
from server.tests.served import Whole, on_a_server, settle
from transport.base import Message, Reply


def open_ones(here: Whole) -> int:
    return sum(not serving.done() for serving in here.serving)


def test_one_connection_too_many_is_closed_at_once() -> None:
    async def test(here: Whole) -> None:
        for number in range(7):
            here.connect(f"192.0.2.{number}")
        await settle()
        assert open_ones(here) == len(here.server.connections) == 5
        await here.near[0].close()
        await settle()
        here.connect("192.0.2.99")
        await settle()
        assert open_ones(here) == 5

    on_a_server(test, max_connections=5)


def test_one_address_cannot_take_all_connections() -> None:
    async def test(here: Whole) -> None:
        for _ in range(5):
            here.connect("192.0.2.1")
        here.connect("192.0.2.2")
        await settle()
        assert [serving.done() for serving in here.serving] == [False] * 3 + [True] * 2 + [False]
        for connection in here.near[:3]:
            await connection.close()
        await settle()
        here.connect("192.0.2.1")
        await settle()
        assert not here.serving[-1].done()

    on_a_server(test, max_connections_per_address=3)


class Clock:
    """The loop's timers, rung by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.timers: list[tuple[float, Callable[..., object], asyncio.TimerHandle]] = []
        real = asyncio.BaseEventLoop.call_later

        def call_later(loop: Any, delay: float, callback: Callable[..., object], *rest: Any, **more: Any) -> Any:
            handle = real(loop, delay, callback, *rest, **more)
            if delay == server_connection.LOGIN_TIME:
                self.timers.append((delay, callback, handle))
            return handle

        monkeypatch.setattr(asyncio.BaseEventLoop, "call_later", call_later)

    def ring(self) -> None:
        """The time is up for all who still have a limit."""
        for _, callback, handle in self.timers:
            if not handle.cancelled():
                handle.cancel()
                callback()


@pytest.mark.parametrize("stage", ["before negotiate", "negotiated", ANONYMOUS])
def test_who_does_not_log_on_in_time_is_closed(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    async def test(here: Whole) -> None:
        async with rough(here, stage) as line:
            await line.send(line.head(Command.ECHO) + b"\4\0\0\0" if stage != "before negotiate" else b"")
            clock.ring()
            await line.serving
            assert line.ended
        here.assert_nothing_kept()

    on_a_server(test)


def test_who_has_logged_on_may_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    async def test(here: Whole) -> None:
        async with rough(here, "logged on") as line:
            clock.ring()
            await settle()
            assert clock.timers
            assert not line.ended

    on_a_server(test)


def test_a_server_that_stops_takes_no_one_new() -> None:
    async def test(here: Whole) -> None:
        await here.session()
        await here.server.stop([])
        here.connect()
        await settle()
        assert open_ones(here) == 0

    on_a_server(test)


def test_a_client_that_takes_no_answers_is_heard_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_connection, "MOST_UNSENT", 200_000)

    async def test(here: Whole) -> None:
        tree = await here.tree()
        file = await tree.create("file", disposition=Disposition.CREATE)
        await file.write(0, bytes(65536))
        far, taken = here.far[0], asyncio.Event()
        send, receive, received = far.send, far.receive, []

        async def send_late(reply: Reply) -> None:
            await taken.wait()
            await send(reply)

        async def count() -> Message | None:
            message = await receive()
            received.append(message)
            return message

        monkeypatch.setattr(far, "send", send_late)
        monkeypatch.setattr(far, "receive", count)
        calls = [await tree.post(ReadRequest(file.id, 0, 65536)) for _ in range(20)]
        await settle()
        assert len(received) <= 4
        taken.set()
        for call in calls:
            assert (await call.answer()).keep().status == NT.SUCCESS

    on_a_server(test)
