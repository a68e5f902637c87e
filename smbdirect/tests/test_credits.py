"""Credits (MS-SMBD 3.1.5.1, 3.1.5.9): nothing promised before it is posted, the last one never without a grant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smbdirect.credits import NONE, Credits
from smbdirect.wire import Malformed


def balances(most: int = 255, *, send: int = 0, posted: int = 0, promised: int = 0, target: int = 255) -> Credits:
    credits = Credits(most)
    credits.send, credits.posted, credits.promised, credits.target = send, posted, promised, target
    return credits


def test_only_posted_receives_are_granted() -> None:
    credits = balances(posted=3, send=10)
    assert credits.grant() == 3
    assert credits.spend(True) == 0
    credits.posted += 2
    assert credits.spend(True) == 2


@pytest.mark.parametrize(("most", "target", "granted"), [(255, 10, 10), (10, 255, 10), (10, 10, 10)])
def test_no_more_is_granted_than_asked_for_and_than_we_are_willing_to(most: int, target: int, granted: int) -> None:
    assert balances(most, posted=300, target=target).grant() == granted


def test_a_lowered_target_takes_nothing_back() -> None:
    credits = balances(posted=100, promised=50, target=10, send=5)
    assert credits.spend(True) == 0
    assert credits.promised == 50


def test_without_a_send_credit_nothing_goes() -> None:
    credits = balances(posted=10)
    assert credits.spend(True) == NONE
    assert credits.promised == 0


def test_the_last_send_credit_does_not_go_without_a_grant() -> None:
    assert balances(send=1, posted=4, promised=4).spend(True) == NONE
    assert balances(send=2, posted=4, promised=4).spend(True) == 0


def test_the_last_send_credit_may_promise_the_reserve_beyond_what_was_asked_for() -> None:
    credits = balances(2, send=1, posted=3, promised=2, target=2)
    assert credits.spend(True) == 1
    assert (credits.send, credits.promised) == (0, 3)


def test_while_grants_are_withheld_only_the_last_credit_with_payload_grants() -> None:
    credits = balances(send=3, posted=10, promised=2)
    credits.withheld = True
    assert [credits.spend(True), credits.spend(True)] == [0, 0]
    assert credits.spend(False) == NONE
    assert credits.spend(True) == 1
    assert credits.promised == 3


@pytest.mark.parametrize(
    ("target", "promised", "due"),
    [(255, 64, False), (255, 63, True), (4, 1, True), (4, 2, False), (2, 1, False), (2, 0, True)],
)
def test_a_refill_is_due_at_a_quarter_of_the_target(target: int, promised: int, due: bool) -> None:
    assert balances(posted=300, target=target, promised=promised).due() is due


def test_no_refill_is_due_that_could_not_be_granted() -> None:
    assert not balances(posted=0).due()
    withheld = balances(posted=10)
    withheld.withheld = True
    assert not withheld.due()


def test_a_packet_nobody_was_promised_is_malformed() -> None:
    with pytest.raises(Malformed, match="without a credit"):
        balances(posted=10).arrived()


steps = st.lists(
    st.one_of(
        st.tuples(st.just("post"), st.integers(0, 20)),
        st.tuples(st.just("arrive"), st.integers(0, 300)),
        st.tuples(st.just("spend"), st.booleans()),
        st.tuples(st.just("withhold"), st.booleans()),
        st.tuples(st.just("target"), st.integers(1, 300)),
    ),
    max_size=60,
)


@given(st.integers(2, 50), steps)
def test_whatever_happens_no_balance_is_negative_and_no_promise_unposted(
    most: int, steps: list[tuple[str, int]]
) -> None:
    credits = balances(most)
    for what, value in steps:
        if what == "post":
            credits.posted += value
        elif what == "arrive":
            if credits.promised:
                credits.arrived()
                credits.send += value
        elif what == "spend":
            before = credits.send
            granted = credits.spend(bool(value))
            assert granted == NONE or (before > 0 and (before > 1 or granted > 0))
        elif what == "withhold":
            credits.withheld = bool(value)
        else:
            credits.target = value
        assert 0 <= credits.promised <= credits.posted
        assert credits.send >= 0
