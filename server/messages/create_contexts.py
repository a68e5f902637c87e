"""What the create contexts hold (MS-SMB2 2.2.13.2, 2.2.14.2): `X.parse(data)`, and `pack()` for the way back.

A context whose data has not the length or the inner size that its section demands is Malformed.
"""

from dataclasses import dataclass
from typing import Self

from smbdirect.wire import Bytes16, FileId, Guid, Malformed, Pdu, pdu, u16, u32, u64


class ContextName:
    EXTA = b"ExtA"
    SECD = b"SecD"
    DHNQ = b"DHnQ"
    DHNC = b"DHnC"
    ALSI = b"AlSi"
    MXAC = b"MxAc"
    TWRP = b"TWrp"
    QFID = b"QFid"
    RQLS = b"RqLs"
    DH2Q = b"DH2Q"
    DH2C = b"DH2C"
    AAPL = b"AAPL"
    APP_INSTANCE_ID = bytes.fromhex("45bca66aefa7f74a9008fa462e144d74")
    APP_INSTANCE_VERSION = bytes.fromhex("b982d0b73b56074fa07b524a8116a010")
    POSIX = bytes.fromhex("93ad25509cb411e7b42383de968bcd7c")


class LeaseState:
    NONE = 0x0
    READ = 0x1
    HANDLE = 0x2
    WRITE = 0x4


class LeaseFlags:
    BREAK_IN_PROGRESS = 0x2
    PARENT_KEY_SET = 0x4


DURABLE_PERSISTENT = 0x2
"""The flag of DH2Q, its answer and DH2C that makes a handle persistent."""


class Exact(Pdu):
    """A payload that is its fixed part and nothing more."""

    __slots__ = ()

    @classmethod
    def parse(cls, data: bytes) -> Self:
        if len(data) != cls.SIZE:
            raise Malformed(f"{cls.__name__}: {len(data)} bytes, not {cls.SIZE}")
        return cls.unpack_from(data)


@pdu
class AllocationSize(Exact):
    """AlSi (2.2.13.2.6): bytes to reserve."""

    size: u64


@pdu
class _Time(Exact):
    time: u64


@dataclass(slots=True)
class MaximalAccessRequest:
    """MxAc (2.2.13.2.5): `timestamp` is the last answer's LastWriteTime, None where none was sent."""

    timestamp: int | None = None

    @classmethod
    def parse(cls, data: bytes) -> Self:
        return cls(_Time.parse(data).time if data else None)

    def pack(self) -> bytes:
        return b"" if self.timestamp is None else _Time(self.timestamp).pack()


@pdu
class MaximalAccessResponse(Exact):
    """MxAc's answer (2.2.14.2.5): a status, and the access mask where it is SUCCESS."""

    status: u32
    maximal_access: u32


@pdu
class TimeWarp(Exact):
    """TWrp (2.2.13.2.7): the snapshot's FILETIME."""

    timestamp: u64


@pdu
class DiskId(Exact):
    """QFid's answer (2.2.14.2.9): 32 opaque bytes; file and volume as all servers put them."""

    file_id: u64
    volume_id: u64
    reserved: Bytes16 = bytes(16)


@pdu
class _LeaseV1(Exact):
    key: Guid
    state: u32
    flags: u32
    duration: u64


@pdu
class _LeaseV2(Exact):
    key: Guid
    state: u32
    flags: u32
    duration: u64
    parent_key: Guid
    epoch: u16
    reserved: u16 = 0


@dataclass(slots=True)
class Lease:
    """RqLs, request and answer alike: v1 (2.2.13.2.8) where `parent_key` is None, else v2 (2.2.13.2.10)."""

    key: bytes
    state: int
    flags: int = 0
    parent_key: bytes | None = None
    epoch: int = 0

    @classmethod
    def parse(cls, data: bytes) -> Self:
        if len(data) == _LeaseV1.SIZE:
            first = _LeaseV1.unpack_from(data)
            return cls(first.key, first.state, first.flags)
        second = _LeaseV2.parse(data)
        return cls(second.key, second.state, second.flags, second.parent_key, second.epoch)

    def pack(self) -> bytes:
        if self.parent_key is None:
            return _LeaseV1(self.key, self.state, self.flags, 0).pack()
        return _LeaseV2(self.key, self.state, self.flags, 0, self.parent_key, self.epoch).pack()


@pdu
class DurableRequest(Exact):
    """DHnQ (2.2.13.2.3): nothing but its presence."""

    reserved: Bytes16 = bytes(16)


@pdu
class DurableResponse(Exact):
    """DHnQ's answer (2.2.14.2.3)."""

    reserved: u64 = 0


@pdu
class DurableReconnect(Exact):
    """DHnC (2.2.13.2.4)."""

    file_id: FileId


@pdu
class DurableRequestV2(Exact):
    """DH2Q (2.2.13.2.11); `timeout` in milliseconds, 0 for the server's choice."""

    timeout: u32
    flags: u32
    reserved: u64
    create_guid: Guid


@pdu
class DurableResponseV2(Exact):
    """DH2Q's answer (2.2.14.2.12); `timeout` in milliseconds."""

    timeout: u32
    flags: u32


@pdu
class DurableReconnectV2(Exact):
    """DH2C (2.2.13.2.12)."""

    file_id: FileId
    create_guid: Guid
    flags: u32


class Sized(Exact):
    """A payload that also tells its size."""

    __slots__ = ()
    structure_size: u16

    @classmethod
    def parse(cls, data: bytes) -> Self:
        made = super().parse(data)
        if made.structure_size != cls.SIZE:
            raise Malformed(f"{cls.__name__}: StructureSize {made.structure_size}, not {cls.SIZE}")
        return made


@pdu
class AppInstanceId(Sized):
    """2.2.13.2.13."""

    structure_size: u16 = 20
    reserved: u16 = 0
    app_instance_id: Guid = bytes(16)


@pdu
class AppInstanceVersion(Sized):
    """2.2.13.2.15."""

    structure_size: u16 = 24
    reserved: u16 = 0
    padding: u32 = 0
    high: u64 = 0
    low: u64 = 0
