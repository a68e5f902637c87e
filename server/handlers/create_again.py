"""CREATEs that ask for an open that is there: their client comes back for it (MS-SMB2 3.3.5.9.7, 3.3.5.9.12), or
repeats the CREATE that made it, whose answer may have been lost (3.3.5.9.10)."""

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


async def replay(work: Work, request: CreateRequest, claim: Claim, key: Key) -> CreateResponse | None:
    """What the CREATE was answered that this one repeats; None where it is a new one. Raises Status (3.3.5.9.10)."""
    handles = work.connection.server.opens.handles
    opened = handles.eligible.get(key)
    if opened is None or opened.handle is None or key in handles.under_way:  # which `creating` refuses
        return None
    if not work.header.flags & Flags.REPLAY or not (opened.away or opened.session is work.session):
        raise Status(NT.DUPLICATE_OBJECTID, "the create GUID is another open's")
    lease = find(request.contexts, ContextName.RQLS)
    if lease is not None and not _has_key(opened, lease):
        raise Status(NT.ACCESS_DENIED, "a repetition with another lease")
    if opened.away:  # the answer was lost with the session
        _check_owner(work, opened)
        await _quiet(work, opened)
    response = await answer_again(work, request, opened, opened.handle.action)
    still_connected(work)
    if opened.closed:
        raise Status(NT.FILE_NOT_AVAILABLE, "it has gone meanwhile")
    if opened.away:  # what it caches may be less than was asked for, and its client has heard of no break
        _take_back(work, opened)
    elif opened.tree is not work.tree:
        raise Status(NT.ACCESS_DENIED, "a repetition for another share, or by another session")
    elif response.oplock_level != OplockLevel.LEASE:
        response.oplock_level = request.oplock_level  # as Windows does, and smbtorture has it
    hand_over(work, opened)
    durable = opened.handle.durable and response.oplock_level in (OplockLevel.LEASE, OplockLevel.BATCH)
    if durable or opened.handle.persistent:
        response.contexts += granted(claim, opened.handle)
    return response


# -- a client that comes back ---------------------------------------------------------------------------------------
async def reconnect(work: Work, request: CreateRequest, claim: Claim) -> CreateResponse:
    """Give an open back to its client (3.3.5.9.7, 3.3.5.9.12). Of the request only what says which counts."""
    assert work.session is not None and work.tree is not None
    opened = _find(work, request, claim)
    await _quiet(work, opened)
    if isinstance(opened.caching, Lease) and not await _is_named(work, request, opened):
        raise Status(NT.INVALID_PARAMETER, "the lease is another file's")
    response = await answer_again(work, request, opened)
    still_connected(work)
    if _find(work, request, claim) is not opened:
        raise Status(NT.OBJECT_NAME_NOT_FOUND, "it has gone meanwhile")
    _take_back(work, opened)
    return response


async def _quiet(work: Work, opened: Open) -> None:
    """Until the requests of a replaced session have ended: none is to change the file after one that is to come."""
    while opened.sequence.busy:
        await work.wait(opened.sequence.idle(), anywhere=True)


def _take_back(work: Work, opened: Open) -> None:
    assert work.session is not None and work.tree is not None
    server = work.connection.server
    server.opens.check_room(work.session)
    server.durables.take_back(opened, work.session, work.tree)
    opened.sequence.restart(work.header.channel_sequence)
    hand_over(work, opened)


def _find(work: Work, request: CreateRequest, claim: Claim) -> Open:
    """The open that is asked for, where its client may have it. Raises Status."""
    assert work.session is not None and work.tree is not None and claim.back is not None
    server = work.connection.server
    opened = server.durables.away.get(claim.back)
    if opened is None and claim.back_persistent and claim.back_guid is not None:
        opened = server.opens.handles.eligible.get((work.session.client_guid, claim.back_guid))
    if opened is None or opened.handle is None or not opened.away:
        raise Status(NT.OBJECT_NAME_NOT_FOUND, "no such open without a client")
    handle = opened.handle
    lease = find(request.contexts, ContextName.RQLS)
    leased = isinstance(opened.caching, Lease)
    for other, why in (
        (claim.back_guid not in (None, handle.create_guid or NO_GUID), "another create GUID"),
        (handle.persistent and not claim.back_persistent, "to be asked for as a persistent one"),
        (leased and handle.client_guid != work.session.client_guid, "another client"),
        (leased != (lease is not None), "a lease, or none"),
        (lease is not None and not _has_key(opened, lease), "another lease key"),
    ):
        if other:
            raise Status(NT.OBJECT_NAME_NOT_FOUND, f"the open that is asked for has {why}")
    _check_owner(work, opened)
    return opened


def _check_owner(work: Work, opened: Open) -> None:
    """Only who has opened it gets it back, through the same share, and where that still grants as much."""
    assert work.session is not None and work.tree is not None and opened.handle is not None
    beyond = opened.mode.access & ~(work.tree.access | SYSTEM_SECURITY)
    for refused, code, why in (
        (opened.tree.share is not work.tree.share, NT.OBJECT_NAME_NOT_FOUND, "in another share"),
        (opened.handle.user != work.session.user.casefold(), NT.ACCESS_DENIED, "another user"),
        (not work.session.trusted, NT.ACCESS_DENIED, "a guest"),
        (bool(beyond), NT.ACCESS_DENIED, f"rights {beyond:#x}, which are not granted any more"),
    ):
        if refused:
            raise Status(code, f"the open that is asked for: {why}")


def _has_key(opened: Open, context: CreateContext) -> bool:
    return isinstance(opened.caching, Lease) and opened.caching.key[1] == LeaseContext.parse(context.data).key


async def _is_named(work: Work, request: CreateRequest, opened: Open) -> bool:
    try:
        path, stream, _ = split(request.name)
        formerly = opened.handle is not None and opened.handle.formerly == path
        return formerly or await names(work, opened, path, stream)
    except Status:  # no name, or none that leads anywhere
        return False
