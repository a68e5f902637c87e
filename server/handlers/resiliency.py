"""FSCTL_LMR_REQUEST_RESILIENCY (MS-SMB2 3.3.5.15.9): an open that is to outlive its connection whatever it caches."""

from ..durable import Handle
from ..messages.fsctl import ResiliencyRequest
from ..messages.ioctl import IoctlRequest
from ..messages.negotiate import Dialect
from ..status import NT, Status
from ..work import Work
from .create_durable import may_last

DEFAULT_TIMEOUT = 120.0
"""Seconds for which a resilient open is kept whose client leaves that to the server (Windows' figure)."""


async def request_resiliency(work: Work, request: IoctlRequest) -> bytes:
    opened, session = work.open, work.session
    assert opened is not None and session is not None
    if work.connection.negotiated.dialect < Dialect.SMB210:
        raise Status(NT.INVALID_DEVICE_REQUEST, "resiliency before 2.1")
    if len(request.input) < ResiliencyRequest.SIZE:
        raise Status(NT.INVALID_PARAMETER, f"{len(request.input)} bytes")
    longest = work.connection.server.config.durable_timeout
    wanted = ResiliencyRequest.parse(request.input).timeout / 1000
    if wanted > longest:
        raise Status(NT.INVALID_PARAMETER, f"{wanted:.0f} s, where {longest} s are the most")
    if not may_last(work, opened):
        raise Status(NT.NOT_SUPPORTED, "opens like this one do not outlive their connection")
    handle = opened.handle
    if handle is None:
        handle = opened.handle = Handle(session.client_guid, session.user.casefold())
    handle.durable, handle.resilient = False, True
    handle.timeout = wanted or min(DEFAULT_TIMEOUT, float(longest))
    return b""
