"""Copies that the client asks the server to make (MS-SMB2 3.3.5.15.6, MS-FSCC 2.3.7): no byte crosses the wire."""

from ..messages.fscc_file import FileAttribute
from ..messages.fsctl import (
    CopyChunk,
    CopyChunkRequest,
    CopyChunkResponse,
    DuplicateExtents,
    DuplicateExtentsEx,
    ResumeKey,
)
from ..messages.ioctl import Fsctl, IoctlRequest
from ..open import Open
from ..security.access import FILE_APPEND_DATA, FILE_EXECUTE, FILE_READ_DATA, FILE_WRITE_DATA
from ..status import NT, Status
from ..store.base import Kind
from ..times import data_change
from ..work import Work

MAX_CHUNKS = 256
MAX_CHUNK = 1 << 20
MAX_TOTAL = 16 << 20
"""Windows' limits (3.3.3): clients ask for them by asking for too much."""
READABLE = FILE_READ_DATA | FILE_EXECUTE
"""Either lets a source be read."""
PIECE = 16 << 20
"""A whole-file copy goes in pieces, so that CANCEL is heard."""


async def _resume_key(work: Work, request: IoctlRequest) -> bytes:
    """The key is the open's FileId: unique while it is open, and never reused."""
    assert work.open is not None
    if request.max_output < ResumeKey.SIZE:
        raise Status(NT.INVALID_PARAMETER, "no room for a resume key")
    return ResumeKey(work.open.file_id.ljust(24, b"\0")).pack()


async def _copy_chunk(work: Work, request: IoctlRequest) -> bytes:
    target = work.open
    assert target is not None
    if request.max_output < CopyChunkResponse.SIZE:
        raise Status(NT.INVALID_PARAMETER, "no room for the counts")
    wanted = CopyChunkRequest.parse(request.input)
    source = _source(work, wanted.source_key[:16], NT.OBJECT_NAME_NOT_FOUND)
    chunks = wanted.chunks
    if _too_much(chunks):
        work.status = NT.INVALID_PARAMETER
        return CopyChunkResponse(MAX_CHUNKS, MAX_CHUNK, MAX_TOTAL).pack()
    _check_target(target, request.ctl_code == Fsctl.SRV_COPYCHUNK)
    if not source.mode.access & READABLE:
        raise Status(NT.ACCESS_DENIED, "the source was opened without read access")
    try:
        if not chunks:
            return await data_change(target, lambda: _copy_whole(work, source, target))
        return await _copy(work, source, target, chunks)
    finally:  # what was copied before one failed is there too
        _changed(work, target)


def _changed(work: Work, target: Open) -> None:
    opens = work.connection.server.opens
    opens.breaks.data_changed(target)
    opens.changes.wrote(target)


def _too_much(chunks: list[CopyChunk]) -> bool:
    lengths = [chunk.length for chunk in chunks]
    return (
        len(chunks) > MAX_CHUNKS or any(not 0 < length <= MAX_CHUNK for length in lengths) or sum(lengths) > MAX_TOTAL
    )


def _source(work: Work, file_id: bytes, absent: int) -> Open:
    """The open a resume key or a DUPLICATE_EXTENTS names; of the same session. Raises `absent` where there is none."""
    assert work.session is not None
    source = work.session.opens.get(int.from_bytes(file_id[8:16], "little"))
    if source is None or source.file_id != file_id:
        raise Status(absent, "no such open")
    if source.file.kind is not Kind.FILE:
        raise Status(NT.INVALID_PARAMETER if source.pipe else NT.INVALID_DEVICE_REQUEST, "the source is no data file")
    return source


def _check_target(target: Open, read_too: bool) -> None:
    if target.file.kind is not Kind.FILE:
        raise Status(NT.INVALID_DEVICE_REQUEST, "the target is no data file")
    if not target.mode.access & (FILE_WRITE_DATA | FILE_APPEND_DATA):
        raise Status(NT.ACCESS_DENIED, "the target was opened without write access")
    if read_too and not target.mode.access & FILE_READ_DATA:
        raise Status(NT.ACCESS_DENIED, "FSCTL_SRV_COPYCHUNK wants a readable target")


