"""Message ids and credits: each credit is the right to one id, and whoever waits is served in turn."""

import asyncio

import pytest

from benchmarks.client.charge import charge
from benchmarks.client.window import Window
from server.messages.file import EchoRequest
from server.messages.read_write import ReadRequest, WriteRequest
from transport.base import Lost


def test_ids_go_up_by_what_a_request_is_charged() -> None:
    async def use() -> list[int]:
        window = Window()
        window.grant(9)
        return [await window.take(1), await window.take(4), await window.take(1)]

    assert asyncio.run(use()) == [0, 1, 5]


def test_who_waits_is_served_in_turn_once_there_is_enough() -> None:
    async def use() -> None:
        window = Window()
        assert await window.take(1) == 0
        large = asyncio.ensure_future(window.take(3))
        small = asyncio.ensure_future(window.take(1))
        await asyncio.sleep(0)
        window.grant(2)
        await asyncio.sleep(0)
        assert not large.done()
        assert not small.done()
        window.grant(2)
        assert (await large, await small, window.credits) == (1, 4, 0)

    asyncio.run(use())


def test_one_that_gives_up_waiting_takes_no_id() -> None:
    async def use() -> None:
        window = Window()
        await window.take(1)
        gone = asyncio.ensure_future(window.take(1))
        next_one = asyncio.ensure_future(window.take(1))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        window.grant(1)
        assert await next_one == 1

    asyncio.run(use())


def test_a_lost_connection_ends_the_waiting_now_and_later() -> None:
    async def use() -> None:
        window = Window()
        await window.take(1)
        waiting = asyncio.ensure_future(window.take(1))
        await asyncio.sleep(0)
        window.lose(Lost("gone"))
        for attempt in (waiting, window.take(1)):
            with pytest.raises(Lost, match="gone"):
                await attempt

    asyncio.run(use())


@pytest.mark.parametrize(("length", "credits"), [(0, 1), (1, 1), (65536, 1), (65537, 2), (1 << 20, 16)])
def test_a_credit_stands_for_64_kib(length: int, credits: int) -> None:
    assert charge(ReadRequest(bytes(16), 0, length)) == credits
    assert charge(WriteRequest(bytes(16), 0, bytes(length))) == credits
    assert charge(WriteRequest(bytes(16), 0, remaining_bytes=length, descriptors=[])) == credits


def test_a_command_without_payload_takes_one_credit() -> None:
    assert charge(EchoRequest()) == 1
