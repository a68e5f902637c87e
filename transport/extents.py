"""Free runs of pages: the allocator below `transport.memory`, without any memory of its own.

Runs lie in bins by the power of two of their length, so taking looks at the runs of one bin and then at the
first bin that holds longer ones; giving back joins a run with its free neighbours through two dictionaries.
The run given back last is taken first, because its pages are the ones still in the caches. Pages are plain
numbers: runs that must never be joined are kept apart by numbers between them that are never added.
"""

BINS = 48


class Extents:
    """Which pages are free."""

    def __init__(self) -> None:
        self._length: dict[int, int] = {}
        self._first_before: dict[int, int] = {}
        self._bins: list[dict[int, None]] = [{} for _ in range(BINS)]

    def take(self, count: int) -> int | None:
        """The first of `count` consecutive pages, no longer free; None where no free run is as long."""
        first = self._fitting(count)
        if first is None:
            return None
        length = self._remove(first)
        if length > count:
            self._insert(first + count, length - count)
        return first

    def give(self, first: int, count: int) -> None:
        """Make `count` pages from `first` on free, joined with free neighbours."""
        before = self._first_before.get(first)
        if before is not None:
            count += self._remove(before)
            first = before
        if first + count in self._length:
            count += self._remove(first + count)
        self._insert(first, count)

    def runs(self) -> list[tuple[int, int]]:
        """All free runs as (first, count), in order."""
        return sorted(self._length.items())

    def _fitting(self, count: int) -> int | None:
        own = count.bit_length() - 1
        for first in reversed(self._bins[own]):
            if self._length[first] >= count:
                return first
        for longer in self._bins[own + 1 :]:
            if longer:
                return next(reversed(longer))
        return None

    def _insert(self, first: int, count: int) -> None:
        self._length[first] = count
        self._first_before[first + count] = first
        self._bins[count.bit_length() - 1][first] = None

    def _remove(self, first: int) -> int:
        count = self._length.pop(first)
        del self._first_before[first + count]
        del self._bins[count.bit_length() - 1][first]
        return count
