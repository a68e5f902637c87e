"""NEGOTIATE (MS-SMB2 2.2.3, 2.2.4), its contexts, and the SMB1 negotiate that leads to it.

Contexts are kept as (type, data) pairs in the order of the wire, unknown ones too; the structures a context's
data may hold have their own `parse(data)` and `pack()`. `only` finds one and refuses a second of its type.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, Self

from smbdirect.wire import Buffer, Guid, Malformed, Pdu, pdu, span, text, u8, u16, u32, u64, utf16

from .base import HEADER_SIZE, Fixed, Request, Response, fixed_part
from .header import SMB1_ID, Command


class Dialect:
    SMB202 = 0x0202
    SMB210 = 0x0210
    SMB300 = 0x0300
    SMB302 = 0x0302
    SMB311 = 0x0311
    WILDCARD = 0x02FF


class Capability:
    DFS = 0x01
    LEASING = 0x02
    LARGE_MTU = 0x04
    MULTI_CHANNEL = 0x08
    PERSISTENT_HANDLES = 0x10
    DIRECTORY_LEASING = 0x20
    ENCRYPTION = 0x40
    NOTIFICATIONS = 0x80


class SecurityMode:
    SIGNING_ENABLED = 0x01
    SIGNING_REQUIRED = 0x02


class ContextType:
    PREAUTH_INTEGRITY = 1
    ENCRYPTION = 2
    COMPRESSION = 3
    NETNAME = 5
    TRANSPORT = 6
    RDMA_TRANSFORM = 7
    SIGNING = 8
    POSIX = 0x100


class Hash:
    SHA512 = 1


class Cipher:
    AES128_CCM = 1
    AES128_GCM = 2
    AES256_CCM = 3
    AES256_GCM = 4


class SigningAlgorithm:
    HMAC_SHA256 = 0
    AES_CMAC = 1
    AES_GMAC = 2


class Compression:
    NONE = 0
    LZNT1 = 1
    LZ77 = 2
    LZ77_HUFFMAN = 3
    PATTERN_V1 = 4
    LZ4 = 5


COMPRESSION_CHAINED = 0x00000001
TRANSPORT_LEVEL_SECURITY = 0x00000001


class RdmaTransform:
    NONE = 0
    ENCRYPTION = 1
    SIGNING = 2


class NegotiateContext(NamedTuple):
    """A negotiate context (2.2.3.1): `type` is a ContextType or one we do not know."""

    type: int
    data: bytes


def only(contexts: Iterable[NegotiateContext], kind: int) -> bytes | None:
    """The data of the one context of type `kind`, None where there is none; a second is Malformed (3.3.5.4)."""
    found = [context.data for context in contexts if context.type == kind]
    if len(found) > 1:
        raise Malformed(f"{len(found)} negotiate contexts of type {kind}")
    return found[0] if found else None


@pdu
class _Context(Pdu):
    type: u16 = 0
    data_length: u16 = 0
    reserved: u32 = 0


def _unpack_contexts(packet: memoryview, offset: int, count: int) -> list[NegotiateContext]:
    contexts = []
    for _ in range(count):
        head = _Context.unpack_from(packet, offset)
        offset += _Context.SIZE
        contexts.append(NegotiateContext(head.type, bytes(span(packet, offset, head.data_length, "negotiate context"))))
        offset += head.data_length + -head.data_length % 8  # the last may end unpadded
    return contexts


def _pack_contexts(contexts: Iterable[NegotiateContext]) -> bytes:
    out = bytearray()
    for kind, data in contexts:
        out += bytes(-len(out) % 8) + _Context(kind, len(data)).pack() + data
    return bytes(out)


@pdu
class _Negotiate(Fixed):
    structure_size: u16 = 36
    dialect_count: u16 = 0
    security_mode: u16 = 0
    reserved: u16 = 0
    capabilities: u32 = 0
    client_guid: Guid = bytes(16)
    context_offset: u32 = 0  # with the count: ClientStartTime before 3.1.1
    context_count: u16 = 0
    reserved2: u16 = 0


@dataclass(slots=True)
class NegotiateRequest(Request):
    """NEGOTIATE request (2.2.3); `contexts` are there when SMB311 is among the `dialects`."""

    COMMAND: ClassVar[int] = Command.NEGOTIATE
    dialects: list[int]
    security_mode: int = SecurityMode.SIGNING_ENABLED
    capabilities: int = 0
    client_guid: bytes = bytes(16)
    contexts: list[NegotiateContext] = field(default_factory=list)

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        fixed = fixed_part(_Negotiate, packet, 36)
        listed = span(packet, HEADER_SIZE + _Negotiate.SIZE, 2 * fixed.dialect_count, "dialects")
        dialects = _numbers(listed, fixed.dialect_count)
        contexts: list[NegotiateContext] = []
        if Dialect.SMB311 in dialects:
            contexts = _unpack_contexts(packet, fixed.context_offset, fixed.context_count)
        return cls(dialects, fixed.security_mode, fixed.capabilities, fixed.client_guid, contexts)

    def parts(self) -> list[Buffer]:
        dialects = _pack_numbers(self.dialects)
        dialects += bytes(-(_Negotiate.SIZE + len(dialects)) % 8 if self.contexts else 0)
        fixed = _Negotiate(
            dialect_count=len(self.dialects), security_mode=self.security_mode, capabilities=self.capabilities,
            client_guid=self.client_guid, context_count=len(self.contexts),
            context_offset=HEADER_SIZE + _Negotiate.SIZE + len(dialects) if self.contexts else 0,
        ).pack()  # fmt: skip
        return [fixed + dialects + _pack_contexts(self.contexts)]


@pdu
class _NegotiateResponse(Fixed):
    structure_size: u16 = 65
    security_mode: u16 = 0
    dialect: u16 = 0
    context_count: u16 = 0
    server_guid: Guid = bytes(16)
    capabilities: u32 = 0
    max_transact: u32 = 0
    max_read: u32 = 0
    max_write: u32 = 0
    system_time: u64 = 0
    start_time: u64 = 0
    token_offset: u16 = 0
    token_length: u16 = 0
    context_offset: u32 = 0


@dataclass(slots=True)
class NegotiateResponse(Response):
    """NEGOTIATE response (2.2.4); sizes in bytes, times as FILETIMEs, `token` the server's first SPNEGO token."""

    COMMAND: ClassVar[int] = Command.NEGOTIATE
    security_mode: int
    dialect: int
    server_guid: bytes
    capabilities: int
    max_transact: int
    max_read: int
    max_write: int
    system_time: int = 0
    start_time: int = 0
    token: bytes = b""
    contexts: list[NegotiateContext] = field(default_factory=list)

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        fixed = fixed_part(_NegotiateResponse, packet, 65)
        contexts: list[NegotiateContext] = []
        if fixed.dialect == Dialect.SMB311:
            contexts = _unpack_contexts(packet, fixed.context_offset, fixed.context_count)
        return cls(
            fixed.security_mode, fixed.dialect, fixed.server_guid, fixed.capabilities, fixed.max_transact,
            fixed.max_read, fixed.max_write, fixed.system_time, fixed.start_time,
            bytes(span(packet, fixed.token_offset, fixed.token_length, "security token")), contexts,
        )  # fmt: skip

    def parts(self) -> list[Buffer]:
        start = HEADER_SIZE + _NegotiateResponse.SIZE
        padding = bytes(-len(self.token) % 8 if self.contexts else 0)
        fixed = _NegotiateResponse(
            security_mode=self.security_mode, dialect=self.dialect, context_count=len(self.contexts),
            server_guid=self.server_guid, capabilities=self.capabilities, max_transact=self.max_transact,
            max_read=self.max_read, max_write=self.max_write, system_time=self.system_time,
            start_time=self.start_time, token_offset=start, token_length=len(self.token),
            context_offset=start + len(self.token) + len(padding) if self.contexts else 0,
        ).pack()  # fmt: skip
        return [fixed + self.token + padding + _pack_contexts(self.contexts)]