async def _copy(work: Work, source: Open, target: Open, chunks: list[CopyChunk]) -> bytes:
    """Copy each chunk; the counts tell how far it came when one fails (3.3.5.15.6.1)."""
    size = (await source.file.stat()).size
    written = total = 0
    for chunk in chunks:
        if chunk.source_offset + chunk.length > size:
            work.status = NT.INVALID_VIEW_SIZE
        elif _barred(source, target, chunk):
            work.status = NT.FILE_LOCK_CONFLICT
        else:
            total += await target.file.copy_from(source.file, chunk.source_offset, chunk.target_offset, chunk.length)
            written += 1
            continue
        break
    return CopyChunkResponse(written, 0, total).pack()


def _barred(source: Open, target: Open, chunk: CopyChunk) -> bool:
    reading, writing = source.shared.locks, target.shared.locks
    return (reading is not None and reading.bars_read(source, chunk.source_offset, chunk.length)) or (
        writing is not None and writing.bars_write(target, chunk.target_offset, chunk.length)
    )


async def _copy_whole(work: Work, source: Open, target: Open) -> bytes:
    """No chunks at all is macOS's way to ask for the whole file, attributes aside."""
    size = (await source.file.stat()).size
    done = 0
    while done < size and not work.cancelled:
        if _barred(source, target, CopyChunk(done, done, min(PIECE, size - done))):
            raise Status(NT.FILE_LOCK_CONFLICT)
        count = await target.file.copy_from(source.file, done, done, min(PIECE, size - done))
        if not count:
            break
        done += count
    return CopyChunkResponse(0, 0, min(done, 0xFFFFFFFF)).pack()


async def _duplicate(work: Work, request: IoctlRequest) -> bytes:
    wanted = DuplicateExtents.parse(request.input)
    await _clone(work, wanted.source, wanted.source_offset, wanted.target_offset, wanted.length)
    return b""


async def _duplicate_ex(work: Work, request: IoctlRequest) -> bytes:
    wanted = DuplicateExtentsEx.parse(request.input)
    await _clone(work, wanted.source, wanted.source_offset, wanted.target_offset, wanted.length)
    return b""


async def _clone(work: Work, source_id: bytes, source_offset: int, offset: int, length: int) -> None:
    target = work.open
    assert target is not None
    if min(source_offset, offset, length) < 0:
        raise Status(NT.INVALID_PARAMETER, "a negative offset or length")
    source = _source(work, source_id, NT.INVALID_HANDLE)
    _check_target(target, False)
    if not source.mode.access & READABLE:
        raise Status(NT.ACCESS_DENIED, "the source was opened without read access")
    end = await _check_clone(source, target, source_offset, offset, length)

    async def clone() -> None:
        await target.file.clone_from(source.file, source_offset, offset, length)
        if offset + length > end:  # as on Windows, a clone does not move the target's end
            await target.file.set_size(end)

    if length:
        try:
            await data_change(target, clone)
        finally:
            _changed(work, target)


async def _check_clone(source: Open, target: Open, source_offset: int, offset: int, length: int) -> int:
    """What MS-FSCC 2.3.8 refuses; the target's end. Byte-range locks do not count, as on Windows."""
    giving, taking = await source.file.stat(), await target.file.stat()
    if source_offset + length > giving.size:
        raise Status(NT.NOT_SUPPORTED, "beyond the source's end")
    if giving.attributes & ~taking.attributes & FileAttribute.SPARSE_FILE:
        raise Status(NT.NOT_SUPPORTED, "a sparse source of a target that is not")
    if source.shared is target.shared and abs(source_offset - offset) < length:
        raise Status(NT.NOT_SUPPORTED, "the ranges overlap")
    return taking.size


TABLE = {
    Fsctl.SRV_REQUEST_RESUME_KEY: _resume_key,
    Fsctl.SRV_COPYCHUNK: _copy_chunk,
    Fsctl.SRV_COPYCHUNK_WRITE: _copy_chunk,
    Fsctl.DUPLICATE_EXTENTS_TO_FILE: _duplicate,
    Fsctl.DUPLICATE_EXTENTS_TO_FILE_EX: _duplicate_ex,
}
