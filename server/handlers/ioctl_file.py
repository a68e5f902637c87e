"""FSCTLs on one file (MS-FSCC 2.3, MS-FSA 2.1.5.10): sparse ranges, trimming, reparse points, object ids."""

from smbdirect.wire import Malformed

from ..messages.directory import CompletionFilter
from ..messages.fscc_file import FileAttribute
from ..messages.fsctl import (
    REGION_VALID_CACHED_DATA,
    ObjectId,
    Range,
    Region,
    RegionQuestion,
    TrimResponse,
    ZeroData,
    pack_regions,
    parse_set_sparse,
    parse_trim,
)
from ..messages.ioctl import Fsctl, IoctlRequest
from ..messages.reparse import MAX_REPARSE_SIZE, ReparseBuffer
from ..open import Open
from ..security.access import (
    FILE_APPEND_DATA,
    FILE_READ_DATA,
    FILE_WRITE_ATTRIBUTES,
    FILE_WRITE_DATA,
)
from ..status import NT, Status
from ..store.base import Kind
from ..times import data_change
from ..work import Work

MAX_TRIM_RANGES = 4096
NO_COMPRESSION = bytes(2)
"""COMPRESSION_FORMAT_NONE."""


def _file(work: Work, access: int) -> Open:
    """The open, which must be of a file's data and hold one of the rights in `access`."""
    opened = _held(work, access)
    if opened.file.kind is not Kind.FILE:
        raise Status(NT.INVALID_PARAMETER, "no data file")
    return opened


def _held(work: Work, access: int) -> Open:
    """The open, which must hold one of the rights in `access`."""
    opened = work.open
    assert opened is not None
    if not opened.mode.access & access:
        raise Status(NT.ACCESS_DENIED, f"the open lacks {access:#x}")
    return opened


def _attributes_changed(work: Work, opened: Open) -> None:
    opens = work.connection.server.opens
    opens.changes.modified(opened, CompletionFilter.ATTRIBUTES)
    opens.breaks.parent_changed(opened)


async def _set_sparse(work: Work, request: IoctlRequest) -> bytes:
    opened = _file(work, FILE_WRITE_DATA | FILE_WRITE_ATTRIBUTES | FILE_APPEND_DATA)
    await opened.file.set_sparse(parse_set_sparse(request.input))
    _attributes_changed(work, opened)
    return b""


async def _zero(work: Work, request: IoctlRequest) -> bytes:
    opened = _file(work, FILE_WRITE_DATA)
    wanted = ZeroData.parse(request.input)
    if wanted.offset < 0 or wanted.beyond < wanted.offset:
        raise Status(NT.INVALID_PARAMETER, f"zeros from {wanted.offset} to {wanted.beyond}")
    length = wanted.beyond - wanted.offset
    locks = opened.shared.locks
    if locks is not None and locks.bars_write(opened, wanted.offset, length):
        raise Status(NT.FILE_LOCK_CONFLICT)
    if length:
        try:
            await data_change(opened, lambda: opened.file.zero(wanted.offset, length))
        finally:
            work.connection.server.opens.breaks.data_changed(opened)
        work.connection.server.opens.changes.wrote(opened)
    return b""


async def _allocated(work: Work, request: IoctlRequest) -> bytes:
    opened = _file(work, FILE_READ_DATA)
    asked = Range.parse(request.input)
    if asked.offset < 0 or asked.length < 0 or asked.offset + asked.length > (1 << 63) - 1:
        raise Status(NT.INVALID_PARAMETER, f"{asked.length} bytes at {asked.offset}")
    if not asked.length:
        return b""
    room = request.max_output // Range.SIZE
    ranges = await _ranges(opened, asked, room + 1)
    if len(ranges) > room:
        if not room:
            raise Status(NT.BUFFER_TOO_SMALL)
        work.status = NT.BUFFER_OVERFLOW
    return b"".join(Range(offset, length).pack() for offset, length in ranges[:room])


async def _ranges(opened: Open, asked: Range, most: int) -> list[tuple[int, int]]:
    """What of `asked` holds data: all of it up to the end of a file that is not sparse (MS-FSA 2.1.5.10.22)."""
    stat = await opened.file.stat()
    if stat.attributes & FileAttribute.SPARSE_FILE:
        return await opened.file.allocated(asked.offset, asked.length, most)
    length = min(asked.length, stat.size - asked.offset)
    return [(asked.offset, length)] if length > 0 else []


