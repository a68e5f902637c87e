"""OPLOCK_BREAK (MS-SMB2 3.3.5.22): a client acknowledges the break of an oplock or of a lease."""

from ..messages.create_contexts import LeaseState
from ..messages.oplock import LeaseBreak, OplockBreak, OplockBreakRequest, OplockBreakResponse
from ..oplock import Oplock
from ..status import NT, Status
from ..work import Work

KNOWN_RIGHTS = LeaseState.READ | LeaseState.HANDLE | LeaseState.WRITE


async def oplock_break(work: Work, request: OplockBreakRequest) -> OplockBreakResponse:
    if isinstance(request.body, OplockBreak):
        return OplockBreakResponse(_oplock(work, request.body))
    return OplockBreakResponse(_lease(work, request.body))


def _oplock(work: Work, body: OplockBreak) -> OplockBreak:
    """3.3.5.22.1."""
    assert work.session is not None
    opened = work.session.opens.get(int.from_bytes(body.file_id[8:], "little"))
    if opened is None or opened.file_id != body.file_id:
        raise Status(NT.FILE_CLOSED, f"no open {body.file_id.hex()}")
    work.connection.server.opens.handles.used(opened)
    holder = opened.caching
    breaks = work.connection.server.opens.breaks
    if not isinstance(holder, Oplock) or not holder.breaking:
        raise Status(NT.INVALID_OPLOCK_PROTOCOL, "no break is under way")
    try:
        level = holder.acknowledge(body.oplock_level)
    finally:
        breaks.answered(holder)
    return OplockBreak(oplock_level=level, file_id=body.file_id)


def _lease(work: Work, body: LeaseBreak) -> LeaseBreak:
    """3.3.5.22.2."""
    assert work.session is not None
    breaks = work.connection.server.opens.breaks
    lease = breaks.leases.by_key.get((work.session.client_guid, body.key))
    if lease is None:
        raise Status(NT.OBJECT_NAME_NOT_FOUND, "no lease has this key")
    for opened in lease.members:
        work.connection.server.opens.handles.used(opened)
    next_step = lease.acknowledge(body.state & KNOWN_RIGHTS)
    breaks.answered(lease, next_step)
    return LeaseBreak(key=body.key, state=body.state)
