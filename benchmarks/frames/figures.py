"""What was measured, and what follows from it. Pure; times are seconds of one clock."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

EDGES = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Of the histogram's brackets, in ms: those of frametest, and one more at a second."""
WINDOW = 1.0


@dataclass(frozen=True, slots=True)
class Frame:
    """One that was transferred: when it began, how long it took to open, move and close, and its bytes."""

    number: int
    begun: float
    opening: float
    moving: float
    closing: float
    size: int

    @property
    def taken(self) -> float:
        return self.opening + self.moving + self.closing

    @property
    def ended(self) -> float:
        return self.begun + self.taken


class Spread(NamedTuple):
    shortest: float
    average: float
    median: float
    high: float
    """The 99th percentile."""
    longest: float


@dataclass(frozen=True, slots=True)
class Run:
    """The frames of a whole run, from `begun` to the last one's end."""

    frames: Sequence[Frame]
    begun: float
    dropped: int = 0

    @property
    def seconds(self) -> float:
        return max((frame.ended for frame in self.frames), default=self.begun) - self.begun

    @property
    def size(self) -> int:
        return sum(frame.size for frame in self.frames)

    @property
    def rate(self) -> float:
        """Frames per second, over all."""
        return len(self.frames) / self.seconds if self.seconds else 0.0

    @property
    def bandwidth(self) -> float:
        """Bytes per second, over all."""
        return self.size / self.seconds if self.seconds else 0.0

    @property
    def slowest_second(self) -> int | None:
        """The fewest frames that ended in any one second; None where the run took less."""
        ends = sorted(frame.ended for frame in self.frames)
        starts = [start for start in (self.begun, *ends) if start + WINDOW <= self.begun + self.seconds]
        counts = [bisect_right(ends, start + WINDOW) - bisect_right(ends, start) for start in starts]
        return min(counts, default=None)

    def holds(self, floor: float) -> bool:
        """Whether there were `floor` frames per second over all, and no second fell behind.

        At an even rate a second that begins anywhere has one frame more or less than the rate says: that one is given.
        """
        slowest = self.slowest_second
        return self.rate >= floor and (slowest is None or slowest >= math.floor(floor) - 1)


def spread(times: Sequence[float]) -> Spread:
    """Of at least one time."""
    ordered = sorted(times)
    last = len(ordered) - 1
    return Spread(
        ordered[0],
        math.fsum(ordered) / len(ordered),
        ordered[last // 2],
        ordered[math.ceil(last * 0.99)],
        ordered[last],
    )


def brackets(times: Sequence[float]) -> list[int]:
    """How many lie below the first edge, between each two, and from the last one on."""
    ordered = sorted(times)
    ends = [0, *(bisect_right(ordered, edge / 1000) for edge in EDGES), len(ordered)]
    return [end - start for start, end in pairwise(ends)]
