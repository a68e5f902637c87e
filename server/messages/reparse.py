"""Reparse data (MS-FSCC 2.1.2) and what a symbolic link in the middle of a path is answered with (MS-SMB2 2.2.2.2)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Self

from smbdirect.wire import Malformed, Pdu, pdu, span, text, u16, u32, utf16


class ReparseTag:
    MOUNT_POINT = 0xA0000003
    SYMLINK = 0xA000000C
    NFS = 0x80000014
    WSL_SYMLINK = 0xA000001D
    APPEXECLINK = 0x8000001B
    AF_UNIX = 0x80000023


MICROSOFT = 0x80000000
"""The tag's bit without which a GUID follows the head."""
SYMLINK_RELATIVE = 0x00000001
MAX_REPARSE_SIZE = 16 * 1024


@pdu
class _Head(Pdu):
    tag: u32
    length: u16
    reserved: u16 = 0


@dataclass(slots=True)
class ReparseBuffer:
    """Any reparse buffer (2.1.2.1 - 2.1.2.3): `guid` is b"" for Microsoft's tags, 16 bytes for all others."""

    tag: int
    data: bytes
    guid: bytes = b""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        head = _Head.unpack_from(data)
        guid_size = 0 if head.tag & MICROSOFT else 16
        if len(data) != _Head.SIZE + guid_size + head.length:
            raise Malformed(f"reparse buffer: {head.length} bytes of data in {len(data)}")
        return cls(head.tag, data[_Head.SIZE + guid_size :], data[_Head.SIZE :][:guid_size])

    def pack(self) -> bytes:
        return _Head(self.tag, len(self.data)).pack() + self.guid + self.data


@pdu
class _Names(Pdu):
    substitute_offset: u16
    substitute_length: u16
    print_offset: u16
    print_length: u16


@dataclass(slots=True)
class MountPoint:
    """Mount Point Reparse Data (2.1.2.5)."""

    substitute: str
    printed: str

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """From a `ReparseBuffer`'s data."""
        return cls(*_unpack_names(memoryview(data), _Names.SIZE))

    def pack(self) -> bytes:
        """The whole reparse buffer."""
        return ReparseBuffer(ReparseTag.MOUNT_POINT, _pack_names(self.substitute, self.printed)).pack()


@dataclass(slots=True)
class SymbolicLink:
    """Symbolic Link Reparse Data (2.1.2.4): the target as the system uses it, and as people are shown it."""

    substitute: str
    printed: str
    relative: bool

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """From a `ReparseBuffer`'s data."""
        if len(data) < _Names.SIZE + 4:
            raise Malformed(f"symbolic link: {len(data)} bytes")
        flags = int.from_bytes(data[_Names.SIZE :][:4], "little")
        return cls(*_unpack_names(memoryview(data), _Names.SIZE + 4), bool(flags & SYMLINK_RELATIVE))

    def pack(self) -> bytes:
        """The whole reparse buffer."""
        flags = SYMLINK_RELATIVE if self.relative else 0
        names = _pack_names(self.substitute, self.printed, flags.to_bytes(4, "little"))
        return ReparseBuffer(ReparseTag.SYMLINK, names).pack()


def _unpack_names(data: memoryview, start: int) -> tuple[str, str]:
    head = _Names.unpack_from(data)
    names = span(data, start, len(data) - start, "names")
    return (
        text(names, head.substitute_offset, head.substitute_length, "substitute name"),
        text(names, head.print_offset, head.print_length, "print name"),
    )


def _pack_names(substitute: str, printed: str, between: bytes = b"") -> bytes:
    first, second = utf16(substitute), utf16(printed)
    return _Names(0, len(first), len(first), len(second)).pack() + between + first + second


SYMLINK_ERROR_TAG = 0x4C4D5953
"""Reads SYML."""


@pdu
class _SymlinkError(Pdu):
    length: u32
    error_tag: u32 = SYMLINK_ERROR_TAG
    reparse_tag: u32 = ReparseTag.SYMLINK
    data_length: u16 = 0
    unparsed_length: u16 = 0
    substitute_offset: u16 = 0
    substitute_length: u16 = 0
    print_offset: u16 = 0
    print_length: u16 = 0
    flags: u32 = 0


@dataclass(slots=True)
class SymbolicLinkError:
    """Symbolic Link Error Response (MS-SMB2 2.2.2.2.1), the ErrorData of STOPPED_ON_SYMLINK.

    `unparsed` counts the bytes of the requested name, in UTF-16, that lie behind the link's own.
    """

    substitute: str
    printed: str
    relative: bool
    unparsed: int = 0

    @classmethod
    def parse(cls, data: bytes) -> Self:
        head = _SymlinkError.unpack_from(data)
        if head.error_tag != SYMLINK_ERROR_TAG or head.reparse_tag != ReparseTag.SYMLINK:
            raise Malformed(f"error data is no symbolic link's: {head.error_tag:#x}")
        link = SymbolicLink.parse(data[_SymlinkError.SIZE - _Names.SIZE - 4 :])
        return cls(link.substitute, link.printed, link.relative, head.unparsed_length)

    def pack(self) -> bytes:
        buffer = SymbolicLink(self.substitute, self.printed, self.relative).pack()
        buffer = buffer[: _Head.SIZE - 2] + self.unparsed.to_bytes(2, "little") + buffer[_Head.SIZE :]
        return (4 + len(buffer)).to_bytes(4, "little") + SYMLINK_ERROR_TAG.to_bytes(4, "little") + buffer


ERROR_ID_DEFAULT = 0
ERROR_ID_SHARE_REDIRECT = 0x72645253


class ErrorContext(NamedTuple):
    """SMB2 ERROR Context (MS-SMB2 2.2.2.1), as 3.1.1 wraps ErrorData."""

    data: bytes
    id: int = ERROR_ID_DEFAULT


@pdu
class _ErrorContext(Pdu):
    length: u32
    id: u32


def pack_error_contexts(contexts: Iterable[ErrorContext]) -> bytes:
    out = bytearray()
    for data, kind in contexts:
        out += bytes(-len(out) % 8) + _ErrorContext(len(data), kind).pack() + data
    return bytes(out)


def unpack_error_contexts(data: bytes, count: int) -> list[ErrorContext]:
    contexts, offset = [], 0
    for _ in range(count):
        head = _ErrorContext.unpack_from(data, offset)
        offset += _ErrorContext.SIZE
        contexts.append(ErrorContext(bytes(span(memoryview(data), offset, head.length, "error context")), head.id))
        offset += head.length + -head.length % 8
    return contexts
