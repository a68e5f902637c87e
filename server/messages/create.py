"""CREATE (MS-SMB2 2.2.13, 2.2.14). What its contexts hold is in `create_contexts`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, Self

from smbdirect.wire import Buffer, FileId, Malformed, Pdu, chain, join_chain, pdu, span, text, u8, u16, u32, u64, utf16

from .base import HEADER_SIZE, Fixed, Request, Response, fixed_part
from .header import Command


class OplockLevel:
    NONE = 0x00
    II = 0x01
    EXCLUSIVE = 0x08
    BATCH = 0x09
    LEASE = 0xFF


class Impersonation:
    ANONYMOUS = 0
    IDENTIFICATION = 1
    IMPERSONATION = 2
    DELEGATE = 3


class ShareAccess:
    READ = 0x1
    WRITE = 0x2
    DELETE = 0x4


class Disposition:
    SUPERSEDE = 0
    OPEN = 1
    CREATE = 2
    OPEN_IF = 3
    OVERWRITE = 4
    OVERWRITE_IF = 5


class CreateOptions:
    DIRECTORY_FILE = 0x00000001
    WRITE_THROUGH = 0x00000002
    SEQUENTIAL_ONLY = 0x00000004
    NO_INTERMEDIATE_BUFFERING = 0x00000008
    SYNCHRONOUS_IO_ALERT = 0x00000010
    SYNCHRONOUS_IO_NONALERT = 0x00000020
    NON_DIRECTORY_FILE = 0x00000040
    COMPLETE_IF_OPLOCKED = 0x00000100
    NO_EA_KNOWLEDGE = 0x00000200
    RANDOM_ACCESS = 0x00000800
    DELETE_ON_CLOSE = 0x00001000
    OPEN_BY_FILE_ID = 0x00002000
    OPEN_FOR_BACKUP_INTENT = 0x00004000
    NO_COMPRESSION = 0x00008000
    OPEN_REMOTE_INSTANCE = 0x00000400
    OPEN_REQUIRING_OPLOCK = 0x00010000
    DISALLOW_EXCLUSIVE = 0x00020000
    RESERVE_OPFILTER = 0x00100000
    OPEN_REPARSE_POINT = 0x00200000
    OPEN_NO_RECALL = 0x00400000
    OPEN_FOR_FREE_SPACE_QUERY = 0x00800000


class CreateAction:
    SUPERSEDED = 0
    OPENED = 1
    CREATED = 2
    OVERWRITTEN = 3


CREATE_FLAG_REPARSEPOINT = 0x01
"""In the response's flags, 3.x only: the last name is a reparse point."""


class CreateContext(NamedTuple):
    """A create context (2.2.13.2): `name` is four letters or a GUID's 16 bytes (`create_contexts.ContextName`)."""

    name: bytes
    data: bytes = b""


SHORTEST_NAME = 4
"""Bytes: no context is called anything shorter."""


def find(contexts: Sequence[CreateContext], name: bytes) -> CreateContext | None:
    """The one context called `name`, None where there is none; a second is Malformed."""
    if not contexts:
        return None
    found = [context for context in contexts if context.name == name]
    if len(found) > 1:
        raise Malformed(f"{len(found)} create contexts {name!r}")
    return found[0] if found else None


@pdu
class _Context(Pdu):
    next: u32 = 0
    name_offset: u16 = 16
    name_length: u16 = 0
    reserved: u16 = 0
    data_offset: u16 = 0
    data_length: u32 = 0


def unpack_contexts(packet: memoryview) -> list[CreateContext]:
    """The contexts of a chain; each is cut where the next begins."""
    contexts = []
    for entry in chain(packet, _Context.SIZE, "create context", align=8):
        head = _Context.unpack_from(entry)
        name = span(entry, head.name_offset, head.name_length, "create context's name")
        if len(name) < SHORTEST_NAME:
            raise Malformed(f"create context: a name of {len(name)} bytes")
        data = span(entry, head.data_offset, head.data_length, "create context's data")
        contexts.append(CreateContext(bytes(name), bytes(data)))
    return contexts


def pack_contexts(contexts: Sequence[CreateContext]) -> bytes:
    return join_chain(map(_pack_context, contexts)) if contexts else b""


def _pack_context(context: CreateContext) -> bytes:
    name, data = context
    padding = bytes(-len(name) % 8 if data else 0)
    offset = _Context.SIZE + len(name) + len(padding) if data else 0
    head = _Context(name_length=len(name), data_offset=offset, data_length=len(data))
    return head.pack() + name + padding + data


