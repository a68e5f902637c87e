"""Persistent opens (Open.IsPersistent, MS-SMB2 3.3.1.10): what they are is on disk before anybody is told.

A handler that may have changed one waits for `settle` before its answer leaves; what breaks change follows by itself.
On disk is the last state only: an open whose row would be the same costs nothing. When the server stops, the rows
stay; `restore` makes opens of them in its next life.

What lies in the file is as safe as what clients have written: see `journal`. So a write needs no write-through here,
as Windows has it on such shares, for nothing that was answered is lost with the server alone.
"""

import asyncio
import contextlib
import logging
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .journal import Journal, Row
from .lease import Lease
from .oplock import Oplock
from .status import NT, Status
from .store.base import Path as Names

if TYPE_CHECKING:
    from .durable import Handle
    from .open import Open, Shared
    from .oplock import Holder

log = logging.getLogger("smbdirect.keeping")

MOST = 8192
"""Persistent opens that the server keeps; at most a quarter of them for one user. Others are durable at best."""
MOST_LOCKS = 65536
"""Byte ranges that one user may have locked through them: each is on disk."""
LOCK = struct.Struct("<QQ?")
VERSION = struct.Struct("<QQ")


@dataclass(slots=True)
class Kept:
    identity: bytes
    row: Row | None = None
    """As it was given to the journal last."""


class Keeping:
    """All persistent opens. Without a journal there are none."""

    def __init__(self) -> None:
        self._journal: Journal | None = None
        self._kept: dict[Open, Kept] = {}
        self._of_user: Counter[str] = Counter()
        self._locks_of_user: Counter[str] = Counter()
        self._changed: set[Open] = set()
        self._put = 0
        """Rows given to the journal; of these so many are `_committed`."""
        self._committed = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def on(self) -> bool:
        return self._journal is not None

    @property
    def behind(self) -> bool:
        """Whether the next life of the server would get nothing of what is kept."""
        return self._journal is not None and self._journal.behind

    async def use(self, path: Path, guid: bytes) -> Journal:
        """Keep what is persistent at `path` from now on. Raises ConfigError."""
        self._journal = await asyncio.to_thread(Journal, path, guid)
        return self._journal

    def has_room(self, handle: "Handle") -> bool:
        return self.on and len(self._kept) < MOST and self._of_user[handle.user] < MOST // 4

    # -- one open -------------------------------------------------------------------------------------------
    async def begin(self, opened: "Open") -> bool:
        """Make `opened` persistent; whether it is. Nobody else opens the file until that is settled."""
        handle = opened.handle
        assert handle is not None
        if not self.has_room(handle):
            return False
        opened.shared.ending += 1
        try:
            identity = await opened.file.identity()
            if opened.closed:
                return False
            self.add(opened, identity)
            await self.settle(opened)
            handle.persistent = not self.behind
        except Status as status:
            log.warning("an open is not made persistent: %s", status)
            handle.persistent = False
        finally:
            if not handle.persistent:
                self.gone(opened)
            opened.shared.ending -= 1
            opened.shared.wake()
        return handle.persistent

    def add(self, opened: "Open", identity: bytes) -> None:
        """`opened` is persistent; soon that is on disk."""
        assert opened.handle is not None
        self._kept[opened] = Kept(identity)
        self._of_user[opened.handle.user] += 1
        opened.handle.persistent = True

    def gone(self, opened: "Open") -> None:
        """`opened` is closed: no client will have it back."""
        kept = self._kept.pop(opened, None)
        if kept is None:
            return
        self._changed.discard(opened)
        assert opened.handle is not None
        user = opened.handle.user
        self._of_user[user] -= 1
        self._locks_of_user[user] -= _locks(kept.row)
        if not self._of_user[user]:
            del self._of_user[user], self._locks_of_user[user]
        self.drop(_id(opened))

    def drop(self, persistent: bytes) -> None:
        """There is no open with this id any more."""
        if self._journal is not None:
            self._journal.drop(persistent)
            self._put += 1

    def check_locks(self, opened: "Open", more: int) -> None:
        """Refuse locks of `opened` where it is persistent and its user has all that he may have."""
        if opened in self._kept and opened.handle is not None:
            locked = self._locks_of_user[opened.handle.user]
            if locked + more > MOST_LOCKS:
                raise Status(NT.INSUFFICIENT_RESOURCES, f"{locked} ranges are locked through persistent opens")

    def recached(self, holder: "Holder") -> None:
        """What `holder` lets its opens cache has changed."""
        for opened in holder.opens():
            if opened in self._kept:
                self.changed(opened)

    def moved(self, shared: "Shared") -> None:
        """The file has another name, for all that have it open."""
        for opened in shared.opens:
            if opened in self._kept:
                self.changed(opened)

    def changed(self, opened: "Open") -> None:
        """`opened` may not be what it was; soon that is on disk."""
        if not self._changed:
            asyncio.get_running_loop().call_soon(self._flush)
        self._changed.add(opened)

    # -- writing --------------------------------------------------------------------------------------------
    def note(self, opened: "Open | None") -> None:
        """What a request for `opened` has changed that nobody is answered: it goes to disk, and nobody waits for it."""
        if opened is not None and self._kept:
            self._changed.update(self._stale(opened))
        self._flush()

    async def settle(self, opened: "Open | None" = None) -> None:
        """Until what has changed, of `opened` too where it is persistent, is on disk. Raises Status.

        Also what has changed before and made way for this open: else its file could be another's in the next life.
        """
        journal = self._journal
        if journal is None:
            return
        if opened is not None and self._kept:
            self._changed.update(self._stale(opened))
        concerned = opened is None or opened.tree.share.continuously_available
        if (self._flush() or concerned) and self._committed < self._put:
            put = self._put
            try:
                await journal.committed()
            except Status as status:
                if opened is None or opened in self._kept:
                    raise
                log.error("%s", status)
                return
            self._committed = max(self._committed, put)

    def _stale(self, opened: "Open") -> "Iterator[Open]":
        """Whose row `opened` may have made wrong: its own, and those of opens for which it has renamed the stream, or
        doomed the file."""
        if opened in self._kept:
            yield opened
        for other in opened.shared.opens:
            kept = self._kept.get(other)
            if kept is not None and kept.row is not None:
                said = kept.row.delete_pending, kept.row.stream
                if said != (opened.shared.delete_pending, pack_name(other.file.stream)):
                    yield other

    def _flush(self) -> bool:
        """Give the journal what has changed; whether anything has."""
        changed, self._changed = self._changed, set()
        before = self._put
        for opened in changed:
            kept = self._kept[opened]
            row = _row(opened, kept)
            if row != kept.row and self._journal is not None:
                assert opened.handle is not None
                self._locks_of_user[opened.handle.user] += _locks(row) - _locks(kept.row)
                kept.row = row
                self._journal.put(row)
                self._put += 1
        return self._put > before

    async def end(self) -> None:
        """The server stops: what is kept is for its next life. What is closed from now on leaves its file as it is."""
        journal = self._journal
        if journal is None:
            return
        for opened in list(self._kept):
            with contextlib.suppress(Status, OSError):
                await opened.file.flush()
        with contextlib.suppress(Status):
            await self.settle()
        self._journal = None
        for opened in self._kept:
            opened.mode.delete_on_close = opened.shared.delete_pending = False
        await asyncio.to_thread(journal.close)


