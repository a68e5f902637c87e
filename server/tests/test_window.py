"""The message-id window: what may be used once, what is granted, and how little of it is remembered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.window import Window

MOST = 8


class Model:
    """Every id ever granted, and whether it has been used."""

    def __init__(self) -> None:
        self.used = [False]

    def use(self, first: int, charge: int) -> bool:
        ids = range(first, first + charge)
        if ids.stop > len(self.used) or any(self.used[number] for number in ids):
            return False
        for number in ids:
            self.used[number] = True
        return True

    @property
    def span(self) -> int:
        """From the oldest unused id to the newest granted one."""
        return len(self.used) - (self.used.index(False) if False in self.used else len(self.used))


USES = st.tuples(st.integers(0, 40), st.integers(1, 5))
STEPS = st.lists(USES | st.integers(0, 20), max_size=60)


@given(STEPS)
def test_every_id_is_good_once_and_only_when_granted(steps: list[tuple[int, int] | int]) -> None:
    window, model = Window(MOST), Model()
    for step in steps:
        if isinstance(step, tuple):
            assert window.use(*step) == model.use(*step)
        else:
            model.used += [False] * window.grant(step)
        assert window.outstanding == model.used.count(False)
        assert window.high - window.low == model.span


@given(STEPS)
def test_never_more_than_most_are_granted_or_remembered(steps: list[tuple[int, int] | int]) -> None:
    window = Window(MOST)
    for step in steps:
        if isinstance(step, tuple):
            window.use(*step)
        else:
            granted = window.grant(step)
            assert 0 <= granted <= max(step, 1)
        assert window.outstanding <= window.high - window.low <= MOST
        assert len(window.used) <= MOST


@given(STEPS)
def test_a_client_always_has_a_credit_after_an_answer(steps: list[tuple[int, int] | int]) -> None:
    window = Window(MOST)
    for step in steps:
        if isinstance(step, tuple):
            window.use(*step)
        else:
            window.grant(step)
            assert window.outstanding >= 1


def test_the_first_id_is_0_and_no_other() -> None:
    window = Window(MOST)
    assert not window.use(1, 1)
    assert not window.use(0, 2)
    assert window.use(0, 1)
    assert not window.use(0, 1)


def test_ids_may_come_in_any_order() -> None:
    window = Window(MOST)
    assert window.grant(7) == 7
    assert [window.use(number, 1) for number in (7, 3, 5, 0, 1, 2, 6, 4)] == [True] * 8
    assert (window.low, window.high, window.used) == (8, 8, set())


def test_a_charge_that_overlaps_a_used_id_takes_nothing() -> None:
    window = Window(MOST)
    window.grant(7)
    assert window.use(3, 2)
    assert not window.use(1, 3)
    assert not window.use(4, 2)
    assert window.use(0, 3)
    assert window.use(5, 3)


def test_a_client_that_never_comes_back_to_an_id_runs_dry() -> None:
    window = Window(MOST)
    window.grant(MOST)
    for number in range(1, MOST):
        assert window.use(number, 1)
        assert window.grant(1) == 0
    assert window.outstanding == 1
    assert window.use(0, 1)
    assert window.grant(100) == MOST


@pytest.mark.parametrize("message_id", [8, 1 << 32, (1 << 64) - 1])
def test_an_id_far_away_is_refused_without_counting_up_to_it(message_id: int) -> None:
    window = Window(MOST)
    window.grant(7)
    assert not window.use(message_id, 65535)
    assert window == Window(MOST, 0, 8, set())
