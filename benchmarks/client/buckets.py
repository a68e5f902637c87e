"""Numbers for LOCK requests, by which the server tells a repeated one from the next (MS-SMB2 3.2.1.5, 3.2.4.19)."""

from collections.abc import Iterator
from contextlib import contextmanager

BUCKETS = 64
NUMBERS = 16
"""A bucket counts its requests in four bits."""


class Buckets:
    """OperationBuckets of one open: one LOCK under way in each."""

    def __init__(self) -> None:
        self._free = list(range(BUCKETS, 0, -1))
        self._numbers = [0] * (BUCKETS + 1)

    @contextmanager
    def taken(self) -> Iterator[tuple[int, int]]:
        """Within: an index and its number; index 0, which counts nothing, where all are in use."""
        if not self._free:
            yield 0, 0
            return
        index = self._free.pop()
        try:
            yield index, self._numbers[index]
        finally:
            self._numbers[index] = (self._numbers[index] + 1) % NUMBERS
            self._free.append(index)
