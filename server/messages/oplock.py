"""OPLOCK_BREAK (MS-SMB2 2.2.23 - 2.2.25): one command, and the StructureSize says whether of an oplock or a lease."""

from dataclasses import dataclass
from typing import ClassVar, Self

from smbdirect.wire import Buffer, FileId, Guid, Malformed, pdu, u8, u16, u32, u64

from .base import HEADER_SIZE, Fixed, Request, Response
from .header import Command

ACK_REQUIRED = 0x00000001
"""The lease notification's flag."""


@pdu
class OplockBreak(Fixed):
    """Notification, acknowledgment and response of an oplock alike (2.2.23.1, 2.2.24.1, 2.2.25.1)."""

    structure_size: u16 = 24
    oplock_level: u8 = 0
    reserved: u8 = 0
    reserved2: u32 = 0
    file_id: FileId = bytes(16)


@pdu
class LeaseBreak(Fixed):
    """Acknowledgment and response of a lease (2.2.24.2, 2.2.25.2)."""

    structure_size: u16 = 36
    reserved: u16 = 0
    flags: u32 = 0
    key: Guid = bytes(16)
    state: u32 = 0
    duration: u64 = 0


@pdu
class LeaseNotification(Fixed):
    """2.2.23.2."""

    structure_size: u16 = 44
    epoch: u16 = 0
    flags: u32 = 0
    key: Guid = bytes(16)
    current_state: u32 = 0
    new_state: u32 = 0
    reason: u32 = 0
    access_hint: u32 = 0
    share_hint: u32 = 0


def _structure_size(packet: memoryview) -> int:
    return int.from_bytes(packet[HEADER_SIZE : HEADER_SIZE + 2], "little")


@dataclass(slots=True)
class OplockBreakRequest(Request):
    """The client's acknowledgment."""

    COMMAND: ClassVar[int] = Command.OPLOCK_BREAK
    body: OplockBreak | LeaseBreak

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        size = _structure_size(packet)
        if size == 24:
            return cls(OplockBreak.unpack_from(packet, HEADER_SIZE))
        if size == 36:
            return cls(LeaseBreak.unpack_from(packet, HEADER_SIZE))
        raise Malformed(f"OPLOCK_BREAK: StructureSize {size}")

    def parts(self) -> list[Buffer]:
        return [self.body.pack()]


@dataclass(slots=True)
class OplockBreakResponse(Response):
    """The server's answer to an acknowledgment, or its notification (then the message id is all ones)."""

    COMMAND: ClassVar[int] = Command.OPLOCK_BREAK
    body: OplockBreak | LeaseBreak | LeaseNotification

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        if _structure_size(packet) == 44:
            return cls(LeaseNotification.unpack_from(packet, HEADER_SIZE))
        return cls(OplockBreakRequest.parse(packet).body)

    def parts(self) -> list[Buffer]:
        return [self.body.pack()]
