"""Extents against a plain set of pages."""

from hypothesis import given
from hypothesis import strategies as st

from transport.extents import Extents

PAGES = 64


def test_a_run_given_back_joins_both_neighbours() -> None:
    extents = Extents()
    for first in (0, 20, 10):
        extents.give(first, 10)
    assert extents.runs() == [(0, 30)]


def test_the_run_given_back_last_is_taken_first() -> None:
    extents = Extents()
    for first in (0, 100, 200):
        extents.give(first, 10)
    assert extents.take(10) == 200


def test_a_fitting_run_behind_shorter_ones_of_its_bin_is_found() -> None:
    extents = Extents()
    extents.give(0, 7)
    extents.give(10, 4)
    extents.give(20, 5)
    assert extents.take(6) == 0
    assert extents.take(6) is None


def test_nothing_fits_in_nothing() -> None:
    assert Extents().take(1) is None


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 20)), max_size=80))
def test_no_page_is_out_twice_and_none_is_lost(steps: list[tuple[bool, int]]) -> None:
    extents, free, out = Extents(), set(range(PAGES)), list[tuple[int, int]]()
    extents.give(0, PAGES)
    for take, number in steps:
        if take:
            first = extents.take(number)
            if first is None:
                assert not any(set(range(at, at + number)) <= free for at in range(PAGES)), "a run that fits was missed"
                continue
            assert set(range(first, first + number)) <= free
            free -= set(range(first, first + number))
            out.append((first, number))
        elif out:
            first, count = out.pop(number % len(out))
            extents.give(first, count)
            free |= set(range(first, first + count))
    for first, count in out:
        extents.give(first, count)
    assert extents.runs() == [(0, PAGES)]
