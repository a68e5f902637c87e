"""CHANGE_NOTIFY on the whole server over a directory of this machine: what local processes do, beside clients."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.client.file import changes
from server.config import Share
from server.messages.directory import WATCH_TREE
from server.messages.directory import CompletionFilter as Filter
from server.messages.fscc_file import Basic, FileAttribute, FileClass
from server.store.posix import PosixStore
from server.tests.local import NEEDS_FANOTIFY, run
from server.tests.served import Whole, whole
from server.tests.stores import options
from server.tests.test_whole_notify import (
    ALL,
    NEW,
    OLD,
    A,
    M,
    R,
    begin,
    make,
    opened,
    remove,
    rename,
    told,
    watching,
)


def on_disk(directory: Path, test: Callable[[Whole], Awaitable[None]], local: bool = True) -> None:
    """The server serves `directory` as "data", and its "below" as a share of its own."""
    (directory / "below").mkdir()
    shares = (Share("data", directory, kernel_change_notify=local), Share("below", directory / "below"))

    async def use() -> None:
        async with whole(shares, lambda share: PosixStore(str(share.path), options())) as here:
            await test(here)

    asyncio.run(use())


@NEEDS_FANOTIFY
def test_what_local_processes_do_is_told_beside_what_clients_do_and_that_once(tmp_path: Path) -> None:
    async def test(here: Whole) -> None:
        tree = await here.tree()
        directory, call = await watching(tree)
        run(tmp_path, "sh", "-c", "echo x > d/local")
        assert await changes(call) == [(A, "local"), (M, "local")]
        file = await make(tree, "d\\ours")
        await file.write(0, b"x" * 100)
        await file.set(FileClass.BASIC, Basic(attributes=FileAttribute.HIDDEN).pack())
        await rename(file, "d\\our own")
        call = await directory.notify(ALL)
        assert await changes(call) == [(A, "ours"), (M, "ours"), (OLD, "ours"), (NEW, "our own")]
        call = await directory.notify(ALL)
        run(tmp_path, "mv", "d/local", "d/mine")
        assert await changes(call) == [(OLD, "local"), (NEW, "mine")]
        call = await directory.notify(ALL)
        run(tmp_path, "mv", "d/mine", "mine")
        assert await changes(call) == [(R, "mine")]
        await directory.close()
        assert here.server.opens.changes.local.count == 0

    on_disk(tmp_path, test)


@NEEDS_FANOTIFY
def test_a_local_process_moves_a_watched_directory_and_the_watch_goes_along(tmp_path: Path) -> None:
    async def test(here: Whole) -> None:
        tree = await here.tree()
        root = await opened(tree, "")
        above = await root.notify(Filter.DIR_NAME, WATCH_TREE)
        await above.interim.wait()
        _, call = await watching(tree)
        assert await changes(above) == [(A, "d")]
        above = await root.notify(Filter.DIR_NAME)
        await above.interim.wait()
        run(tmp_path, "mv", "d", "e")
        assert await changes(above) == [(OLD, "d"), (NEW, "e")]
        run(tmp_path, "touch", "e/x")
        assert (await changes(call))[0] == (A, "x")

    on_disk(tmp_path, test)


@NEEDS_FANOTIFY
def test_what_a_local_process_did_before_a_client_is_told_before(tmp_path: Path) -> None:
    async def test(here: Whole) -> None:
        tree = await here.tree()
        directory = await opened(tree)
        file = await make(tree, "d\\ours")
        await begin(directory, ALL)
        run(tmp_path, "touch", "d/local")
        ours = here.server.opens.by_volatile[int.from_bytes(file.id[8:], "little")]
        here.server.opens.changes.modified(ours, Filter.EA)  # the loop has not heard of the local change yet
        assert await told(directory) == [(A, "local"), (M, "local"), (M, "ours")]

    on_disk(tmp_path, test)


def test_shares_that_overlap_hear_of_each_others_changes(tmp_path: Path) -> None:
    async def test(here: Whole) -> None:
        session = await here.session()
        outer, inner = await session.connect(r"\\server\data"), await session.connect(r"\\server\below")
        root, top = await opened(inner, ""), await opened(outer, "")
        calls = [await root.notify(ALL), await top.notify(ALL, WATCH_TREE)]
        for call in calls:
            await call.interim.wait()
        await (await make(outer, "below\\x")).close()
        assert await changes(calls[0]) == [(A, "x")]
        assert await changes(calls[1]) == [(A, "below\\x")]
        call = await top.notify(ALL)
        await remove(inner, "x")
        assert await changes(call) == [(R, "below\\x")]

    on_disk(tmp_path, test)


def test_a_share_that_does_not_ask_the_kernel_hears_its_clients_alone(tmp_path: Path) -> None:
    async def test(here: Whole) -> None:
        tree = await here.tree()
        _, call = await watching(tree)
        assert here.server.opens.changes.local.count == 0
        run(tmp_path, "touch", "d/local")
        await make(tree, "d\\ours")
        assert await changes(call) == [(A, "ours")]

    on_disk(tmp_path, test, local=False)
