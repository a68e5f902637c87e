"""Renames and hard links (MS-SMB2 3.3.5.21.1, MS-FSA 2.1.5.15.11 and .6)."""

from contextlib import nullcontext

from ..changes import place_of
from ..messages.create import ShareAccess
from ..messages.fscc_file import FileAttribute
from ..messages.fscc_set import Rename, RenameFlags
from ..open import Open
from ..opens import SHARED_RIGHTS, Opens
from ..security.access import FILE_ADD_FILE
from ..status import NT, Status
from ..store.base import FileKey, Kind, Path
from ..store.names import check_stream, fold, split
from ..work import Work

ADDING = ShareAccess.READ | ShareAccess.WRITE


async def rename(work: Work, opened: Open, data: bytes) -> None:
    await _rename(work, opened, Rename.parse(data), posix=False)


async def rename_ex(work: Work, opened: Open, data: bytes) -> None:
    wanted = Rename.parse(data, extended=True)
    await _rename(work, opened, wanted, posix=bool(wanted.flags & RenameFlags.POSIX_SEMANTICS))


async def _rename(work: Work, opened: Open, wanted: Rename, posix: bool) -> None:
    if wanted.root:
        raise Status(NT.INVALID_PARAMETER, "RootDirectory is not 0")  # MS-FSCC 2.4.42.2, for SMB2
    if not wanted.name:
        raise Status(NT.INVALID_PARAMETER, "no name")
    if opened.file.stream or wanted.name.startswith(":"):
        await _rename_stream(work, opened, wanted)
        return
    target = _target(wanted.name)
    opens = work.connection.server.opens
    if not opened.file.path():
        raise Status(NT.INVALID_PARAMETER, "the share's root stays where it is")
    if opened.file.path() != target:
        opens.breaks.ask_handles(opened.shared, opened.caching)  # before what takes time and may let answers in
    await _enter(work, opened, target)
    await _clear_target(work, opened, target, wanted, posix)
    await opens.breaks.take_handles(work, opened.shared, opened)
    for other in opened.shared.opens:
        if other is not opened and other.mode.access & SHARED_RIGHTS and not other.mode.share & ShareAccess.DELETE:
            raise Status(NT.SHARING_VIOLATION, "open elsewhere without sharing deletion")
    if opened.file.kind is Kind.DIRECTORY:
        await _clear_below(work, opened)
    places, old = [opens.breaks.place(opened)], opens.changes.renaming(opened)
    replaced = await _put(work, opened, target, wanted, posix)
    work.connection.server.keeping.moved(opened.shared)
    _moved(opens, opened, places)
    opens.changes.renamed(opened, old, replaced)


async def _put(work: Work, opened: Open, target: Path, wanted: Rename, posix: bool) -> bool:
    """Give it its new name; whether that was another's. Others may have opened that while breaks were waited for."""
    if not wanted.replace:
        await opened.file.rename(target, False)
        return False
    opens = work.connection.server.opens
    with opens.replacing(opened.file.key.device):
        there = await _replaceable(opened, target, wanted)
        if there is not None and not posix and _is_open(opens, there):
            raise Status(NT.ACCESS_DENIED, "what would be replaced is open")
        await opened.file.rename(target, True)
    return there is not None


async def _clear_below(work: Work, opened: Open) -> None:
    """A directory moves when nothing below it is open; opens that are only cached are asked for first."""
    opens = work.connection.server.opens
    below = opens.below(opened)
    for shared in dict.fromkeys(other.shared for other in below):
        await opens.breaks.take_handles(work, shared, opened)
    if below and opens.below(opened):
        raise Status(NT.ACCESS_DENIED, "something below it is open")


def _moved(opens: Opens, opened: Open, places: list[Path | None]) -> None:
    """Leases on the directories it left and came to end; its own, where it is a directory, is elsewhere now."""
    breaks = opens.breaks
    for place in dict.fromkeys([*places, breaks.place(opened)]):
        breaks.directory_changed(place, opened.parent_key)
    if opened.file.kind is Kind.DIRECTORY and breaks.leases.on_directories:
        breaks.leases.moved(opened.shared, place_of(opened.tree, opened.file.path()))


async def _enter(work: Work, opened: Open, target: Path) -> None:
    """The directory of the new name is opened to add to it, sharing all but its deletion (as Windows does, and
    MS-FSA 2.1.5.15.11 has it)."""
    store, opens = opened.tree.share.store, work.connection.server.opens
    assert store is not None
    there = await store.lookup(opened.tree.who, target[:-1])
    directory = opens.shared.get(FileKey(there.device, there.inode)) if there is not None else None
    if directory is None:
        return
    try:
        opens.check(directory.key, FILE_ADD_FILE, ADDING)
    except Status:
        await opens.breaks.take_handles(work, directory, opened)
        opens.check(directory.key, FILE_ADD_FILE, ADDING)