def _numbers(data: Buffer, count: int, offset: int = 0) -> list[int]:
    """`count` u16 of `data` from `offset`."""
    if offset + 2 * count > len(data):
        raise Malformed(f"{count} identifiers at {offset} of {len(data)} bytes")
    return list(struct.unpack_from(f"<{count}H", data, offset))


def _pack_numbers(numbers: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}H", *numbers)


@dataclass(slots=True)
class PreauthIntegrity:
    """SMB2_PREAUTH_INTEGRITY_CAPABILITIES (2.2.3.1.1)."""

    hashes: list[int]
    salt: bytes = b""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        count, salt_length = _numbers(data, 2)
        hashes = _numbers(data, count, 4)
        return cls(hashes, bytes(span(memoryview(data), 4 + 2 * count, salt_length, "salt")))

    def pack(self) -> bytes:
        return _pack_numbers([len(self.hashes), len(self.salt), *self.hashes]) + self.salt


class _Counted:
    """A context that is a u16 count and as many u16 identifiers."""

    __slots__ = ()

    @staticmethod
    def _list(data: bytes) -> list[int]:
        (count,) = _numbers(data, 1)
        return _numbers(data, count, 2)


@dataclass(slots=True)
class EncryptionCapabilities(_Counted):
    """SMB2_ENCRYPTION_CAPABILITIES (2.2.3.1.2): Ciphers, the peer's favourite first."""

    ciphers: list[int]

    @classmethod
    def parse(cls, data: bytes) -> Self:
        return cls(cls._list(data))

    def pack(self) -> bytes:
        return _pack_numbers([len(self.ciphers), *self.ciphers])


