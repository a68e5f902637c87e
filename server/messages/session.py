"""SESSION_SETUP and LOGOFF (MS-SMB2 2.2.5 - 2.2.8)."""

from dataclasses import dataclass
from typing import ClassVar, Self

from smbdirect.wire import Buffer, pdu, span, u8, u16, u32, u64

from .base import HEADER_SIZE, Empty, Fixed, Request, Response, fixed_part
from .header import Command


class SetupFlags:
    """Of the request."""

    BINDING = 0x01


class SessionFlags:
    """Of the response."""

    IS_GUEST = 0x0001
    IS_NULL = 0x0002
    ENCRYPT_DATA = 0x0004


@pdu
class _SessionSetup(Fixed):
    structure_size: u16 = 25
    flags: u8 = 0
    security_mode: u8 = 0
    capabilities: u32 = 0
    channel: u32 = 0
    token_offset: u16 = 0
    token_length: u16 = 0
    previous_session_id: u64 = 0


@dataclass(slots=True)
class SessionSetupRequest(Request):
    """SESSION_SETUP request (2.2.5); `token` is SPNEGO's or raw NTLMSSP."""

    COMMAND: ClassVar[int] = Command.SESSION_SETUP
    flags: int = 0
    security_mode: int = 0
    capabilities: int = 0
    channel: int = 0
    previous_session_id: int = 0
    token: bytes = b""

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        fixed = fixed_part(_SessionSetup, packet, 25)
        return cls(
            fixed.flags, fixed.security_mode, fixed.capabilities, fixed.channel, fixed.previous_session_id,
            bytes(span(packet, fixed.token_offset, fixed.token_length, "security token")),
        )  # fmt: skip

    def parts(self) -> list[Buffer]:
        fixed = _SessionSetup(
            flags=self.flags, security_mode=self.security_mode, capabilities=self.capabilities, channel=self.channel,
            token_offset=HEADER_SIZE + _SessionSetup.SIZE, token_length=len(self.token),
            previous_session_id=self.previous_session_id,
        ).pack()  # fmt: skip
        return [fixed + (self.token or b"\0")]


@pdu
class _SessionSetupResponse(Fixed):
    structure_size: u16 = 9
    flags: u16 = 0
    token_offset: u16 = 0
    token_length: u16 = 0


@dataclass(slots=True)
class SessionSetupResponse(Response):
    """SESSION_SETUP response (2.2.6)."""

    COMMAND: ClassVar[int] = Command.SESSION_SETUP
    flags: int = 0
    token: bytes = b""

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        fixed = fixed_part(_SessionSetupResponse, packet, 9)
        return cls(fixed.flags, bytes(span(packet, fixed.token_offset, fixed.token_length, "security token")))

    def parts(self) -> list[Buffer]:
        fixed = _SessionSetupResponse(
            flags=self.flags, token_offset=HEADER_SIZE + _SessionSetupResponse.SIZE, token_length=len(self.token)
        ).pack()
        return [fixed + (self.token or b"\0")]


@dataclass(slots=True)
class LogoffRequest(Empty, Request):
    COMMAND: ClassVar[int] = Command.LOGOFF


@dataclass(slots=True)
class LogoffResponse(Empty, Response):
    COMMAND: ClassVar[int] = Command.LOGOFF
