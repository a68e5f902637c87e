"""Byte-range locks beside local processes: what is granted among clients is asked of the system too.

A local process's lock refuses one that is to fail at once, and keeps one that waits waiting: the system tells nobody
that a lock has been let go but who sleeps for it, and no thread is to sleep for a client; so it is asked again, ever
more rarely. Meanwhile other clients find nothing locked.
"""

import asyncio

from ..lock import Locks, Range
from ..open import Open
from ..status import NT, Status
from ..work import Work

FIRST, MOST = 0.01, 0.5
"""Seconds until a lock is asked for again: at first, doubled each time, and at most."""


async def take(opened: Open, locks: Locks, ranges: list[Range]) -> bool:
    """Take `ranges`, which are held among clients, from local processes too; else they are held no more."""
    taken: list[Range] = []
    try:
        for wanted in ranges:
            if not await opened.file.lock_range(wanted.offset, wanted.length, wanted.exclusive):
                break
            taken.append(wanted)
    finally:
        if len(taken) != len(ranges):
            for lock in ranges:
                if lock in locks.held:
                    locks.held.remove(lock)
            locks.retry()
    if opened.closed:
        raise Status(NT.RANGE_NOT_LOCKED, "closed while it was locked")
    if len(taken) == len(ranges):
        return True
    for lock in taken:
        await opened.file.unlock_range(lock.offset, lock.length)
    return False


async def pause(work: Work, opened: Open, seconds: float) -> None:
    """Until it is time to ask again. Raises Status where the request is called off or the open closed."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    timer = loop.call_later(seconds, _end, future)
    opened.waiting.add(work)
    try:
        await work.wait(future)
    finally:
        timer.cancel()
        opened.waiting.discard(work)


def _end(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
