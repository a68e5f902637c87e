"""CREATE (MS-SMB2 3.3.5.9): open or make a file, directory, stream or named pipe."""

from ..changes import CUT
from ..channel_sequence import ChannelSequence
from ..granting import Wish
from ..messages.create import CreateAction, CreateOptions, CreateRequest, CreateResponse, Disposition, Impersonation
from ..messages.fscc_file import FileAttribute
from ..open import Mode, Open
from ..opens import Opens
from ..security.access import FILE_WRITE_DATA, MAXIMUM_ALLOWED, SYSTEM_SECURITY
from ..status import NT, Status
from ..store.base import Found, Identity, Kind, Make, Store, Wanted
from ..work import Work
from .create_again import key_of, reconnect, replay
from .create_answer import answer, hand_over
from .create_asked import Asked, cuts, take_apart
from .create_caching import cached, check_key, clear, grant_caching, wish_of
from .create_check import check_kind, check_request, grant
from .create_doing import mark, name_doing, open_again, unmark
from .create_durable import Claim, claim_of, grant_durable, name_handle, outlives_us, take_over
from .pipe import open_pipe

TRIES = 8
"""How often CREATE looks again when what it found was removed before it could be registered."""


async def create(work: Work, request: CreateRequest) -> CreateResponse:
    assert work.tree is not None and work.session is not None
    claim = Claim() if work.tree.share.pipes else claim_of(work, request)
    if claim.back is not None:
        return await reconnect(work, request, claim)
    if request.impersonation_level > Impersonation.DELEGATE:
        raise Status(NT.BAD_IMPERSONATION_LEVEL)
    if work.tree.share.pipes:
        return open_pipe(work, request)
    check_request(request)
    asked = take_apart(work, request)
    key = key_of(work, claim)
    if key is None:
        return await _create(work, asked, claim)
    repeated = await replay(work, request, claim, key)
    if repeated is not None:
        return repeated
    if outlives_us(work, claim) and not asked.wanted.new.directory:
        name_doing(work, asked, key)
    work.lasting = True  # as with Windows and Samba, whatever 3.3.7.1 says of pending requests
    with work.connection.server.opens.handles.creating(key):
        return await _create(work, asked, claim)


async def _create(work: Work, asked: Asked, claim: Claim) -> CreateResponse:
    opens = work.connection.server.opens
    wish = wish_of(work, asked.request)
    if wish.key is not None:
        await check_key(work, asked.wanted, wish)
    tries = 0
    while tries < TRIES:
        before = opens.removals
        found = await _open(work, asked)
        registered = False
        try:
            if not opens.is_settled(before) and await opens.is_gone(found.file, before):
                tries += 1
                continue  # it was deleted between the store's look and ours
            response = await _register(work, asked, found, claim, wish)
            if response is None:
                continue
            registered = True
            return response
        finally:
            if not registered:
                await found.file.close()
    raise Status(NT.DELETE_PENDING, "removed again and again while it was opened")


async def _open(work: Work, asked: Asked) -> Found:
    tree = work.tree
    assert tree is not None
    wanted = asked.wanted
    needs = wanted.access & ~(MAXIMUM_ALLOWED | SYSTEM_SECURITY)
    if needs & ~tree.access:
        raise Status(NT.ACCESS_DENIED, f"the share grants {tree.access:#x}")
    store = tree.share.store
    assert store is not None
    if wanted.make is Make.NEVER or tree.access & FILE_WRITE_DATA:
        if asked.repeats:
            return await open_again(work, asked, store)
        return store.open_nowait(tree.who, wanted) or await store.open(tree.who, wanted)
    return await _open_only(tree.who, wanted, store)


async def _open_only(who: Identity, wanted: Wanted, store: Store) -> Found:
    """On a read-only share: what is there may be opened, what is not may not be made."""
    make, wanted.make = wanted.make, Make.NEVER
    try:
        found = await store.open(who, wanted)
    except Status as status:
        if status.code == NT.OBJECT_NAME_NOT_FOUND:
            raise Status(NT.ACCESS_DENIED, "the share is read-only") from None
        raise
    finally:
        wanted.make = make
    if make is Make.ALWAYS:
        await found.file.close()
        raise Status(NT.OBJECT_NAME_COLLISION)
    return found


async def _register(work: Work, asked: Asked, found: Found, claim: Claim, wish: Wish) -> CreateResponse | None:
    """Judge what was found and put the open into the tables, but not where the rest then fails.

    None where it waited for somebody's break: what was found may be something else by now.
    """
    opens = work.connection.server.opens
    await check_kind(asked, found)
    access = grant(work, asked, found)
    if claim.app_instance is not None and await take_over(work, claim, found):
        return None
    if not await clear(work, asked, found, access, wish):
        return None
    opened = _make_open(work, asked, found, access, opens)
    try:
        return await _finish(work, asked, found, opened, claim, wish)
    except BaseException:
        await opens.abandon(opened)
        raise


async def _finish(work: Work, asked: Asked, found: Found, opened: Open, claim: Claim, wish: Wish) -> CreateResponse:
    """Cut what was there where that was asked, and say what the client has now."""
    request, opens = asked.request, work.connection.server.opens
    action = CreateAction.CREATED if found.made else CreateAction.OPENED if found.before is None else found.before
    stat = found.stat
    if cuts(request, found):
        superseded = request.disposition == Disposition.SUPERSEDE
        stat = await found.file.overwrite(asked.wanted.new, superseded)
        if opened.closed:
            raise Status(NT.FILE_CLOSED, "closed while it was being cut")
        action = CreateAction.SUPERSEDED if superseded else CreateAction.OVERWRITTEN
    if action != CreateAction.OPENED and (found.file.stream or not found.made):
        await mark(asked, found, action)
    if found.file.kind is Kind.DIRECTORY and wish.rights:
        await opens.breaks.local.prepare(opened)
    hand_over(work, opened)
    response = answer(work, request, found, opened, stat, action)
    grant_caching(work, asked, found, opened, wish)
    name_handle(work, claim, opened, action)
    lasting = await grant_durable(work, claim, opened, wish) if opened.handle is not None else []
    if action != CreateAction.OPENED:
        await unmark(asked, opened)
    response.oplock_level, contexts = cached(opened)  # it may have been broken meanwhile
    response.contexts = contexts + lasting + response.contexts
    if action != CreateAction.OPENED:
        opens.breaks.data_cut(opened)
        opens.breaks.parent_changed(opened)
        if found.made:
            opens.changes.made(opened, found)
        else:
            opens.changes.data(opened, CUT)
    return response


def _make_open(work: Work, asked: Asked, found: Found, access: int, opens: Opens) -> Open:
    assert work.tree is not None and work.session is not None
    request = asked.request
    if work.session.trees.get(work.tree.id) is not work.tree:
        raise Status(NT.NETWORK_NAME_DELETED, "the tree has gone while its file was being opened")
    persistent, volatile = opens.new_ids(work.session)
    opened = Open(
        volatile, persistent, work.session, work.tree,
        Mode(
            access, request.share_access, request.options,
            write_through=bool(request.options & CreateOptions.WRITE_THROUGH),
            delete_on_close=asked.wanted.delete_on_close,
        ),
        opens.shared_for(found.file.key),
        found.file,
        sequence=ChannelSequence(work.header.channel_sequence),
    )  # fmt: skip
    opened.shared.archived = bool(found.stat.attributes & FileAttribute.ARCHIVE)
    opens.add(opened)
    return opened