async def _regions(work: Work, request: IoctlRequest) -> bytes:
    """Everything up to the end of file is valid data: the file system fills what was never written with zeros."""
    opened = _file(work, FILE_READ_DATA)
    size = (await opened.file.stat()).size
    asked = RegionQuestion.parse(request.input) if request.input else RegionQuestion(0, size, REGION_VALID_CACHED_DATA)
    if asked.offset < 0 or asked.length < 0:
        raise Status(NT.INVALID_PARAMETER, f"{asked.length} bytes at {asked.offset}")
    end = min(asked.offset + asked.length, size)
    regions = [Region(asked.offset, end - asked.offset, REGION_VALID_CACHED_DATA)] if end > asked.offset else []
    data = pack_regions(regions, len(regions))
    if len(data) > request.max_output:
        raise Status(NT.BUFFER_TOO_SMALL)
    return data


async def _trim(work: Work, request: IoctlRequest) -> bytes:
    opened = _file(work, FILE_WRITE_DATA)
    ranges = parse_trim(request.input)
    if len(ranges) > MAX_TRIM_RANGES:
        raise Status(NT.INVALID_PARAMETER, f"{len(ranges)} ranges")
    await opened.file.trim(ranges)
    work.connection.server.opens.breaks.data_changed(opened)
    return TrimResponse(len(ranges)).pack() if request.max_output >= TrimResponse.SIZE else b""


async def _get_reparse(work: Work, request: IoctlRequest) -> bytes:
    assert work.open is not None
    data = await work.open.file.reparse()
    if len(data) > request.max_output:
        if request.max_output < 8:
            raise Status(NT.BUFFER_TOO_SMALL)
        work.status = NT.BUFFER_OVERFLOW
    return data[: request.max_output]


async def _set_reparse(work: Work, request: IoctlRequest) -> bytes:
    opened = _held(work, FILE_WRITE_DATA | FILE_WRITE_ATTRIBUTES)
    _check_reparse(request.input)
    await opened.file.set_reparse(request.input)
    _attributes_changed(work, opened)
    return b""


def _check_reparse(data: bytes) -> ReparseBuffer:
    if len(data) > MAX_REPARSE_SIZE:
        raise Status(NT.IO_REPARSE_DATA_INVALID, f"{len(data)} bytes of reparse data")
    try:
        return ReparseBuffer.parse(data)
    except Malformed as error:
        raise Status(NT.IO_REPARSE_DATA_INVALID, str(error)) from None


async def _delete_reparse(work: Work, request: IoctlRequest) -> bytes:
    opened = _held(work, FILE_WRITE_DATA | FILE_WRITE_ATTRIBUTES)
    await opened.file.delete_reparse(_check_reparse(request.input).tag)
    _attributes_changed(work, opened)
    return b""


async def _object_id(work: Work, request: IoctlRequest) -> bytes:
    """An id that stays the file's while it exists: its device and inode."""
    assert work.open is not None
    if request.max_output < ObjectId.SIZE:
        raise Status(NT.INVALID_PARAMETER, "no room for an object id")
    stat = await work.open.file.stat()
    raw = (stat.device & ((1 << 64) - 1)).to_bytes(8, "little") + stat.inode.to_bytes(8, "little")
    return ObjectId(raw).pack()


async def _get_compression(work: Work, request: IoctlRequest) -> bytes:
    if request.max_output < 2:
        raise Status(NT.INVALID_PARAMETER, "no room for the format")
    assert work.open is not None
    compressed = (await work.open.file.stat()).attributes & FileAttribute.COMPRESSED
    return (1 if compressed else 0).to_bytes(2, "little")


async def _set_compression(work: Work, request: IoctlRequest) -> bytes:
    """Nothing is compressed here: only that may be asked for (MS-FSA 2.1.5.10.35)."""
    _held(work, FILE_WRITE_DATA)
    if len(request.input) < 2:
        raise Status(NT.INVALID_PARAMETER, "no format")
    if request.input[:2] != NO_COMPRESSION:
        raise Status(NT.NOT_SUPPORTED, "compression")
    return b""


TABLE = {
    Fsctl.SET_SPARSE: _set_sparse,
    Fsctl.SET_ZERO_DATA: _zero,
    Fsctl.QUERY_ALLOCATED_RANGES: _allocated,
    Fsctl.QUERY_FILE_REGIONS: _regions,
    Fsctl.FILE_LEVEL_TRIM: _trim,
    Fsctl.GET_REPARSE_POINT: _get_reparse,
    Fsctl.SET_REPARSE_POINT: _set_reparse,
    Fsctl.DELETE_REPARSE_POINT: _delete_reparse,
    Fsctl.CREATE_OR_GET_OBJECT_ID: _object_id,
    Fsctl.GET_OBJECT_ID: _object_id,
    Fsctl.GET_COMPRESSION: _get_compression,
    Fsctl.SET_COMPRESSION: _set_compression,
}
