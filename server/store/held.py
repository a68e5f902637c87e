"""What keeps an open file's descriptor its own: calls under way hold it, and a close waits for them.

A client may send CLOSE while its READ is in a thread. Were the descriptor closed then, its number could be another
file's before the thread uses it. All of this runs on the loop, so it needs no lock.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from ..status import NT, Status
from .base import File, Identity
from .loan import Loan
from .threads import IdentityThreads

T = TypeVar("T")


class Held(File):
    """A file whose calls hop into threads."""

    _threads: IdentityThreads
    _busy = 0
    """Calls under way."""
    _closing = False
    _idle: Loan | None = None
    """Ends with the last call that is under way while the file is being closed."""

    async def _hop(self, who: Identity | None, function: Callable[..., T], *args: Any) -> T:
        """`function(*args)` in an identity thread, with the descriptor held; FILE_CLOSED once it is being closed."""
        self.hold()
        try:
            return await self._threads.run(who, function, *args)
        finally:
            self.let_go()

    def hold(self) -> None:
        if self._closing:
            raise Status(NT.FILE_CLOSED, "closed")
        self._busy += 1

    def let_go(self) -> None:
        self._busy -= 1
        if self._idle is not None and not self._busy:
            self._idle.set_result(None)

    async def _finish(self) -> None:
        """Begin to close: let no call in, and wait until the last is out."""
        self._closing = True
        if self._busy:
            self._idle = Loan()
            await self._idle