# -- an open as a row -----------------------------------------------------------------------------------------------
def pack_name(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def unpack_name(name: bytes) -> str:
    return name.decode("utf-8", "surrogatepass")


def pack_path(path: Names) -> bytes:
    return pack_name("/".join(path))


def unpack_path(path: bytes) -> Names:
    return tuple(unpack_name(path).split("/")) if path else ()


def _id(opened: "Open") -> bytes:
    return opened.persistent.to_bytes(8, "little")


def _row(opened: "Open", kept: Kept) -> Row:
    handle, mode, shared, caching = opened.handle, opened.mode, opened.shared, opened.caching
    assert handle is not None and handle.create_guid is not None
    lease = caching if isinstance(caching, Lease) else None
    version = handle.app_version
    return Row(
        persistent=_id(opened), share=opened.tree.share.name, path=_path(opened, kept),
        stream=pack_name(opened.file.stream), identity=kept.identity, user=opened.session.user,
        client_guid=handle.client_guid, create_guid=handle.create_guid, app_instance=handle.app_instance,
        app_version=VERSION.pack(*version) if version is not None else None,
        action=handle.action, timeout=handle.timeout, resilient=handle.resilient,
        access=mode.access, share_access=mode.share, options=mode.options, write_through=mode.write_through,
        delete_on_close=mode.delete_on_close, delete_pending=shared.delete_pending, deleter=shared.deleter,
        position=opened.position, held_times=opened.held_times, modified=opened.modified,
        cached=_rights(caching), lease_key=lease.key[1] if lease is not None else None,
        lease_version=lease.version if lease is not None else 0,
        lease_epoch=lease.epoch if lease is not None else 0,
        lease_parent=lease.parent if lease is not None else None, parent_key=opened.parent_key,
        locks=b"".join(LOCK.pack(*lock[1:]) for lock in shared.locks.held if lock.open is opened)
        if shared.locks is not None else b"",
        sequences=b"".join(map(bytes, sorted(opened.lock_sequences.items()))),
    )  # fmt: skip


def _locks(row: Row | None) -> int:
    return len(row.locks) // LOCK.size if row is not None else 0


def _path(opened: "Open", kept: Kept) -> bytes:
    if opened.handle is not None and opened.handle.formerly is not None:
        return pack_path(opened.handle.formerly)
    try:
        return pack_path(opened.file.path())
    except Status:  # it has no name any more
        return kept.row.path if kept.row is not None else b""


def _rights(holder: "Holder | None") -> int | None:
    """What it may cache; while it is told to break, what it may keep then."""
    if isinstance(holder, Oplock):
        return holder.target if holder.breaking else holder.rights
    if isinstance(holder, Lease):
        return holder.required if holder.breaking else holder.rights
    return None
