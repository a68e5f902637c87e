"""Requests that wait, and how they end: by CANCEL, by the end of their handle, tree, session or connection."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from benchmarks.client import AnonymousLogin, Call, Client, Element, File, Session, Settings, Tree
from server.messages.create import CreateOptions, Disposition
from server.messages.directory import CompletionFilter
from server.messages.file import LockElement, LockFlags, LockRequest
from server.messages.session import SessionSetupRequest
from server.status import NT
from server.tests.served import Whole, settle, whole
from server.tests.stores import refused
from server.work import MAX_PENDING


async def waiting_lock(tree: Tree) -> tuple[File, Call]:
    """A LOCK that waits for another handle's lock of the same range."""
    holder = await tree.create("locked", disposition=Disposition.OPEN_IF)
    await holder.lock(0, 10)
    waiter = await tree.create("locked")
    call = await tree.post(LockRequest(waiter.id, [LockElement(5, 10, LockFlags.EXCLUSIVE)]))
    await call.interim.wait()
    return waiter, call


async def waiting_notify(tree: Tree) -> tuple[File, Call]:
    directory = await tree.directory()
    call = await directory.notify(CompletionFilter.FILE_NAME)
    await call.interim.wait()
    return directory, call


Wait = Callable[[Tree], Awaitable[tuple[File, Call]]]
WAITS = pytest.mark.parametrize(
    ("wait", "ending"),
    [(waiting_lock, NT.RANGE_NOT_LOCKED), (waiting_notify, NT.NOTIFY_CLEANUP)],
    ids=["lock", "notify"],
)
SECURITIES = pytest.mark.parametrize(
    "settings", [Settings(), Settings(sign=True), Settings(encrypt=True)], ids=["plain", "signed", "sealed"]
)


def with_two(test: Callable[[Whole, Session, Tree], Awaitable[None]], settings: Settings | None = None) -> None:
    """Run `test` with a session and a tree of it."""

    async def use() -> None:
        async with whole() as here:
            session = await here.session(settings)
            await test(here, session, await session.connect(r"\\server\data"))

    asyncio.run(use())


def pending(here: Whole) -> int:
    """Requests that wait, on all connections."""
    return sum(len(connection.pending.by_async) for connection in here.server.connections)


@SECURITIES
@WAITS
def test_cancel_ends_what_waits(wait: Wait, ending: int, settings: Settings) -> None:
    async def test(here: Whole, session: Session, tree: Tree) -> None:
        _, call = await wait(tree)
        await session.client.cancel(call)
        answer = (await call.answer()).keep()
        assert answer.status == NT.CANCELLED
        assert answer.header.async_or_ids == call.async_id
        assert not pending(here)

    with_two(test, settings)


@SECURITIES
@WAITS
def test_close_ends_what_waits_on_its_handle(wait: Wait, ending: int, settings: Settings) -> None:
    async def test(here: Whole, session: Session, tree: Tree) -> None:
        file, call = await wait(tree)
        await file.close()
        assert (await call.answer()).status == ending
        assert not pending(here)

    with_two(test, settings)


@WAITS
def test_tree_disconnect_ends_what_waits_in_it(wait: Wait, ending: int) -> None:
    async def test(here: Whole, session: Session, tree: Tree) -> None:
        _, call = await wait(tree)
        await tree.disconnect()
        assert (await call.answer()).status == ending
        assert not here.server.opens.by_volatile
        assert not pending(here)

    with_two(test)


@WAITS
def test_logoff_ends_what_waits_in_it(wait: Wait, ending: int) -> None:
    async def test(here: Whole, session: Session, tree: Tree) -> None:
        _, call = await wait(tree)
        await session.logoff()
        assert (await call.answer()).status == ending
        assert not here.server.opens.by_volatile
        assert not here.server.sessions
        assert not pending(here)

    with_two(test)


@WAITS
def test_a_lost_connection_ends_what_waits_on_it(wait: Wait, ending: int) -> None:
    async def test(here: Whole, session: Session, tree: Tree) -> None:
        await wait(tree)
        here.near[0].lose("the cable is out")
        await asyncio.gather(*here.serving)
        here.assert_nothing_kept()

    with_two(test)


@WAITS
def test_the_end_of_the_server_ends_what_waits(wait: Wait, ending: int) -> None:
    async def test(here: Whole, session: Session, tree: Tree) -> None:
        _, call = await wait(tree)
        await here.server.stop([])
        assert (await call.answer()).status == NT.CANCELLED
        here.assert_nothing_kept()

    with_two(test)


