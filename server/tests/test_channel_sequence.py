"""What a channel sequence number admits, and that what was counted in is counted out, however it ended."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.channel_sequence import HALF, ChannelSequence


def counts(sequence: ChannelSequence) -> tuple[int, int, int]:
    return sequence.number, sequence.under_way, sequence.before


@pytest.mark.parametrize(
    ("at", "number", "admitted"),
    [
        (0, 0, True), (0, 1, True), (0, HALF, True), (0, HALF + 1, False), (0, 0xFFFF, False),
        (5, 4, False), (0xFFFF, 0, True), (0xFFFF, HALF - 1, True), (0xFFFF, HALF, False), (HALF, 0xFFFF, False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("replay", [False, True])
def test_half_of_the_numbers_are_newer_and_half_stale(at: int, number: int, admitted: bool, replay: bool) -> None:
    sequence = ChannelSequence(at)
    assert (sequence.begin(number, replay) is not None) == admitted
    assert counts(sequence) == ((number, 1, 0) if admitted else (at, 0, 0))


def test_a_new_request_goes_on_beside_those_of_a_lost_channel() -> None:
    sequence = ChannelSequence()
    lost = sequence.begin(0, False)
    assert sequence.begin(1, False) is not None
    assert counts(sequence) == (1, 1, 1)
    assert lost is not None
    sequence.end(lost)
    assert counts(sequence) == (1, 1, 0)


def test_a_repeated_request_is_refused_until_those_of_the_lost_channel_have_ended() -> None:
    sequence = ChannelSequence()
    lost = [sequence.begin(0, False), sequence.begin(0, False)]
    assert sequence.begin(1, True) is None
    assert counts(sequence) == (1, 0, 2)
    for turn in lost:
        assert sequence.begin(1, True) is None
        assert turn is not None
        sequence.end(turn)
    assert sequence.begin(1, True) is not None
    assert counts(sequence) == (1, 1, 0)


def test_a_request_that_outlives_all_the_numbers_there_are_is_still_one_of_before() -> None:
    sequence = ChannelSequence()
    old = sequence.begin(0, False)
    for number in (HALF, 2 * HALF, 0):
        turn = sequence.begin(number, False)
        assert turn is not None
        sequence.end(turn)
    assert counts(sequence) == (0, 0, 1)
    assert old is not None
    sequence.end(old)
    assert counts(sequence) == (0, 0, 0)


@given(st.lists(st.tuples(st.sampled_from([0, 1, 2, HALF, HALF + 1, 0xFFFF]), st.booleans(), st.integers(0, 5))))
def test_nothing_is_left_once_all_have_ended(steps: list[tuple[int, bool, int]]) -> None:
    sequence, under_way = ChannelSequence(), list[int]()
    for number, replay, ending in steps:
        turn = sequence.begin(number, replay)
        if turn is not None:
            under_way.append(turn)
        for _ in range(min(ending, len(under_way))):
            sequence.end(under_way.pop(0))
        assert sequence.under_way + sequence.before == len(under_way)
        assert sequence.under_way >= 0 <= sequence.before
    for turn in under_way:
        sequence.end(turn)
    assert (sequence.under_way, sequence.before) == (0, 0)
