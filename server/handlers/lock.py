"""LOCK (MS-SMB2 3.3.5.14)."""

import asyncio

from ..lock import Locks, Range
from ..messages.file import LockElement, LockFlags, LockRequest, LockResponse
from ..messages.negotiate import Capability, Dialect
from ..open import Locking, Open
from ..status import NT, Status
from ..store.base import Kind
from ..work import Work
from . import lock_local

LAST = (1 << 64) - 1
KINDS = (
    LockFlags.SHARED,
    LockFlags.EXCLUSIVE,
    LockFlags.SHARED | LockFlags.FAIL_IMMEDIATELY,
    LockFlags.EXCLUSIVE | LockFlags.FAIL_IMMEDIATELY,
)
MOST_AT_ONCE = 64
"""Elements of one request."""
MOST_HELD = 4096
"""Ranges held of one stream: each READ and WRITE looks at them all, and so does each lock."""
MOST_PAIRS = 1 << 17
"""Of a range held and a request that waits: each lock let go looks at them all, which takes some ten milliseconds."""
SEQUENCES = 64
"""Lock sequence buckets an open has (3.3.1.10)."""


async def lock(work: Work, request: LockRequest) -> LockResponse:
    opened = work.open
    assert opened is not None
    if not request.locks:
        raise Status(NT.INVALID_PARAMETER, "no locks")
    if len(request.locks) > MOST_AT_ONCE:
        raise Status(NT.INVALID_PARAMETER, f"{len(request.locks)} locks at once")
    if not _counts(work, opened, request):
        await _carry_out(work, opened, request.locks)
    elif not await _replayed(opened, request):
        under_way = Locking(request.number, work, asyncio.get_running_loop().create_future())
        opened.locking[request.index] = under_way
        try:
            await _carry_out(work, opened, request.locks)
        finally:
            under_way.ended.set_result(None)
            if opened.locking.get(request.index) is under_way:
                del opened.locking[request.index]
        opened.lock_sequences[request.index] = request.number
    return LockResponse()


async def _carry_out(work: Work, opened: Open, elements: list[LockElement]) -> None:
    locks = opened.shared.locks
    if locks is None:
        locks = opened.shared.locks = Locks()
    if elements[0].flags == LockFlags.UNLOCK:
        await _unlock(locks, opened, elements)
        return
    if work.session is not None and work.session.expired:
        raise Status(NT.NETWORK_SESSION_EXPIRED)
    await _lock(work, locks, opened, elements)


def _counts(work: Work, opened: Open, request: LockRequest) -> bool:
    """Whether its sequence number counts: where its client may come by another connection with it (3.3.5.14)."""
    negotiated = work.connection.negotiated
    if not 1 <= request.index <= SEQUENCES or negotiated.dialect == Dialect.SMB202:
        return False
    lasting = opened.handle is not None and opened.handle.lasting
    return lasting or bool(negotiated.capabilities & Capability.MULTI_CHANNEL)


async def _replayed(opened: Open, request: LockRequest) -> bool:
    """Whether this very request has been carried out already, and its answer was lost.

    One that still waits makes room for its repetition: the client no longer hears the channel it came by.
    """
    while (first := opened.locking.get(request.index)) is not None and first.number == request.number:
        first.work.cancel()
        await asyncio.wait([first.ended])
        if opened.closed:
            raise Status(NT.FILE_CLOSED)
    if opened.lock_sequences.get(request.index) == request.number:
        return True
    opened.lock_sequences.pop(request.index, None)
    return False


async def _unlock(locks: Locks, opened: Open, elements: list[LockElement]) -> None:
    """Release each in turn; the first that is not held ends it, what came before stays released."""
    try:
        for element in elements:
            if element.flags != LockFlags.UNLOCK:
                raise Status(NT.INVALID_PARAMETER, "locks and unlocks mixed")
            if not locks.release(opened, element.offset, element.length):
                raise Status(NT.RANGE_NOT_LOCKED)
            await opened.file.unlock_range(element.offset, element.length)
    finally:
        locks.retry()


async def _lock(work: Work, locks: Locks, opened: Open, elements: list[LockElement]) -> None:
    if opened.file.kind is Kind.DIRECTORY:
        raise Status(NT.INVALID_PARAMETER, "a directory has no byte ranges")
    patient = any(not element.flags & LockFlags.FAIL_IMMEDIATELY for element in elements)
    if patient and len(elements) > 1:
        raise Status(NT.INVALID_PARAMETER, "several locks, and one that waits")
    ranges = [_range(opened, element) for element in elements]
    held = len(locks.held) + len(ranges)
    if held > MOST_HELD or held * len(locks.waiting) > MOST_PAIRS:
        raise Status(NT.INSUFFICIENT_RESOURCES, f"{len(locks.held)} ranges are locked, {len(locks.waiting)} waited for")
    server = work.connection.server
    server.keeping.check_locks(opened, len(ranges))
    server.opens.breaks.take_reads(opened)
    for number, wanted in enumerate(ranges):
        if locks.take([wanted]):
            continue
        for taken in ranges[:number]:
            locks.held.remove(taken)
        if not patient:
            raise Status(NT.LOCK_NOT_GRANTED)
        await _wait(work, locks, opened, wanted)
    seconds = lock_local.FIRST
    while not await lock_local.take(opened, locks, ranges):
        if not patient:
            raise Status(NT.LOCK_NOT_GRANTED, "a local process has a lock there")
        await lock_local.pause(work, opened, seconds)
        seconds = min(2 * seconds, lock_local.MOST)
        if not locks.take(ranges):
            await _wait(work, locks, opened, *ranges)


def _range(opened: Open, element: LockElement) -> Range:
    if element.flags not in KINDS:
        raise Status(NT.INVALID_PARAMETER, f"lock flags {element.flags:#x}")
    if element.length and element.offset + element.length - 1 > LAST:
        raise Status(NT.INVALID_LOCK_RANGE)
    return Range(opened, element.offset, element.length, bool(element.flags & LockFlags.EXCLUSIVE))


async def _wait(work: Work, locks: Locks, opened: Open, wanted: Range) -> None:
    """Until the range is held, the request is cancelled, or the open is closed (then RANGE_NOT_LOCKED)."""
    waiting = locks.queue([wanted])
    opened.waiting.add(work)
    work.forget_request()
    try:
        await work.wait(waiting.granted)
    except Status:
        locks.give_up(waiting)
        raise
    finally:
        opened.waiting.discard(work)
