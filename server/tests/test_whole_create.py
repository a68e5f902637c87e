"""CREATE on the whole server: what it refuses, in which order, and what an open keeps others from."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path as Directory

import pytest

from benchmarks.client import Tree
from benchmarks.client.tree import READ_ATTRIBUTES, SHARE_ALL
from server.messages.create import CreateContext, CreateOptions, Disposition, OplockLevel, ShareAccess
from server.messages.create_contexts import ContextName, Lease, LeaseState
from server.messages.fscc_file import FileAttribute, FileClass
from server.messages.fscc_set import DispositionEx, DispositionFlags, Rename, RenameFlags
from server.security.access import DELETE, FILE_READ_DATA, FILE_WRITE_DATA
from server.status import NT, Status
from server.store.base import File, Path
from server.store.memory_file import MemoryFile
from server.tests.served import served
from server.tests.stores import MAKERS

CREATE, OPEN, OPEN_IF = Disposition.CREATE, Disposition.OPEN, Disposition.OPEN_IF


def with_tree(use: Callable[[Tree], Awaitable[None]]) -> None:
    async def run() -> None:
        async with served() as here:
            await use(await here.tree())

    asyncio.run(run())


@contextmanager
def refused(code: int) -> Iterator[None]:
    with pytest.raises(Status) as status:
        yield
    assert status.value.code == code, status.value


@pytest.mark.parametrize("access", [0, 0x0400_0000, 0x0800_0000, 0x0000_0200, 0x0020_0000 | FILE_READ_DATA])
def test_access_that_means_nothing_is_denied_before_anything_else_is_judged(access: int) -> None:
    async def use(tree: Tree) -> None:
        with refused(NT.ACCESS_DENIED):
            await tree.create("x", access, CREATE, attributes=0xFFFF_FFFF)

    with_tree(use)


@pytest.mark.parametrize("name", [b"", b"x", b"xxx"])
def test_a_context_with_a_short_name_is_refused(name: bytes) -> None:
    async def use(tree: Tree) -> None:
        with refused(NT.INVALID_PARAMETER):
            await tree.create("x", disposition=CREATE, contexts=[CreateContext(name, b"")])
        await tree.create("x", disposition=CREATE, contexts=[CreateContext(b"xxxx", b"")])

    with_tree(use)


def test_a_directory_is_not_opened_by_its_unnamed_data() -> None:
    async def use(tree: Tree) -> None:
        await tree.directory("d", CREATE)
        with refused(NT.FILE_IS_A_DIRECTORY):
            await tree.create("d::$DATA", FILE_WRITE_DATA, OPEN)
        with refused(NT.NOT_A_DIRECTORY):
            await tree.create("d::$DATA", FILE_WRITE_DATA, OPEN, CreateOptions.DIRECTORY_FILE)

    with_tree(use)


@pytest.mark.parametrize("disposition", [CREATE, OPEN_IF, Disposition.OVERWRITE_IF, Disposition.SUPERSEDE])
def test_a_new_file_cannot_be_read_only_and_go_at_its_close(disposition: int) -> None:
    async def use(tree: Tree) -> None:
        with refused(NT.CANNOT_DELETE):
            await tree.create(
                "x", disposition=disposition, options=CreateOptions.DELETE_ON_CLOSE, attributes=FileAttribute.READONLY
            )
        with refused(NT.OBJECT_NAME_NOT_FOUND):
            await tree.create("x")

    with_tree(use)


def test_a_stream_is_not_renamed_by_a_path() -> None:
    async def use(tree: Tree) -> None:
        stream = await tree.create("x:one", disposition=CREATE)
        with refused(NT.SHARING_VIOLATION):
            await stream.set(FileClass.RENAME, Rename("x:two").pack())
        await stream.set(FileClass.RENAME, Rename(":two").pack())

    with_tree(use)


# -- streams and the file they are part of ------------------------------------------------------------------------


def test_a_stream_open_without_sharing_deletion_keeps_its_file() -> None:
    async def use(tree: Tree) -> None:
        stream = await tree.create("x:one", FILE_WRITE_DATA, CREATE, share=ShareAccess.READ | ShareAccess.WRITE)
        with refused(NT.SHARING_VIOLATION):
            await tree.create("x", DELETE)
        await (await tree.create("x", FILE_READ_DATA)).close()
        await stream.close()
        await (await tree.create("x", DELETE)).close()

    with_tree(use)


def test_a_file_open_without_sharing_deletion_lets_its_streams_be_deleted() -> None:
    async def use(tree: Tree) -> None:
        await tree.create("x", disposition=CREATE, share=0)
        await (await tree.create("x:one", DELETE, CREATE, CreateOptions.DELETE_ON_CLOSE)).close()
        with refused(NT.OBJECT_NAME_NOT_FOUND):
            await tree.create("x:one")

    with_tree(use)


def test_a_deleted_file_goes_with_the_last_of_its_open_streams() -> None:
    async def use(tree: Tree) -> None:
        streams = [await tree.create(f"x:{name}", disposition=CREATE) for name in ("one", "two")]
        await streams[0].write(0, b"here")
        await (await tree.create("x", DELETE, options=CreateOptions.DELETE_ON_CLOSE)).close()
        for stream in streams:
            for name in ("x", "x:one", "x:three"):
                with refused(NT.DELETE_PENDING):
                    await tree.create(name, disposition=OPEN_IF)
            if stream is streams[0]:
                assert await stream.read(0, 4) == b"here"
            await stream.close()
        with refused(NT.OBJECT_NAME_NOT_FOUND):
            await tree.create("x")

    with_tree(use)


# -- renames and who has the directories open ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("access", "share", "goes"),
    [
        (FILE_READ_DATA, ShareAccess.WRITE, True),
        (FILE_READ_DATA | DELETE, SHARE_ALL, False),
        (FILE_READ_DATA, ShareAccess.READ | ShareAccess.DELETE, False),
        (READ_ATTRIBUTES, 0, True),
    ],
)
def test_a_rename_adds_to_a_directory_that_may_be_open(access: int, share: int, goes: bool) -> None:
    async def use(tree: Tree) -> None:
        await (await tree.directory("d", CREATE)).close()
        file = await tree.create("x", disposition=CREATE)
        there = await tree.create("d", access, options=CreateOptions.DIRECTORY_FILE, share=share)
        if not goes:
            with refused(NT.SHARING_VIOLATION):
                await file.set(FileClass.RENAME, Rename("d\\x").pack())
            await there.close()
        await file.set(FileClass.RENAME, Rename("d\\x").pack())

    with_tree(use)


def test_a_directory_with_something_open_below_stays_and_each_file_is_asked_for_its_path_once() -> None:
    async def run() -> None:
        async with served() as here:
            tree = await here.tree()
            directory = await tree.directory("d", CREATE)
            files = [await tree.create("d\\x", disposition=OPEN_IF) for _ in range(5)]
            outside = [await tree.create("y", disposition=OPEN_IF) for _ in range(5)]
            asked = Counter[str]()
            for opened in here.server.opens.by_volatile.values():
                watch(opened.file, asked)
            with refused(NT.ACCESS_DENIED):
                await directory.set(FileClass.RENAME, Rename("e").pack())
            assert asked["x"] <= 2 and asked["y"] <= 2
            for file in files:
                await file.close()
            await directory.set(FileClass.RENAME, Rename("e").pack())
            assert len(outside) == 5

    def watch(file: File, asked: Counter[str]) -> None:
        path = file.path

        def counted() -> Path:
            asked[path()[-1]] += 1
            return path()

        file.path = counted  # type: ignore[method-assign]

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["memory", "posix"])
def test_a_renamed_stream_goes_on_for_all_who_have_it_open(kind: str, tmp_path: Directory) -> None:
    async def use(tree: Tree) -> None:
        stream = await tree.create("x:one", disposition=CREATE)
        await stream.write(0, b"here")
        other = await tree.create("x:one", FILE_READ_DATA)
        target = await tree.create("x:two", disposition=CREATE)
        with refused(NT.INVALID_PARAMETER):
            await stream.set(FileClass.RENAME, Rename(":two", RenameFlags.REPLACE_IF_EXISTS).pack())
        await target.close()
        await stream.set(FileClass.RENAME, Rename(":two", RenameFlags.REPLACE_IF_EXISTS).pack())
        for file in (stream, other, await tree.create("x:TWO", FILE_READ_DATA)):
            assert await file.read(0, 4) == b"here"
        with refused(NT.SHARING_VIOLATION):
            await tree.create("x:two", FILE_READ_DATA, share=0)
        with refused(NT.OBJECT_NAME_NOT_FOUND):
            await tree.create("x:one")

    async def run() -> None:
        async with served(make_store=lambda share: MAKERS[kind](tmp_path)) as here:
            await use(await here.tree())

    asyncio.run(run())


def test_what_may_not_be_deleted_is_not_deleted_at_the_close_either() -> None:
    at_close = DispositionEx(DispositionFlags.DELETE | DispositionFlags.ON_CLOSE).pack()

    async def use(tree: Tree) -> None:
        await (await tree.create("x", disposition=CREATE, attributes=FileAttribute.READONLY)).close()
        for name in ("x", ""):
            with refused(NT.CANNOT_DELETE):
                await tree.create(name, DELETE, options=CreateOptions.DELETE_ON_CLOSE)
            file = await tree.create(name, DELETE)
            with refused(NT.CANNOT_DELETE):
                await file.set(FileClass.DISPOSITION_EX, at_close)
            await file.close()
        await tree.create("x", READ_ATTRIBUTES)

    with_tree(use)


def test_a_directory_that_goes_while_its_lease_is_granted_is_not_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with served() as here:
            tree = await here.tree()
            await (await tree.directory("gone", CREATE)).close()

            def gone(file: MemoryFile) -> Path:
                raise Status(NT.FILE_DELETED, "by another process")

            monkeypatch.setattr(MemoryFile, "path", gone)
            lease = Lease(bytes(range(16)), LeaseState.READ | LeaseState.HANDLE, 0, bytes(16), 1)
            with refused(NT.FILE_DELETED):
                await tree.create(
                    "gone",
                    options=CreateOptions.DIRECTORY_FILE,
                    oplock=OplockLevel.LEASE,
                    contexts=[CreateContext(ContextName.RQLS, lease.pack())],
                )
            assert not here.server.opens.by_volatile
            assert not here.server.opens.breaks.leases.by_key

    asyncio.run(run())
