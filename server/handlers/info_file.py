"""The file information classes of QUERY_INFO (MS-FSCC 2.4, MS-SMB2 3.3.5.20.1)."""

from smbdirect.wire import join_chain

from ..messages.fscc_ea import pack_ea, unpack_ea_names
from ..messages.fscc_file import (
    Access,
    Alignment,
    All,
    AttributeTag,
    Basic,
    CaseSensitive,
    Compression,
    EaSize,
    FileClass,
    HardLink,
    IdInformation,
    Internal,
    NetworkOpen,
    PipeLocal,
    Position,
    RemoteProtocol,
    Standard,
    StandardLink,
    StreamEntry,
    pack_links,
    pack_name,
    pack_streams,
)
from ..messages.fscc_file import Mode as ModeInformation
from ..messages.fscc_file import Pipe as PipeInformation
from ..messages.info import QueryInfoFlags, QueryInfoRequest
from ..open import Open
from ..security.access import FILE_READ_ATTRIBUTES, FILE_READ_EA
from ..status import NT, Status
from ..store.base import Ea, Kind, Stat
from ..store.shortnames import short_name
from ..work import Work
from .info_row import Row

MODE_OPTIONS = 0x0000103E
"""The create options that FileModeInformation tells (MS-FSCC 2.4.31)."""
MESSAGE_PIPE = 0x00000001
"""FILE_PIPE_MESSAGE_TYPE, read mode and type."""
PIPE_QUOTA = 4096
CONNECTED = 3
"""FILE_PIPE_CONNECTED_STATE."""


def _basic_of(stat: Stat) -> Basic:
    return Basic(stat.created, stat.accessed, stat.modified, stat.changed, stat.attributes)


def _standard_of(opened: Open, stat: Stat) -> Standard:
    pending = opened.shared.delete_pending
    links = max(stat.links - pending, 0)
    directory = stat.kind is Kind.DIRECTORY and not opened.file.stream
    return Standard(stat.allocation, stat.size, links, pending, directory)


def _full_name(opened: Open) -> str:
    """The name from the share's root on, as FileNameInformation has it."""
    name = "\\" + "\\".join(opened.file.path())
    return f"{name}:{opened.file.stream}" if opened.file.stream else name