@pdu
class _Create(Fixed):
    structure_size: u16 = 57
    security_flags: u8 = 0
    oplock_level: u8 = 0
    impersonation_level: u32 = 0
    create_flags: u64 = 0
    reserved: u64 = 0
    desired_access: u32 = 0
    attributes: u32 = 0
    share_access: u32 = 0
    disposition: u32 = 0
    options: u32 = 0
    name_offset: u16 = 0
    name_length: u16 = 0
    contexts_offset: u32 = 0
    contexts_length: u32 = 0


@dataclass(slots=True)
class CreateRequest(Request):
    """CREATE request (2.2.13)."""

    COMMAND: ClassVar[int] = Command.CREATE
    name: str
    desired_access: int
    disposition: int = Disposition.OPEN
    options: int = 0
    share_access: int = ShareAccess.READ | ShareAccess.WRITE | ShareAccess.DELETE
    attributes: int = 0
    oplock_level: int = OplockLevel.NONE
    impersonation_level: int = Impersonation.IMPERSONATION
    security_flags: int = 0
    contexts: list[CreateContext] = field(default_factory=list)

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        fixed = fixed_part(_Create, packet, 57)
        contexts = span(packet, fixed.contexts_offset, fixed.contexts_length, "create contexts")
        return cls(
            text(packet, fixed.name_offset, fixed.name_length), fixed.desired_access, fixed.disposition,
            fixed.options, fixed.share_access, fixed.attributes, fixed.oplock_level, fixed.impersonation_level,
            fixed.security_flags, unpack_contexts(contexts) if len(contexts) else [],
        )  # fmt: skip

    def parts(self) -> list[Buffer]:
        name, contexts = utf16(self.name), pack_contexts(self.contexts)
        start = HEADER_SIZE + _Create.SIZE
        padding = bytes(-len(name) % 8 if contexts else 0)
        fixed = _Create(
            security_flags=self.security_flags, oplock_level=self.oplock_level,
            impersonation_level=self.impersonation_level, desired_access=self.desired_access,
            attributes=self.attributes, share_access=self.share_access, disposition=self.disposition,
            options=self.options, name_offset=start, name_length=len(name),
            contexts_offset=start + len(name) + len(padding) if contexts else 0, contexts_length=len(contexts),
        ).pack()  # fmt: skip
        return [fixed + (name + padding + contexts or b"\0")]


@pdu
class _CreateResponse(Fixed):
    structure_size: u16 = 89
    oplock_level: u8 = 0
    flags: u8 = 0
    action: u32 = 0
    created: u64 = 0
    accessed: u64 = 0
    modified: u64 = 0
    changed: u64 = 0
    allocation: u64 = 0
    size: u64 = 0
    attributes: u32 = 0
    reserved: u32 = 0
    file_id: FileId = bytes(16)
    contexts_offset: u32 = 0
    contexts_length: u32 = 0


@dataclass(slots=True)
class CreateResponse(Response):
    """CREATE response (2.2.14); times as FILETIMEs, `modified` the spec's LastWriteTime, `size` its EndofFile."""

    COMMAND: ClassVar[int] = Command.CREATE
    file_id: bytes
    action: int = CreateAction.OPENED
    oplock_level: int = OplockLevel.NONE
    flags: int = 0
    created: int = 0
    accessed: int = 0
    modified: int = 0
    changed: int = 0
    allocation: int = 0
    size: int = 0
    attributes: int = 0
    contexts: list[CreateContext] = field(default_factory=list)

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        fixed = fixed_part(_CreateResponse, packet, 89)
        contexts = span(packet, fixed.contexts_offset, fixed.contexts_length, "create contexts")
        return cls(
            fixed.file_id, fixed.action, fixed.oplock_level, fixed.flags, fixed.created, fixed.accessed,
            fixed.modified, fixed.changed, fixed.allocation, fixed.size, fixed.attributes,
            unpack_contexts(contexts) if len(contexts) else [],
        )  # fmt: skip

    def parts(self) -> list[Buffer]:
        contexts = pack_contexts(self.contexts)
        fixed = _CreateResponse(
            oplock_level=self.oplock_level, flags=self.flags, action=self.action, created=self.created,
            accessed=self.accessed, modified=self.modified, changed=self.changed, allocation=self.allocation,
            size=self.size, attributes=self.attributes, file_id=self.file_id,
            contexts_offset=HEADER_SIZE + _CreateResponse.SIZE if contexts else 0, contexts_length=len(contexts),
        ).pack()  # fmt: skip
        return [fixed + contexts]
