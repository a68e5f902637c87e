"""Opens that outlive their connection (MS-SMB2 3.3.1.10, 3.3.7.1): durable and resilient ones, while nobody has them.

Such an open keeps its share mode, its locks and what it caches; it belongs to no session and no tree until its client
takes it back, or the time it was promised is over and it is closed. A durable one is worth keeping only as long as
its client may trust what it has cached: what would make a client that is there give up HANDLE closes it at once, and
nobody waits for one that cannot answer. A resilient or persistent one stays whatever happens to its caching.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .breaks import Later
from .breaks import later as loop_later
from .messages.create import CreateAction
from .oplock import HANDLE, WRITE, Timer
from .step import step

if TYPE_CHECKING:
    from .open import Open
    from .opens import Opens
    from .session import Session
    from .store.base import Path
    from .tree import Tree

MOST_AWAY = 16384
"""Opens without a client that the server keeps, and at most a quarter of all it may have; of these a quarter for one
user."""


@dataclass(slots=True)
class Handle:
    """What is known of an open beyond its connection, as plain data (MS-SMB2 3.3.1.10)."""

    client_guid: bytes
    user: str
    """Who opened it, folded in case: nobody else takes it back (DurableOwner)."""
    create_guid: bytes | None = None
    """From a v2 request; None of any other."""
    app_instance: bytes | None = None
    app_version: tuple[int, int] | None = None
    action: int = CreateAction.OPENED
    """What its CREATE did."""
    durable: bool = False
    resilient: bool = False
    persistent: bool = False
    """It outlives the server too (`keeping`)."""
    timeout: float = 0.0
    """Seconds for which it is kept without its client."""
    formerly: "Path | None" = None
    """What its client calls the file, where a local process has renamed it while the server was down."""

    @property
    def lasting(self) -> bool:
        return self.durable or self.steadfast

    @property
    def steadfast(self) -> bool:
        """Whether it lasts whatever becomes of what it caches."""
        return self.resilient or self.persistent


class Durables:
    """The opens whose clients are away. `end` closes one for good; it is called once for each that nobody took back."""

    def __init__(self, opens: "Opens", end: "Callable[[Open], Awaitable[None]]", later: Later = loop_later) -> None:
        self._opens = opens
        self.away: dict[int, Open] = {}
        """By persistent id."""
        self._end = end
        self.later = later
        self._timers: dict[int, Timer] = {}
        self._of_user: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    def keep(self, opened: "Open") -> bool:
        """Keep `opened`, whose session ends, for its client; False where it is to be closed."""
        handle = opened.handle
        if handle is None or not _worth_keeping(opened, handle):
            return False
        most = min(MOST_AWAY, self._opens.most // 4)
        full = len(self.away) >= most or self._of_user[handle.user] >= most // 4
        if full and not handle.persistent:  # of which `keeping` has let no more come to be than there may be
            return False
        opened.away = True
        opened.tree.share.kept += 1
        self.away[opened.persistent] = opened
        self._of_user[handle.user] += 1
        self._timers[opened.persistent] = self.later(handle.timeout, self.give_up, opened)
        return True

    def take_back(self, opened: "Open", session: "Session", tree: "Tree") -> None:
        """The client of `opened` is there again, with `session` and `tree`."""
        self._forget(opened)
        opened.tree.share.kept -= 1
        opened.session, opened.tree = session, tree
        session.opens[opened.volatile] = opened

    def give_up(self, opened: "Open") -> None:
        """Close `opened` now, where its client is away: its time is over, or somebody else needs the file."""
        if not opened.away:
            return
        self._forget(opened)
        opened.shared.ending += 1
        task = step(self._close(opened))
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def end(self, persistent: bool = True) -> None:
        """Close all that are kept, `persistent` ones too, and wait until they are."""
        for opened in list(self.away.values()):
            if persistent or opened.handle is None or not opened.handle.persistent:
                self.give_up(opened)
        await self.settle()

    async def settle(self) -> None:
        """Until all that were given up are closed."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def uncached(self, opened: "Open") -> None:
        """What `opened` caches does not hold it open any more: a durable one without a client has no use then."""
        if opened.away and opened.handle is not None and not opened.handle.steadfast:
            self.give_up(opened)

    async def _close(self, opened: "Open") -> None:
        try:
            await self._end(opened)
        finally:
            opened.shared.ending -= 1
            opened.shared.wake()

    def _forget(self, opened: "Open") -> None:
        opened.away = False
        del self.away[opened.persistent]
        self._timers.pop(opened.persistent).cancel()
        user = opened.handle.user if opened.handle is not None else ""
        self._of_user[user] -= 1
        if not self._of_user[user]:
            del self._of_user[user]


def _worth_keeping(opened: "Open", handle: Handle) -> bool:
    """Whether an open that loses its last connection is preserved (3.3.7.1).

    Locks are trusted to hold only with WRITE, under which nobody else has the file open (Windows does likewise).
    """
    if opened.closed or opened.tree.share.retired:
        return False
    if handle.steadfast:
        return True
    caching = opened.caching
    if not handle.durable or caching is None or caching.breaking or not caching.rights & HANDLE:
        return False
    if opened.shared.delete_pending:  # its name would be barred to everybody
        return False
    return bool(caching.rights & WRITE) or not _holds_locks(opened)


def _holds_locks(opened: "Open") -> bool:
    locks = opened.shared.locks
    return locks is not None and any(lock.open is opened for lock in locks.held)
