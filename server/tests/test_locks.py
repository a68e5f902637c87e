"""Byte-range locks against the pseudocode of MS-FSA 2.1.4.10, 2.1.5.8 and 2.1.5.9, told again over 64-bit numbers."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.lock import Locks, Range, Waiting
from server.open import Open
from server.status import NT, Status

END = (1 << 64) - 1
A, B, C = (cast(Open, SimpleNamespace(name=name)) for name in "ABC")


def exclusive(owner: Open, offset: int, length: int) -> Range:
    return Range(owner, offset, length, True)


def shared(owner: Open, offset: int, length: int) -> Range:
    return Range(owner, offset, length, False)


# -- the model ---------------------------------------------------------------------------------------------------------
def conflicts(held: Sequence[Range], wanted: Range, locking: bool) -> bool:
    """2.1.4.10; `wanted` is exclusive for a write."""
    if wanted.offset == 0 and wanted.length == 0:
        return False
    for lock in held:
        if lock.offset == 0 and lock.length == 0:
            continue
        last, last_locked = wanted.offset + wanted.length - 1, lock.offset + lock.length - 1
        if wanted.offset <= last_locked and last >= lock.offset:
            if lock.exclusive:
                if lock.open is not wanted.open or (wanted.exclusive and locking):
                    return True
            elif wanted.exclusive:
                return True
    return False


def bars(held: Sequence[Range], access: Range) -> bool:
    """2.1.5.3, 2.1.5.4: no bytes are read and written before any lock is looked at."""
    return access.length > 0 and conflicts(held, access, False)


def unlock(held: list[Range], owner: Open, offset: int, length: int) -> bool:
    """2.1.5.9."""
    found = None
    for lock in held:
        if (lock.open, lock.offset, lock.length) == (owner, offset, length):
            found = lock
            if lock.exclusive:
                break
    if found is not None:
        held.remove(found)
    return found is not None


OWNERS = st.sampled_from([A, B, C])
LOW = st.integers(0, 9)
HIGH = LOW.map(lambda number: END - number)
OFFSETS = LOW | HIGH


@st.composite
def ranges(draw: st.DrawFn) -> Range:
    """A range that LOCK lets through: its last byte is at most the last there is."""
    offset = draw(OFFSETS)
    length = min(draw(LOW | st.just(END)), END - offset + 1)
    return Range(draw(OWNERS), offset, length, draw(st.booleans()))


@given(st.lists(st.tuples(ranges(), st.sampled_from(["lock", "lock", "unlock", "read", "write"])), max_size=30))
def test_locks_do_what_the_pseudocode_does(steps: list[tuple[Range, str]]) -> None:
    locks, held = Locks(), list[Range]()
    for given_range, what in steps:
        owner, offset, length, _ = given_range
        if what == "lock":
            granted = not conflicts(held, given_range, True)
            assert locks.take([given_range]) == granted
            held += [given_range] * granted
        elif what == "unlock":
            assert locks.release(owner, offset, length) == unlock(held, owner, offset, length)
        elif what == "read":
            assert locks.bars_read(owner, offset, length) == bars(held, shared(owner, offset, length))
        else:
            assert locks.bars_write(owner, offset, length) == bars(held, exclusive(owner, offset, length))
        assert sorted(locks.held, key=repr) == sorted(held, key=repr)


@given(st.lists(ranges(), max_size=6), st.lists(ranges(), max_size=6))
def test_several_ranges_are_taken_all_or_none(first: list[Range], second: list[Range]) -> None:
    locks = Locks()
    for each in first:
        locks.take([each])
    before, model = list(locks.held), list(locks.held)
    for each in second:
        if conflicts(model, each, True):
            assert not locks.take(second)
            assert locks.held == before
            return
        model.append(each)
    assert locks.take(second)
    assert locks.held == model


@given(ranges(), ranges())
def test_overlap_is_mutual(first: Range, second: Range) -> None:
    assert first.overlaps(second.offset, second.length) == second.overlaps(first.offset, first.length)


# -- single rules ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("offset", "conflict"), [(9, False), (10, False), (11, True), (19, True), (20, False), (21, False)]
)
def test_no_bytes_conflict_inside_a_range_and_not_at_its_edges(offset: int, conflict: bool) -> None:
    locks = Locks([exclusive(A, 10, 10)])
    assert (locks.conflict(shared(B, offset, 0)) is not None) == conflict
    assert (Locks([exclusive(A, offset, 0)]).conflict(exclusive(B, 10, 10)) is not None) == conflict


def test_no_bytes_never_conflict_with_no_bytes() -> None:
    locks = Locks()
    for offset in (0, 0, 7, 7):
        assert locks.take([exclusive(A, offset, 0)])
        assert locks.take([exclusive(B, offset, 0)])


def test_reading_and_writing_no_bytes_is_kept_from_nobody() -> None:
    locks = Locks([exclusive(A, 10, 10)])
    assert locks.bars_read(B, 15, 1)
    assert not locks.bars_read(B, 15, 0)
    assert not locks.bars_write(B, 15, 0)


def test_an_exclusive_lock_lets_its_own_open_do_all_but_lock_exclusively_again() -> None:
    locks = Locks([exclusive(A, 0, 10)])
    assert not locks.bars_read(A, 0, 10)
    assert not locks.bars_write(A, 0, 10)
    assert not locks.take([exclusive(A, 5, 1)])
    assert locks.take([shared(A, 5, 1)])


def test_of_two_locks_on_one_range_the_exclusive_is_released_first() -> None:
    locks = Locks([exclusive(A, 0, 10), shared(A, 0, 10)])
    assert locks.release(A, 0, 10)
    assert locks.held == [shared(A, 0, 10)]
    locks = Locks([shared(A, 7, 0), exclusive(A, 7, 0)])
    assert locks.release(A, 7, 0)
    assert locks.held == [shared(A, 7, 0)]


def test_a_shared_lock_keeps_its_own_open_from_writing() -> None:
    locks = Locks([shared(A, 0, 10)])
    assert locks.bars_write(A, 9, 5)
    assert not locks.bars_read(B, 9, 5)
    assert locks.take([shared(B, 0, 10)])


def test_only_its_own_open_and_its_own_range_release_a_lock() -> None:
    locks = Locks([exclusive(A, 0, 10)])
    assert not locks.release(B, 0, 10)
    assert not locks.release(A, 0, 9)
    assert not locks.release(A, 1, 10)
    assert locks.release(A, 0, 10)
    assert not locks.release(A, 0, 10)


# -- waiting -----------------------------------------------------------------------------------------------------------
def granted(*waiting: Waiting) -> list[bool]:
    return [each.granted.done() for each in waiting]


def test_who_waits_gets_the_range_when_it_is_free_in_the_order_asked() -> None:
    async def run() -> None:
        locks = Locks([exclusive(A, 0, 10)])
        first, second = locks.queue([exclusive(B, 5, 1)]), locks.queue([exclusive(C, 5, 1)])
        elsewhere = locks.queue([exclusive(C, 9, 1)])
        locks.retry()
        assert granted(first, second, elsewhere) == [False, False, False]
        assert locks.release(A, 0, 10)
        locks.retry()
        assert granted(first, second, elsewhere) == [True, False, True]
        assert locks.held == [exclusive(B, 5, 1), exclusive(C, 9, 1)]
        locks.drop(B)
        assert granted(second) == [True]
        assert not locks.waiting

    asyncio.run(run())


def test_all_ranges_of_one_request_are_waited_for_together() -> None:
    async def run() -> None:
        locks = Locks([exclusive(A, 0, 1), exclusive(B, 9, 1)])
        waiting = locks.queue([exclusive(C, 0, 1), exclusive(C, 9, 1)])
        locks.drop(A)
        assert granted(waiting) == [False]
        assert locks.held == [exclusive(B, 9, 1)]
        locks.drop(B)
        assert granted(waiting) == [True]

    asyncio.run(run())


def test_who_gives_up_is_out_of_the_line() -> None:
    async def run() -> None:
        locks = Locks([exclusive(A, 0, 1)])
        waiting = locks.queue([exclusive(B, 0, 1)])
        locks.give_up(waiting)
        locks.drop(A)
        assert (locks.held, granted(waiting)) == ([], [False])

    asyncio.run(run())


def test_who_gives_up_after_all_gives_the_range_to_the_next() -> None:
    async def run() -> None:
        locks = Locks([exclusive(A, 0, 1)])
        first, second = locks.queue([exclusive(B, 0, 1)]), locks.queue([exclusive(C, 0, 1)])
        locks.drop(A)
        assert granted(first, second) == [True, False]
        locks.give_up(first)
        assert granted(second) == [True]
        assert locks.held == [exclusive(C, 0, 1)]

    asyncio.run(run())


@pytest.mark.parametrize("end", ["refused", "cancelled"])
def test_a_wait_that_was_called_off_takes_no_range(end: str) -> None:
    async def run() -> None:
        locks = Locks([exclusive(A, 0, 1)])
        waiting = locks.queue([exclusive(B, 0, 1)])
        if end == "refused":
            waiting.granted.set_exception(Status(NT.CANCELLED))
            assert isinstance(waiting.granted.exception(), Status)
        else:
            waiting.granted.cancel()
        locks.drop(A)
        assert (locks.held, list(locks.waiting)) == ([], [])
        locks.give_up(waiting)
        assert locks.held == []

    asyncio.run(run())


def test_dropping_an_open_leaves_the_locks_of_others() -> None:
    locks = Locks([exclusive(A, 0, 1), exclusive(B, 1, 1), shared(A, 2, 1)])
    locks.drop(A)
    assert locks.held == [exclusive(B, 1, 1)]
    locks.drop(C)
    assert locks.held == [exclusive(B, 1, 1)]
