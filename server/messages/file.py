"""CLOSE, FLUSH, LOCK, ECHO and CANCEL (MS-SMB2 2.2.15 - 2.2.18, 2.2.26 - 2.2.30)."""

from dataclasses import dataclass
from typing import ClassVar, Self

from smbdirect.wire import Buffer, FileId, Malformed, Pdu, pdu, span, u16, u32, u64

from .base import HEADER_SIZE, Empty, Fixed, Request, Response, fixed_part
from .header import Command

CLOSE_POSTQUERY_ATTRIB = 0x0001


class LockFlags:
    SHARED = 0x01
    EXCLUSIVE = 0x02
    UNLOCK = 0x04
    FAIL_IMMEDIATELY = 0x10


@pdu
class _Close(Fixed):
    structure_size: u16 = 24
    flags: u16 = 0
    reserved: u32 = 0
    file_id: FileId = bytes(16)


@dataclass(slots=True)
class CloseRequest(Request):
    """CLOSE request (2.2.15)."""

    COMMAND: ClassVar[int] = Command.CLOSE
    file_id: bytes
    flags: int = 0

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        fixed = fixed_part(_Close, packet, 24)
        return cls(fixed.file_id, fixed.flags)

    def parts(self) -> list[Buffer]:
        return [_Close(flags=self.flags, file_id=self.file_id).pack()]


@pdu
class _CloseResponse(Fixed):
    structure_size: u16 = 60
    flags: u16 = 0
    reserved: u32 = 0
    created: u64 = 0
    accessed: u64 = 0
    modified: u64 = 0
    changed: u64 = 0
    allocation: u64 = 0
    size: u64 = 0
    attributes: u32 = 0


@dataclass(slots=True)
class CloseResponse(Response):
    """CLOSE response (2.2.16); all 0 unless `flags` has CLOSE_POSTQUERY_ATTRIB."""

    COMMAND: ClassVar[int] = Command.CLOSE
    flags: int = 0
    created: int = 0
    accessed: int = 0
    modified: int = 0
    changed: int = 0
    allocation: int = 0
    size: int = 0
    attributes: int = 0

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        fixed = fixed_part(_CloseResponse, packet, 60)
        return cls(
            fixed.flags, fixed.created, fixed.accessed, fixed.modified, fixed.changed, fixed.allocation, fixed.size,
            fixed.attributes,
        )  # fmt: skip

    def parts(self) -> list[Buffer]:
        return [
            _CloseResponse(
                flags=self.flags, created=self.created, accessed=self.accessed, modified=self.modified,
                changed=self.changed, allocation=self.allocation, size=self.size, attributes=self.attributes,
            ).pack()
        ]  # fmt: skip


@pdu
class _Flush(Fixed):
    structure_size: u16 = 24
    reserved: u16 = 0
    reserved2: u32 = 0
    file_id: FileId = bytes(16)


@dataclass(slots=True)
class FlushRequest(Request):
    """FLUSH request (2.2.17)."""

    COMMAND: ClassVar[int] = Command.FLUSH
    file_id: bytes

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        return cls(fixed_part(_Flush, packet, 24).file_id)

    def parts(self) -> list[Buffer]:
        return [_Flush(file_id=self.file_id).pack()]


@dataclass(slots=True)
class FlushResponse(Empty, Response):
    COMMAND: ClassVar[int] = Command.FLUSH


@pdu
class LockElement(Pdu):
    """SMB2_LOCK_ELEMENT (2.2.26.1): bytes from `offset`, LockFlags."""

    offset: u64
    length: u64
    flags: u32
    reserved: u32 = 0


@pdu
class _Lock(Fixed):
    structure_size: u16 = 48
    count: u16 = 0
    sequence: u32 = 0
    file_id: FileId = bytes(16)


@dataclass(slots=True)
class LockRequest(Request):
    """LOCK request (2.2.26). LockSequence is split: `number` its low 4 bits, `index` the 28 above."""

    COMMAND: ClassVar[int] = Command.LOCK
    file_id: bytes
    locks: list[LockElement]
    number: int = 0
    index: int = 0

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        fixed = fixed_part(_Lock, packet, 48)
        if fixed.count == 0:
            raise Malformed("LOCK: LockCount is zero")  # 3.3.5.14
        start = HEADER_SIZE + _Lock.SIZE
        end = start + len(span(packet, start, fixed.count * LockElement.SIZE, "locks"))
        locks = [LockElement.unpack_from(packet, at) for at in range(start, end, LockElement.SIZE)]
        return cls(fixed.file_id, locks, fixed.sequence & 0xF, fixed.sequence >> 4)

    def parts(self) -> list[Buffer]:
        sequence = self.index << 4 | self.number
        fixed = _Lock(count=len(self.locks), sequence=sequence, file_id=self.file_id)
        return [fixed.pack() + b"".join(lock.pack() for lock in self.locks)]


@dataclass(slots=True)
class LockResponse(Empty, Response):
    COMMAND: ClassVar[int] = Command.LOCK


@dataclass(slots=True)
class EchoRequest(Empty, Request):
    COMMAND: ClassVar[int] = Command.ECHO


@dataclass(slots=True)
class EchoResponse(Empty, Response):
    COMMAND: ClassVar[int] = Command.ECHO


@dataclass(slots=True)
class CancelRequest(Empty, Request):
    COMMAND: ClassVar[int] = Command.CANCEL
