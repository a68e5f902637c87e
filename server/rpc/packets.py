"""The packets of connection-oriented DCE/RPC (C706 chapter 12 with MS-RPCE 2.2.2), both those read and those sent.

Only little-endian peers are understood. An authentication trailer is cut off and not looked at: the SMB session has
authenticated the client, and signs or seals what it sends.
"""

from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from smbdirect.wire import Buffer, Bytes16, Malformed, Pdu, pdu, u8, u16, u32

REQUEST, RESPONSE, FAULT = 0, 2, 3
BIND, BIND_ACK, BIND_NAK = 11, 12, 13
ALTER_CONTEXT, ALTER_CONTEXT_RESPONSE = 14, 15
AUTH3, CANCEL, ORPHANED = 16, 18, 19
"""Packet types (C706 12.6.4)."""

FIRST_FRAGMENT = 0x01
LAST_FRAGMENT = 0x02
DID_NOT_EXECUTE = 0x20
OBJECT_UUID = 0x80
"""Flags (C706 12.6.3.1)."""

LITTLE_ENDIAN = 0x10
"""The data representation's first byte: little-endian integers, ASCII characters."""

FAULT_OPERATION_RANGE = 0x1C010002
FAULT_UNKNOWN_INTERFACE = 0x1C010003
FAULT_PROTOCOL = 0x1C01000B
FAULT_BAD_STUB = 0x000006F7
"""Statuses of a fault (C706 appendix E; the last is RPC_X_BAD_STUB_DATA of MS-ERREF)."""


@pdu
class Header(Pdu):
    """What every packet begins with (C706 12.6.3.1)."""

    version: u8 = 5
    minor: u8 = 0
    type: u8 = 0
    flags: u8 = FIRST_FRAGMENT | LAST_FRAGMENT
    representation: u32 = LITTLE_ENDIAN
    length: u16 = 0
    auth_length: u16 = 0
    call: u32 = 0


@pdu
class _AuthTrailer(Pdu):
    """sec_trailer (MS-RPCE 2.2.2.11); `auth_length` bytes of token follow it."""

    type: u8 = 0
    level: u8 = 0
    pad: u8 = 0
    reserved: u8 = 0
    context: u32 = 0


def header_of(received: Buffer) -> Header:
    """The header that `received` begins with; raises Malformed where it is none that this server understands."""
    header = Header.unpack_from(received)
    if header.version != 5 or header.minor > 1 or header.representation & 0xFF != LITTLE_ENDIAN:
        raise Malformed(f"RPC {header.version}.{header.minor}, representation {header.representation:#x}")
    if header.length < Header.SIZE:
        raise Malformed(f"RPC packet of {header.length} bytes")
    return header


def body_of(header: Header, packet: memoryview) -> memoryview:
    """What stands between `packet`'s header and its authentication trailer."""
    if not header.auth_length:
        return packet[Header.SIZE :]
    start = len(packet) - header.auth_length - _AuthTrailer.SIZE
    if start < Header.SIZE:
        raise Malformed(f"authentication of {header.auth_length} bytes in a {len(packet)}-byte packet")
    pad = _AuthTrailer.unpack_from(packet, start).pad
    if start - pad < Header.SIZE:
        raise Malformed(f"{pad} bytes of padding in a {len(packet)}-byte packet")
    return packet[Header.SIZE : start - pad]


def framed(type_: int, call: int, body: bytes, flags: int = FIRST_FRAGMENT | LAST_FRAGMENT) -> bytes:
    """`body` behind its header."""
    return Header(type=type_, flags=flags, length=Header.SIZE + len(body), call=call).pack() + body


class Syntax(NamedTuple):
    """The name and version of an interface, or of a transfer syntax."""

    uuid: bytes
    version: int


@pdu
class _Syntax(Pdu):
    uuid: Bytes16 = bytes(16)
    version: u32 = 0


def syntax(uuid: str, version: int) -> Syntax:
    return Syntax(UUID(uuid).bytes_le, version)


NDR = syntax("8a885d04-1ceb-11c9-9fe8-08002b104860", 2)
_FEATURES = UUID("6cb71c2c-9812-4540-0000-000000000000").bytes_le[:8]
"""How the transfer syntax begins that asks for features and is none (MS-RPCE 3.3.1.5.3)."""


