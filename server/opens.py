"""All opens of the server, and for each open stream what its opens share: share modes and pending deletion.

The table is the event loop's alone. What the store found in its thread may have changed by the time it is
registered here; `Opens.removals` counts the names removed, so that CREATE can tell and look again. A rename or link
that replaces a name has to know that nobody has it open: what CREATE finds meanwhile it registers only afterwards.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .breaks import Breaks
from .changes import Changes
from .handles import Handles
from .messages.create import ShareAccess
from .open import Open, Shared
from .security.access import (
    DELETE,
    FILE_APPEND_DATA,
    FILE_EXECUTE,
    FILE_READ_DATA,
    FILE_WRITE_DATA,
)
from .status import NT, Status
from .store.base import File, FileKey, Kind, Path

if TYPE_CHECKING:
    from .oplock import Holder
    from .session import Session
    from .work import Work

READS = FILE_READ_DATA | FILE_EXECUTE
WRITES = FILE_WRITE_DATA | FILE_APPEND_DATA
SHARED_RIGHTS = READS | WRITES | DELETE
"""Rights that share modes are about; an open with none of them shares with everyone."""

News = tuple[Path | None, tuple[bytes | None, ...]]
"""A directory in which something has changed, and the keys of the leases on it that those who did it have."""


def _needs(access: int) -> int:
    """The share mode that others must have granted for an open with `access`."""
    return (
        (ShareAccess.READ if access & READS else 0)
        | (ShareAccess.WRITE if access & WRITES else 0)
        | (ShareAccess.DELETE if access & DELETE else 0)
    )


MOST_OF_SESSION = 16384
"""Files that one session may have open (Samba's figure for a client); at most half of what all may have."""


class Opens:
    def __init__(self, most: int = 65536) -> None:
        self.most = most
        self.breaks = Breaks()
        self.changes = Changes()
        self.breaks.local.listen(self.changes.local)
        self.handles = Handles()
        self.by_volatile: dict[int, Open] = {}
        self.shared: dict[FileKey, Shared] = {}
        self._streams: dict[FileKey, set[FileKey]] = {}
        """The named streams that are open, by the file they are part of."""
        self._of_user: Counter[str] = Counter()
        self.removals = 0
        """Names that were removed or replaced since the start."""
        self.replacements = 0
        """Replacements begun since the start; those under way end with their futures."""
        self._replacing: dict[asyncio.Future[None], int] = {}
        """By what they end with: the device."""
        self._next = 1
        self.given_up: Callable[[Open], None] = lambda opened: None
        """Told of each open that is closed while its client is away, by a request that was still under way."""

    def new_ids(self, session: "Session") -> tuple[int, int]:
        """A persistent and a volatile id, neither ever 0 (Windows takes {0, 0} for no handle) nor reused."""
        if len(self.by_volatile) >= self.most:
            raise Status(NT.INSUFFICIENT_RESOURCES, f"{self.most} files are open")
        if self._of_user[_user(session)] >= self.most // 2:  # who may log on as often as they like
            raise Status(NT.INSUFFICIENT_RESOURCES, f"{self.most // 2} files are open by {session.user}")
        self.check_room(session)
        self._next += 1
        return int.from_bytes(os.urandom(8), "little") or 1, self._next

    def check_room(self, session: "Session") -> None:
        """Refuse one more open of `session` where it has all it may have."""
        if len(session.opens) >= min(self.most // 2, MOST_OF_SESSION):
            raise Status(NT.INSUFFICIENT_RESOURCES, f"{len(session.opens)} files are open in one session")

    def shared_for(self, key: FileKey) -> Shared:
        """What the opens of `key` share; made where it is the first."""
        found = self.shared.get(key)
        if found is None:
            found = Shared(key)
            self._remember(found)
        return found

    def _remember(self, shared: Shared) -> None:
        key = shared.key
        self.shared[key] = shared
        if key.stream:
            self._streams.setdefault(key._replace(stream=""), set()).add(key)

    def check(self, key: FileKey, access: int, share: int) -> None:
        """Refuse an open that meets a pending deletion or does not go with those that are there (MS-FSA 2.1.5.1.2)."""
        base = self.shared.get(key._replace(stream="")) if key.stream else None
        if base is not None and base.delete_pending:
            raise Status(NT.DELETE_PENDING)
        found = self.shared.get(key)
        if found is not None and found.delete_pending:
            raise Status(NT.DELETE_PENDING)
        if access & DELETE:
            self._check_streams(key)
        if found is None or not access & SHARED_RIGHTS:
            return
        needs = _needs(access)
        for other in found.opens:
            theirs = other.mode.access
            if theirs & SHARED_RIGHTS and (needs & ~other.mode.share or _needs(theirs) & ~share):
                raise Status(NT.SHARING_VIOLATION)

    def _check_streams(self, key: FileKey) -> None:
        """Who may delete a file deletes its streams with it: their opens must share that too."""
        for stream in self._streams.get(key, ()):
            for other in self.shared[stream].opens:
                if other.mode.access & SHARED_RIGHTS and not other.mode.share & ShareAccess.DELETE:
                    raise Status(NT.SHARING_VIOLATION, f"stream {stream.stream!r} is open")

    def add(self, opened: Open) -> None:
        self.by_volatile[opened.volatile] = opened
        opened.user = _user(opened.session)
        self._of_user[opened.user] += 1
        opened.shared.opens.append(opened)
        opened.session.opens[opened.volatile] = opened

    def drop(self, shared: Shared) -> None:
        """Forget `shared` where nothing is open any more and no deletion is under way."""
        if not shared.opens:
            self._forget(shared)

    def _forget(self, shared: Shared) -> None:
        key = shared.key
        if self.shared.get(key) is not shared:
            return
        del self.shared[key]
        if key.stream:
            file = key._replace(stream="")
            streams = self._streams[file]
            streams.discard(key)
            if not streams:
                del self._streams[file]

    async def close(self, opened: Open, but: "Work | None" = None) -> None:
        """Close for good: pending requests end, locks go, and with the last open a file to be deleted.

        Safe to call twice. Raises what removing the name raises.
        """
        if opened.closed:
            return
        opened.closed = True
        self.by_volatile.pop(opened.volatile, None)
        self._of_user[opened.user] -= 1
        if not self._of_user[opened.user]:
            del self._of_user[opened.user]
        opened.session.opens.pop(opened.volatile, None)
        self.end_waits(opened, but)
        self.handles.remove(opened)
        if opened.away:
            self.given_up(opened)
        self.changes.closed(opened)
        if opened.pipe is not None:
            return
        caching = opened.caching
        self.breaks.release(opened)
        news: list[News] = []
        try:
            await self._leave(opened, caching, news)
        finally:
            opened.shared.wake()
            if opened.search is not None:
                await opened.search.cursor.close()
            if opened.shared.last is not opened:
                await opened.file.close()
            for place, keys in news:
                self.breaks.directory_changed(place, *keys)

    def end_waits(self, opened: Open, but: "Work | None" = None) -> None:
        """End the requests that wait on `opened`, which is about to be closed."""
        for work in list(opened.waiting):
            if work is not but:
                work.cancel(opened.ends_with(work))

    def will_delete(self, opened: Open, caching: "Holder | None") -> None:
        """`opened`, which caches by `caching`, marks its file for deletion with the last close; the first to do so is
        remembered."""
        if not opened.shared.delete_pending:
            opened.shared.delete_pending, opened.shared.deleter = True, opened.parent_key
            self.breaks.ask_handles(opened.shared, caching)
            self.changes.doomed(opened.shared)

    @contextmanager
    def replacing(self, device: int) -> Iterator[None]:
        """Within: look whether what has a name on `device` is open, and replace it."""
        ended = asyncio.get_running_loop().create_future()
        self._replacing[ended] = device
        self.replacements += 1
        try:
            yield
        finally:
            self.removals += 1
            del self._replacing[ended]
            ended.set_result(None)

    def is_settled(self, removals: int) -> bool:
        """Whether no file can have lost its name since `removals` were counted."""
        return self.removals == removals and not self._replacing

    async def is_gone(self, file: File, removals: int) -> bool:
        """Whether a file that is about to be registered has lost its name since `removals` were counted."""
        settled = self.is_settled(removals)
        while not settled:
            here = [ended for ended, device in self._replacing.items() if device == file.key.device]
            if here:
                await asyncio.wait(here)
            begun = self.replacements
            if (await file.stat()).links == 0:
                return True
            settled = self.replacements == begun
        return False

    def unlinked(self, shared: Shared) -> None:
        """The name of what `shared` is about is gone while it is open (POSIX semantics): no new open finds it."""
        shared.delete_pending = False
        self._forget(shared)
        self.removals += 1

    def stream_renamed(self, opened: Open) -> None:
        """The stream of `opened` has another name by now: so it has for its other opens, and for those to come."""
        shared, file = opened.shared, opened.file
        for other in shared.opens:
            other.file.stream, other.file.key = file.stream, file.key
        if file.key not in self.shared and self.shared.get(shared.key) is shared:
            self._forget(shared)
            shared.key = file.key
            self._remember(shared)

    def below(self, directory: Open) -> list[Open]:
        """What is open below `directory` through its share. Asks the system once for the path of each file of it."""
        path, share, device = directory.file.path(), directory.tree.share, directory.file.key.device
        depth = len(path)
        inside: dict[int, bool] = {directory.file.key.inode: False}
        found = []
        for opened in self.by_volatile.values():
            if opened.tree.share is not share or opened.shared.key.device != device:
                continue
            inode = opened.shared.key.inode
            if inode not in inside:
                try:
                    below = opened.file.path()
                except Status:  # it has no name any more
                    below = ()
                inside[inode] = len(below) > depth and below[:depth] == path
            if inside[inode]:
                found.append(opened)
        return found

    async def abandon(self, opened: Open) -> None:
        """Close an open whose CREATE failed after all: what others have left to it is done, its own wish is not."""
        opened.mode.delete_on_close = False
        await self.close(opened)

    async def _leave(self, opened: Open, caching: "Holder | None", news: list[News]) -> None:
        shared = opened.shared
        if shared.locks is not None:
            shared.locks.drop(opened)
        if opened.mode.delete_on_close and await _may_go(opened.file):
            self.will_delete(opened, caching)
        shared.opens.remove(opened)
        if opened.modified:
            news.append((self.breaks.place(opened), (opened.parent_key,)))
        self.changes.rest(opened)
        if shared.opens:
            return
        if not shared.delete_pending and not shared.key.stream:
            self.drop(shared)
            return
        if shared.delete_pending and shared.key in self._streams:
            shared.last = opened
            return
        try:
            await self._end(opened, news)
        finally:
            if shared.key.stream:
                await self._end_file(shared.key._replace(stream=""), news)

    async def _end_file(self, key: FileKey, news: list[News]) -> None:
        """With the last of its streams a file goes that waited for that."""
        file = self.shared.get(key)
        if file is None or file.last is None or key in self._streams:
            return
        last, file.last = file.last, None
        try:
            await self._end(last, news)
        finally:
            await last.file.close()

    async def _end(self, opened: Open, news: list[News]) -> None:
        """Nothing has `opened`'s file or stream open any more: remove its name where that was asked."""
        shared = opened.shared
        try:
            if shared.delete_pending:
                place, removing = self.breaks.place(opened), self.changes.removing(opened)
                await opened.file.unlink()
                self.removals += 1
                self.changes.removed(opened, removing)
                news.append((place, (opened.parent_key, shared.deleter)))
        except Status as status:
            if status.code != NT.DIRECTORY_NOT_EMPTY:  # something has come into it since: it stays, and is closed
                raise
        finally:
            self.drop(shared)


def _user(session: "Session") -> str:
    """Whom an open of `session` counts for; guests come with any name, and are one."""
    outcome = session.outcome
    return "" if outcome is None or outcome.anonymous or outcome.guest else outcome.name.casefold()


async def _may_go(file: File) -> bool:
    """Whether a file to be deleted at its close is deleted: a directory with entries stays (MS-FSA 2.1.5.5)."""
    return file.kind is not Kind.DIRECTORY or bool(file.stream) or await file.is_empty()
