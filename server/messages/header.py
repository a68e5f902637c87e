"""The SMB2 header (MS-SMB2 2.2.1), the error response (2.2.2), and the names of commands and flags."""

from dataclasses import dataclass
from typing import ClassVar, Self

from smbdirect.wire import Buffer, Bytes4, Bytes16, Malformed, Pdu, pdu, span, u8, u16, u32, u64

from .base import HEADER_SIZE, Response

PROTOCOL_ID = b"\xfeSMB"
TRANSFORM_ID = b"\xfdSMB"
COMPRESSION_ID = b"\xfcSMB"
SMB1_ID = b"\xffSMB"


class Command:
    NEGOTIATE = 0
    SESSION_SETUP = 1
    LOGOFF = 2
    TREE_CONNECT = 3
    TREE_DISCONNECT = 4
    CREATE = 5
    CLOSE = 6
    FLUSH = 7
    READ = 8
    WRITE = 9
    LOCK = 10
    IOCTL = 11
    CANCEL = 12
    ECHO = 13
    QUERY_DIRECTORY = 14
    CHANGE_NOTIFY = 15
    QUERY_INFO = 16
    SET_INFO = 17
    OPLOCK_BREAK = 18


_NAMES = {value: name for name, value in vars(Command).items() if name.isupper()}


def command_name(command: int) -> str:
    """The command's name, for logs."""
    return _NAMES.get(command, f"command {command}")


class Flags:
    RESPONSE = 0x00000001
    ASYNC = 0x00000002
    RELATED = 0x00000004
    SIGNED = 0x00000008
    PRIORITY_MASK = 0x00000070
    DFS = 0x10000000
    REPLAY = 0x20000000


@pdu
class Header(Pdu):
    """SMB2 header, both forms: `async_or_ids` is AsyncId in the ASYNC form, else (ProcessId | TreeId << 32)."""

    protocol_id: Bytes4 = PROTOCOL_ID
    structure_size: u16 = HEADER_SIZE
    credit_charge: u16 = 0
    status: u32 = 0
    """In requests: ChannelSequence (low 16 bits) from dialect 3.0 on."""
    command: u16 = 0
    credits: u16 = 0
    flags: u32 = 0
    next_command: u32 = 0
    message_id: u64 = 0
    async_or_ids: u64 = 0
    session_id: u64 = 0
    signature: Bytes16 = bytes(16)

    @property
    def tree_id(self) -> int:
        return self.async_or_ids >> 32

    @property
    def channel_sequence(self) -> int:
        return self.status & 0xFFFF


@dataclass(slots=True)
class ErrorResponse(Response):
    """ERROR Response (MS-SMB2 2.2.2); `data` is ErrorData, with its contexts already built in 3.1.1."""

    COMMAND: ClassVar[int] = 0xFFFF
    data: Buffer = b""
    context_count: int = 0

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        fixed = _Error.unpack_from(packet, HEADER_SIZE)
        if fixed.structure_size != 9:
            raise Malformed(f"error response: StructureSize {fixed.structure_size}")
        data = span(packet, HEADER_SIZE + _Error.SIZE, fixed.byte_count, "ErrorData")
        return cls(bytes(data), fixed.context_count)

    def parts(self) -> list[Buffer]:
        fixed = _Error(context_count=self.context_count, byte_count=len(self.data)).pack()
        return [fixed + (bytes(self.data) or b"\0")]  # one byte of ErrorData where there is none


@pdu
class _Error(Pdu):
    structure_size: u16 = 9
    context_count: u8 = 0
    reserved: u8 = 0
    byte_count: u32 = 0
