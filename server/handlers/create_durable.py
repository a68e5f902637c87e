"""What a CREATE says about handles that last (MS-SMB2 3.3.5.9.6, .10, .13): opens that are to outlive their connection,
and application instances that move to another client. Those that are asked for again are `create_again`'s.

The contexts of version 2 are 3.x's: to earlier dialects they are unknown ones, and skipped.
"""

from dataclasses import dataclass

from ..durable import Handle
from ..granting import Wish
from ..messages.create import CreateContext, CreateRequest, find
from ..messages.create_contexts import (
    DURABLE_PERSISTENT,
    AppInstanceId,
    AppInstanceVersion,
    ContextName,
    DurableReconnect,
    DurableReconnectV2,
    DurableRequest,
    DurableRequestV2,
    DurableResponse,
    DurableResponseV2,
)
from ..messages.negotiate import Capability, Dialect
from ..open import Open
from ..oplock import HANDLE
from ..status import NT, Status
from ..store.base import Found, Kind
from ..work import Work
from .create_caching import still_connected

DEFAULT_TIMEOUT = 60.0
"""Seconds for which a v2 handle is kept whose client leaves that to the server (Windows' figure)."""


@dataclass(slots=True)
class Claim:
    """What a CREATE says about handles that last: one it comes back for, or what the new one is to be."""

    first: bool = False
    """A durable handle of version 1 is asked for."""
    second: DurableRequestV2 | None = None
    back: int | None = None
    """The persistent id of the open it comes back for."""
    back_guid: bytes | None = None
    """The create GUID that open must have; None where version 1 asks."""
    back_persistent: bool = False
    """The open it comes back for is a persistent one."""
    app_instance: bytes | None = None
    app_version: tuple[int, int] | None = None


def claim_of(work: Work, request: CreateRequest) -> Claim:
    """Read the contexts. Raises Status where two do not go together."""
    claim = Claim()
    if not request.contexts:
        return claim
    contexts, dialect = request.contexts, work.connection.negotiated.dialect
    one = find(contexts, ContextName.DHNQ), find(contexts, ContextName.DHNC)
    two = find(contexts, ContextName.DH2Q), find(contexts, ContextName.DH2C)
    if dialect < Dialect.SMB300:
        two = None, None
    if (any(one) and any(two)) or all(two):
        raise Status(NT.INVALID_PARAMETER, "contexts of durable handles that contradict each other")
    if one[1] is not None:
        claim.back = _persistent(DurableReconnect.parse(one[1].data).file_id)
    elif one[0] is not None:
        DurableRequest.parse(one[0].data)
        claim.first = True
    if two[0] is not None:
        claim.second = DurableRequestV2.parse(two[0].data)
    if two[1] is not None:
        again = DurableReconnectV2.parse(two[1].data)
        claim.back, claim.back_guid = _persistent(again.file_id), again.create_guid
        claim.back_persistent = bool(again.flags & DURABLE_PERSISTENT)
    if dialect >= Dialect.SMB300:
        _app_instance(claim, request, dialect)
    return claim


def _persistent(file_id: bytes) -> int:
    return int.from_bytes(file_id[:8], "little")


def _app_instance(claim: Claim, request: CreateRequest, dialect: int) -> None:
    instance = find(request.contexts, ContextName.APP_INSTANCE_ID)
    version = find(request.contexts, ContextName.APP_INSTANCE_VERSION)
    if instance is not None:
        claim.app_instance = AppInstanceId.parse(instance.data).app_instance_id
        if version is not None and dialect >= Dialect.SMB311:
            said = AppInstanceVersion.parse(version.data)
            claim.app_version = said.high, said.low


# -- a new open -----------------------------------------------------------------------------------------------------
def name_handle(work: Work, claim: Claim, opened: Open, action: int) -> None:
    """Keep the names under which `opened` is asked for again."""
    assert work.session is not None
    if not (claim.first or claim.second or claim.app_instance):
        return
    guid = claim.second.create_guid if claim.second is not None else None
    opened.handle = Handle(
        work.session.client_guid, work.session.user.casefold(), guid, claim.app_instance, claim.app_version, action
    )
    work.connection.server.opens.handles.add(opened)


async def grant_durable(work: Work, claim: Claim, opened: Open, wish: Wish) -> list[CreateContext]:
    """Make `opened` durable or persistent where that was asked for and may be (3.3.5.9.6, 3.3.5.9.10); the context that
    says so. Raises Status where it is closed meanwhile."""
    handle = opened.handle
    if handle is None or not (claim.first or claim.second) or not may_last(work, opened):
        return []
    handle.timeout = _timeout(work, claim)
    handle.durable = opened.caching is not None and bool(opened.caching.rights & wish.rights & HANDLE)
    if outlives_us(work, claim):
        await work.connection.server.keeping.begin(opened)
    if opened.closed:
        raise Status(NT.FILE_CLOSED, "closed while it was made persistent")
    return granted(claim, handle) if handle.lasting else []


def may_last(work: Work, opened: Open) -> bool:
    """Whether opens like this one may outlive their connection at all."""
    return _may_anything_last(work) and opened.pipe is None and opened.file.kind is Kind.FILE


def _may_anything_last(work: Work) -> bool:
    """Opens of guests cannot be told apart."""
    assert work.session is not None and work.tree is not None
    return work.connection.server.keeps(work.tree.share) and work.session.trusted


def outlives_us(work: Work, claim: Claim) -> bool:
    """Whether a persistent handle is asked for where there are any: whatever it caches, and if it caches nothing."""
    assert work.tree is not None
    asked = claim.second is not None and claim.second.flags & DURABLE_PERSISTENT
    known = work.connection.negotiated.capabilities & Capability.PERSISTENT_HANDLES
    return bool(asked and known) and work.tree.share.continuously_available and _may_anything_last(work)


def _timeout(work: Work, claim: Claim) -> float:
    longest = float(work.connection.server.config.durable_timeout)
    if claim.second is None:
        return longest
    return min(claim.second.timeout / 1000 or DEFAULT_TIMEOUT, longest)


def granted(claim: Claim, handle: Handle) -> list[CreateContext]:
    """The context that tells what `handle` is."""
    if claim.second is None:
        return [CreateContext(ContextName.DHNQ, DurableResponse().pack())]
    flags = DURABLE_PERSISTENT if handle.persistent else 0
    return [CreateContext(ContextName.DH2Q, DurableResponseV2(round(handle.timeout * 1000), flags).pack())]


# -- another client's application instance --------------------------------------------------------------------------
async def take_over(work: Work, claim: Claim, found: Found) -> bool:
    """Close the opens of the file that the same application has through other clients; whether there were any.

    Raises FILE_FORCED_CLOSED where the application there is the newer one (3.3.5.9.13).
    """
    assert work.session is not None and work.tree is not None
    server = work.connection.server
    if claim.app_instance is None:
        return False
    older = [
        opened
        for opened in server.opens.handles.instances.get(claim.app_instance, ())
        if opened.shared.key == found.file.key
        and opened.tree.share is work.tree.share
        and opened.handle is not None
        and opened.handle.client_guid != work.session.client_guid
    ]
    for opened in older:
        assert opened.handle is not None
        theirs = opened.handle.app_version
        if claim.app_version is not None and theirs is not None and theirs >= claim.app_version:
            raise Status(NT.FILE_FORCED_CLOSED, f"version {theirs} of the application has it open")
    await server.close_opens(older)
    still_connected(work)
    return bool(older)
