"""Credits and message ids on the whole server: what a client may send, and what it cannot get beyond."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from benchmarks.client import AnonymousLogin, Element, Settings, Tree
from server.connection import ServerConnection
from server.messages.create import Disposition
from server.messages.directory import CompletionFilter
from server.messages.file import EchoRequest
from server.messages.header import Command, Header
from server.messages.negotiate import Dialect
from server.messages.read_write import ReadRequest
from server.messages.session import SessionSetupRequest
from server.status import NT
from server.tests.served import Served, pattern, served
from smbdirect.wire import Buffer
from transport.base import Lost, Reply


def on_a_tree(test: Callable[[Served, Tree], Awaitable[None]], wants: Settings | None = None, **options: int) -> None:
    async def use() -> None:
        async with served(wants, **options) as here:
            await test(here, await here.tree())

    asyncio.run(use())


def connection(here: Served) -> ServerConnection:
    """The server's side of the only connection."""
    return next(iter(here.server.connections))


def echo(here: Served, message_id: int, charge: int = 1, credits: int = 1) -> list[Buffer]:
    """An ECHO as bytes."""
    header = Header(command=Command.ECHO, message_id=message_id, credit_charge=charge, credits=credits)
    return [header.pack(), *EchoRequest().parts()]


async def is_ended(here: Served) -> None:
    """The server must have closed the connection."""
    await here.whole.serving[0]
    with pytest.raises(Lost):
        await here.client.post_one(Element(EchoRequest()))


@pytest.mark.parametrize("most", [1, 2, 64, 8192])
def test_a_client_never_holds_more_than_the_limit(most: int) -> None:
    async def test(here: Served, tree: Tree) -> None:
        for wanted in (1, 100, 65535, 65535):
            here.client.settings = replace(here.client.settings, credits=wanted)
            await (await here.client.post_one(Element(EchoRequest()))).answer()
            assert 1 <= here.client.window.credits <= most
            assert connection(here).window.outstanding == here.client.window.credits

    on_a_tree(test, Settings(credits=65535), max_credits=most)


def test_both_sides_count_alike_whatever_is_answered() -> None:
    async def test(here: Served, tree: Tree) -> None:
        file = await tree.create("file", disposition=Disposition.CREATE)
        directory = await tree.directory()
        await file.write(0, pattern(300_000))
        call = await directory.notify(CompletionFilter.SIZE)
        for offset in (0, 200_000, 300_000):
            answer = await file.tree.post(ReadRequest(file.id, offset, 150_000))
            (await answer.answer()).release()
        await directory.close()
        assert (await call.answer()).status == NT.NOTIFY_CLEANUP
        assert connection(here).window.outstanding == here.client.window.credits

    on_a_tree(test)


def test_credits_of_a_request_that_waits_are_granted_once_with_its_interim_answer() -> None:
    async def test(here: Served, tree: Tree) -> None:
        directory = await tree.directory()
        call = await directory.notify(CompletionFilter.SIZE)
        await call.interim.wait()
        held = here.client.window.credits
        assert connection(here).window.outstanding == held
        await here.client.cancel(call)
        assert (await call.answer()).header.credits == 0
        assert here.client.window.credits == held

    on_a_tree(test)


def test_nobody_gets_more_than_one_credit_at_a_time_before_logging_on() -> None:
    async def use() -> None:
        async with served(Settings(credits=8000)) as here:
            assert here.client.window.credits == 1
            setup = SessionSetupRequest(token=AnonymousLogin.NEGOTIATE)
            answer = await (await here.client.post_one(Element(setup))).answer()
            assert answer.status == NT.MORE_PROCESSING_REQUIRED
            assert answer.header.credits == 1

    asyncio.run(use())


def test_a_large_charge_takes_its_ids_and_gives_them_back() -> None:
    async def test(here: Served, tree: Tree) -> None:
        file = await tree.create("file", disposition=Disposition.CREATE)
        await file.write(0, pattern(8 << 20))
        await here.login()
        before = here.client.window.next
        assert await file.read(0, 8 << 20) == pattern(8 << 20)
        assert here.client.window.next == before + 128
        assert connection(here).window.outstanding == here.client.window.credits

    on_a_tree(test)


