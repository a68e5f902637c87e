"""Small requests: how many a second with so many under way, and how long a single one takes."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from server.testing import Running

from .beside import SPAN, Servers, attempt, file_name
from .client import Settings
from .grid import Grid
from .pump import Primed, primed, run

BLOCK = 4096
READS = "4 KiB reads"
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9}
DEPTHS = (1, 2, 4, 8, 16, 32, 64)
TIMED: Mapping[str, Callable[[Primed, float], list[float]]] = {
    "4 KiB read": lambda each, seconds: each.pump.times(each.pump.reads(each.file_id, BLOCK, SPAN), seconds),
    "open and close": lambda each, seconds: each.pump.open_and_close_times(file_name(0), seconds),
    "echo": lambda each, seconds: each.pump.times(each.pump.echoes(), seconds),
}


class Depths:
    """Requests per second by how many are under way."""

    def __init__(self) -> None:
        self.grid = Grid(
            "Requests per second by queue depth", "requests/s", "requests under way", "loopback-depth.svg", (READS,),
            [str(depth) for depth in DEPTHS], note="One connection; each request is a message and a `send` of its own.",
        )  # fmt: skip
        self.grids = [self.grid]

    def take(self, servers: Servers, turn: int, seconds: float) -> None:
        for depth in DEPTHS:
            for who, server in servers.named(turn):
                attempt(f"depth {depth}, {who}", partial(self._measure, who, server, depth, seconds))

    def _measure(self, who: str, server: Running, depth: int, seconds: float) -> None:
        with primed(server, [file_name(0)], Settings()) as (each,):
            own = time.process_time()
            done = run([(each.pump, each.pump.reads(each.file_id, BLOCK, SPAN))], depth, seconds)
            self.grid.add(READS, who, str(depth), done.rate, (time.process_time() - own) / done.seconds)


class Latencies:
    """How long one request takes, one after the other."""

    def __init__(self) -> None:
        self.grid = Grid(
            "Latency of one request", "µs", "percentile", "loopback-latency.svg", tuple(TIMED), list(PERCENTILES),
            larger_is_better=False, logarithmic=True,
            note="One at a time on one connection, seen from the client; an open and its close are timed together.",
        )  # fmt: skip
        self.grids = [self.grid]

    def take(self, servers: Servers, turn: int, seconds: float) -> None:
        for work in TIMED:
            for who, server in servers.named(turn):
                attempt(f"{work}, {who}", partial(self._measure, work, who, server, 2 * seconds))

    def _measure(self, work: str, who: str, server: Running, seconds: float) -> None:
        with primed(server, [file_name(0)], Settings()) as (each,):
            taken = TIMED[work](each, seconds)
        for place, share in PERCENTILES.items():
            self.grid.add(work, who, place, percentile(taken, share) * 1e6)


def percentile(times: Sequence[float], share: float) -> float:
    """The least of `times` that `share` percent of them do not exceed; of at least one."""
    return sorted(times)[max(math.ceil(len(times) * share / 100), 1) - 1]
