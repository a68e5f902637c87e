"""Byte-range locks of one stream (MS-SMB2 3.3.5.14, MS-FSA 2.1.4.10, 2.1.5.8): what they keep from whom.

A lock belongs to an open. An exclusive lock keeps every other open from reading, writing and locking its range,
and its own open from another exclusive lock there; a shared lock keeps everyone, its own open too, from writing
and from exclusive locks. A lock of no length conflicts with a range that it lies inside of, ends and beginnings
excluded; reading and writing no bytes is kept from nobody (2.1.5.3, 2.1.5.4).
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .open import Open


class Range(NamedTuple):
    open: "Open"
    offset: int
    length: int
    exclusive: bool

    def overlaps(self, offset: int, length: int) -> bool:
        """Whether the two ranges share a byte; one of no length does so inside another, not at its edges."""
        return self.offset < offset + length and offset < self.offset + self.length


@dataclass(slots=True, eq=False)
class Waiting:
    """A lock request that waits for its ranges, all of which it gets at once."""

    ranges: list[Range]
    granted: "asyncio.Future[None]"


@dataclass(slots=True)
class Locks:
    """The locks on one stream, and who waits for some, in the order they asked."""

    held: list[Range] = field(default_factory=list)
    waiting: deque[Waiting] = field(default_factory=deque)

    def conflict(self, wanted: Range) -> Range | None:
        """The lock that keeps `wanted` from being granted."""
        for lock in self.held:
            barred = wanted.exclusive or (lock.exclusive and lock.open is not wanted.open)
            if barred and lock.overlaps(wanted.offset, wanted.length):
                return lock
        return None

    def take(self, ranges: list[Range]) -> bool:
        """Take all of `ranges`, or none where one conflicts."""
        for number, wanted in enumerate(ranges):
            if self.conflict(wanted) is not None:
                del self.held[len(self.held) - number :]
                return False
            self.held.append(wanted)
        return True

    def queue(self, ranges: list[Range]) -> Waiting:
        """Wait for `ranges`; `granted` ends when they are held."""
        waiting = Waiting(ranges, asyncio.get_running_loop().create_future())
        self.waiting.append(waiting)
        return waiting

    def give_up(self, waiting: Waiting) -> None:
        """Stop waiting; ranges granted in the meantime are given back."""
        if waiting in self.waiting:
            self.waiting.remove(waiting)
        elif waiting.granted.done() and not waiting.granted.cancelled() and waiting.granted.exception() is None:
            for lock in waiting.ranges:
                self.held.remove(lock)
        self.retry()

    def release(self, owner: "Open", offset: int, length: int) -> bool:
        """Release a lock that `owner` holds on exactly this range, an exclusive one first; False where none is."""
        for exclusive in (True, False):
            wanted = Range(owner, offset, length, exclusive)
            if wanted in self.held:
                self.held.remove(wanted)
                return True
        return False

    def drop(self, owner: "Open") -> None:
        """Release all that `owner` holds."""
        kept = [lock for lock in self.held if lock.open is not owner]
        if len(kept) != len(self.held):
            self.held = kept
            self.retry()

    def retry(self) -> None:
        """Grant what now can be granted, first come first served."""
        for waiting in list(self.waiting):
            if waiting.granted.done() or self.take(waiting.ranges):
                self.waiting.remove(waiting)
                if not waiting.granted.done():
                    waiting.granted.set_result(None)

    def bars_read(self, reader: "Open", offset: int, length: int) -> bool:
        """Whether an exclusive lock of another open lies in the range."""
        others = (lock for lock in self.held if lock.exclusive and lock.open is not reader)
        return length > 0 and any(lock.overlaps(offset, length) for lock in others)

    def bars_write(self, writer: "Open", offset: int, length: int) -> bool:
        """Whether another open's lock, or any shared one, lies in the range."""
        others = (lock for lock in self.held if not lock.exclusive or lock.open is not writer)
        return length > 0 and any(lock.overlaps(offset, length) for lock in others)
