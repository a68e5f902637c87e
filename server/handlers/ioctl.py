"""IOCTL (MS-SMB2 3.3.5.15): a table of the control codes served; those about files are in `ioctl_file`, copies in
`ioctl_copy`."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from transport.base import Lost

from ..find import find_open
from ..messages.fsctl import (
    INTERFACE_RDMA_CAPABLE,
    INTERFACE_RSS_CAPABLE,
    NetworkInterface,
    PipePeek,
    PipeWait,
    ValidateNegotiateRequest,
    ValidateNegotiateResponse,
    pack_interfaces,
    pack_snapshots,
)
from ..messages.ioctl import IS_FSCTL, NO_FILE, Fsctl, IoctlRequest, IoctlResponse
from ..messages.negotiate import Dialect
from ..rpc.pipe import SERVICES
from ..status import NT, Status
from ..work import Work
from . import ioctl_copy, ioctl_file, pipe
from .resiliency import request_resiliency

CONNECTED = 3
"""FILE_PIPE_CONNECTED_STATE."""


class Row(NamedTuple):
    answer: Callable[[Work, IoctlRequest], Awaitable[bytes]]
    on_file: bool = True
    """Whether it is about an open file, whose FileId is resolved; else the FileId must be `NO_FILE`."""


async def ioctl(work: Work, request: IoctlRequest) -> IoctlResponse:
    if request.flags != IS_FSCTL:
        raise Status(NT.NOT_SUPPORTED, "an IOCTL that is no FSCTL")
    most = work.connection.negotiated.max_transact
    if len(request.input) > most or request.max_output > most or request.max_input > most:
        raise Status(NT.INVALID_PARAMETER, f"{request.max_output} bytes of answer")
    row = TABLE.get(request.ctl_code)
    if row is None:
        if request.file_id != NO_FILE:
            find_open(work, request.file_id)
        raise Status(NT.INVALID_DEVICE_REQUEST, f"FSCTL {request.ctl_code:#x}")
    if row.on_file:
        find_open(work, request.file_id)
    elif request.file_id != NO_FILE:
        raise Status(NT.INVALID_PARAMETER, "a FileId where there is no file")  # 3.3.5.15
    output = await row.answer(work, request)
    file_id = work.open.file_id if work.open is not None else request.file_id
    return IoctlResponse(request.ctl_code, file_id, output)


# -- about the connection -----------------------------------------------------------------------------------------
async def _validate_negotiate(work: Work, request: IoctlRequest) -> bytes:
    """Both sides saw the same NEGOTIATE, or the connection ends (3.3.5.15.12)."""
    negotiated = work.connection.negotiated
    if negotiated.dialect == Dialect.SMB311:
        raise Lost("VALIDATE_NEGOTIATE_INFO in 3.1.1, where the hash does that")
    said = ValidateNegotiateRequest.parse(request.input)
    if (
        said.capabilities != negotiated.client_capabilities
        or said.guid != negotiated.client_guid
        or said.security_mode != negotiated.client_security_mode
        or tuple(said.dialects) != negotiated.client_dialects
    ):
        raise Lost("the NEGOTIATE was changed on its way")
    if request.max_output < ValidateNegotiateResponse.SIZE:
        raise Lost("VALIDATE_NEGOTIATE_INFO without room for the answer")
    return ValidateNegotiateResponse(
        negotiated.capabilities, work.connection.server.guid, negotiated.security_mode, negotiated.dialect
    ).pack()


async def _interfaces(work: Work, request: IoctlRequest) -> bytes:
    """The server's addresses, RDMA's entries apart from TCP's: clients do not mix them (3.3.5.15.11)."""
    if work.connection.negotiated.dialect < Dialect.SMB300:
        raise Status(NT.NOT_SUPPORTED, "interfaces before 3.0")
    entries = []
    for interface in work.connection.server.interfaces.current:
        plain = INTERFACE_RSS_CAPABLE if interface.rss else 0
        kinds = [plain, INTERFACE_RDMA_CAPABLE] if interface.technology is not None else [plain]
        for kind in kinds:
            entries += [
                NetworkInterface(interface.index, kind, interface.speed, address) for address in interface.addresses
            ]
    data = pack_interfaces(entries)
    if len(data) > request.max_output:
        raise Status(NT.BUFFER_TOO_SMALL, f"{len(data)} bytes of interfaces")
    return data


async def _no_referrals(work: Work, request: IoctlRequest) -> bytes:
    raise Status(NT.NOT_FOUND, "DFS is not served")  # 3.3.5.15.2


# -- pipes --------------------------------------------------------------------------------------------------------
async def _transceive(work: Work, request: IoctlRequest) -> bytes:
    return pipe.transceive(work, request.input, request.max_output)


async def _peek(work: Work, request: IoctlRequest) -> bytes:
    assert work.open is not None
    if work.open.pipe is None:
        raise Status(NT.INVALID_DEVICE_REQUEST, "no pipe")
    return PipePeek(CONNECTED, work.open.pipe.available, 0, 0).pack()


async def _wait(work: Work, request: IoctlRequest) -> bytes:
    """There is always room for one more client of a pipe that exists."""
    if PipeWait.parse(request.input).name.lower() not in SERVICES:
        raise Status(NT.OBJECT_NAME_NOT_FOUND)
    return b""


async def _snapshots(work: Work, request: IoctlRequest) -> bytes:
    if request.max_output < 16:
        raise Status(NT.INVALID_PARAMETER, "no room for the counts")
    return pack_snapshots([], request.max_output)


TABLE: dict[int, Row] = {
    Fsctl.VALIDATE_NEGOTIATE_INFO: Row(_validate_negotiate, on_file=False),
    Fsctl.QUERY_NETWORK_INTERFACE_INFO: Row(_interfaces, on_file=False),
    Fsctl.DFS_GET_REFERRALS: Row(_no_referrals, on_file=False),
    Fsctl.DFS_GET_REFERRALS_EX: Row(_no_referrals, on_file=False),
    Fsctl.PIPE_TRANSCEIVE: Row(_transceive),
    Fsctl.PIPE_PEEK: Row(_peek),
    Fsctl.PIPE_WAIT: Row(_wait, on_file=False),
    Fsctl.SRV_ENUMERATE_SNAPSHOTS: Row(_snapshots),
    Fsctl.LMR_REQUEST_RESILIENCY: Row(request_resiliency),
    **{code: Row(answer) for code, answer in (ioctl_file.TABLE | ioctl_copy.TABLE).items()},
}
