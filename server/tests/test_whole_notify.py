"""CHANGE_NOTIFY on the whole server: what each thing a client does is told as, and how waiting ends."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest

from benchmarks.client import Call, File, Tree
from benchmarks.client.file import changes
from server.messages.create import CreateOptions, Disposition
from server.messages.directory import WATCH_TREE, Change, ChangeNotifyResponse
from server.messages.directory import CompletionFilter as Filter
from server.messages.fscc_ea import pack_eas
from server.messages.fscc_file import Basic, FileAttribute, FileClass
from server.messages.fscc_set import Allocation, DispositionEx, DispositionFlags, EndOfFile, Rename
from server.messages.fscc_set import Disposition as Delete
from server.messages.info import InfoType, SecurityInformation
from server.messages.ioctl import Fsctl
from server.security.access import FILE_LIST_DIRECTORY, SYNCHRONIZE
from server.security.descriptors import select
from server.status import NT
from server.store.base import Ea
from server.tests.served import Whole, on_a_server, settle
from server.tests.stores import refused

ALL = 0xFFF
A, R, M, OLD, NEW, AS, RS, MS = range(1, 9)
"""The actions: added, removed, modified, the old and new name of a renamed one, and the same of streams."""


async def make(tree: Tree, name: str, options: int = 0) -> File:
    return await tree.create(name, disposition=Disposition.OPEN_IF, options=options)


async def remove(tree: Tree, name: str) -> None:
    await (await tree.create(name, options=CreateOptions.DELETE_ON_CLOSE)).close()


async def rename(file: File, name: str, replace: bool = False, kind: int = FileClass.RENAME) -> None:
    await file.set(kind, Rename(name, replace).pack())


async def _delete_posix(tree: Tree, file: File) -> None:
    flags = DispositionFlags.DELETE | DispositionFlags.POSIX_SEMANTICS
    await file.set(FileClass.DISPOSITION_EX, DispositionEx(flags).pack())


async def _delete(tree: Tree, file: File) -> None:
    await file.set(FileClass.DISPOSITION, Delete(1).pack())
    await file.close()


async def _stream(tree: Tree, file: File) -> None:
    stream = await make(tree, "d\\file:s")
    await stream.write(0, b"x")
    await rename(stream, ":t")
    await stream.close()
    await remove(tree, "d\\file:t")


async def _security(tree: Tree, file: File) -> None:
    descriptor = await file.query(0, InfoType.SECURITY, additional=SecurityInformation.DACL)
    await file.set(0, select(bytes(descriptor), SecurityInformation.DACL), InfoType.SECURITY, SecurityInformation.DACL)


async def _replace(tree: Tree, file: File) -> None:
    await (await make(tree, "d\\taken")).close()
    await rename(file, "d\\taken", True)


async def _through(tree: Tree, file: File) -> None:
    """A directory and all there is to do to one in it."""
    await (await make(tree, "d\\sub", CreateOptions.DIRECTORY_FILE)).close()
    await rename(file, "d\\sub\\moved")
    await rename(file, "d\\back")
    await remove(tree, "d\\sub")


class Told(NamedTuple):
    """Something done to "d\\file", which is open, and what watchers of all of "d" hear of it under which filters."""

    does: Callable[[Tree, File], Awaitable[object]]
    hears: list[tuple[int, int, str]]


FILE, DIR = Filter.FILE_NAME, Filter.DIR_NAME
MOVED = Filter.ATTRIBUTES | Filter.CREATION
CASES = {
    "create": Told(lambda tree, file: make(tree, "d\\new"), [(A, FILE, "new")]),
    "create below": Told(
        lambda tree, file: _through(tree, file),
        [(A, DIR, "sub"), (R, FILE, "file"), (A, FILE, "sub\\moved"), (R, FILE, "sub\\moved"), (A, FILE, "back"),
         (R, DIR, "sub")],
    ),
    "create with a stream": Told(
        lambda tree, file: make(tree, "d\\new:s"), [(A, FILE, "new"), (AS, Filter.STREAM_NAME, "new:s")]
    ),
    "overwrite": Told(
        lambda tree, file: tree.create("d\\file", disposition=Disposition.OVERWRITE),
        [(M, Filter.ATTRIBUTES | Filter.SIZE | Filter.LAST_WRITE, "file")],
    ),
    "write": Told(lambda tree, file: file.write(0, b"x"), [(M, Filter.SIZE | Filter.LAST_WRITE, "file")]),
    "size": Told(
        lambda tree, file: file.set(FileClass.END_OF_FILE, EndOfFile(9).pack()),
        [(M, Filter.SIZE | Filter.LAST_WRITE, "file")],
    ),
    "allocation": Told(
        lambda tree, file: file.set(FileClass.ALLOCATION, Allocation(9).pack()),
        [(M, Filter.SIZE | Filter.LAST_WRITE, "file")],
    ),
    "attributes": Told(
        lambda tree, file: file.set(FileClass.BASIC, Basic(attributes=FileAttribute.HIDDEN).pack()),
        [(M, Filter.ATTRIBUTES, "file")],
    ),
    "times": Told(
        lambda tree, file: file.set(FileClass.BASIC, Basic(10**17, 10**17, 10**17, 10**17).pack()),
        [(M, Filter.CREATION | Filter.LAST_ACCESS | Filter.LAST_WRITE, "file")],
    ),
    "change time": Told(lambda tree, file: file.set(FileClass.BASIC, Basic(0, -1, -2, 10**17).pack()), []),
    "extended attribute": Told(
        lambda tree, file: file.set(FileClass.FULL_EA, pack_eas([Ea(b"name", b"value")])), [(M, Filter.EA, "file")]
    ),
    "security": Told(_security, [(M, Filter.SECURITY, "file")]),
    "sparse": Told(lambda tree, file: file.ioctl(Fsctl.SET_SPARSE), [(M, Filter.ATTRIBUTES, "file")]),
    "zero": Told(
        lambda tree, file: file.ioctl(Fsctl.SET_ZERO_DATA, bytes(8) + (9).to_bytes(8, "little")),
        [(M, Filter.SIZE | Filter.LAST_WRITE, "file")],
    ),
    "streams": Told(
        _stream,
        [(AS, Filter.STREAM_NAME, "file:s"), (MS, Filter.STREAM_SIZE | Filter.STREAM_WRITE, "file:s"),
         (RS, Filter.STREAM_NAME, "file:s"), (AS, Filter.STREAM_NAME, "file:t"), (RS, Filter.STREAM_NAME, "file:t")],
    ),
    "rename": Told(lambda tree, file: rename(file, "d\\other"), [(OLD, FILE, "file"), (NEW, FILE, "other")]),
    "rename to itself": Told(lambda tree, file: rename(file, "d\\file"), []),
    "rename over another": Told(
        _replace, [(A, FILE, "taken"), (R, FILE, "taken"), (OLD, FILE, "file"), (NEW, FILE, "taken")]
    ),
    "rename out": Told(lambda tree, file: rename(file, "out"), [(R, FILE, "file")]),
    "link": Told(lambda tree, file: rename(file, "d\\link", kind=FileClass.LINK), [(A, FILE, "link")]),
    "delete": Told(_delete, [(R, FILE, "file")]),
    "delete at once": Told(_delete_posix, [(R, FILE, "file")]),
    "read": Told(lambda tree, file: file.query(FileClass.BASIC), []),
}  # fmt: skip


async def opened(tree: Tree, name: str = "d", disposition: int = Disposition.OPEN_IF) -> File:
    """A directory, opened to be watched: with the right to delete it, nothing in it could be renamed."""
    return await tree.create(name, FILE_LIST_DIRECTORY | SYNCHRONIZE, disposition, CreateOptions.DIRECTORY_FILE)


async def watching(tree: Tree, filter_: int = ALL, flags: int = WATCH_TREE, room: int = 65536) -> tuple[File, Call]:
    """The directory "d", watched."""
    directory = await opened(tree)
    call = await directory.notify(filter_, flags, room)
    await call.interim.wait()
    return directory, call


async def told(directory: File) -> list[Change]:
    """What has been kept for a directory that no request waits for."""
    call = await directory.notify(ALL)
    pending = asyncio.ensure_future(call.interim.wait())
    either: list[asyncio.Future[Any]] = [pending, call.answered]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if call.answered.done():
        pending.cancel()
        return await changes(call)
    await give_up(directory, call)
    return []


async def give_up(directory: File, call: Call) -> None:
    await directory.tree.client.cancel(call)
    with refused(NT.CANCELLED):
        await changes(call)


async def begin(directory: File, filter_: int, flags: int = WATCH_TREE) -> None:
    """Have it watched, with no request under way."""
    call = await directory.notify(filter_, flags)
    await call.interim.wait()
    await give_up(directory, call)


@pytest.mark.parametrize("name", CASES)
def test_what_is_done_is_told_to_each_filter(name: str) -> None:
    case = CASES[name]

    async def test(here: Whole) -> None:
        tree = await here.tree()
        watchers = {}
        for filter_ in (ALL, *(1 << bit for bit in range(12))):
            watchers[filter_] = await opened(tree)
        file = await make(tree, "d\\file")
        for filter_, directory in watchers.items():
            await begin(directory, filter_)
        await case.does(tree, file)
        for filter_, directory in watchers.items():
            wanted = [(action, at) for action, heard, at in case.hears if heard & filter_]
            assert await told(directory) == wanted, f"filter {filter_:#x}"

    on_a_server(test)


def test_a_file_that_was_renamed_is_told_as_modified_when_its_handle_is_closed() -> None:
    """As Windows does; directories are not."""

    async def test(here: Whole) -> None:
        tree = await here.tree()
        directory = await opened(tree)
        file, below = await make(tree, "d\\a"), await make(tree, "d\\b", CreateOptions.DIRECTORY_FILE)
        await begin(directory, MOVED)
        await rename(file, "d\\c")
        await rename(below, "d\\e")
        assert await told(directory) == []
        await below.close()
        await file.close()
        assert await told(directory) == [(M, "c")]

    on_a_server(test)


def test_writes_are_told_when_they_begin_and_when_they_end() -> None:
    async def test(here: Whole) -> None:
        tree = await here.tree()
        directory = await opened(tree)
        file = await make(tree, "d\\a")
        await begin(directory, Filter.SIZE)
        await file.write(0, b"x")
        assert await told(directory) == [(M, "a")]
        for number in range(10):
            await file.write(number, b"x")
        assert await told(directory) == [], "further writes within a second"
        await file.flush()
        assert await told(directory) == [(M, "a")]
        await file.write(0, b"x")
        here.server.opens.by_volatile[int.from_bytes(file.id[8:], "little")].told_until = 0.0
        await file.write(0, b"x")
        assert await told(directory) == [(M, "a")], "after a second"
        await file.close()
        assert await told(directory) == []

    on_a_server(test)


def test_what_others_do_is_told_whoever_they_are() -> None:
    async def test(here: Whole) -> None:
        watcher, other = await here.tree(), await here.tree()
        directory, call = await watching(watcher)
        await make(other, "d\\x")
        assert await changes(call) == [(A, "x")]
        await directory.close()

    on_a_server(test)


def test_too_many_changes_are_told_as_a_status_and_no_names() -> None:
    async def test(here: Whole) -> None:
        tree = await here.tree()
        directory, call = await watching(tree, room=100)
        await make(tree, "d\\first")
        assert await changes(call) == [(A, "first")]
        for number in range(10):
            await make(tree, f"d\\{number}")
        answer = (await (await directory.notify(ALL, room=100)).answer()).keep()
        assert answer.status == NT.NOTIFY_ENUM_DIR
        assert answer.read(ChangeNotifyResponse).data == b""
        assert await told(directory) == []

    on_a_server(test)


@pytest.mark.parametrize("delete", [remove, lambda tree, name: _delete_directory(tree, name)], ids=["close", "set"])
def test_a_directory_that_is_to_be_deleted_is_watched_no_more(delete: Callable[[Tree, str], Awaitable[None]]) -> None:
    async def test(here: Whole) -> None:
        tree = await here.tree()
        directory, call = await watching(tree)
        await delete(tree, "d")
        with refused(NT.DELETE_PENDING):
            await changes(call)
        with refused(NT.DELETE_PENDING):
            await changes(await directory.notify(ALL))

    on_a_server(test)


async def _delete_directory(tree: Tree, name: str) -> None:
    await (await tree.directory(name)).set(FileClass.DISPOSITION, Delete(1).pack())


def test_a_directory_with_entries_stays_when_a_handle_that_would_delete_it_is_closed() -> None:
    async def test(here: Whole) -> None:
        tree = await here.tree()
        _, call = await watching(tree)
        await (await make(tree, "d\\x")).close()
        await remove(tree, "d")
        assert await changes(call) == [(A, "x")]
        await tree.create("d\\x")

    on_a_server(test)


def test_a_watch_goes_with_its_directory() -> None:
    async def test(here: Whole) -> None:
        tree = await here.tree()
        directory = await tree.directory("d", Disposition.CREATE)
        await begin(directory, ALL)
        await rename(directory, "e")
        await make(tree, "e\\x")
        assert await told(directory) == [(A, "x")]

    on_a_server(test)


def test_nothing_is_kept_of_many_watches() -> None:
    async def test(here: Whole) -> None:
        tree = await here.tree()
        directories = [await make(tree, f"{number}", CreateOptions.DIRECTORY_FILE) for number in range(200)]
        for directory in directories:
            await directory.notify(ALL, WATCH_TREE)
        await settle()
        watches = here.server.opens.changes.watches
        assert watches.count == 200
        for directory in directories[:100]:
            await directory.close()
        assert watches.count == 100  # the rest end with the connection, and the server is held to that

    on_a_server(test)
