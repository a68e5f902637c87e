"""QUERY_DIRECTORY and CHANGE_NOTIFY (MS-SMB2 2.2.33 - 2.2.36), and the notification records of the latter.

The entries a directory answer is made of are in `entries`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

from smbdirect.wire import Buffer, FileId, Pdu, chain, join_chain, pdu, span, text, u8, u16, u32, utf16

from .base import HEADER_SIZE, Fixed, Request, Response, fixed_part
from .header import Command


class QueryDirectoryFlags:
    RESTART_SCANS = 0x01
    RETURN_SINGLE_ENTRY = 0x02
    INDEX_SPECIFIED = 0x04
    REOPEN = 0x10


WATCH_TREE = 0x0001
"""CHANGE_NOTIFY's flag: the directories below it too."""


class CompletionFilter:
    FILE_NAME = 0x00000001
    DIR_NAME = 0x00000002
    ATTRIBUTES = 0x00000004
    SIZE = 0x00000008
    LAST_WRITE = 0x00000010
    LAST_ACCESS = 0x00000020
    CREATION = 0x00000040
    EA = 0x00000080
    SECURITY = 0x00000100
    STREAM_NAME = 0x00000200
    STREAM_SIZE = 0x00000400
    STREAM_WRITE = 0x00000800


class NotifyAction:
    ADDED = 1
    REMOVED = 2
    MODIFIED = 3
    RENAMED_OLD_NAME = 4
    RENAMED_NEW_NAME = 5
    ADDED_STREAM = 6
    REMOVED_STREAM = 7
    MODIFIED_STREAM = 8


@pdu
class _QueryDirectory(Fixed):
    structure_size: u16 = 33
    info_class: u8 = 0
    flags: u8 = 0
    file_index: u32 = 0
    file_id: FileId = bytes(16)
    pattern_offset: u16 = 0
    pattern_length: u16 = 0
    output_length: u32 = 0


@dataclass(slots=True)
class QueryDirectoryRequest(Request):
    """QUERY_DIRECTORY request (2.2.33); `info_class` is an `entries.DirectoryClass`."""

    COMMAND: ClassVar[int] = Command.QUERY_DIRECTORY
    file_id: bytes
    info_class: int
    pattern: str
    output_length: int
    flags: int = 0
    file_index: int = 0

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        fixed = fixed_part(_QueryDirectory, packet, 33)
        pattern = text(packet, fixed.pattern_offset, fixed.pattern_length, "pattern")
        return cls(fixed.file_id, fixed.info_class, pattern, fixed.output_length, fixed.flags, fixed.file_index)

    def parts(self) -> list[Buffer]:
        pattern = utf16(self.pattern)
        fixed = _QueryDirectory(
            info_class=self.info_class, flags=self.flags, file_index=self.file_index, file_id=self.file_id,
            pattern_offset=HEADER_SIZE + _QueryDirectory.SIZE, pattern_length=len(pattern),
            output_length=self.output_length,
        ).pack()  # fmt: skip
        return [fixed + (pattern or b"\0")]


@pdu
class _Output(Fixed):
    structure_size: u16 = 9
    data_offset: u16 = 0
    data_length: u32 = 0


@dataclass(slots=True)
class OutputResponse(Response):
    """A response that is one buffer: QUERY_DIRECTORY's, CHANGE_NOTIFY's and QUERY_INFO's are alike."""

    data: Buffer = b""

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        fixed = fixed_part(_Output, packet, 9)
        return cls(span(packet, fixed.data_offset, fixed.data_length, "output"))

    def parts(self) -> list[Buffer]:
        fixed = _Output(data_offset=HEADER_SIZE + _Output.SIZE, data_length=len(self.data)).pack()
        return [fixed, self.data] if len(self.data) else [fixed + b"\0"]


@dataclass(slots=True)
class QueryDirectoryResponse(OutputResponse):
    """QUERY_DIRECTORY response (2.2.34): a chain of `entries`."""

    COMMAND: ClassVar[int] = Command.QUERY_DIRECTORY


@pdu
class _ChangeNotify(Fixed):
    structure_size: u16 = 32
    flags: u16 = 0
    output_length: u32 = 0
    file_id: FileId = bytes(16)
    completion_filter: u32 = 0
    reserved: u32 = 0


@dataclass(slots=True)
class ChangeNotifyRequest(Request):
    """CHANGE_NOTIFY request (2.2.35)."""

    COMMAND: ClassVar[int] = Command.CHANGE_NOTIFY
    file_id: bytes
    completion_filter: int
    output_length: int
    flags: int = 0

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        fixed = fixed_part(_ChangeNotify, packet, 32)
        return cls(fixed.file_id, fixed.completion_filter, fixed.output_length, fixed.flags)

    def parts(self) -> list[Buffer]:
        return [
            _ChangeNotify(
                flags=self.flags, output_length=self.output_length, file_id=self.file_id,
                completion_filter=self.completion_filter,
            ).pack()
        ]  # fmt: skip


@dataclass(slots=True)
class ChangeNotifyResponse(OutputResponse):
    """CHANGE_NOTIFY response (2.2.36): what `pack_changes` makes."""

    COMMAND: ClassVar[int] = Command.CHANGE_NOTIFY


class Change(NamedTuple):
    """One FILE_NOTIFY_INFORMATION (MS-FSCC 2.7.1): a NotifyAction and the name from the watched directory on."""

    action: int
    name: str


@pdu
class _Change(Pdu):
    next: u32 = 0
    action: u32 = 0
    name_length: u32 = 0


def pack_changes(changes: Iterable[Change]) -> bytes:
    """The records as a chain, aligned to 4 bytes."""
    return join_chain((_pack_change(change) for change in changes), align=4)


def _pack_change(change: Change) -> bytes:
    name = utf16(change.name)
    return _Change(action=change.action, name_length=len(name)).pack() + name


def unpack_changes(data: memoryview) -> list[Change]:
    changes = []
    for entry in chain(data, _Change.SIZE, "change", align=4):
        head = _Change.unpack_from(entry)
        changes.append(Change(head.action, text(entry, _Change.SIZE, head.name_length)))
    return changes
