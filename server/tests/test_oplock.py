"""An oplock alone: what it is told, what may be answered, what it has then."""

import pytest

from server.messages.create import OplockLevel
from server.open import Shared
from server.oplock import HANDLE, READ, RIGHTS, WRITE, Notice, Oplock, level_of
from server.status import NT, Status
from server.store.base import FileKey

LEVELS = (OplockLevel.BATCH, OplockLevel.EXCLUSIVE)


def oplock(level: int) -> Oplock:
    return Oplock(Shared(FileKey(1, 2)), RIGHTS[level])


def test_each_level_is_the_level_of_its_rights() -> None:
    assert all(level_of(rights) == level for level, rights in RIGHTS.items())


@pytest.mark.parametrize(("rights", "level"), [
    (READ | HANDLE, OplockLevel.II), (HANDLE, OplockLevel.NONE), (WRITE, OplockLevel.NONE),
    (WRITE | HANDLE, OplockLevel.NONE),
])  # fmt: skip
def test_rights_that_no_oplock_has_make_the_strongest_that_they_hold(rights: int, level: int) -> None:
    assert level_of(rights) == level


@pytest.mark.parametrize("level", LEVELS)
def test_a_break_leaves_no_more_than_level_ii_and_keeps_the_rights_until_it_is_answered(level: int) -> None:
    held = oplock(level)
    assert held.break_to(READ | HANDLE) == Notice(RIGHTS[level], READ, True)
    assert (held.breaking, held.rights) == (True, RIGHTS[level])
    assert held.acknowledge(OplockLevel.II) == OplockLevel.II
    assert (held.breaking, held.rights) == (False, READ)


@pytest.mark.parametrize("level", LEVELS)
def test_a_second_break_is_not_told_before_the_first_is_answered(level: int) -> None:
    held = oplock(level)
    held.break_to(READ)
    assert held.break_to(0) is None
    held.acknowledge(OplockLevel.II)
    assert held.break_to(0) == Notice(READ, 0, False)


def test_level_ii_goes_without_an_answer() -> None:
    held = oplock(OplockLevel.II)
    assert held.break_to(0) == Notice(READ, 0, False)
    assert not held.breaking and not held.rights


def test_a_break_to_what_is_there_tells_nothing() -> None:
    assert oplock(OplockLevel.II).break_to(READ | WRITE) is None


def test_a_client_may_give_up_more_than_it_must_and_keeps_no_more_than_it_may() -> None:
    held = oplock(OplockLevel.BATCH)
    held.break_to(READ)
    assert held.acknowledge(OplockLevel.NONE) == OplockLevel.NONE
    held = oplock(OplockLevel.BATCH)
    held.break_to(0)
    assert held.acknowledge(OplockLevel.II) == OplockLevel.NONE
    assert not held.rights


def test_an_answer_to_nothing_is_refused() -> None:
    held = oplock(OplockLevel.BATCH)
    with pytest.raises(Status) as refused:
        held.acknowledge(OplockLevel.NONE)
    assert refused.value.code == NT.INVALID_OPLOCK_PROTOCOL
    assert held.rights == RIGHTS[OplockLevel.BATCH]


@pytest.mark.parametrize("level", [OplockLevel.EXCLUSIVE, OplockLevel.BATCH, OplockLevel.LEASE, 2])
def test_an_answer_with_a_level_it_may_not_have_is_refused_and_ends_the_oplock(level: int) -> None:
    held = oplock(OplockLevel.BATCH)
    held.break_to(READ)
    with pytest.raises(Status) as refused:
        held.acknowledge(level)
    assert refused.value.code == NT.INVALID_PARAMETER
    assert not held.rights and not held.breaking


def test_time_is_up_for_an_oplock_that_is_not_answered_for() -> None:
    held = oplock(OplockLevel.EXCLUSIVE)
    held.break_to(READ)
    held.expire()
    assert not held.rights and not held.breaking
