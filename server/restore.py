"""Persistent opens of the server's last life: before anybody is served they are opens again, whose clients are away.

Each is opened anew as its user, by its name or wherever its file is by now, with its share mode, its locks and what it
caches; from now on its time runs. What cannot be had any more, because the file, the user or his rights have gone or a
local process has locked there meanwhile, is told in one line and forgotten: its client hears that it is not there.
"""

import logging
from typing import TYPE_CHECKING

from .config import ConfigError
from .durable import Handle
from .journal import Row
from .keeping import LOCK, VERSION, unpack_name, unpack_path
from .lease import Lease
from .lock import Locks, Range
from .messages.create import CreateAction
from .messages.fscc_file import FileAttribute
from .open import Mode, Open
from .oplock import RIGHTS, Oplock, level_of
from .security.access import SYSTEM_SECURITY
from .security.auth import Outcome
from .session import Session
from .status import NT, Status
from .store.base import Found, Wanted
from .tree import Tree

if TYPE_CHECKING:
    from .server import Server

log = logging.getLogger("smbdirect.restore")


async def restore(server: "Server", rows: list[Row]) -> None:
    """Put back what `rows` say; those that cannot be are dropped. Raises ConfigError where that cannot be kept."""
    for row in rows:
        try:
            await _put_back(server, row)
        except (Status, OSError, ValueError) as error:
            name = row.path.decode("utf-8", "replace")
            log.warning("%r in %s: %s's open is not given back: %s", name, row.share, row.user, error)
            server.keeping.drop(row.persistent)
    try:
        await server.keeping.settle()
    except Status as status:
        raise ConfigError(str(status)) from None
    if rows:
        log.info("%d of %d persistent opens wait for their clients", len(server.keeping), len(rows))


async def _put_back(server: "Server", row: Row) -> None:
    tree = await _tree(server, row)
    store = tree.share.store
    assert store is not None
    path = await store.locate(row.identity, unpack_path(row.path))
    found = await store.open(tree.who, Wanted(path, unpack_name(row.stream), row.access))
    try:
        if await found.file.identity() != row.identity:
            raise Status(NT.OBJECT_NAME_NOT_FOUND, "its name is another file's")
        if row.action != CreateAction.OPENED:
            await found.file.mark(b"")  # its CREATE need not be known by it any more
        opened = _open(server, row, tree, found)
    except BaseException:
        await found.file.close()
        raise
    try:
        _cache(server, row, opened)
        await _lock(row, opened)
        server.keeping.add(opened, row.identity)
        if not server.durables.keep(opened):
            raise Status(NT.INSUFFICIENT_RESOURCES, "no more are kept")
    except BaseException:
        await server.opens.abandon(opened)
        raise
    if opened.handle is not None and path != unpack_path(row.path):
        opened.handle.formerly = unpack_path(row.path)
    opened.mode.delete_on_close = bool(row.delete_on_close)
    if row.delete_pending:
        opened.shared.delete_pending, opened.shared.deleter = True, row.deleter
    server.keeping.changed(opened)


async def _tree(server: "Server", row: Row) -> Tree:
    """A session and tree that have ended, as those that its client had. Raises Status where it may not have them."""
    share = server.shares.find(row.share)
    if not (share.continuously_available and server.keeps(share)):
        raise Status(NT.OBJECT_NAME_NOT_FOUND, "the share is not continuously available any more")
    outcome = Outcome(row.user, "", b"", b"")
    who = await server.identity_of(outcome)
    session = Session(0, server.started, who=who, outcome=outcome, client_guid=row.client_guid)
    access, who = server.shares.grant(share, session)
    beyond = row.access & ~(access | SYSTEM_SECURITY)
    if beyond:
        raise Status(NT.ACCESS_DENIED, f"rights {beyond:#x} are not granted any more")
    return Tree(0, session, share, access, who)


def _open(server: "Server", row: Row, tree: Tree, found: Found) -> Open:
    opens, session = server.opens, tree.session
    _, volatile = opens.new_ids(session)
    opened = Open(
        volatile, int.from_bytes(row.persistent, "little"), session, tree,
        Mode(row.access, row.share_access, row.options, bool(row.write_through)),
        opens.shared_for(found.file.key), found.file, position=row.position, held_times=row.held_times,
        lock_sequences=dict(zip(row.sequences[::2], row.sequences[1::2], strict=True)),
        handle=_handle(row, server.config.durable_timeout), modified=bool(row.modified), parent_key=row.parent_key,
    )  # fmt: skip
    opened.shared.archived = bool(found.stat.attributes & FileAttribute.ARCHIVE)
    opens.add(opened)
    session.opens.clear()
    opens.handles.add(opened)
    return opened


def _handle(row: Row, longest: float) -> Handle:
    high_low = VERSION.unpack(row.app_version) if row.app_version is not None else None
    return Handle(
        row.client_guid, row.user.casefold(), row.create_guid, row.app_instance, high_low, row.action,
        durable=True, resilient=bool(row.resilient), timeout=min(row.timeout, longest),
    )  # fmt: skip


def _cache(server: "Server", row: Row, opened: Open) -> None:
    """Its oplock or lease, as far as local processes leave it. The epoch of a lease counts on: the last change may not
    have come to the disk before its client heard of it."""
    if row.cached is None:
        return
    breaks = server.opens.breaks
    rights = breaks.local.allow(opened, row.cached)
    if row.lease_key is None:
        opened.caching = Oplock(opened.shared, RIGHTS[level_of(rights)], opened=opened)
        opened.shared.holders.append(opened.caching)
        return
    key = row.client_guid, row.lease_key
    lease = breaks.leases.by_key.get(key)
    if lease is None:
        lease = Lease(opened.shared, rights, key=key, version=row.lease_version, epoch=row.lease_epoch)
        lease.parent = row.lease_parent
        lease.count()
        breaks.leases.add(lease, None)
    elif lease.shared is not opened.shared:
        raise Status(NT.INVALID_PARAMETER, "the lease key is another file's")
    opened.caching = lease
    lease.members.append(opened)


async def _lock(row: Row, opened: Open) -> None:
    if not row.locks:
        return
    shared = opened.shared
    shared.locks = shared.locks or Locks()
    for offset, length, exclusive in LOCK.iter_unpack(row.locks):
        if not await opened.file.lock_range(offset, length, exclusive):
            raise Status(NT.LOCK_NOT_GRANTED, "a local process has locked there")
        shared.locks.held.append(Range(opened, offset, length, exclusive))
