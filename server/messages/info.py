"""QUERY_INFO and SET_INFO (MS-SMB2 2.2.37 - 2.2.40); the structures they carry are in `fscc_*`."""

from dataclasses import dataclass
from typing import ClassVar, Self

from smbdirect.wire import Buffer, FileId, pdu, span, u8, u16, u32

from .base import HEADER_SIZE, Fixed, Request, Response, fixed_part
from .directory import OutputResponse
from .header import Command


class InfoType:
    FILE = 1
    FILESYSTEM = 2
    SECURITY = 3
    QUOTA = 4


class SecurityInformation:
    """What `additional` holds for InfoType.SECURITY."""

    OWNER = 0x00000001
    GROUP = 0x00000002
    DACL = 0x00000004
    SACL = 0x00000008
    LABEL = 0x00000010
    ATTRIBUTE = 0x00000020
    SCOPE = 0x00000040
    BACKUP = 0x00010000


class QueryInfoFlags:
    """For FileFullEaInformation."""

    RESTART_SCAN = 0x00000001
    RETURN_SINGLE_ENTRY = 0x00000002
    INDEX_SPECIFIED = 0x00000004


@pdu
class _QueryInfo(Fixed):
    structure_size: u16 = 41
    info_type: u8 = 0
    info_class: u8 = 0
    output_length: u32 = 0
    input_offset: u16 = 0
    reserved: u16 = 0
    input_length: u32 = 0
    additional: u32 = 0
    flags: u32 = 0
    file_id: FileId = bytes(16)


@dataclass(slots=True)
class QueryInfoRequest(Request):
    """QUERY_INFO request (2.2.37); `input` is a list of EA names or a quota question."""

    COMMAND: ClassVar[int] = Command.QUERY_INFO
    file_id: bytes
    info_type: int
    info_class: int
    output_length: int
    additional: int = 0
    flags: int = 0
    input: bytes = b""

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        fixed = fixed_part(_QueryInfo, packet, 41)
        return cls(
            fixed.file_id, fixed.info_type, fixed.info_class, fixed.output_length, fixed.additional, fixed.flags,
            bytes(span(packet, fixed.input_offset, fixed.input_length, "input")),
        )  # fmt: skip

    def parts(self) -> list[Buffer]:
        fixed = _QueryInfo(
            info_type=self.info_type, info_class=self.info_class, output_length=self.output_length,
            input_offset=HEADER_SIZE + _QueryInfo.SIZE if self.input else 0, input_length=len(self.input),
            additional=self.additional, flags=self.flags, file_id=self.file_id,
        ).pack()  # fmt: skip
        return [fixed + (self.input or b"\0")]


@dataclass(slots=True)
class QueryInfoResponse(OutputResponse):
    """QUERY_INFO response (2.2.38)."""

    COMMAND: ClassVar[int] = Command.QUERY_INFO


@pdu
class _SetInfo(Fixed):
    structure_size: u16 = 33
    info_type: u8 = 0
    info_class: u8 = 0
    data_length: u32 = 0
    data_offset: u16 = 0
    reserved: u16 = 0
    additional: u32 = 0
    file_id: FileId = bytes(16)


@dataclass(slots=True)
class SetInfoRequest(Request):
    """SET_INFO request (2.2.39)."""

    COMMAND: ClassVar[int] = Command.SET_INFO
    file_id: bytes
    info_type: int
    info_class: int
    data: bytes
    additional: int = 0

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        fixed = fixed_part(_SetInfo, packet, 33)
        data = bytes(span(packet, fixed.data_offset, fixed.data_length, "SET_INFO data"))
        return cls(fixed.file_id, fixed.info_type, fixed.info_class, data, fixed.additional)

    def parts(self) -> list[Buffer]:
        fixed = _SetInfo(
            info_type=self.info_type, info_class=self.info_class, data_length=len(self.data),
            data_offset=HEADER_SIZE + _SetInfo.SIZE, additional=self.additional, file_id=self.file_id,
        ).pack()  # fmt: skip
        return [fixed + (self.data or b"\0")]


@pdu
class _SetInfoResponse(Fixed):
    structure_size: u16 = 2


@dataclass(slots=True)
class SetInfoResponse(Response):
    """SET_INFO response (2.2.40)."""

    COMMAND: ClassVar[int] = Command.SET_INFO

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        fixed_part(_SetInfoResponse, packet, 2)
        return cls()

    def parts(self) -> list[Buffer]:
        return [_SetInfoResponse().pack()]
