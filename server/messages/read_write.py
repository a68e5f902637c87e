"""READ and WRITE (MS-SMB2 2.2.19 - 2.2.22), the channel descriptors they carry included."""

from dataclasses import dataclass
from typing import ClassVar, Self

from smbdirect.packets import BufferDescriptor
from smbdirect.wire import Buffer, FileId, Malformed, Pdu, pdu, span, u8, u16, u32, u64

from .base import HEADER_SIZE, Request, Response
from .header import Command


class Channel:
    NONE = 0
    RDMA_V1 = 1
    RDMA_V1_INVALIDATE = 2
    RDMA_TRANSFORM = 3


READFLAG_UNBUFFERED = 0x01
WRITEFLAG_WRITE_THROUGH = 0x00000001
WRITEFLAG_UNBUFFERED = 0x00000002
"""Write-through and unbuffered I/O (2.2.21)."""


@pdu
class _Read(Pdu):
    structure_size: u16 = 49
    padding: u8 = 0
    flags: u8 = 0
    length: u32 = 0
    offset: u64 = 0
    file_id: FileId = bytes(16)
    minimum_count: u32 = 0
    channel: u32 = 0
    remaining_bytes: u32 = 0
    channel_info_offset: u16 = 0
    channel_info_length: u16 = 0


@dataclass(slots=True)
class ReadRequest(Request):
    """READ request. `descriptors` are those of an RDMA channel, [] without one."""

    COMMAND: ClassVar[int] = Command.READ
    file_id: bytes
    offset: int
    length: int
    minimum_count: int = 0
    flags: int = 0
    padding: int = 0
    channel: int = Channel.NONE
    remaining_bytes: int = 0
    descriptors: list[BufferDescriptor] | None = None

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        fixed = _Read.unpack_from(packet, HEADER_SIZE)
        if fixed.structure_size != 49:
            raise Malformed(f"READ: StructureSize {fixed.structure_size}")
        return cls(
            fixed.file_id, fixed.offset, fixed.length, fixed.minimum_count, fixed.flags, fixed.padding,
            fixed.channel, fixed.remaining_bytes,
            _descriptors(packet, fixed.channel, fixed.channel_info_offset, fixed.channel_info_length),
        )  # fmt: skip

    def parts(self) -> list[Buffer]:
        info = b"".join(descriptor.pack() for descriptor in self.descriptors or ())
        fixed = _Read(
            padding=self.padding, flags=self.flags, length=self.length, offset=self.offset, file_id=self.file_id,
            minimum_count=self.minimum_count, channel=self.channel, remaining_bytes=self.remaining_bytes,
            channel_info_offset=HEADER_SIZE + _Read.SIZE if info else 0, channel_info_length=len(info),
        ).pack()  # fmt: skip
        return [fixed + (info or b"\0")]  # StructureSize 49 counts one byte of Buffer


@pdu
class _ReadResponse(Pdu):
    structure_size: u16 = 17
    data_offset: u8 = HEADER_SIZE + 16
    reserved: u8 = 0
    data_length: u32 = 0
    data_remaining: u32 = 0
    flags: u32 = 0


@dataclass(slots=True)
class ReadResponse(Response):
    """READ response: `data` inline, or b"" with `remaining` counting what went through the channel."""

    COMMAND: ClassVar[int] = Command.READ
    data: Buffer = b""
    remaining: int = 0
    flags: int = 0

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        fixed = _ReadResponse.unpack_from(packet, HEADER_SIZE)
        if fixed.structure_size != 17:
            raise Malformed(f"READ response: StructureSize {fixed.structure_size}")
        return cls(span(packet, fixed.data_offset, fixed.data_length), fixed.data_remaining, fixed.flags)

    def parts(self) -> list[Buffer]:
        fixed = _ReadResponse(data_length=len(self.data), data_remaining=self.remaining, flags=self.flags).pack()
        if len(self.data):
            return [fixed, self.data]
        # What went through a channel leaves an empty Buffer, and not the one byte that StructureSize counts: the
        # Linux client takes the count for bytes it has read, and then that byte for the next message's first.
        return [fixed if self.remaining else fixed + b"\0"]


@pdu
class _Write(Pdu):
    structure_size: u16 = 49
    data_offset: u16 = 0
    length: u32 = 0
    offset: u64 = 0
    file_id: FileId = bytes(16)
    channel: u32 = 0
    remaining_bytes: u32 = 0
    channel_info_offset: u16 = 0
    channel_info_length: u16 = 0
    flags: u32 = 0


@dataclass(slots=True)
class WriteRequest(Request):
    """WRITE request: `data` inline (a view of the message), or `remaining_bytes` to fetch through `descriptors`."""

    COMMAND: ClassVar[int] = Command.WRITE
    file_id: bytes
    offset: int
    data: Buffer = b""
    channel: int = Channel.NONE
    remaining_bytes: int = 0
    flags: int = 0
    descriptors: list[BufferDescriptor] | None = None

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        fixed = _Write.unpack_from(packet, HEADER_SIZE)
        if fixed.structure_size != 49:
            raise Malformed(f"WRITE: StructureSize {fixed.structure_size}")
        data = span(packet, fixed.data_offset, fixed.length, "WRITE data")
        return cls(
            fixed.file_id, fixed.offset, data, fixed.channel, fixed.remaining_bytes, fixed.flags,
            _descriptors(packet, fixed.channel, fixed.channel_info_offset, fixed.channel_info_length),
        )  # fmt: skip

    def parts(self) -> list[Buffer]:
        info = b"".join(descriptor.pack() for descriptor in self.descriptors or ())
        start = HEADER_SIZE + _Write.SIZE
        fixed = _Write(
            data_offset=start + len(info), length=len(self.data), offset=self.offset,
            file_id=self.file_id, channel=self.channel, remaining_bytes=self.remaining_bytes,
            channel_info_offset=start if info else 0, channel_info_length=len(info), flags=self.flags,
        ).pack()  # fmt: skip
        return [fixed + info, self.data] if len(self.data) else [fixed + (info or b"\0")]


@pdu
class _WriteResponse(Pdu):
    structure_size: u16 = 17
    reserved: u16 = 0
    count: u32 = 0
    remaining: u32 = 0
    channel_info_offset: u16 = 0
    channel_info_length: u16 = 0


@dataclass(slots=True)
class WriteResponse(Response):
    COMMAND: ClassVar[int] = Command.WRITE
    count: int = 0
    remaining: int = 0

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        fixed = _WriteResponse.unpack_from(packet, HEADER_SIZE)
        if fixed.structure_size != 17:
            raise Malformed(f"WRITE response: StructureSize {fixed.structure_size}")
        return cls(fixed.count, fixed.remaining)

    def parts(self) -> list[Buffer]:
        return [_WriteResponse(count=self.count, remaining=self.remaining).pack() + b"\0"]


def _descriptors(packet: memoryview, channel: int, offset: int, length: int) -> list[BufferDescriptor] | None:
    if channel not in (Channel.RDMA_V1, Channel.RDMA_V1_INVALIDATE):
        return None
    info = span(packet, offset, length, "channel info")
    if length % BufferDescriptor.SIZE:
        raise Malformed(f"channel info: {length} bytes are no whole descriptors")
    return [BufferDescriptor.unpack_from(info, at) for at in range(0, length, BufferDescriptor.SIZE)]
