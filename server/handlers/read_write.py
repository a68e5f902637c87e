"""READ and WRITE (MS-SMB2 3.3.5.12, 3.3.5.13): payload inline, or through the peer's own memory."""

from collections.abc import Sequence

from smbdirect.packets import BufferDescriptor
from transport.base import Place
from transport.memory import SMALL

from ..messages.read_write import (
    WRITEFLAG_WRITE_THROUGH,
    Channel,
    ReadRequest,
    ReadResponse,
    WriteRequest,
    WriteResponse,
)
from ..open import Open
from ..security.access import FILE_APPEND_DATA, FILE_EXECUTE, FILE_READ_DATA, FILE_WRITE_DATA
from ..status import NT, Status
from ..store.base import Kind
from ..times import data_change
from ..work import Work
from . import pipe

ENVELOPE = 256
"""Room a message keeps beside a READ's payload: header, response, transform header."""
LAST_OFFSET = (1 << 63) - 1
"""The last byte a file may have (signed 64-bit offsets, MS-FSA 2.1.5.2)."""


async def read(work: Work, request: ReadRequest) -> ReadResponse:
    opened = work.open
    assert opened is not None
    if request.length > work.connection.negotiated.max_read:
        raise Status(NT.INVALID_PARAMETER, f"READ of {request.length} bytes")
    if opened.pipe is not None:
        return pipe.read(work, request.length)
    _check_readable(opened, request)
    through = _channel(work, request.channel, request.descriptors)
    if through and sum(descriptor.length for descriptor in request.descriptors or ()) < request.length:
        raise Status(NT.INVALID_PARAMETER, "the descriptors hold less than was asked for")
    length = request.length if through else _fits(work, request.length)
    if length <= SMALL and not through:
        view = memoryview(bytearray(length))
    else:
        block = await work.take(length)
        view, work.payload = block.view, block
    count = opened.file.read_nowait(view, request.offset)
    if count is None:
        count = await opened.file.read_into(view, request.offset)
    if count < request.minimum_count or (count == 0 and request.length):
        raise Status(NT.END_OF_FILE)
    opened.position = request.offset + count
    if not through:
        return ReadResponse(view[:count])
    assert request.descriptors is not None and work.payload is not None
    work.places.append(Place(request.descriptors, work.payload, 0, count))
    work.payload = None
    return ReadResponse(remaining=count)


def _check_readable(opened: Open, request: ReadRequest) -> None:
    if opened.file.kind is Kind.DIRECTORY:
        raise Status(NT.INVALID_DEVICE_REQUEST, "a directory has no data")
    if not opened.mode.access & (FILE_READ_DATA | FILE_EXECUTE):
        raise Status(NT.ACCESS_DENIED, "opened without read access")
    if request.offset + request.length > LAST_OFFSET:
        raise Status(NT.INVALID_PARAMETER, f"READ at {request.offset}")
    locks = opened.shared.locks
    if locks is not None and locks.held and locks.bars_read(opened, request.offset, request.length):
        raise Status(NT.FILE_LOCK_CONFLICT)


def _fits(work: Work, length: int) -> int:
    """As much of an inline READ as one message carries: SMB Direct's fragmented limit lies below what it may ask."""
    return min(length, work.connection.transport.limits.max_message - ENVELOPE)


def _channel(work: Work, channel: int, descriptors: Sequence[BufferDescriptor] | None) -> bool:
    """Whether the payload goes through the peer's memory; refuses a channel that may not be used (3.3.5.12).

    Payload never travels bare over RDMA where the session is encrypted or the server demands signing.
    """
    if channel == Channel.NONE:
        return False
    if not descriptors or not all(descriptor.length for descriptor in descriptors):
        raise Status(NT.INVALID_PARAMETER, f"channel {channel} without memory")
    config = work.connection.server.config
    assert work.session is not None and work.tree is not None
    encrypted = work.encrypted or work.session.protection.encryption_required or work.tree.encryption_required
    if encrypted or config.signing == "required":
        raise Status(NT.INVALID_PARAMETER, "a channel would carry the payload unprotected")
    return True


async def write(work: Work, request: WriteRequest) -> WriteResponse:
    opened = work.open
    assert opened is not None
    through = opened.pipe is None and _channel(work, request.channel, request.descriptors)
    length = request.remaining_bytes if through else len(request.data)
    if length > work.connection.negotiated.max_write:
        raise Status(NT.INVALID_PARAMETER, f"WRITE of {length} bytes")
    if opened.pipe is not None:
        return pipe.write(work, request.data)
    _check_writable(opened, request.offset, length)
    if length == 0:
        return WriteResponse(0)
    data = request.data
    if through:
        remote = work.connection.transport.remote
        assert remote is not None and request.descriptors is not None
        block = await work.take(length, remote.keep)
        await remote.read(request.descriptors, block, length)
        _check_writable(opened, request.offset, length)  # somebody may have locked it meanwhile
        data = block.view[:length]
    breaks = work.connection.server.opens.breaks
    durable = opened.mode.write_through or bool(request.flags & WRITEFLAG_WRITE_THROUGH)
    try:
        count = await data_change(opened, lambda: opened.file.write([data], request.offset, durable))
    finally:  # what was written before it failed is there too
        told = breaks.data_changed(opened)
    work.connection.server.opens.changes.wrote(opened)
    if told:
        await breaks.settle(work, told)
        await work.connection.server.keeping.settle()  # else the next life would let them keep what they have read
    opened.position = request.offset + count
    return WriteResponse(count)


def _check_writable(opened: Open, offset: int, length: int) -> None:
    if opened.file.kind is Kind.DIRECTORY:
        raise Status(NT.INVALID_DEVICE_REQUEST, "a directory has no data")
    if not opened.mode.access & (FILE_WRITE_DATA | FILE_APPEND_DATA):
        raise Status(NT.ACCESS_DENIED, "opened without write access")
    if offset + length > LAST_OFFSET:
        raise Status(NT.INVALID_PARAMETER, f"WRITE at {offset}")
    locks = opened.shared.locks
    if locks is not None and locks.held and locks.bars_write(opened, offset, length):
        raise Status(NT.FILE_LOCK_CONFLICT)
