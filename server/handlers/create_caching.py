"""Oplocks and leases in CREATE (MS-SMB2 3.3.5.9, 3.3.5.9.8, 3.3.5.9.11): whose caching it breaks and waits for, what
it may cache itself."""

from ..changes import place_of
from ..granting import STAT_ACCESS, Wish, breaks_for_open, grantable
from ..lease import Lease
from ..messages.create import CreateContext, CreateRequest, OplockLevel, find
from ..messages.create_contexts import ContextName, LeaseFlags
from ..messages.create_contexts import Lease as LeaseContext
from ..messages.negotiate import Dialect
from ..open import Open, Shared
from ..oplock import READ, RIGHTS, WRITE, Holder, Oplock, level_of
from ..security.access import FILE_WRITE_DATA
from ..status import NT, Status
from ..store.base import FileKey, Found, Kind, Path, Wanted
from ..work import Work
from .create_asked import Asked, cuts


def wish_of(work: Work, request: CreateRequest) -> Wish:
    """What the request wishes to cache. A lease its dialect does not know, or without a key, is no wish."""
    assert work.tree is not None and work.session is not None
    dialect = work.connection.negotiated.dialect
    config = work.tree.share.config
    if config is not None and not config.oplocks:
        return Wish()
    if request.oplock_level != OplockLevel.LEASE:
        return Wish(request.oplock_level if request.oplock_level <= OplockLevel.BATCH else OplockLevel.NONE)
    context = find(request.contexts, ContextName.RQLS)
    if context is None or dialect < Dialect.SMB210:
        return Wish()
    lease = LeaseContext.parse(context.data)
    if lease.key == bytes(16) or (lease.parent_key is not None and dialect < Dialect.SMB300):
        return Wish()
    return Wish(OplockLevel.LEASE, lease, (work.session.client_guid, lease.key))


async def check_key(work: Work, wanted: Wanted, wish: Wish) -> None:
    """A lease key stands for one file: refuse its use for another (3.3.5.9.8)."""
    lease = work.connection.server.opens.breaks.leases.by_key.get(wish.key) if wish.key is not None else None
    if lease is None:
        return
    if not await names(work, lease.members[0], wanted.path, wanted.stream):
        raise Status(NT.INVALID_PARAMETER, "the lease key is another file's")


async def names(work: Work, opened: Open, path: Path, stream: str) -> bool:
    """Whether `path` and `stream` name the file of `opened` in the share of the request."""
    tree = work.tree
    assert tree is not None and tree.share.store is not None
    if opened.tree.share is not tree.share:
        return False
    try:
        its = opened.file.path()
    except Status:  # its file is gone; what has the name now is another
        its = ()
    if _same((*its, opened.file.stream), (*path, stream)):
        return True
    there = await tree.share.store.lookup(tree.who, path, stream)  # another name of the same file
    return there is not None and FileKey(there.device, there.inode, stream.casefold()) == opened.shared.key


def _same(one: Path, other: Path) -> bool:
    return [name.casefold() for name in one] == [name.casefold() for name in other]


async def clear(work: Work, asked: Asked, found: Found, access: int, wish: Wish) -> bool:
    """Break what stands in the way of this open. False where the file is to be looked up anew after a wait.

    Raises Status where share modes or a pending deletion refuse it all the same.
    """
    opens = work.connection.server.opens
    request, key = asked.request, found.file.key
    overwrites = cuts(request, found)
    needs = access | (FILE_WRITE_DATA if overwrites else 0)
    told: list[Holder] | None = None
    while True:
        shared = opens.shared.get(key)
        if shared is not None and shared.ending:
            await _ended(work, shared)
            return False
        if access & ~STAT_ACCESS:
            _leave_to_client(shared, wish)
        refusal: Status | None = None
        try:
            opens.check(key, needs, request.share_access)
        except Status as status:
            if status.code != NT.SHARING_VIOLATION:
                raise
            refusal = status
        if shared is not None and shared.holders:
            found_breaks, wait = breaks_for_open(shared, wish, needs, overwrites, refusal is not None)
            for each in found_breaks:
                opens.breaks.begin(each.holder, each.rights)
            if opens.shared.get(key) is not shared and not found.made:
                return False  # only clients that are away had it open: their opens have ended, with its name maybe
            if wait:
                if breaks_for_open(shared, wish, needs, overwrites, refusal is not None)[1]:
                    wish.again = True
                    await opens.breaks.wait(work, shared)
                    still_connected(work)
                # else who was to be told could not be: it caches nothing any more, or is closed
                if found.made:
                    continue
                return False
            if overwrites and told is None and refusal is None:
                told = [each.holder for each in found_breaks]
                await opens.breaks.settle(work, told)
                still_connected(work)
                continue
        if refusal is not None:
            raise refusal
        return True