def _target(name: str) -> Path:
    path, stream, _ = split(name.removeprefix("\\"))
    if stream or not path:
        raise Status(NT.OBJECT_NAME_INVALID, repr(name))
    return path


async def _clear_target(work: Work, opened: Open, target: Path, wanted: Rename, posix: bool) -> None:
    """Refuse where what is at `target` may not be replaced (MS-FSA 2.1.5.15.11); those who only cache it let go."""
    there = await _replaceable(opened, target, wanted)
    opens = work.connection.server.opens
    shared = opens.shared.get(there) if there is not None else None
    if there is not None and shared is not None:
        await opens.breaks.take_handles(work, shared, opened)
        if not posix and _is_open(opens, there):
            raise Status(NT.ACCESS_DENIED, "what would be replaced is open")


async def _replaceable(opened: Open, target: Path, wanted: Rename) -> FileKey | None:
    """What is at `target` and may be replaced, but that it may be open; None where nothing else is there."""
    store = opened.tree.share.store
    assert store is not None
    there = await store.lookup(opened.tree.who, target)
    if there is None or (there.device, there.inode) == opened.file.key[:2]:
        return None
    if not wanted.replace:
        raise Status(NT.OBJECT_NAME_COLLISION)
    if there.kind is Kind.DIRECTORY:
        raise Status(NT.ACCESS_DENIED, "a directory is not replaced")
    if there.attributes & FileAttribute.READONLY and not wanted.flags & RenameFlags.IGNORE_READONLY_ATTRIBUTE:
        raise Status(NT.ACCESS_DENIED, "READONLY")
    return FileKey(there.device, there.inode)


def _is_open(opens: Opens, key: FileKey) -> bool:
    shared = opens.shared.get(key)
    return shared is not None and bool(shared.opens)


async def _rename_stream(work: Work, opened: Open, wanted: Rename) -> None:
    """A stream takes another name on the same file; the target is ":name" or ":name:$DATA".

    A target with a path is a file to be opened for the new name without sharing DELETE, which this open has."""
    if not wanted.name.startswith(":"):
        raise Status(NT.SHARING_VIOLATION, "a stream stays with its file")
    name, _, kind = wanted.name[1:].partition(":")
    if kind and kind.upper() != "$DATA":
        raise Status(NT.INVALID_PARAMETER, f"stream type {kind!r}")
    old, opens = opened.file.stream, work.connection.server.opens
    target = check_stream(name) if name else ""
    there = opens.shared.get(opened.shared.key._replace(stream=fold(target)))
    if there is not None and there is not opened.shared and there.opens:
        raise Status(NT.INVALID_PARAMETER, "the stream that has the name is open")  # MS-FSA 2.1.5.15.11.1
    await opened.file.rename_stream(target, wanted.replace)
    opens.stream_renamed(opened)
    opens.changes.stream_renamed(opened, old)


async def link(work: Work, opened: Open, data: bytes) -> None:
    await _link(work, opened, Rename.parse(data))


async def link_ex(work: Work, opened: Open, data: bytes) -> None:
    await _link(work, opened, Rename.parse(data, extended=True))


async def _link(work: Work, opened: Open, wanted: Rename) -> None:
    if opened.file.kind is Kind.DIRECTORY:
        raise Status(NT.FILE_IS_A_DIRECTORY, "directories have one name")
    if wanted.root or not wanted.name:
        raise Status(NT.INVALID_PARAMETER, "RootDirectory or no name")
    if (
        not opened.tree.access & FILE_ADD_FILE
    ):  # a rename needs DELETE, which such a share does not grant; a link nothing
        raise Status(NT.ACCESS_DENIED, "the share is read-only")
    target = _target(wanted.name)
    await _enter(work, opened, target)
    opens = work.connection.server.opens
    await _clear_target(work, opened, target, wanted, posix=False)
    with opens.replacing(opened.file.key.device) if wanted.replace else nullcontext():
        there = await _replaceable(opened, target, wanted)
        if there is not None and _is_open(opens, there):
            raise Status(NT.ACCESS_DENIED, "what would be replaced is open")
        await opened.file.link(target, wanted.replace)
    opens.changes.linked(opened, target, there is not None)
    opens.breaks.directory_changed(place_of(opened.tree, target[:-1]), opened.parent_key)
