"""What IOCTL carries for each control code (MS-SMB2 2.2.31 and 2.2.32, MS-FSCC 2.3), reparse points aside.

Inputs have `parse(data)`, outputs `pack()`, both where both roles need them. Input longer than its structure is
accepted, as Windows does; shorter is Malformed. Offsets and lengths are bytes.
"""

import ipaddress
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from smbdirect.wire import (
    Buffer,
    Bytes16,
    Bytes24,
    FileId,
    Guid,
    Malformed,
    Pdu,
    chain,
    i64,
    join_chain,
    pdu,
    span,
    text,
    u8,
    u16,
    u32,
    u64,
    utf16,
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Payload(Pdu):
    """A structure of fixed size; what follows it is ignored."""

    __slots__ = ()

    @classmethod
    def parse(cls, data: Buffer) -> Self:
        return cls.unpack_from(data)


@pdu
class _Validate(Pdu):
    capabilities: u32
    guid: Guid
    security_mode: u16
    count: u16


@dataclass(slots=True)
class ValidateNegotiateRequest:
    """VALIDATE_NEGOTIATE_INFO Request (2.2.31.4): what the client's NEGOTIATE said."""

    capabilities: int
    guid: bytes
    security_mode: int
    dialects: list[int]

    @classmethod
    def parse(cls, data: bytes) -> Self:
        head = _Validate.unpack_from(data)
        listed = span(memoryview(data), _Validate.SIZE, 2 * head.count, "dialects")
        return cls(head.capabilities, head.guid, head.security_mode, list(struct.unpack(f"<{head.count}H", listed)))

    def pack(self) -> bytes:
        head = _Validate(self.capabilities, self.guid, self.security_mode, len(self.dialects))
        return head.pack() + struct.pack(f"<{len(self.dialects)}H", *self.dialects)


@pdu
class ValidateNegotiateResponse(Payload):
    """2.2.32.6: what the server's NEGOTIATE said."""

    capabilities: u32
    guid: Guid
    security_mode: u16
    dialect: u16


@pdu
class CopyChunk(Pdu):
    """SRV_COPYCHUNK (2.2.31.1.1)."""

    source_offset: u64
    target_offset: u64
    length: u32
    reserved: u32 = 0


@pdu
class _CopyChunks(Pdu):
    source_key: Bytes24
    count: u32
    reserved: u32 = 0


@dataclass(slots=True)
class CopyChunkRequest:
    """SRV_COPYCHUNK_COPY (2.2.31.1). No chunk at all is macOS's "copy the whole file"."""

    source_key: bytes
    chunks: list[CopyChunk]

    @classmethod
    def parse(cls, data: bytes) -> Self:
        head = _CopyChunks.unpack_from(data)
        listed = span(memoryview(data), _CopyChunks.SIZE, head.count * CopyChunk.SIZE, "chunks")
        return cls(head.source_key, [CopyChunk.unpack_from(listed, at) for at in range(0, len(listed), CopyChunk.SIZE)])

    def pack(self) -> bytes:
        head = _CopyChunks(self.source_key, len(self.chunks)).pack()
        return head + b"".join(chunk.pack() for chunk in self.chunks)


@pdu
class CopyChunkResponse(Payload):
    """SRV_COPYCHUNK_RESPONSE (2.2.32.1); with INVALID_PARAMETER, the server's limits (3.3.5.15.6.2)."""

    chunks_written: u32
    chunk_bytes_written: u32
    total_bytes_written: u32


@pdu
class ResumeKey(Payload):
    """SRV_REQUEST_RESUME_KEY Response (2.2.32.3), with the four bytes of context that Windows sends."""

    key: Bytes24
    context_length: u32 = 0
    context: u32 = 0


INTERFACE_RSS_CAPABLE = 0x1
INTERFACE_RDMA_CAPABLE = 0x2
FAMILY_IPV4 = 2
FAMILY_IPV6 = 23


@pdu
class _Interface(Pdu):
    """NETWORK_INTERFACE_INFO up to and with the address's family and port."""

    next: u32
    index: u32
    capability: u32
    reserved: u32
    link_speed: u64
    family: u16
    port: u16


SOCKADDR_STORAGE_SIZE = 128
INTERFACE_SIZE = _Interface.SIZE - 4 + SOCKADDR_STORAGE_SIZE


@dataclass(slots=True)
class NetworkInterface:
    """NETWORK_INTERFACE_INFO (2.2.32.5): one address of the server; `link_speed` in bits per second."""

    index: int
    capability: int
    link_speed: int
    address: Address


def pack_interfaces(interfaces: Iterable[NetworkInterface]) -> bytes:
    """The answer to QUERY_NETWORK_INTERFACE_INFO."""
    return join_chain(map(_pack_interface, interfaces))


def _pack_interface(interface: NetworkInterface) -> bytes:
    address = interface.address
    family = FAMILY_IPV4 if address.version == 4 else FAMILY_IPV6
    flow = b"" if address.version == 4 else bytes(4)
    head = _Interface(0, interface.index, interface.capability, 0, interface.link_speed, family, 0).pack()
    return (head + flow + address.packed).ljust(INTERFACE_SIZE, b"\0")


def unpack_interfaces(data: memoryview) -> list[NetworkInterface]:
    """The interfaces of an answer; those with an address of another family are left out."""
    found = []
    for entry in chain(data, INTERFACE_SIZE, "network interface"):
        head = _Interface.unpack_from(entry)
        address: Address
        if head.family == FAMILY_IPV4:
            address = ipaddress.IPv4Address(bytes(entry[_Interface.SIZE :][:4]))
        elif head.family == FAMILY_IPV6:
            address = ipaddress.IPv6Address(bytes(entry[_Interface.SIZE + 4 :][:16]))
        else:
            continue
        found.append(NetworkInterface(head.index, head.capability, head.link_speed, address))
    return found


@pdu
class ZeroData(Payload):
    """FILE_ZERO_DATA_INFORMATION (MS-FSCC 2.3.71): from `offset` up to, without, `beyond`."""

    offset: i64
    beyond: i64


def parse_set_sparse(data: bytes) -> bool:
    """FILE_SET_SPARSE_BUFFER (MS-FSCC 2.3.69): without one, sparse."""
    return not data or data[0] != 0


@pdu
class Range(Payload):
    """FILE_ALLOCATED_RANGE_BUFFER (MS-FSCC 2.3.52), the question and each element of the answer; signed."""

    offset: i64
    length: i64


def unpack_ranges(data: memoryview) -> list[Range]:
    if len(data) % Range.SIZE:
        raise Malformed(f"{len(data)} bytes are no whole ranges")
    return [Range.unpack_from(data, at) for at in range(0, len(data), Range.SIZE)]


@pdu
class DuplicateExtents(Payload):
    """DUPLICATE_EXTENTS_DATA (MS-FSCC 2.3.8)."""

    source: FileId
    source_offset: i64
    target_offset: i64
    length: i64


@pdu
class DuplicateExtentsEx(Payload):
    """DUPLICATE_EXTENTS_DATA_EX (MS-FSCC 2.3.9.2); flag 1: all or nothing."""

    structure_size: u64 = 48
    source: FileId = bytes(16)
    source_offset: i64 = 0
    target_offset: i64 = 0
    length: i64 = 0
    flags: u32 = 0
    reserved: u32 = 0


@pdu
class _Trim(Pdu):
    key: u32
    count: u32


def parse_trim(data: bytes) -> list[tuple[int, int]]:
    """(offset, length) of each range of a FILE_LEVEL_TRIM (MS-FSCC 2.3.73)."""
    head = _Trim.unpack_from(data)
    listed = span(memoryview(data), _Trim.SIZE, 16 * head.count, "trim ranges")
    return list(struct.iter_unpack("<QQ", listed))


def pack_trim(ranges: Sequence[tuple[int, int]]) -> bytes:
    return _Trim(0, len(ranges)).pack() + b"".join(struct.pack("<QQ", *each) for each in ranges)


@pdu
class TrimResponse(Payload):
    """FILE_LEVEL_TRIM_OUTPUT (MS-FSCC 2.3.74)."""

    ranges_processed: u32


REGION_VALID_CACHED_DATA = 0x1


@pdu
class RegionQuestion(Payload):
    """FILE_REGION_INPUT (MS-FSCC 2.3.55.1)."""

    offset: i64
    length: i64
    usage: u32
    reserved: u32 = 0


@pdu
class Region(Payload):
    """FILE_REGION_INFO (MS-FSCC 2.3.56.1)."""

    offset: u64
    length: u64
    usage: u32
    reserved: u32 = 0


@pdu
class _Regions(Pdu):
    flags: u32
    total: u32
    count: u32
    reserved: u32 = 0


def pack_regions(regions: Sequence[Region], total: int) -> bytes:
    """FILE_REGION_OUTPUT (MS-FSCC 2.3.56): `regions` of the `total` there are."""
    return _Regions(0, total, len(regions)).pack() + b"".join(region.pack() for region in regions)


@pdu
class ResiliencyRequest(Payload):
    """NETWORK_RESILIENCY_REQUEST (2.2.31.3); milliseconds."""

    timeout: u32
    reserved: u32 = 0


@pdu
class _PipeWait(Pdu):
    timeout: i64
    name_length: u32
    timeout_specified: u8
    padding: u8


@dataclass(slots=True)
class PipeWait:
    """FSCTL_PIPE_WAIT Request (MS-FSCC 2.3.49); `timeout` in units of 100 ns, None for the pipe's own."""

    name: str
    timeout: int | None = None

    @classmethod
    def parse(cls, data: bytes) -> Self:
        head = _PipeWait.unpack_from(data)
        name = text(memoryview(data), _PipeWait.SIZE, head.name_length, "pipe name")
        return cls(name, head.timeout if head.timeout_specified else None)

    def pack(self) -> bytes:
        name = utf16(self.name)
        return _PipeWait(self.timeout or 0, len(name), self.timeout is not None, 0).pack() + name


@pdu
class PipePeek(Payload):
    """FSCTL_PIPE_PEEK Reply (MS-FSCC 2.3.46), its data left out."""

    state: u32
    available: u32
    messages: u32
    message_length: u32


@pdu
class ObjectId(Payload):
    """FILE_OBJECTID_BUFFER (MS-FSCC 2.1.3.1)."""

    object_id: Guid
    birth_volume_id: Bytes16 = bytes(16)
    birth_object_id: Bytes16 = bytes(16)
    domain_id: Bytes16 = bytes(16)


@pdu
class _Snapshots(Pdu):
    total: u32
    returned: u32
    size: u32


def pack_snapshots(labels: Sequence[str], room: int) -> bytes:
    """SRV_SNAPSHOT_ARRAY (2.2.32.2) of @GMT- labels; only their count and size where `room` (16 or more) is short."""
    names = utf16("".join(f"{label}\0" for label in labels) + "\0")
    if _Snapshots.SIZE + len(names) > room:
        return _Snapshots(len(labels), 0, len(names)).pack().ljust(16, b"\0")
    return (_Snapshots(len(labels), len(labels), len(names)).pack() + names).ljust(16, b"\0")


def unpack_snapshots(data: bytes) -> list[str]:
    head = _Snapshots.unpack_from(data)
    names = text(memoryview(data), _Snapshots.SIZE, head.size if head.returned else 0, "snapshots")
    return [label for label in names.split("\0") if label]