def _leave_to_client(shared: Shared | None, wish: Wish) -> None:
    """Refuse who finds a persistent open whose client is away (3.3.5.9), whatever its dialect, but another open under
    the same lease: nobody is to see or change what that client may have written and not sent."""
    for opened in shared.opens if shared is not None else ():
        if opened.away and opened.handle is not None and opened.handle.persistent and not wish.shares(opened.caching):
            raise Status(NT.FILE_NOT_AVAILABLE, "its client is away, and comes back")


async def _ended(work: Work, shared: Shared) -> None:
    """Wait for opens of the file that are being closed because their clients are away."""
    while shared.ending:
        await work.connection.server.opens.breaks.wait(work, shared, quietly=True)
    still_connected(work)


def still_connected(work: Work) -> None:
    """Raise Status where the session or tree of a request has ended while it waited."""
    tree = work.tree
    assert tree is not None
    if tree.session.trees.get(tree.id) is not tree:
        raise Status(NT.NETWORK_NAME_DELETED, "disconnected while it waited")


def grant_caching(work: Work, asked: Asked, found: Found, opened: Open, wish: Wish) -> None:
    """Let `opened` cache what it may."""
    if wish.lease is None and not wish.rights:
        return
    directory = found.file.kind is Kind.DIRECTORY and not found.file.stream
    size = 0 if found.made or cuts(asked.request, found) else found.stat.size
    rights = grantable(wish, opened, directory, size)
    local = work.connection.server.opens.breaks.local
    if wish.lease is None:
        if not work.last:  # it may be broken before the client hears of the open: only II needs no answer
            rights &= READ
        rights = RIGHTS[level_of(local.allow(opened, rights))]
        if not directory and rights:  # only leases are for directories
            opened.caching = Oplock(opened.shared, rights, opened=opened)
            opened.shared.holders.append(opened.caching)
        return
    lease = None
    if not directory or wish.lease.parent_key is not None:  # and of those only version 2
        lease = _lease(work, opened, wish, local.allow(opened, rights), directory)
    if lease is None:
        return
    opened.caching = lease
    lease.members.append(opened)
    if wish.lease.parent_key is not None:
        lease.parent = wish.lease.parent_key if wish.lease.flags & LeaseFlags.PARENT_KEY_SET else None
    opened.parent_key = lease.parent
    work.connection.server.keeping.recached(lease)


def cached(opened: Open) -> tuple[int, list[CreateContext]]:
    """What `opened` may cache, as the answer to a CREATE tells it."""
    holder = opened.caching
    if isinstance(holder, Lease):
        return OplockLevel.LEASE, [CreateContext(ContextName.RQLS, holder.context().pack())]
    return level_of(holder.rights) if holder is not None else OplockLevel.NONE, []


def _lease(work: Work, opened: Open, wish: Wish, rights: int, directory: bool) -> Lease | None:
    """The lease with the wish's key, as it is after one more open; None where it has become another file's."""
    assert wish.lease is not None and wish.key is not None
    leases = work.connection.server.opens.breaks.leases
    lease = leases.by_key.get(wish.key)
    if lease is not None:
        if lease.shared is not opened.shared:
            return None
        lease.upgrade(wish.rights & ~(WRITE if directory else 0), rights)
        return lease
    version = 1 if wish.lease.parent_key is None else 2
    lease = Lease(opened.shared, rights, key=wish.key, version=version, epoch=wish.lease.epoch)
    if rights:
        lease.count()
    leases.add(lease, place_of(opened.tree, opened.file.path()) if directory else None)
    return lease
