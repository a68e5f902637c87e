"""A lease alone: how it grows, how it breaks in steps, what its epoch counts; and where leases are found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.lease import GRANTED, Lease, Leases
from server.messages.create_contexts import LeaseFlags
from server.open import Shared
from server.oplock import HANDLE, WRITE, Notice
from server.status import NT, Status
from server.store.base import FileKey

R, RH, RW, RWH = GRANTED
KEY = (bytes(16), b"k" * 16)


def lease(rights: int, version: int = 2, epoch: int = 0) -> Lease:
    return Lease(Shared(FileKey(1, 2)), rights, key=KEY, version=version, epoch=epoch)


@pytest.mark.parametrize(("held", "wanted", "then"), [
    (0, R, R), (0, RWH, RWH), (R, RH, RH), (R, RW, RW), (RH, RWH, RWH), (RW, RWH, RWH),
    (RH, RW, RH), (RW, RH, RW), (RH, R, RH), (RWH, RH, RWH), (R, 0, R), (RWH, 0, RWH),
])  # fmt: skip
def test_a_lease_grows_to_what_holds_all_it_has(held: int, wanted: int, then: int) -> None:
    made = lease(held, epoch=7)
    made.upgrade(wanted, wanted)
    assert made.rights == then
    assert made.epoch == 7 + (then != held)


def test_a_lease_that_gets_less_than_it_wants_stays() -> None:
    made = lease(R)
    made.upgrade(RWH, RH)
    assert made.rights == R and made.epoch == 0


def test_a_lease_that_is_breaking_does_not_grow() -> None:
    made = lease(RH)
    made.break_to(R)
    made.upgrade(RWH, RWH)
    assert made.rights == RH


def test_a_break_counts_and_keeps_the_rights_until_it_is_answered() -> None:
    made = lease(RWH, epoch=0xFFFF)
    assert made.break_to(RH) == Notice(RWH, RH, True)
    assert made.epoch == 0 and made.rights == RWH
    assert made.acknowledge(RH) is None
    assert made.rights == RH and not made.breaking


def test_a_lease_to_read_goes_without_an_answer() -> None:
    made = lease(R)
    assert made.break_to(0) == Notice(R, 0, False)
    assert not made.rights and not made.breaking and made.epoch == 1


def test_a_lower_break_is_told_in_steps_after_the_answer_to_the_first() -> None:
    made = lease(RWH)
    made.break_to(RH)
    assert made.break_to(0) is None
    assert made.acknowledge(RH) == Notice(RH, R, True)
    assert made.acknowledge(R) == Notice(R, 0, False)
    assert not made.rights and not made.breaking and made.epoch == 1


def test_a_client_that_gives_up_enough_at_once_hears_no_more() -> None:
    made = lease(RWH)
    made.break_to(RH)
    made.break_to(0)
    assert made.acknowledge(0) is None
    assert not made.rights and not made.breaking


@pytest.mark.parametrize("kept", [RWH, RW, WRITE, WRITE | HANDLE])
def test_an_answer_that_keeps_what_must_go_is_refused_and_the_break_stays(kept: int) -> None:
    made = lease(RWH)
    made.break_to(RH)
    with pytest.raises(Status) as refused:
        made.acknowledge(kept)
    assert refused.value.code == NT.REQUEST_NOT_ACCEPTED
    assert made.breaking and made.rights == RWH


def test_an_answer_to_nothing_is_refused() -> None:
    with pytest.raises(Status) as refused:
        lease(RWH).acknowledge(0)
    assert refused.value.code == NT.UNSUCCESSFUL


def test_the_answer_to_a_create_tells_of_a_break_under_way_and_the_parent() -> None:
    made = lease(RWH, epoch=3)
    made.parent = b"p" * 16
    made.break_to(R)
    context = made.context()
    assert context.flags == LeaseFlags.BREAK_IN_PROGRESS | LeaseFlags.PARENT_KEY_SET
    assert (context.parent_key, context.epoch, context.state) == (b"p" * 16, 4, RWH)
    old = lease(R, version=1).context()
    assert (old.parent_key, old.epoch, old.flags) == (None, 0, 0)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("break"), st.integers(0, 7)),
        st.tuples(st.just("upgrade"), st.sampled_from((0, *GRANTED))),
        st.tuples(st.just("answer"), st.integers(0, 7)),
        st.tuples(st.just("expire"), st.just(0)),
    ),
    max_size=30,
)


@given(st.sampled_from((0, *GRANTED)), STEPS)
def test_whatever_happens_rights_only_grow_by_an_upgrade_and_an_obedient_client_ends_every_break(
    first: int, steps: list[tuple[str, int]]
) -> None:
    made = lease(first)
    for what, rights in steps:
        before = made.rights
        notice = None
        try:
            if what == "break":
                notice = made.break_to(rights)
            elif what == "upgrade":
                made.upgrade(rights, rights)
            elif what == "answer":
                notice = made.acknowledge(rights)
            else:
                made.expire()
        except Status:
            assert made.rights == before
        if what != "upgrade":
            assert not made.rights & ~before
        if notice is not None:
            assert not notice.after & ~notice.before and notice.after != notice.before
            assert notice.acknowledge == made.breaking
        if made.breaking:
            assert not made.asked & ~made.rights and not made.required & ~made.asked
    answers = 0
    while made.breaking:
        made.acknowledge(made.asked)
        answers += 1
    assert answers <= 3


def test_leases_of_a_directory_are_found_where_it_is_whatever_its_case_and_where_it_has_gone() -> None:
    leases, made = Leases(), lease(RH)
    leases.add(made, ("Some", "where"))
    assert leases.at(("some", "WHERE")) == [made]
    assert not leases.at(("where",)) and not leases.at(())
    leases.moved(made.shared, ("else",))
    assert leases.at(("else",)) == [made] and not leases.at(("some", "where"))
    leases.remove(made)
    assert not leases.at(("else",)) and not leases.by_key and not leases.on_directories


def test_a_key_taken_by_another_lease_stays_with_that() -> None:
    leases = Leases()
    old, new = lease(R), lease(R)
    leases.add(old, None)
    leases.add(new, None)
    leases.remove(old)
    assert leases.by_key[KEY] is new
