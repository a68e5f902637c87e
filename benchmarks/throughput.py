"""How much data goes through one server: by block size, connections, channels and protection, and at what cost."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from server.options import shown
from server.testing import Running

from . import processes
from .beside import SPAN, WIDEST, Servers, attempt, file_name
from .client import Settings
from .grid import LOCAL, Grid
from .peers import OURS, SAMBA
from .pump import Order, Primed, primed, run

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
WORKS = ("read", "write")
IN_FLIGHT = 32 * MIB
"""Bytes under way on one connection, at most."""
DEPTH = 8
PROTECTIONS: Mapping[str, dict[str, Any]] = {"none": {}, "signed": {"sign": True}, "sealed": {"encrypt": True}}
"""Of the client's settings."""


@dataclass(frozen=True, slots=True)
class Load:
    """`bound` connections are channels of one session; each has a file of its own."""

    size: int = MIB
    connections: int = 1
    bound: bool = False
    depth: int = DEPTH
    protection: str = "none"


class Throughput:
    """Reads and writes under each of some loads."""

    def __init__(self, grid: Grid, loads: Mapping[str, Load], cost: Grid | None = None) -> None:
        self.grid = grid
        self.cost = cost
        self.grids = [grid] if cost is None else [grid, cost]
        self._loads = loads

    def take(self, servers: Servers, turn: int, seconds: float) -> None:
        for place, load in self._loads.items():
            for work in WORKS:
                for who, server in servers.named(turn):
                    chosen = servers.wide if who == OURS and place == WIDEST else server
                    measure = partial(self._measure, work, who, place, chosen, load, seconds)
                    attempt(f"{self.grid.title}: {work}, {who}, {place}", measure)
                if LOCAL in self.grid.whose:
                    path = servers.ours.path() / file_name(0)
                    self.grid.add(work, LOCAL, place, local(path, work, load.size, seconds))

    def _measure(self, work: str, who: str, place: str, server: Running, load: Load, seconds: float) -> None:
        files = [file_name(number) for number in range(load.connections)]
        with primed(server, files, Settings(**PROTECTIONS[load.protection]), load.bound) as made:
            orders = [order_of(each, work, load.size) for each in made]
            if None in orders:
                return
            used, own = processes.cpu(server), time.process_time()
            ready = [(each.pump, order) for each, order in zip(made, orders, strict=True) if order is not None]
            done = run(ready, load.depth, seconds)
            own, used = time.process_time() - own, processes.cpu(server) - used
        self.grid.add(work, who, place, done.bandwidth, own / done.seconds)
        if self.cost is not None:
            self.cost.add(work, who, place, used / done.moved * GIB)


def order_of(each: Primed, work: str, size: int) -> Order | None:
    """Blocks of `size`, or what the server takes where that is hardly less; None where it is much less."""
    agreed = each.pump.agreement
    largest = agreed.max_read if work == "read" else agreed.max_write
    size = min(size, largest) if size - largest <= 64 * KIB else 0
    make = each.pump.reads if work == "read" else each.pump.writes
    return make(each.file_id, size, SPAN) if size else None


def local(path: Path, work: str, size: int, seconds: float) -> float:
    """MB/s of one process that reads or writes the file itself, block after block."""
    block = bytearray(size)
    move: Callable[[int, int], int] = {
        "read": lambda file, at: os.preadv(file, [block], at),
        "write": lambda file, at: os.pwrite(file, block, at),
    }[work]
    file = os.open(path, os.O_RDWR)
    try:
        moved, begun = 0, time.perf_counter()
        while time.perf_counter() < begun + seconds:
            moved += move(file, moved % (SPAN // size * size))
        return moved / (time.perf_counter() - begun) / 1e6
    finally:
        os.close(file)


def depth_of(size: int) -> int:
    return min(DEPTH, max(IN_FLIGHT // size, 1))


# -- the tables -----------------------------------------------------------------------------------------------------
def parts() -> list[Throughput]:
    return [sizes(), connections(), channels(), protections()]


def sizes() -> Throughput:
    blocks = [4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB]
    loads = {shown(size): Load(size, depth=depth_of(size)) for size in blocks}
    note = (
        f"{DEPTH} requests under way, at most {shown(IN_FLIGHT)}. Samba takes no more than 8M in one request, this"
        f" server no more than it is told (`--io-size {WIDEST}` in that column, over TCP 64K less; 8M by default). The"
        " local file system is read and written by one process in the same directory, from and to the page cache."
    )
    return Throughput(
        Grid("Throughput by block size", "MB/s", "block size", "loopback-sizes.svg", WORKS, list(loads),
             (OURS, SAMBA, LOCAL), note=note, logarithmic=True), loads,
    )  # fmt: skip


def connections() -> Throughput:
    loads = {str(count): Load(connections=count, depth=4) for count in (1, 2, 4, 8, 16)}
    return Throughput(
        Grid("Throughput by connections", "MB/s", "connections", "loopback-connections.svg", WORKS, list(loads),
             gain=("8", "1"), note=_each("connection, each a client and a file of its own")), loads,
    )  # fmt: skip


def channels() -> Throughput:
    loads = {str(count): Load(connections=count, bound=True, depth=4) for count in (1, 2, 4, 8)}
    return Throughput(
        Grid("Throughput by channels of one session", "MB/s", "channels", "loopback-channels.svg", WORKS, list(loads),
             gain=("8", "1"), note=_each("channel, each with a file of its own")), loads,
    )  # fmt: skip


def protections() -> Throughput:
    loads = {name: Load(protection=name) for name in PROTECTIONS}
    places = list(loads)
    cost = Grid(
        "Processor time of the server", "s/GiB", "protection", "loopback-cpu.svg", WORKS, places, digits=3,
        larger_is_better=False, bars=True, note="utime and stime of all its processes, under the load above.",
    )  # fmt: skip
    about = f"1M blocks, {DEPTH} requests under way; AES-128-GMAC and AES-128-GCM, as 3.1.1 negotiates them."
    grid = Grid("Throughput by protection", "MB/s", "protection", "loopback-protection.svg", WORKS, places,
                bars=True, note=about)  # fmt: skip
    return Throughput(grid, loads, cost)


def _each(what: str) -> str:
    return f"1M blocks, 4 requests under way on each {what}."
