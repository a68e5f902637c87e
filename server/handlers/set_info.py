"""SET_INFO (MS-SMB2 3.3.5.21): times, sizes, deletion, names, extended attributes and security descriptors."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from ..messages.directory import CompletionFilter as Filter
from ..messages.fscc_ea import unpack_eas
from ..messages.fscc_file import Basic, FileAttribute, FileClass, Position
from ..messages.fscc_file import Mode as ModeInformation
from ..messages.fscc_set import (
    Allocation,
    Disposition,
    DispositionEx,
    DispositionFlags,
    EndOfFile,
    ValidDataLength,
)
from ..messages.info import InfoType, SetInfoRequest, SetInfoResponse
from ..open import Open
from ..security.access import DELETE, FILE_WRITE_ATTRIBUTES, FILE_WRITE_DATA, FILE_WRITE_EA
from ..status import NT, Status
from ..store.base import Kind
from ..times import data_change, other_change, set_basic
from ..work import Work
from . import info_security, rename

SETTABLE = (
    FileAttribute.READONLY | FileAttribute.HIDDEN | FileAttribute.SYSTEM | FileAttribute.ARCHIVE
    | FileAttribute.TEMPORARY | FileAttribute.OFFLINE | FileAttribute.NOT_CONTENT_INDEXED | FileAttribute.NORMAL
)  # fmt: skip


class Row(NamedTuple):
    """How a class is set; `least` bytes of data, else INFO_LENGTH_MISMATCH."""

    change: Callable[[Work, Open, bytes], Awaitable[None]]
    access: int
    least: int = 0


async def set_info(work: Work, request: SetInfoRequest) -> SetInfoResponse:
    opened = work.open
    assert opened is not None
    if request.info_type == InfoType.SECURITY:
        await info_security.change(work, opened, request)
        return SetInfoResponse()
    if request.info_type != InfoType.FILE:
        raise Status(NT.NOT_SUPPORTED, f"information type {request.info_type}")
    row = TABLE.get(request.info_class)
    if row is None:
        raise Status(NT.INVALID_INFO_CLASS, f"file class {request.info_class}")
    if len(request.data) < row.least:
        raise Status(NT.INFO_LENGTH_MISMATCH, f"{len(request.data)} bytes for {row.least}")
    if row.access & ~opened.mode.access:
        raise Status(NT.ACCESS_DENIED, f"the open lacks {row.access & ~opened.mode.access:#x}")
    await row.change(work, opened, request.data)
    return SetInfoResponse()


async def _basic(work: Work, opened: Open, data: bytes) -> None:
    """0 leaves a time as it is; -1 and -2 stop and resume its automatic change for this open."""
    wanted = Basic.parse(data)
    times = (wanted.created, wanted.accessed, wanted.modified, wanted.changed)
    if min(times) < -2:
        raise Status(NT.INVALID_PARAMETER, f"times {times}")
    attributes = wanted.attributes
    directory = opened.file.kind is Kind.DIRECTORY
    if attributes & FileAttribute.DIRECTORY and not directory:
        raise Status(NT.INVALID_PARAMETER, "a file cannot become a directory")
    if attributes & FileAttribute.TEMPORARY and directory:
        raise Status(NT.INVALID_PARAMETER, "a directory cannot be temporary")
    await set_basic(opened, wanted, attributes & SETTABLE if attributes else None)
    opens = work.connection.server.opens
    opens.breaks.parent_changed(opened)
    opens.changes.basic(opened, wanted)


async def _position(work: Work, opened: Open, data: bytes) -> None:
    position = Position.parse(data).position
    if position < 0:
        raise Status(NT.INVALID_PARAMETER, f"position {position}")
    opened.position = position


async def _mode(work: Work, opened: Open, data: bytes) -> None:
    """Only FILE_WRITE_THROUGH and the synchronous bits may change (MS-FSA 2.1.5.15.9); write-through counts."""
    mode = ModeInformation.parse(data).mode
    if mode & ~0x3E or (mode & 0x30) == 0x30:
        raise Status(NT.INVALID_PARAMETER, f"mode {mode:#x}")
    opened.mode.write_through = bool(mode & 0x02)
    opened.mode.options = (opened.mode.options & ~0x3E) | mode


async def _disposition(work: Work, opened: Open, data: bytes) -> None:
    await _set_delete(work, opened, bool(Disposition.parse(data).delete), False)


async def _disposition_ex(work: Work, opened: Open, data: bytes) -> None:
    """With POSIX semantics the name goes at once; the file goes with its last open, as on any POSIX system."""
    flags = DispositionEx.parse(data).flags
    delete = bool(flags & DispositionFlags.DELETE)
    read_only_too = bool(flags & DispositionFlags.IGNORE_READONLY_ATTRIBUTE)
    if flags & DispositionFlags.ON_CLOSE:
        if delete:
            await _check_deletable(opened, read_only_too)
        opened.mode.delete_on_close = delete
        return
    await _set_delete(work, opened, delete, read_only_too)
    if delete and flags & DispositionFlags.POSIX_SEMANTICS:
        opens = work.connection.server.opens
        place, removing = opens.breaks.place(opened), opens.changes.removing(opened)
        await opened.file.unlink()
        opens.unlinked(opened.shared)
        opens.changes.removed(opened, removing)
        opens.breaks.directory_changed(place, opened.parent_key)


async def _set_delete(work: Work, opened: Open, delete: bool, read_only_too: bool) -> None:
    """Mark the file for deletion, or take that back (MS-FSA 2.1.5.15.3)."""
    if delete:
        await _check_deletable(opened, read_only_too)
        if opened.file.kind is Kind.DIRECTORY and not opened.file.stream and not await opened.file.is_empty():
            raise Status(NT.DIRECTORY_NOT_EMPTY)
        await work.connection.server.opens.breaks.take_handles(work, opened.shared, opened)
        work.connection.server.opens.will_delete(opened, opened.caching)
    else:
        opened.shared.delete_pending = False


async def _check_deletable(opened: Open, read_only_too: bool) -> None:
    stat = await opened.file.stat()
    if stat.attributes & FileAttribute.READONLY and not read_only_too:
        raise Status(NT.CANNOT_DELETE, "READONLY")
    if not opened.file.stream and not opened.file.path():
        raise Status(NT.CANNOT_DELETE, "the share's root")


async def _allocation(work: Work, opened: Open, data: bytes) -> None:
    size = Allocation.parse(data).size
    _check_size(opened, size)
    await data_change(opened, lambda: opened.file.set_allocation(size))
    await _size_changed(work, opened)


async def _end_of_file(work: Work, opened: Open, data: bytes) -> None:
    size = EndOfFile.parse(data).size
    _check_size(opened, size)
    await data_change(opened, lambda: opened.file.set_size(size))
    await _size_changed(work, opened)


async def _size_changed(work: Work, opened: Open) -> None:
    opens = work.connection.server.opens
    told = opens.breaks.take_reads(opened)
    opens.changes.data(opened)
    await opens.breaks.settle(work, told)
    opens.breaks.parent_changed(opened)


async def _valid_data_length(work: Work, opened: Open, data: bytes) -> None:
    """What lies behind it would be unwritten disk; here it reads as zeros already, so only the check is left."""
    length = ValidDataLength.parse(data).length
    _check_size(opened, length)
    if length > (await opened.file.stat()).size:
        raise Status(NT.INVALID_PARAMETER, f"valid data of {length} bytes")


def _check_size(opened: Open, size: int) -> None:
    if opened.file.kind is Kind.DIRECTORY and not opened.file.stream:
        raise Status(NT.INVALID_PARAMETER, "a directory has no size")
    if size < 0:
        raise Status(NT.INVALID_PARAMETER, f"size {size}")


async def _full_ea(work: Work, opened: Open, data: bytes) -> None:
    eas = unpack_eas(memoryview(data))
    await other_change(opened, lambda: opened.file.set_eas(eas))
    work.connection.server.opens.changes.modified(opened, Filter.EA)
    work.connection.server.opens.breaks.parent_changed(opened)


async def _ignored(work: Work, opened: Open, data: bytes) -> None:
    """FilePipeInformation: our pipes are message pipes whatever is asked."""
    if opened.pipe is None:
        raise Status(NT.INVALID_PARAMETER, "no pipe")


TABLE: dict[int, Row] = {
    FileClass.BASIC: Row(_basic, FILE_WRITE_ATTRIBUTES, Basic.SIZE),
    FileClass.RENAME: Row(rename.rename, DELETE, 20),
    FileClass.RENAME_EX: Row(rename.rename_ex, DELETE, 20),
    FileClass.LINK: Row(rename.link, 0, 20),
    FileClass.LINK_EX: Row(rename.link_ex, 0, 20),
    FileClass.DISPOSITION: Row(_disposition, DELETE, Disposition.SIZE),
    FileClass.DISPOSITION_EX: Row(_disposition_ex, DELETE, DispositionEx.SIZE),
    FileClass.POSITION: Row(_position, 0, Position.SIZE),
    FileClass.MODE: Row(_mode, 0, ModeInformation.SIZE),
    FileClass.FULL_EA: Row(_full_ea, FILE_WRITE_EA, 0),
    FileClass.ALLOCATION: Row(_allocation, FILE_WRITE_DATA, Allocation.SIZE),
    FileClass.END_OF_FILE: Row(_end_of_file, FILE_WRITE_DATA, EndOfFile.SIZE),
    FileClass.VALID_DATA_LENGTH: Row(_valid_data_length, FILE_WRITE_DATA, ValidDataLength.SIZE),
    FileClass.PIPE: Row(_ignored, 0, 8),
}
