"""IOCTL (MS-SMB2 2.2.31, 2.2.32); the structures it carries are in `fsctl` and `reparse`."""

from dataclasses import dataclass
from typing import ClassVar, Self

from smbdirect.wire import Buffer, FileId, pdu, span, u16, u32

from .base import HEADER_SIZE, Fixed, Request, Response, fixed_part
from .header import Command

IS_FSCTL = 0x00000001
"""The flag without which an IOCTL is one, and not supported."""
NO_FILE = b"\xff" * 16
"""The FileId of an FSCTL that is about no file."""


class Fsctl:
    """Control codes (2.2.31, MS-FSCC 2.3)."""

    DFS_GET_REFERRALS = 0x00060194
    DFS_GET_REFERRALS_EX = 0x000601B0
    SET_COMPRESSION = 0x0009C040
    GET_COMPRESSION = 0x0009003C
    IS_PATHNAME_VALID = 0x0009002C
    IS_VOLUME_DIRTY = 0x00090078
    FILESYSTEM_GET_STATISTICS = 0x00090060
    GET_NTFS_VOLUME_DATA = 0x00090064
    GET_RETRIEVAL_POINTERS = 0x00090073
    FIND_FILES_BY_SID = 0x0009008F
    SET_OBJECT_ID = 0x00090098
    GET_OBJECT_ID = 0x0009009C
    DELETE_OBJECT_ID = 0x000900A0
    SET_OBJECT_ID_EXTENDED = 0x000900BC
    CREATE_OR_GET_OBJECT_ID = 0x000900C0
    SET_REPARSE_POINT = 0x000900A4
    GET_REPARSE_POINT = 0x000900A8
    DELETE_REPARSE_POINT = 0x000900AC
    SET_SPARSE = 0x000900C4
    SET_ZERO_DATA = 0x000980C8
    QUERY_ALLOCATED_RANGES = 0x000940CF
    FILE_LEVEL_TRIM = 0x00098208
    OFFLOAD_READ = 0x00094264
    OFFLOAD_WRITE = 0x00098268
    GET_INTEGRITY_INFORMATION = 0x0009027C
    SET_INTEGRITY_INFORMATION = 0x0009C280
    QUERY_FILE_REGIONS = 0x00090284
    DUPLICATE_EXTENTS_TO_FILE = 0x00098344
    DUPLICATE_EXTENTS_TO_FILE_EX = 0x000983E8
    PIPE_PEEK = 0x0011400C
    PIPE_WAIT = 0x00110018
    PIPE_TRANSCEIVE = 0x0011C017
    SRV_COPYCHUNK = 0x001440F2
    SRV_COPYCHUNK_WRITE = 0x001480F2
    SRV_ENUMERATE_SNAPSHOTS = 0x00144064
    SRV_REQUEST_RESUME_KEY = 0x00140078
    SRV_READ_HASH = 0x001441BB
    LMR_REQUEST_RESILIENCY = 0x001401D4
    QUERY_NETWORK_INTERFACE_INFO = 0x001401FC
    VALIDATE_NEGOTIATE_INFO = 0x00140204


@pdu
class _Ioctl(Fixed):
    structure_size: u16 = 57
    reserved: u16 = 0
    ctl_code: u32 = 0
    file_id: FileId = NO_FILE
    input_offset: u32 = 0
    input_count: u32 = 0
    max_input: u32 = 0
    output_offset: u32 = 0
    output_count: u32 = 0
    max_output: u32 = 0
    flags: u32 = 0
    reserved2: u32 = 0


@dataclass(slots=True)
class IoctlRequest(Request):
    """IOCTL request (2.2.31); the output some put into requests is checked and left out."""

    COMMAND: ClassVar[int] = Command.IOCTL
    ctl_code: int
    file_id: bytes = NO_FILE
    input: bytes = b""
    max_input: int = 0
    max_output: int = 0
    flags: int = IS_FSCTL

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        fixed = fixed_part(_Ioctl, packet, 57)
        span(packet, fixed.output_offset, fixed.output_count, "IOCTL output")
        data = bytes(span(packet, fixed.input_offset, fixed.input_count, "IOCTL input"))
        return cls(fixed.ctl_code, fixed.file_id, data, fixed.max_input, fixed.max_output, fixed.flags)

    def parts(self) -> list[Buffer]:
        start = HEADER_SIZE + _Ioctl.SIZE
        fixed = _Ioctl(
            ctl_code=self.ctl_code, file_id=self.file_id, input_offset=start if self.input else 0,
            input_count=len(self.input), max_input=self.max_input, max_output=self.max_output, flags=self.flags,
        ).pack()  # fmt: skip
        return [fixed + (self.input or b"\0")]


@pdu
class _IoctlResponse(Fixed):
    structure_size: u16 = 49
    reserved: u16 = 0
    ctl_code: u32 = 0
    file_id: FileId = NO_FILE
    input_offset: u32 = 0
    input_count: u32 = 0
    output_offset: u32 = 0
    output_count: u32 = 0
    flags: u32 = 0
    reserved2: u32 = 0


@dataclass(slots=True)
class IoctlResponse(Response):
    """IOCTL response (2.2.32); no input is echoed."""

    COMMAND: ClassVar[int] = Command.IOCTL
    ctl_code: int
    file_id: bytes = NO_FILE
    output: Buffer = b""
    flags: int = 0

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        fixed = fixed_part(_IoctlResponse, packet, 49)
        span(packet, fixed.input_offset, fixed.input_count, "IOCTL input")
        output = span(packet, fixed.output_offset, fixed.output_count, "IOCTL output")
        return cls(fixed.ctl_code, fixed.file_id, output, fixed.flags)

    def parts(self) -> list[Buffer]:
        start = HEADER_SIZE + _IoctlResponse.SIZE
        fixed = _IoctlResponse(
            ctl_code=self.ctl_code, file_id=self.file_id, input_offset=start, output_offset=start,
            output_count=len(self.output), flags=self.flags,
        ).pack()  # fmt: skip
        return [fixed, self.output] if len(self.output) else [fixed + b"\0"]
