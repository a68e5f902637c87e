"""File information classes that QUERY_INFO answers (MS-FSCC 2.4), and their numbers.

Fixed structures `parse` and `pack`; names, streams and links have a function each. Times are FILETIMEs, sizes
bytes. Classes that are only set are in `fscc_set`, extended attributes in `fscc_ea`, quotas in `fscc_quota`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Self

from smbdirect.wire import (
    Buffer,
    Bytes16,
    Bytes32,
    Malformed,
    Pdu,
    chain,
    i32,
    i64,
    join_chain,
    pdu,
    span,
    text,
    u8,
    u16,
    u32,
    u64,
    utf16,
)


class FileClass:
    """FILE_INFORMATION_CLASS; those of directories are `entries.DirectoryClass`."""

    BASIC = 4
    STANDARD = 5
    INTERNAL = 6
    EA = 7
    ACCESS = 8
    NAME = 9
    RENAME = 10
    LINK = 11
    DISPOSITION = 13
    POSITION = 14
    FULL_EA = 15
    MODE = 16
    ALIGNMENT = 17
    ALL = 18
    ALLOCATION = 19
    END_OF_FILE = 20
    ALTERNATE_NAME = 21
    STREAM = 22
    PIPE = 23
    PIPE_LOCAL = 24
    PIPE_REMOTE = 25
    COMPRESSION = 28
    OBJECT_ID = 29
    QUOTA = 32
    REPARSE_POINT = 33
    NETWORK_OPEN = 34
    ATTRIBUTE_TAG = 35
    VALID_DATA_LENGTH = 39
    SHORT_NAME = 40
    HARD_LINK = 46
    NORMALIZED_NAME = 48
    STANDARD_LINK = 54
    REMOTE_PROTOCOL = 55
    ID = 59
    DISPOSITION_EX = 64
    RENAME_EX = 65
    STAT = 68
    CASE_SENSITIVE = 71
    LINK_EX = 72


class FileAttribute:
    """2.6."""

    READONLY = 0x00000001
    HIDDEN = 0x00000002
    SYSTEM = 0x00000004
    DIRECTORY = 0x00000010
    ARCHIVE = 0x00000020
    NORMAL = 0x00000080
    TEMPORARY = 0x00000100
    SPARSE_FILE = 0x00000200
    REPARSE_POINT = 0x00000400
    COMPRESSED = 0x00000800
    OFFLINE = 0x00001000
    NOT_CONTENT_INDEXED = 0x00002000
    ENCRYPTED = 0x00004000
    INTEGRITY_STREAM = 0x00008000
    NO_SCRUB_DATA = 0x00020000


class Information(Pdu):
    """A structure of fixed size; what follows it in a SET_INFO is ignored."""

    __slots__ = ()

    @classmethod
    def parse(cls, data: Buffer) -> Self:
        return cls.unpack_from(data)


@pdu
class Basic(Information):
    """2.4.7. Signed: when set, a time of 0 leaves it, -1 stops and -2 resumes its automatic update."""

    created: i64 = 0
    accessed: i64 = 0
    modified: i64 = 0
    changed: i64 = 0
    attributes: u32 = 0
    reserved: u32 = 0


@pdu
class Standard(Information):
    """2.4.47."""

    allocation: u64 = 0
    size: u64 = 0
    links: u32 = 1
    delete_pending: u8 = 0
    directory: u8 = 0
    reserved: u16 = 0


@pdu
class Internal(Information):
    """2.4.27."""

    index: u64 = 0


@pdu
class EaSize(Information):
    """FileEaInformation, 2.4.13."""

    ea_size: u32 = 0


@pdu
class Access(Information):
    """2.4.1."""

    access: u32 = 0


@pdu
class Position(Information):
    """2.4.40."""

    position: i64 = 0


@pdu
class Mode(Information):
    """2.4.31: CreateOptions that hold."""

    mode: u32 = 0


@pdu
class Alignment(Information):
    """2.4.3: 0 is a byte, 511 is 512 bytes."""

    requirement: u32 = 0


@dataclass(slots=True)
class All:
    """FileAllInformation, 2.4.2: the name comes last, so that it can be cut where the room ends."""

    basic: Basic
    standard: Standard
    internal: Internal
    ea: EaSize
    access: Access
    position: Position
    mode: Mode
    alignment: Alignment
    name: str

    @classmethod
    def parse(cls, data: memoryview) -> Self:
        basic, standard, internal = Basic.parse(data), Standard.unpack_from(data, 40), Internal.unpack_from(data, 64)
        ea, access = EaSize.unpack_from(data, 72), Access.unpack_from(data, 76)
        position, mode = Position.unpack_from(data, 80), Mode.unpack_from(data, 88)
        alignment, name = Alignment.unpack_from(data, 92), unpack_name(data[96:])
        return cls(basic, standard, internal, ea, access, position, mode, alignment, name)

    def pack(self) -> bytes:
        fixed: tuple[Information, ...] = (
            self.basic, self.standard, self.internal, self.ea, self.access, self.position, self.mode, self.alignment,
        )  # fmt: skip
        return b"".join(each.pack() for each in fixed) + pack_name(self.name)


def pack_name(name: str) -> bytes:
    """FILE_NAME_INFORMATION (2.1.7): Name, AlternateName, ShortName and NormalizedName are all it; and FsLabel."""
    raw = utf16(name)
    return len(raw).to_bytes(4, "little") + raw


def unpack_name(data: memoryview) -> str:
    if len(data) < 4:
        raise Malformed(f"name information: {len(data)} bytes")
    return text(data, 4, int.from_bytes(data[:4], "little"))


@pdu
class Compression(Information):
    """2.4.9; format 0: none."""

    compressed_size: u64 = 0
    format: u16 = 0
    unit_shift: u8 = 0
    chunk_shift: u8 = 0
    cluster_shift: u8 = 0
    reserved: u8 = 0
    reserved2: u16 = 0


@pdu
class NetworkOpen(Information):
    """2.4.34."""

    created: u64 = 0
    accessed: u64 = 0
    modified: u64 = 0
    changed: u64 = 0
    allocation: u64 = 0
    size: u64 = 0
    attributes: u32 = 0
    reserved: u32 = 0


@pdu
class AttributeTag(Information):
    """2.4.6."""

    attributes: u32 = 0
    reparse_tag: u32 = 0


@pdu
class StandardLink(Information):
    """FileStandardLinkInformation, 2.4.48."""

    accessible_links: u32 = 1
    total_links: u32 = 1
    delete_pending: u8 = 0
    directory: u8 = 0
    reserved: u16 = 0


@pdu
class IdInformation(Information):
    """FileIdInformation, 2.4.26; `file_id` has 128 bits."""

    volume_serial: u64 = 0
    file_id: Bytes16 = bytes(16)


@pdu
class CaseSensitive(Information):
    """FileCaseSensitiveInformation, 2.4.8; 1: this directory's names are."""

    flags: u32 = 0


