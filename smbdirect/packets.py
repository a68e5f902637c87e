"""The packets of MS-SMBD 2.2, and the buffer descriptor that READ and WRITE requests carry (2.2.3.1).

The data transfer header is read and written for every packet, so `read_data_transfer` and the two `pack`
functions work on its `Struct` directly and make no object; all checks of a received one stand there, before
anything of it is believed.
"""

import struct

from .wire import Malformed, Pdu, pdu, u16, u32, u64

VERSION = 0x0100
"""The only protocol version there is (MS-SMBD 1.7)."""

STATUS_SUCCESS = 0x00000000
STATUS_NOT_SUPPORTED = 0xC00000BB
STATUS_INSUFFICIENT_RESOURCES = 0xC000009A

RESPONSE_REQUESTED = 0x0001
"""SMB_DIRECT_RESPONSE_REQUESTED, the one flag of a data transfer (MS-SMBD 2.2.3)."""

SMALLEST_PACKET = 128
"""No side may receive packets smaller than this, in bytes (MS-SMBD 3.1.5.6, 3.1.5.7)."""
SMALLEST_FRAGMENTED = 131_072
"""No side may reassemble less than this, in bytes (MS-SMBD 3.1.5.6, 3.1.5.7)."""


@pdu
class NegotiateRequest(Pdu):
    """The first packet of the side that connects, 20 bytes (MS-SMBD 2.2.1)."""

    min_version: u16 = VERSION
    max_version: u16 = VERSION
    reserved: u16 = 0
    credits_requested: u16 = 0
    preferred_send_size: u32 = 0
    max_receive_size: u32 = 0
    max_fragmented_size: u32 = 0


@pdu
class NegotiateResponse(Pdu):
    """The answer of the side that listens, 32 bytes (MS-SMBD 2.2.2)."""

    min_version: u16 = VERSION
    max_version: u16 = VERSION
    negotiated_version: u16 = 0
    reserved: u16 = 0
    credits_requested: u16 = 0
    credits_granted: u16 = 0
    status: u32 = STATUS_SUCCESS
    max_read_write_size: u32 = 0
    preferred_send_size: u32 = 0
    max_receive_size: u32 = 0
    max_fragmented_size: u32 = 0


@pdu
class DataTransfer(Pdu):
    """The 20-byte head of every later packet (MS-SMBD 2.2.3); payload begins at an 8-aligned `data_offset`."""

    credits_requested: u16 = 0
    credits_granted: u16 = 0
    flags: u16 = 0
    reserved: u16 = 0
    remaining_data_length: u32 = 0
    data_offset: u32 = 0
    data_length: u32 = 0


@pdu
class BufferDescriptor(Pdu):
    """SMB_DIRECT_BUFFER_DESCRIPTOR_V1 (MS-SMBD 2.2.3.1): `length` bytes at `offset` under the peer's `token`."""

    offset: u64 = 0
    token: u32 = 0
    length: u32 = 0


DATA_OFFSET = (DataTransfer.SIZE + 7) & ~7
"""Where payload begins in the packets we send: 24, the head padded to 8 bytes."""

_HEAD = DataTransfer.STRUCT
_PADDED_HEAD = struct.Struct(f"{_HEAD.format}{DATA_OFFSET - DataTransfer.SIZE}x")


def pack_data_head(requested: int, granted: int, flags: int, remaining: int, length: int) -> bytes:
    """The 24 bytes before `length` bytes of payload; `remaining` more follow in later packets."""
    return _PADDED_HEAD.pack(requested, granted, flags, 0, remaining, DATA_OFFSET, length)


def pack_empty(requested: int, granted: int, flags: int) -> bytes:
    """A data transfer without payload, 20 bytes: it grants, asks or answers."""
    return _HEAD.pack(requested, granted, flags, 0, 0, 0, 0)


def read_data_transfer(packet: memoryview, most: int) -> tuple[int, int, int, int, memoryview]:
    """(credits requested, credits granted, flags, remaining length, payload) of a received data transfer.

    `most` is the largest whole message we take, in bytes. Raises Malformed (MS-SMBD 3.1.5.8).
    """
    size = len(packet)
    if size < DataTransfer.SIZE:
        raise Malformed(f"a data transfer of {size} bytes, {DataTransfer.SIZE} needed")  # MS-SMBD 3.1.5.8
    requested, granted, flags, _, remaining, offset, length = _HEAD.unpack_from(packet)
    end = offset + length
    if requested == 0:
        raise Malformed("CreditsRequested is zero")  # MS-SMBD 3.1.5.8
    if offset % 8:
        raise Malformed(f"DataOffset {offset} is not 8-aligned")  # MS-SMBD 3.1.5.8
    if end > size:
        raise Malformed(f"{length} bytes at DataOffset {offset} of a {size}-byte packet")  # MS-SMBD 3.1.5.8
    if length and offset < DataTransfer.SIZE:
        raise Malformed(f"DataOffset {offset} lies inside the head")  # MS-SMBD 2.2.3
    if length + remaining > most:
        raise Malformed(f"a message of at least {length + remaining} bytes, {most} allowed")  # MS-SMBD 3.1.5.8
    return requested, granted, flags, remaining, packet[offset:end]