@pytest.mark.parametrize("charge", [65, 100, 65535])
def test_a_charge_beyond_what_was_granted_ends_the_connection(charge: int) -> None:
    async def test(here: Served, tree: Tree) -> None:
        assert here.client.window.credits < charge
        await here.near.send(Reply(echo(here, here.client.window.next, charge)))
        await is_ended(here)

    on_a_tree(test, Settings(credits=64))


@pytest.mark.parametrize("which", ["used", "first of all", "never granted", "the last there is"])
def test_an_id_outside_the_window_ends_the_connection(which: str) -> None:
    async def test(here: Served, tree: Tree) -> None:
        window = here.client.window
        ids = {
            "used": window.next - 1, "first of all": 0, "never granted": window.next + window.credits,
            "the last there is": (1 << 64) - 1,
        }  # fmt: skip
        await here.near.send(Reply(echo(here, ids[which])))
        await is_ended(here)

    on_a_tree(test)


def test_an_id_is_good_once_within_one_message_too() -> None:
    async def test(here: Served, tree: Tree) -> None:
        one = echo(here, here.client.window.next)
        head = Header.unpack_from(memoryview(one[0]))
        head.next_command = 72
        await here.near.send(Reply([head.pack(), one[1], bytes(4), *one]))
        await is_ended(here)

    on_a_tree(test)


def test_skipped_ids_may_come_later_and_in_any_order() -> None:
    async def test(here: Served, tree: Tree) -> None:
        window = here.client.window
        skipped = list(range(window.next, window.next + 20))
        last = window.next + 20
        for message_id in (last, skipped[7], skipped[0], *skipped[8:], *skipped[1:7]):
            window.next = message_id
            answer = await (await here.client.post_one(Element(EchoRequest()))).answer()
            assert answer.status == NT.SUCCESS
            assert connection(here).window.outstanding == window.credits
        assert connection(here).window.low == last + 1
        assert not connection(here).window.used

    on_a_tree(test)


def test_a_client_that_never_comes_back_to_an_id_runs_dry_instead_of_being_remembered() -> None:
    async def test(here: Served, tree: Tree) -> None:
        window = here.client.window
        window.next += 1
        window.credits -= 1
        for _ in range(200):
            if window.credits <= 0:
                break
            await (await here.client.post_one(Element(EchoRequest()))).answer()
        assert window.credits == 0
        assert len(connection(here).window.used) < 64

    on_a_tree(test, Settings(credits=64), max_credits=64)


def test_dialect_2_0_2_takes_one_id_whatever_charge_is_said() -> None:
    async def test(here: Served, tree: Tree) -> None:
        for charge in (0, 1, 5):
            call = await here.client.post_one(Element(EchoRequest(), credit_charge=charge))
            here.client.window.next = call.header.message_id + 1
            here.client.window.credits += max(charge, 1) - 1
            assert (await call.answer()).status == NT.SUCCESS
            assert connection(here).window.outstanding == here.client.window.credits

    on_a_tree(test, Settings(dialects=(Dialect.SMB202,)))


@pytest.mark.parametrize(("length", "charge"), [(65537, 1), (1 << 20, 15), (8 << 20, 127), (65537, 0)])
def test_a_charge_that_does_not_cover_the_payload_is_refused(length: int, charge: int) -> None:
    async def test(here: Served, tree: Tree) -> None:
        file = await tree.create("file", disposition=Disposition.CREATE)
        element = Element(ReadRequest(file.id, 0, length), tree.id, credit_charge=charge)
        answer = await (await here.client.post_one(element, tree.security)).answer()
        assert answer.status == NT.INVALID_PARAMETER
        assert connection(here).window.outstanding == here.client.window.credits

    on_a_tree(test)