PROTOCOL_SMB = 0x00020000


@pdu
class RemoteProtocol(Information):
    """FileRemoteProtocolInformation, 2.4.42 (version 1: nothing of the protocol's own)."""

    version: u16 = 1
    size: u16 = 116
    protocol: u32 = PROTOCOL_SMB
    major: u16 = 0
    minor: u16 = 0
    revision: u16 = 0
    reserved: u16 = 0
    flags: u32 = 0
    generic: Bytes32 = bytes(32)
    specific: Bytes32 = bytes(32)
    specific2: Bytes32 = bytes(32)


@pdu
class Pipe(Information):
    """FilePipeInformation, 2.4.37; ReadMode 1: messages."""

    read_mode: u32 = 0
    completion_mode: u32 = 0


@pdu
class PipeLocal(Information):
    """2.4.38; bytes, and the pipe's state (3: connected)."""

    type: u32 = 0
    configuration: u32 = 0
    maximum_instances: u32 = 0
    instances: u32 = 0
    inbound_quota: u32 = 0
    read_available: u32 = 0
    outbound_quota: u32 = 0
    write_available: u32 = 0
    state: u32 = 0
    end: u32 = 0


@pdu
class PipeRemote(Information):
    """2.4.39."""

    collect_time: i64 = 0
    collect_count: i32 = 0


class StreamEntry(NamedTuple):
    """An element of FileStreamInformation (2.4.49); `name` as sent, such as "::$DATA" or ":x:$DATA"."""

    name: str
    size: int
    allocation: int


@pdu
class _Stream(Pdu):
    next: u32
    name_length: u32
    size: u64
    allocation: u64


def pack_streams(streams: Iterable[StreamEntry]) -> bytes:
    return join_chain(_Stream(0, len(raw := utf16(name)), *sizes).pack() + raw for name, *sizes in streams)


def unpack_streams(data: memoryview) -> list[StreamEntry]:
    streams = []
    for entry in chain(data, _Stream.SIZE, "stream", align=8):
        head = _Stream.unpack_from(entry)
        streams.append(StreamEntry(text(entry, _Stream.SIZE, head.name_length), head.size, head.allocation))
    return streams


class HardLink(NamedTuple):
    """A name of a file, in the directory whose number is `parent`."""

    parent: int
    name: str


@pdu
class _Link(Pdu):
    """As the C structure lies: MS-FSCC's picture leaves its padding out."""

    next: u32
    padding: u32
    parent: u64
    name_characters: u32


@pdu
class _Links(Pdu):
    needed: u32
    count: u32


def pack_links(links: list[HardLink]) -> bytes:
    """FileHardLinkInformation (2.4.21)."""
    entries = join_chain(_Link(0, 0, parent, len(raw := utf16(name)) // 2).pack() + raw for parent, name in links)
    return _Links(_Links.SIZE + len(entries), len(links)).pack() + entries


def unpack_links(data: memoryview) -> list[HardLink]:
    head, links = _Links.unpack_from(data), []
    for entry in chain(span(data, _Links.SIZE, len(data) - _Links.SIZE), _Link.SIZE, "link"):
        link = _Link.unpack_from(entry)
        links.append(HardLink(link.parent, text(entry, _Link.SIZE, 2 * link.name_characters)))
    if len(links) != head.count:
        raise Malformed(f"{len(links)} links where {head.count} are said")
    return links
