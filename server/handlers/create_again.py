"""CREATEs that ask for an open that is there: their client comes back for it (MS-SMB2 3.3.5.9.7, 3.3.5.9.12), or
repeats the CREATE that made it, whose answer may have been lost (3.3.5.9.10)."""

from ..channel_sequence import ChannelSequence
from ..handles import Key
from ..lease import Lease
from ..messages.create import CreateContext, CreateRequest, CreateResponse, OplockLevel, find
from ..messages.create_contexts import ContextName
from ..messages.create_contexts import Lease as LeaseContext
from ..messages.header import Flags
from ..open import Open
from ..security.access import SYSTEM_SECURITY
from ..status import NT, Status
from ..store.names import split
from ..work import Work
from .create_answer import answer_again, hand_over
from .create_caching import names, still_connected
from .create_durable import Claim, granted

NO_GUID = bytes(16)
"""The create GUID of a durable handle of version 1, which version 2 may ask for too (Windows, by smbtorture)."""


# -- a CREATE that is repeated --------------------------------------------------------------------------------------
def key_of(work: Work, claim: Claim) -> Key | None:
    """The name under which this CREATE may be repeated."""
    assert work.session is not None
    return (work.session.client_guid, claim.second.create_guid) if claim.second is not None else None


async def replay(work: Work, request: CreateRequest, claim: Claim) -> CreateResponse | None:
    """What the CREATE was answered that this one repeats; None where it is a new one. Raises Status (3.3.5.9.10)."""
    key = key_of(work, claim)
    opened = work.connection.server.opens.handles.eligible.get(key) if key is not None else None
    if opened is None or opened.handle is None:
        return None
    if not work.header.flags & Flags.REPLAY or opened.session is not work.session or opened.away:
        raise Status(NT.DUPLICATE_OBJECTID, "the create GUID is another open's")
    if opened.tree is not work.tree:
        raise Status(NT.ACCESS_DENIED, "a repetition for another share")
    lease = find(request.contexts, ContextName.RQLS)
    if lease is not None and not _has_key(opened, lease):
        raise Status(NT.ACCESS_DENIED, "a repetition with another lease")
    response = await answer_again(work, request, opened, opened.handle.action)
    hand_over(work, opened)
    if response.oplock_level != OplockLevel.LEASE:
        response.oplock_level = request.oplock_level  # as Windows does, and smbtorture has it
    if opened.handle.durable and response.oplock_level in (OplockLevel.LEASE, OplockLevel.BATCH):
        response.contexts += granted(claim, opened.handle)
    return response


# -- a client that comes back ---------------------------------------------------------------------------------------
async def reconnect(work: Work, request: CreateRequest, claim: Claim) -> CreateResponse:
    """Give an open back to its client (3.3.5.9.7, 3.3.5.9.12). Of the request only what says which counts."""
    assert work.session is not None and work.tree is not None
    opened = _find(work, request, claim)
    if isinstance(opened.caching, Lease) and not await _is_named(work, request, opened):
        raise Status(NT.INVALID_PARAMETER, "the lease is another file's")
    response = await answer_again(work, request, opened)
    still_connected(work)
    if _find(work, request, claim) is not opened:
        raise Status(NT.OBJECT_NAME_NOT_FOUND, "it has gone meanwhile")
    server = work.connection.server
    server.opens.check_room(work.session)
    server.durables.take_back(opened, work.session, work.tree)
    opened.sequence = ChannelSequence(work.header.channel_sequence)
    hand_over(work, opened)
    return response


def _find(work: Work, request: CreateRequest, claim: Claim) -> Open:
    """The open that is asked for, where its client may have it. Raises Status."""
    assert work.session is not None and work.tree is not None and claim.back is not None
    opened = work.connection.server.durables.away.get(claim.back)
    if opened is None or opened.handle is None:
        raise Status(NT.OBJECT_NAME_NOT_FOUND, "no such open without a client")
    handle = opened.handle
    lease = find(request.contexts, ContextName.RQLS)
    leased = isinstance(opened.caching, Lease)
    beyond = opened.mode.access & ~(work.tree.access | SYSTEM_SECURITY)
    for refused, code, why in (
        (opened.tree.share is not work.tree.share, NT.OBJECT_NAME_NOT_FOUND, "in another share"),
        (claim.back_guid not in (None, handle.create_guid or NO_GUID), NT.OBJECT_NAME_NOT_FOUND, "another create GUID"),
        (leased and handle.client_guid != work.session.client_guid, NT.OBJECT_NAME_NOT_FOUND, "another client"),
        (leased != (lease is not None), NT.OBJECT_NAME_NOT_FOUND, "with a lease, or without"),
        (lease is not None and not _has_key(opened, lease), NT.OBJECT_NAME_NOT_FOUND, "another lease key"),
        (handle.user != work.session.user.casefold(), NT.ACCESS_DENIED, "another user"),
        (not work.session.trusted, NT.ACCESS_DENIED, "a guest"),
        (bool(beyond), NT.ACCESS_DENIED, f"rights {beyond:#x}, which are not granted any more"),
    ):
        if refused:
            raise Status(code, f"the open that is asked for: {why}")
    return opened


def _has_key(opened: Open, context: CreateContext) -> bool:
    return isinstance(opened.caching, Lease) and opened.caching.key[1] == LeaseContext.parse(context.data).key


async def _is_named(work: Work, request: CreateRequest, opened: Open) -> bool:
    try:
        path, stream, _ = split(request.name)
        return await names(work, opened, path, stream)
    except Status:  # no name, or none that leads anywhere
        return False
