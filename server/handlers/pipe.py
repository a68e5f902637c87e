"""Named pipes of IPC$: opened by CREATE, read and written as files are (MS-SMB2 3.3.5.9, .12, .13)."""

from smbdirect.wire import Buffer

from ..channel_sequence import ChannelSequence
from ..messages.create import CreateRequest, CreateResponse
from ..messages.fscc_file import FileAttribute
from ..messages.read_write import ReadResponse, WriteResponse
from ..messages.tree import ShareFlags
from ..open import Mode, Open, Shared
from ..rpc import context as rpc_context
from ..rpc import pipe as rpc
from ..security.access import map_generic
from ..status import NT, Status
from ..store.base import FileKey
from ..tree import Share
from ..work import Work

PIPE_ALLOCATION = 4096
"""What Windows reports as a pipe's allocation."""


def open_pipe(work: Work, request: CreateRequest) -> CreateResponse:
    assert work.session is not None and work.tree is not None
    opens = work.connection.server.opens
    pipe = rpc.open_pipe(request.name, _context(work))
    persistent, volatile = opens.new_ids(work.session)
    shared = Shared(FileKey(0, volatile))
    mode = Mode(map_generic(request.desired_access), request.share_access, request.options)
    sequence = ChannelSequence(work.header.channel_sequence)
    opened = Open(volatile, persistent, work.session, work.tree, mode, shared, pipe=pipe, sequence=sequence)
    opens.add(opened)
    work.open = opened
    if work.related is not None:
        work.related.file_id = opened.file_id
    return CreateResponse(file_id=opened.file_id, allocation=PIPE_ALLOCATION, attributes=FileAttribute.NORMAL)


def _context(work: Work) -> rpc_context.Context:
    """What the services may tell this user."""
    assert work.session is not None
    server = work.connection.server
    config = server.config
    return rpc_context.Context(
        shares=[_listed(share) for share in server.shares.visible(work.session)],
        server_name=config.name,
        workgroup=config.workgroup,
        comment=config.comment,
        user_name=work.session.user,
        users=len(server.sessions),
    )


def _listed(share: Share) -> rpc_context.Share:
    config = share.config
    if config is None:
        return rpc_context.Share(share.name, rpc_context.IPC | rpc_context.SPECIAL, "Remote IPC")
    return rpc_context.Share(
        share.name,
        comment=config.comment,
        path=f"C:\\{share.name}",
        max_users=config.max_connections or rpc_context.UNLIMITED,
        users=share.connections,
        flags=ShareFlags.ACCESS_BASED_DIRECTORY_ENUM if config.hide_unreadable else 0,
    )


def read(work: Work, length: int) -> ReadResponse:
    """One message of the pipe, or as much of it as was asked for (then BUFFER_OVERFLOW)."""
    data, more = _pipe(work).read(length)
    if more:
        work.status = NT.BUFFER_OVERFLOW
    return ReadResponse(data)


def write(work: Work, data: Buffer) -> WriteResponse:
    _pipe(work).write(data)
    return WriteResponse(len(data))


def transceive(work: Work, data: Buffer, most: int) -> bytes:
    """Write a message and read the answer (FSCTL_PIPE_TRANSCEIVE)."""
    answer, more = _pipe(work).transceive(data, most)
    if more:
        work.status = NT.BUFFER_OVERFLOW
    return answer


def _pipe(work: Work) -> rpc.Pipe:
    if work.open is None or work.open.pipe is None:
        raise Status(NT.INVALID_DEVICE_REQUEST, "no pipe")
    return work.open.pipe
