"""What one request may cost the others: work that grows with what a client sends has an end."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from benchmarks.client import Tree
from benchmarks.client.tree import READ_ATTRIBUTES
from server.handlers import lock
from server.handlers.lock import MOST_AT_ONCE, MOST_HELD
from server.messages.create import Disposition
from server.messages.file import LockElement, LockFlags, LockRequest, LockResponse
from server.status import NT
from server.tests.served import SHARE, Whole, login, on_a_server
from server.tests.stores import refused

NOW = LockFlags.EXCLUSIVE | LockFlags.FAIL_IMMEDIATELY


def on_a_tree(test: Callable[[Whole, Tree], Awaitable[None]]) -> None:
    async def use(here: Whole) -> None:
        await test(here, await here.tree())

    on_a_server(use)


def ranges(count: int, first: int = 0, flags: int = NOW) -> list[LockElement]:
    return [LockElement(10 * number, 1, flags) for number in range(first, first + count)]


@pytest.mark.parametrize("flags", [NOW, LockFlags.UNLOCK], ids=["locks", "unlocks"])
def test_one_request_locks_or_unlocks_only_so_many_ranges(flags: int) -> None:
    async def test(here: Whole, tree: Tree) -> None:
        file = await tree.create("file", disposition=Disposition.CREATE)
        for count in (MOST_AT_ONCE + 1, 65535):
            with refused(NT.INVALID_PARAMETER):
                await file.call(LockRequest(file.id, ranges(count, flags=flags)), LockResponse)
        for flag in (NOW, LockFlags.UNLOCK):
            await file.call(LockRequest(file.id, ranges(MOST_AT_ONCE, flags=flag)), LockResponse)

    on_a_tree(test)


def test_a_file_has_only_so_many_locks() -> None:
    async def test(here: Whole, tree: Tree) -> None:
        file = await tree.create("file", disposition=Disposition.CREATE)
        for first in range(0, MOST_HELD, MOST_AT_ONCE):
            await file.call(LockRequest(file.id, ranges(MOST_AT_ONCE, first)), LockResponse)
        other = await tree.create("file")
        with refused(NT.INSUFFICIENT_RESOURCES):
            await other.lock(1 << 40, 1, NOW)
        await file.unlock(0, 1)
        await other.lock(1 << 40, 1, NOW)

    on_a_tree(test)


def test_only_so_many_requests_wait_for_a_files_locks_where_it_has_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "MOST_PAIRS", 5 * 3)

    async def test(here: Whole, tree: Tree) -> None:
        file = await tree.create("file", disposition=Disposition.CREATE)
        await file.call(LockRequest(file.id, ranges(4)), LockResponse)
        other = await tree.create("file")
        waiting = [await tree.post(LockRequest(other.id, ranges(1, flags=LockFlags.EXCLUSIVE))) for _ in range(4)]
        for call in waiting:
            await call.interim.wait()
        for flags in (LockFlags.EXCLUSIVE, NOW):
            with refused(NT.INSUFFICIENT_RESOURCES):
                await other.lock(5, 1, flags)
        await file.unlock(0, 1)
        assert (await waiting[0].answer()).keep().status == NT.SUCCESS
        await other.lock(5, 1)

    on_a_tree(test)


@pytest.mark.parametrize("pattern", ["*" * 60 + "x", "<" * 60 + "x", "*?<>" * 20, '*a*a*a*a*a*a*a*a*a*a*b"'])
def test_no_search_pattern_takes_long_to_match(pattern: str) -> None:
    async def test(here: Whole, tree: Tree) -> None:
        await tree.create("a" * 200 + "." + "a" * 40, disposition=Disposition.CREATE)
        begun = time.thread_time()
        await (await tree.directory()).listing(pattern)
        assert time.thread_time() - begun < 1

    on_a_tree(test)


def test_many_requests_of_one_client_let_another_in() -> None:
    async def test(here: Whole, tree: Tree) -> None:
        file = await tree.create("file", disposition=Disposition.CREATE)
        await file.write(0, bytes(100_000))
        reads = asyncio.gather(*(file.read(0, 100_000) for _ in range(200)))
        other = await here.session()
        await other.echo()
        assert not reads.done(), "the other had to wait for all of them"
        await reads

    on_a_tree(test)


def test_one_user_has_only_half_of_all_opens_in_however_many_sessions_and_others_the_rest() -> None:
    async def test(here: Whole) -> None:
        here.server.opens.most = 20
        first, again = await here.tree(), await here.tree()
        other = await (await here.session(how=login("daemon"))).connect(SHARE)
        files = []
        for tree, count in ((first, 6), (again, 4), (other, 10)):
            files += [await tree.create("", READ_ATTRIBUTES) for _ in range(count)]
            if tree is not first:
                with refused(NT.INSUFFICIENT_RESOURCES):
                    await tree.create("", READ_ATTRIBUTES)
        with refused(NT.INSUFFICIENT_RESOURCES):
            await (await (await here.session()).connect(r"\\server\IPC$")).create("srvsvc")
        await files[0].close()
        await again.create("", READ_ATTRIBUTES)

    on_a_server(test, users=("root", "daemon"))
