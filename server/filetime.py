"""FILETIMEs: 100 ns intervals since 1601-01-01 UTC (MS-DTYP 2.3.3), the only times on the wire."""

import time

EPOCH = 116_444_736_000_000_000
"""1970-01-01 as a FILETIME."""

LAST = (1 << 63) - 1
"""The last one there is, in the year 30828: MS-FSCC's are signed, and file systems go further."""


def from_ns(nanoseconds: int) -> int:
    """A Unix time in nanoseconds as a FILETIME: the first or last there is where it lies beyond."""
    return min(max(nanoseconds // 100 + EPOCH, 0), LAST)


def to_ns(filetime: int) -> int:
    """A FILETIME as a Unix time in nanoseconds (negative before 1970)."""
    return (filetime - EPOCH) * 100


def now() -> int:
    return from_ns(time.time_ns())
