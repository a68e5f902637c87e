"""File information classes that are set (MS-FSCC 2.4), beside `fscc_file.Basic`, `Position`, `Mode` and `Pipe`."""

from dataclasses import dataclass
from typing import Self

from smbdirect.wire import Pdu, i64, pdu, text, u8, u32, u64, utf16

from .fscc_file import Information


@pdu
class Disposition(Information):
    """FileDispositionInformation, 2.4.11."""

    delete: u8


class DispositionFlags:
    DELETE = 0x01
    POSIX_SEMANTICS = 0x02
    FORCE_IMAGE_SECTION_CHECK = 0x04
    ON_CLOSE = 0x08
    IGNORE_READONLY_ATTRIBUTE = 0x10


@pdu
class DispositionEx(Information):
    """FileDispositionInformationEx, 2.4.12."""

    flags: u32


@pdu
class Allocation(Information):
    """FileAllocationInformation, 2.4.4. Signed: below zero is INVALID_PARAMETER."""

    size: i64


@pdu
class EndOfFile(Information):
    """FileEndOfFileInformation, 2.4.14."""

    size: i64


@pdu
class ValidDataLength(Information):
    """FileValidDataLengthInformation, 2.4.53."""

    length: i64


class RenameFlags:
    """Of RenameEx, and of LinkEx where it means the same."""

    REPLACE_IF_EXISTS = 0x01
    POSIX_SEMANTICS = 0x02
    IGNORE_READONLY_ATTRIBUTE = 0x40


@pdu
class _Rename(Pdu):
    flags: u32
    reserved: u32
    root: u64
    name_length: u32


@dataclass(slots=True)
class Rename:
    """Rename, RenameEx (2.4.42.2, 2.4.43), Link and LinkEx (2.4.28.2, 2.4.29), which all look alike.

    The plain ones have ReplaceIfExists in the first byte and garbage in the next three: `parse` masks those
    unless it is told that the class is `extended`. `root` is 0 in all that SMB2 allows.
    """

    name: str
    flags: int = 0
    root: int = 0

    @property
    def replace(self) -> bool:
        return bool(self.flags & RenameFlags.REPLACE_IF_EXISTS)

    @classmethod
    def parse(cls, data: bytes, extended: bool = False) -> Self:
        head = _Rename.unpack_from(data)
        name = text(memoryview(data), _Rename.SIZE, head.name_length)
        flags = head.flags if extended else RenameFlags.REPLACE_IF_EXISTS if head.flags & 0xFF else 0
        return cls(name, flags, head.root)

    def pack(self) -> bytes:
        raw = utf16(self.name)
        return (_Rename(self.flags, 0, self.root, len(raw)).pack() + raw).ljust(24, b"\0")  # as Windows demands