async def _basic(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    return _basic_of(await opened.file.stat()).pack()


async def _standard(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    if opened.pipe is not None:
        return Standard(PIPE_QUOTA, opened.pipe.available, 1, 1, 0).pack()
    return _standard_of(opened, await opened.file.stat()).pack()


async def _internal(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    return Internal((await opened.file.stat()).inode if opened.pipe is None else opened.volatile).pack()


async def _ea(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    return EaSize((await opened.file.stat()).ea_size).pack()


async def _access(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    return Access(opened.mode.access).pack()


async def _name(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    return pack_name(_full_name(opened))


async def _position(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    return Position(opened.position).pack()


async def _mode(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    return ModeInformation(opened.mode.options & MODE_OPTIONS).pack()


async def _alignment(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    return Alignment().pack()


async def _all(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    stat = await opened.file.stat()
    return All(
        _basic_of(stat),
        _standard_of(opened, stat),
        Internal(stat.inode),
        EaSize(stat.ea_size),
        Access(opened.mode.access),
        Position(opened.position),
        ModeInformation(opened.mode.options & MODE_OPTIONS),
        Alignment(),
        _full_name(opened),
    ).pack()


async def _alternate_name(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    path = opened.file.path()
    if not path:
        raise Status(NT.OBJECT_NAME_NOT_FOUND, "the root has no name")
    return pack_name(short_name(path[-1]))


async def _stream(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    streams = await opened.file.streams()
    return pack_streams(StreamEntry(f":{name}:$DATA", size, allocation) for name, size, allocation in streams)


async def _full_ea(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    """All extended attributes, or those asked for by name; as many as fit, and none too many (3.3.5.20.1)."""
    eas = await opened.file.eas()
    if request.input:
        held = {ea.name.upper(): ea for ea in eas}
        names = unpack_ea_names(memoryview(request.input))
        eas = [held.get(name.upper(), Ea(name, b"")) for name in names]
    if not eas:
        raise Status(NT.NO_EAS_ON_FILE)
    single = request.flags & QueryInfoFlags.RETURN_SINGLE_ENTRY
    packed: list[bytes] = []
    used = 0
    for ea in eas[:1] if single else eas:
        raw = pack_ea(ea)
        used += -used % 4 + len(raw)
        if used > request.output_length:
            if not packed:
                raise Status(NT.BUFFER_TOO_SMALL)
            work.status = NT.BUFFER_OVERFLOW
            break
        packed.append(raw)
    return join_chain(packed, 4)


async def _pipe(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    _need_pipe(opened)
    return PipeInformation(MESSAGE_PIPE, 0).pack()


async def _pipe_local(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    _need_pipe(opened)
    assert opened.pipe is not None
    return PipeLocal(
        MESSAGE_PIPE, 2, 0xFFFFFFFF, 1, PIPE_QUOTA, opened.pipe.available, PIPE_QUOTA, PIPE_QUOTA, CONNECTED, 1
    ).pack()


def _need_pipe(opened: Open) -> None:
    if opened.pipe is None:
        raise Status(NT.INVALID_PARAMETER, "no pipe")


async def _compression(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    return Compression((await opened.file.stat()).size).pack()


async def _network_open(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    stat = await opened.file.stat()
    return NetworkOpen(
        stat.created, stat.accessed, stat.modified, stat.changed, stat.allocation, stat.size, stat.attributes
    ).pack()


async def _attribute_tag(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    stat = await opened.file.stat()
    return AttributeTag(stat.attributes, stat.reparse_tag).pack()


async def _hard_link(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    """The one name the file was opened by: a POSIX file system does not list the others."""
    path = opened.file.path()
    store = opened.tree.share.store
    assert store is not None
    parent = await store.lookup(opened.tree.who, path[:-1])
    return pack_links([HardLink(parent.inode if parent is not None else 0, path[-1] if path else "")])


async def _normalized_name(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    if work.connection.negotiated.dialect < 0x0311:
        raise Status(NT.NOT_SUPPORTED, "FileNormalizedNameInformation before 3.1.1")  # 3.3.5.20.1
    return pack_name(_full_name(opened).lstrip("\\"))


async def _standard_link(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    stat = await opened.file.stat()
    standard = _standard_of(opened, stat)
    return StandardLink(standard.links, stat.links, standard.delete_pending, standard.directory).pack()


async def _remote_protocol(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    dialect = work.connection.negotiated.dialect
    return RemoteProtocol(major=dialect >> 8, minor=dialect >> 4 & 0xF, revision=dialect & 0xF).pack()


async def _id(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    stat = await opened.file.stat()
    return IdInformation(stat.device & ((1 << 64) - 1), stat.inode.to_bytes(16, "little")).pack()


async def _case_sensitive(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    if opened.file.kind is not Kind.DIRECTORY:
        raise Status(NT.INVALID_PARAMETER, "no directory")
    return CaseSensitive(0).pack()


TABLE: dict[int, Row] = {
    FileClass.BASIC: Row(_basic, FILE_READ_ATTRIBUTES, Basic.SIZE),
    FileClass.STANDARD: Row(_standard, 0, Standard.SIZE),
    FileClass.INTERNAL: Row(_internal, 0, Internal.SIZE),
    FileClass.EA: Row(_ea, 0, EaSize.SIZE),
    FileClass.ACCESS: Row(_access, 0, Access.SIZE),
    FileClass.NAME: Row(_name, 0, 8, True),
    FileClass.POSITION: Row(_position, 0, Position.SIZE),
    FileClass.MODE: Row(_mode, 0, ModeInformation.SIZE),
    FileClass.ALIGNMENT: Row(_alignment, 0, Alignment.SIZE),
    FileClass.ALL: Row(_all, FILE_READ_ATTRIBUTES, 104, True),
    FileClass.ALTERNATE_NAME: Row(_alternate_name, 0, 8, True),
    FileClass.STREAM: Row(_stream, 0, 32, True),
    FileClass.FULL_EA: Row(_full_ea, FILE_READ_EA, 0),
    FileClass.PIPE: Row(_pipe, 0, PipeInformation.SIZE),
    FileClass.PIPE_LOCAL: Row(_pipe_local, 0, PipeLocal.SIZE),
    FileClass.COMPRESSION: Row(_compression, 0, Compression.SIZE),
    FileClass.NETWORK_OPEN: Row(_network_open, FILE_READ_ATTRIBUTES, NetworkOpen.SIZE),
    FileClass.ATTRIBUTE_TAG: Row(_attribute_tag, FILE_READ_ATTRIBUTES, AttributeTag.SIZE),
    FileClass.HARD_LINK: Row(_hard_link, 0, 8),
    FileClass.NORMALIZED_NAME: Row(_normalized_name, 0, 8, True),
    FileClass.STANDARD_LINK: Row(_standard_link, 0, StandardLink.SIZE),
    FileClass.REMOTE_PROTOCOL: Row(_remote_protocol, 0, RemoteProtocol.SIZE),
    FileClass.ID: Row(_id, 0, IdInformation.SIZE),
    FileClass.CASE_SENSITIVE: Row(_case_sensitive, FILE_READ_ATTRIBUTES, CaseSensitive.SIZE),
}
