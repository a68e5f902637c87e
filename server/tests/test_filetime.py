"""FILETIMEs and Unix times."""

import struct
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server import filetime

NS = 10**9
SAMPLES = [
    (datetime(1601, 1, 1, tzinfo=UTC), 0),
    (datetime(1970, 1, 1, tzinfo=UTC), 116_444_736_000_000_000),
    (datetime(2000, 1, 1, tzinfo=UTC), 125_911_584_000_000_000),
    (datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC), 137_919_572_480_000_000),
]


@pytest.mark.parametrize(("moment", "ticks"), SAMPLES)
def test_known_moments(moment: datetime, ticks: int) -> None:
    nanoseconds = int(moment.timestamp()) * NS
    assert filetime.from_ns(nanoseconds) == ticks
    assert filetime.to_ns(ticks) == nanoseconds


@given(st.integers(0, filetime.LAST))
def test_every_filetime_comes_back_from_its_unix_time(ticks: int) -> None:
    assert filetime.from_ns(filetime.to_ns(ticks)) == ticks


@given(st.integers(-(10**30), 10**30))
def test_every_unix_time_is_one_that_the_wire_carries(nanoseconds: int) -> None:
    ticks = filetime.from_ns(nanoseconds)
    struct.pack("<q", ticks)
    if 0 < ticks < filetime.LAST:
        assert 0 <= nanoseconds - filetime.to_ns(ticks) < 100
    else:
        assert ticks in (0, filetime.LAST)


def test_now_is_now() -> None:
    before = time.time_ns()
    assert before - 100 < filetime.to_ns(filetime.now()) <= time.time_ns()
