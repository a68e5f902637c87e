"""FILETIMEs: 100 ns intervals since 1601-01-01 UTC (MS-DTYP 2.3.3), the only times on the wire."""

import time

EPOCH = 116_444_736_000_000_000
"""1970-01-01 as a FILETIME."""


def from_ns(nanoseconds: int) -> int:
    """A Unix time in nanoseconds as a FILETIME, not before 1601."""
    return max(nanoseconds // 100 + EPOCH, 0)


def to_ns(filetime: int) -> int:
    """A FILETIME as a Unix time in nanoseconds (negative before 1970)."""
    return (filetime - EPOCH) * 100


def now() -> int:
    return from_ns(time.time_ns())
