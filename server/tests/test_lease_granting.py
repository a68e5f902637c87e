"""Whom an open disturbs, and what it is granted beside the others: functions over opens that are not there."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from server.granting import STAT_ACCESS, Wish, breaks_for_change, breaks_for_open, grantable
from server.lease import GRANTED, Lease
from server.lock import Locks, Range
from server.messages.create import OplockLevel
from server.messages.create_contexts import Lease as LeaseContext
from server.open import Mode, Open, Shared
from server.oplock import HANDLE, RIGHTS, WRITE, Holder, Oplock
from server.security.access import FILE_READ_DATA, FILE_WRITE_DATA, READ_CONTROL
from server.store.base import FileKey

R, RH, RW, RWH = GRANTED
DATA = FILE_READ_DATA | FILE_WRITE_DATA
CLIENT = b"c" * 16


def shared() -> Shared:
    return Shared(FileKey(1, 2))


def opened(where: Shared, access: int = DATA) -> Open:
    nobody = cast(Any, SimpleNamespace())
    made = Open(1, 1, nobody, nobody, Mode(access, 7, 0), where)
    where.opens.append(made)
    return made


def hold(where: Shared, rights: int, key: bytes | None = None, access: int = DATA) -> Open:
    """Another open, with a lease called `key` or an oplock that has these rights."""
    made = opened(where, access)
    made.caching = Oplock(where, rights, opened=made) if key is None else Lease(where, rights, key=(CLIENT, key))
    where.holders.append(made.caching)
    return made


def lease(rights: int, key: bytes = b"mine") -> Wish:
    return Wish(OplockLevel.LEASE, LeaseContext(key, rights), (CLIENT, key))


def broken(where: Shared, wish: Wish, access: int = DATA, overwrites: bool = False, refused: bool = False) -> Any:
    """What is left to each holder that is broken, and whether that is waited for."""
    breaks, wait = breaks_for_open(where, wish, access, overwrites, refused)
    return [each.rights for each in breaks], wait


def test_an_open_takes_writing_and_waits() -> None:
    where = shared()
    hold(where, RWH, b"other")
    assert broken(where, lease(RWH)) == ([RH], True)


@pytest.mark.parametrize("key", [None, b"other"])
def test_an_open_that_share_modes_refuse_takes_handles_and_waits(key: bytes | None) -> None:
    where = shared()
    hold(where, RWH, key)
    assert broken(where, Wish(), refused=True) == ([RW], True)


def test_an_open_that_overwrites_leaves_nothing_and_waits_for_writers_only() -> None:
    where = shared()
    hold(where, RH, b"other")
    assert broken(where, Wish(), overwrites=True) == ([0], False)
    hold(where, RWH, b"third")
    assert broken(where, Wish(), overwrites=True) == ([0, 0], True)


def test_an_exclusive_oplock_does_not_hold_up_a_refusal() -> None:
    where = shared()
    hold(where, RIGHTS[OplockLevel.EXCLUSIVE])
    assert broken(where, Wish(), refused=True) == ([], False)


def test_its_own_lease_is_not_broken() -> None:
    where = shared()
    hold(where, RWH, b"mine")
    assert broken(where, lease(RWH)) == ([], False)


@pytest.mark.parametrize(("access", "oplock_breaks", "lease_breaks"), [
    (STAT_ACCESS, False, False), (READ_CONTROL, True, False), (FILE_READ_DATA, True, True),
])  # fmt: skip
def test_who_asks_for_attributes_only_disturbs_nobody(access: int, oplock_breaks: bool, lease_breaks: bool) -> None:
    where = shared()
    hold(where, RWH)
    assert bool(broken(where, Wish(), access)[0]) == oplock_breaks
    where = shared()
    hold(where, RWH, b"other")
    assert bool(broken(where, Wish(), access)[0]) == lease_breaks


def test_a_lease_that_is_breaking_is_waited_for_by_who_does_not_break_it() -> None:
    where = shared()
    hold(where, RH, b"other")
    where.holders[0].break_to(R)
    assert broken(where, Wish()) == ([], True)


def test_a_change_breaks_all_who_read_but_the_lease_of_the_changer() -> None:
    where = shared()
    mine, other, old = hold(where, RH, b"mine"), hold(where, R, b"other"), hold(where, R)
    assert breaks_for_change(where, mine) == [other.caching, old.caching]


def test_level_two_breaks_by_the_write_of_its_own_open() -> None:
    where = shared()
    mine = hold(where, R)
    assert breaks_for_change(where, mine) == [mine.caching]


@pytest.mark.parametrize("key", [None, b"mine"])
def test_who_may_keep_writes_disturbs_nobody_by_writing(key: bytes | None) -> None:
    where = shared()
    assert not breaks_for_change(where, hold(where, RW, key))


@pytest.mark.parametrize("asked", range(8))
def test_alone_every_state_that_a_lease_can_have_is_granted(asked: int) -> None:
    assert grantable(lease(asked), opened(shared()), False, 0) == (asked if asked in GRANTED else 0)


@pytest.mark.parametrize("level", RIGHTS)
def test_alone_every_oplock_is_granted(level: int) -> None:
    assert grantable(Wish(level), opened(shared()), False, 0) == RIGHTS[level]


def test_a_directory_is_never_leased_to_write() -> None:
    assert grantable(lease(RWH), opened(shared()), True, 0) == RH


def _other_reader(where: Shared) -> None:
    opened(where, FILE_READ_DATA)


def _broken_lease(where: Shared) -> None:
    hold(where, 0, b"other", STAT_ACCESS)


@pytest.mark.parametrize("other", [_other_reader, _broken_lease])
def test_beside_others_nobody_may_keep_writes(other: Any) -> None:
    where = shared()
    other(where)
    assert grantable(lease(RWH), opened(where), False, 0) == RH
    assert grantable(Wish(OplockLevel.BATCH), opened(where), False, 0) == R


def test_a_stat_open_beside_it_leaves_it_everything() -> None:
    where = shared()
    opened(where, STAT_ACCESS)
    assert grantable(lease(RWH), opened(where), False, 0) == RWH


def test_beside_its_own_lease_an_open_may_have_everything() -> None:
    where = shared()
    hold(where, R, b"mine")
    assert grantable(lease(RWH), opened(where), False, 0) == RWH


def test_beside_an_oplock_a_lease_keeps_no_handles_and_beside_a_lease_that_does_there_is_no_oplock() -> None:
    where = shared()
    hold(where, R)
    assert grantable(lease(RWH), opened(where), False, 0) == R
    where = shared()
    hold(where, RH, b"other")
    assert grantable(Wish(OplockLevel.II), opened(where), False, 0) == 0


def test_beside_one_who_keeps_writes_nobody_else_gets_anything() -> None:
    where = shared()
    hold(where, RW, b"other")
    for wish in (lease(RWH), Wish(OplockLevel.II)):
        assert grantable(wish, opened(where, STAT_ACCESS), False, 0) == 0


def test_locked_data_is_cached_by_nobody_and_locks_beyond_the_end_do_not_count() -> None:
    where = shared()
    other = opened(where)
    where.locks = Locks([Range(other, 5, 1, True)])
    assert grantable(lease(RWH), opened(where), False, 6) == 0
    assert grantable(lease(RWH), opened(where), False, 5) == RH


def test_who_is_alone_may_cache_what_it_locks_itself() -> None:
    where = shared()
    other = hold(where, R, b"mine")
    where.locks = Locks([Range(other, 0, 1, True)])
    assert grantable(lease(RWH), opened(where), False, 6) == RWH


def test_what_is_asked_for_is_never_exceeded() -> None:
    where = shared()
    holder: Holder | None = hold(where, R, b"other").caching
    assert holder is not None
    for rights in range(8):
        granted = grantable(lease(rights), opened(where), False, 0)
        assert not granted & ~rights and not granted & WRITE and (granted in GRANTED or not granted)
        assert not granted & HANDLE or rights & HANDLE