@pytest.mark.parametrize("way", ["close", "unlock", "tree disconnect", "logoff", "loss"])
def test_the_next_in_line_gets_a_lock_however_it_is_let_go(way: str) -> None:
    async def let_go(here: Whole, holder: File, session: Session) -> None:
        match way:
            case "close":
                await holder.close()
            case "unlock":
                await holder.unlock(0, 10)
            case "tree disconnect":
                await holder.tree.disconnect()
            case "logoff":
                await session.logoff()
            case "loss":
                here.near[1].lose("the cable is out")

    async def test(here: Whole, session: Session, tree: Tree) -> None:
        other = await here.session()
        holder = await (await other.connect(r"\\server\data")).create("locked", disposition=Disposition.CREATE)
        await holder.lock(0, 10)
        waiter = await tree.create("locked")
        call = await tree.post(LockRequest(waiter.id, [LockElement(0, 10, LockFlags.EXCLUSIVE)]))
        await call.interim.wait()
        await let_go(here, holder, other)
        assert (await call.answer()).status == NT.SUCCESS
        third = await tree.create("locked")
        with refused(NT.LOCK_NOT_GRANTED):
            await third.lock(0, 1, LockFlags.EXCLUSIVE | LockFlags.FAIL_IMMEDIATELY)

    with_two(test)


def test_who_gives_up_waiting_lets_the_next_pass() -> None:
    async def test(here: Whole, session: Session, tree: Tree) -> None:
        holder, first, second = [await tree.create("f", disposition=Disposition.OPEN_IF) for _ in range(3)]
        await holder.lock(0, 10, LockFlags.SHARED)
        blocked = await tree.post(LockRequest(first.id, [LockElement(0, 10, LockFlags.EXCLUSIVE)]))
        await blocked.interim.wait()
        await session.client.cancel(blocked)
        assert (await blocked.answer()).status == NT.CANCELLED
        await second.lock(0, 10, LockFlags.SHARED)

    with_two(test)


def test_cancel_of_what_is_not_there_is_no_error() -> None:
    async def test(here: Whole, session: Session, tree: Tree) -> None:
        _, call = await waiting_notify(tree)
        for _ in range(2):
            await session.client.cancel(call)
        assert (await call.answer()).status == NT.CANCELLED
        call.answered = asyncio.get_running_loop().create_future()
        await session.client.cancel(call)
        await session.echo()

    with_two(test)


def test_only_so_many_requests_may_wait_and_one_close_ends_them_all() -> None:
    async def test(here: Whole, session: Session, tree: Tree) -> None:
        directory = await tree.directory()
        calls = [await directory.notify(CompletionFilter.SIZE) for _ in range(520)]
        await session.echo()
        assert pending(here) == MAX_PENDING
        await directory.close()
        statuses = [(await call.answer()).status for call in calls]
        assert statuses == [NT.NOTIFY_CLEANUP] * MAX_PENDING + [NT.INSUFFICIENT_RESOURCES] * (520 - MAX_PENDING)

    with_two(test, Settings(credits=1000))


@pytest.mark.parametrize("way", ["close", "tree disconnect", "logoff", "loss"])
def test_a_file_to_be_deleted_goes_with_its_last_handle_however_that_ends(way: str) -> None:
    async def test(here: Whole, session: Session, tree: Tree) -> None:
        file = await tree.create("gone", disposition=Disposition.CREATE, options=CreateOptions.DELETE_ON_CLOSE)
        ways: dict[str, Callable[[], Awaitable[object]]] = {
            "close": file.close, "tree disconnect": tree.disconnect, "logoff": session.logoff,
            "loss": session.client.close,
        }  # fmt: skip
        await ways[way]()
        await settle()
        other = await here.tree()
        with refused(NT.OBJECT_NAME_NOT_FOUND):
            await other.create("gone")

    with_two(test)


def test_a_client_that_says_nothing_more_keeps_nothing_of_another() -> None:
    """Two connections, one of which breaks off in the middle of its login."""

    async def use() -> None:
        async with whole() as here:
            tree = await here.tree()
            near = here.connect()
            client = await Client.negotiate(near, Settings())
            await client.post_one(Element(SessionSetupRequest(token=AnonymousLogin.NEGOTIATE)))
            await settle()
            assert len(here.server.sessions) == 2
            await client.close()
            await here.serving[1]
            assert len(here.server.sessions) == 1
            await tree.create("still", disposition=Disposition.CREATE)

    asyncio.run(use())