@dataclass(slots=True)
class SigningCapabilities(_Counted):
    """SMB2_SIGNING_CAPABILITIES (2.2.3.1.7): SigningAlgorithms, the peer's favourite first."""

    algorithms: list[int]

    @classmethod
    def parse(cls, data: bytes) -> Self:
        return cls(cls._list(data))

    def pack(self) -> bytes:
        return _pack_numbers([len(self.algorithms), *self.algorithms])


@dataclass(slots=True)
class CompressionCapabilities:
    """SMB2_COMPRESSION_CAPABILITIES (2.2.3.1.3)."""

    flags: int
    algorithms: list[int]

    @classmethod
    def parse(cls, data: bytes) -> Self:
        count, _, flags, more = _numbers(data, 4)
        return cls(flags | more << 16, _numbers(data, count, 8))

    def pack(self) -> bytes:
        return struct.pack("<HHI", len(self.algorithms), 0, self.flags) + _pack_numbers(self.algorithms)


@dataclass(slots=True)
class RdmaTransformCapabilities:
    """SMB2_RDMA_TRANSFORM_CAPABILITIES (2.2.3.1.6): RdmaTransforms."""

    transforms: list[int]

    @classmethod
    def parse(cls, data: bytes) -> Self:
        count = _numbers(data, 4)[0]
        return cls(_numbers(data, count, 8))

    def pack(self) -> bytes:
        return struct.pack("<HHI", len(self.transforms), 0, 0) + _pack_numbers(self.transforms)


@dataclass(slots=True)
class NetName:
    """SMB2_NETNAME_NEGOTIATE_CONTEXT_ID (2.2.3.1.4): the server's name as the client knows it."""

    name: str

    @classmethod
    def parse(cls, data: bytes) -> Self:
        return cls(text(memoryview(data), 0, len(data), "NetName"))

    def pack(self) -> bytes:
        return utf16(self.name)


@pdu
class TransportCapabilities(Pdu):
    """SMB2_TRANSPORT_CAPABILITIES (2.2.3.1.5)."""

    flags: u32 = 0

    @classmethod
    def parse(cls, data: bytes) -> Self:
        return cls.unpack_from(data)


@pdu
class _Smb1(Pdu):
    """What an SMB_COM_NEGOTIATE begins with (MS-CIFS 2.2.3.1, 2.2.4.52.1)."""

    protocol_id: u32 = int.from_bytes(SMB1_ID, "little")
    command: u8 = 0x72
    status: u32 = 0
    flags: u8 = 0
    flags2: u16 = 0
    rest: u64 = 0
    rest2: u64 = 0
    rest3: u32 = 0
    word_count: u8 = 0
    byte_count: u16 = 0


def smb1_dialects(packet: memoryview) -> list[str]:
    """The dialect names of an SMB1 multi-protocol negotiate (3.3.5.3), such as "SMB 2.???"; else Malformed."""
    head = _Smb1.unpack_from(packet)
    if packet[:4] != SMB1_ID or head.command != 0x72 or head.word_count != 0:
        raise Malformed("an SMB1 message that is no NEGOTIATE")
    listed = bytes(span(packet, _Smb1.SIZE, head.byte_count, "SMB1 dialects"))
    if not listed or listed[-1]:
        raise Malformed("SMB1 dialects without an end")
    names = listed[:-1].split(b"\0")
    if not all(name.startswith(b"\x02") for name in names):
        raise Malformed("an SMB1 dialect with another buffer format than 2")
    return [name[1:].decode("latin-1") for name in names]