def is_feature_negotiation(transfer: Syntax) -> bool:
    return transfer.uuid.startswith(_FEATURES)


@pdu
class _Bind(Pdu):
    max_transmit: u16 = 0
    max_receive: u16 = 0
    group: u32 = 0
    count: u8 = 0
    reserved: u8 = 0
    reserved2: u16 = 0


@pdu
class _BindContext(Pdu):
    id: u16 = 0
    count: u8 = 0
    reserved: u8 = 0
    uuid: Bytes16 = bytes(16)
    version: u32 = 0


class Proposal(NamedTuple):
    """A presentation context that a bind proposes."""

    id: int
    interface: Syntax
    transfers: tuple[Syntax, ...]


class Bind(NamedTuple):
    """BIND and ALTER_CONTEXT (C706 12.6.4.3)."""

    max_transmit: int
    max_receive: int
    group: int
    proposals: tuple[Proposal, ...]


def parse_bind(body: memoryview) -> Bind:
    fixed = _Bind.unpack_from(body)
    at = _Bind.SIZE
    proposals = []
    for _ in range(fixed.count):
        context = _BindContext.unpack_from(body, at)
        at += _BindContext.SIZE
        places = range(at, at + context.count * _Syntax.SIZE, _Syntax.SIZE)
        transfers = [_Syntax.unpack_from(body, place) for place in places]
        at = places.stop
        proposals.append(
            Proposal(
                context.id,
                Syntax(context.uuid, context.version),
                tuple(Syntax(transfer.uuid, transfer.version) for transfer in transfers),
            )
        )
    return Bind(fixed.max_transmit, fixed.max_receive, fixed.group, tuple(proposals))


ACCEPTED, REJECTED, NEGOTIATED = 0, 2, 3
"""Results for a presentation context; NEGOTIATED answers an offer of features with those that hold."""
NO_INTERFACE, NO_TRANSFER, LOCAL_LIMIT = 1, 2, 3
"""Reasons of a rejection (C706 12.6.3.1, p_provider_reason_t)."""


@pdu
class _Result(Pdu):
    result: u16 = 0
    reason: u16 = 0
    uuid: Bytes16 = bytes(16)
    version: u32 = 0


class Result(NamedTuple):
    """What became of a proposal."""

    result: int
    reason: int = 0
    transfer: Syntax = Syntax(bytes(16), 0)


def pack_bind_ack(max_transmit: int, max_receive: int, group: int, address: str, results: list[Result]) -> bytes:
    """The body of BIND_ACK and ALTER_CONTEXT_RESPONSE (C706 12.6.4.4); `address` is the pipe's name."""
    name = address.encode("ascii") + b"\0" if address else b""
    body = _Head(max_transmit, max_receive, group, len(name)).pack() + name
    body += bytes(-(Header.SIZE + len(body)) % 4) + bytes((len(results), 0, 0, 0))
    return body + b"".join(_Result(one.result, one.reason, *one.transfer).pack() for one in results)


@pdu
class _Head(Pdu):
    max_transmit: u16 = 0
    max_receive: u16 = 0
    group: u32 = 0
    address_length: u16 = 0


@pdu
class _Request(Pdu):
    hint: u32 = 0
    context: u16 = 0
    operation: u16 = 0


@dataclass(slots=True)
class Request:
    """A fragment of a REQUEST (C706 12.6.4.9)."""

    context: int
    operation: int
    stub: memoryview


def parse_request(header: Header, body: memoryview) -> Request:
    fixed = _Request.unpack_from(body)
    start = _Request.SIZE + (16 if header.flags & OBJECT_UUID else 0)
    if start > len(body):
        raise Malformed("request ends in its object's UUID")
    return Request(fixed.context, fixed.operation, body[start:])


@pdu
class ResponseHead(Pdu):
    """What a RESPONSE's body begins with; the stub follows (C706 12.6.4.10)."""

    hint: u32 = 0
    context: u16 = 0
    cancels: u8 = 0
    reserved: u8 = 0


@pdu
class Fault(Pdu):
    """The body of a FAULT (C706 12.6.4.7)."""

    hint: u32 = 0
    context: u16 = 0
    cancels: u8 = 0
    reserved: u8 = 0
    status: u32 = 0
    reserved2: u32 = 0
