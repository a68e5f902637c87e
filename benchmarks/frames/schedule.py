"""Which frame is next, and when: as fast as it goes, or as a player would ask for them.

A player asks for a frame at each tick of its clock, which starts once `prebuffer` frames were begun. Where a place is
too slow, frames wait; one is dropped when more than `queue` of them do. Pure: the time comes in as an argument.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Pace:
    """`rate` frames a second, after the first `prebuffer`; with a `queue` of 0 none is dropped."""

    rate: float
    queue: int = 0
    prebuffer: int = 5


class Turn(NamedTuple):
    """A frame and the time at which it is to begin, which may be past."""

    number: int
    due: float


def in_order(count: int) -> list[int]:
    return list(range(count))


def backwards(count: int) -> list[int]:
    return list(range(count))[::-1]


def shuffled(count: int) -> list[int]:
    """The same order in every run, so that runs compare."""
    numbers = list(range(count))
    random.Random(count).shuffle(numbers)
    return numbers


class Schedule:
    """Hands out `numbers`, each once, to whoever is ready for a frame."""

    def __init__(self, numbers: Sequence[int], pace: Pace | None = None) -> None:
        self.count = len(numbers)
        self.dropped = 0
        self._numbers = numbers
        self._pace = pace
        self._next = 0
        self._clock: float | None = None
        """When the first frame after the prebuffered ones was due."""

    def take(self, now: float) -> Turn | None:
        """The next frame; None after the last."""
        self._drop(now)
        if self._next == self.count:
            return None
        turn = Turn(self._numbers[self._next], self._due(self._next, now))
        self._next += 1
        return turn

    def _due(self, position: int, now: float) -> float:
        if self._pace is None or position < self._pace.prebuffer:
            return now
        if self._clock is None:
            self._clock = now
        return self._clock + (position - self._pace.prebuffer) / self._pace.rate

    def _drop(self, now: float) -> None:
        """Leave out what a player would have given up on."""
        pace = self._pace
        if pace is None or not pace.queue or self._clock is None:
            return
        due = int((now - self._clock) * pace.rate) + 1 + pace.prebuffer
        excess = max(0, min(due, self.count) - self._next - pace.queue)
        self.dropped += excess
        self._next += excess
