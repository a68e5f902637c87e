"""SMB Direct under the project's own client in the lab: descriptors, sizes, connections, and beside them the devices.

Unlike the Linux client this one sends requests of many descriptors and 16 MiB and has many in flight. Each table is
measured in turns: all its places once, then all again. What perftest moves over the same device, with as many
requests in flight, is the ceiling. rxe and siw are soft devices: the figures show what this server costs on top.

    python -m benchmarks.rdma [--rounds N] [--seconds S] [--only WORD] [--output FILE]
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from server.options import shown
from server.status import Status
from server.testing import PASSWORD, missing, names
from smbdirect.wire import Malformed
from transport.base import Lost
from transport.memory import Arena

from . import lab, perftest, results
from .charts import line_chart, panels
from .load import Load, measure, opened
from .peers import OverRdma

TITLE = "SMB Direct with the project's own client"
MIB = 1 << 20
DIRECTIONS = ("read", "write")
DEVICES = {"rxe": "rxe0", "siw": "siw0"}
BARE = "Beside the bare device"
BARE_HEAD = "8 MiB, 8 in flight"
RAW_COUNTS = {"rxe": 24, "siw": 128}
"""Blocks that perftest moves: about as long as the other figures take."""
PATIENCE = 120
"""Seconds that one figure may take."""
LIMIT = 1500
"""Seconds that the lab may take."""


@dataclass(frozen=True, slots=True)
class Place:
    """One column: how many connections do what."""

    name: str
    load: Load
    connections: int = 1


@dataclass(slots=True)
class Table:
    """Lines of figures over the same places, one line for each way and direction."""

    title: str
    across: str
    file: str
    places: list[Place]
    ways: tuple[str, ...]
    figures: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)

    def lines(self) -> dict[str, list[float]]:
        """Medians, by way and direction."""
        return {
            f"{rw}, {way}": [results.median(self.figures.get((way, rw, place.name), [])) for place in self.places]
            for way in self.ways
            for rw in DIRECTIONS
        }

    def text(self) -> str:
        heads = [f"MB/s by {self.across}", *(place.name for place in self.places)]
        rows = [[name, *map(results.figure, line)] for name, line in self.lines().items()]
        return f"### {self.title}\n\n{results.table(heads, rows)}\n\n![{self.title}](pictures/{self.file})"

    def picture(self) -> str:
        """A chart for each way, whose figures lie far apart."""
        lines, places = self.lines(), [place.name for place in self.places]
        charts = [
            line_chart(
                f"{self.title}, {way}", self.across, "MB/s", places, {rw: lines[f"{rw}, {way}"] for rw in DIRECTIONS}
            )
            for way in self.ways
        ]
        return panels(charts, columns=1)


WHOLE = Place("8M", Load("read", 8 * MIB, depth=perftest.DEPTH))


def tables() -> list[Table]:
    whole, sizes = WHOLE.load, (MIB // 2, 2 * MIB, 8 * MIB, 16 * MIB)
    return [
        Table(
            "One descriptor against many, 8 MiB", "buffer descriptors", "descriptors.svg",
            [Place(str(count), replace(whole, descriptors=count)) for count in (1, 2, 4, 16, 64)],
            tuple(DEVICES),
        ),
        Table(
            "Sizes of one request", "size", "sizes.svg",
            [Place(shown(size), replace(whole, size=size)) for size in sizes], tuple(DEVICES),
        ),
        Table(
            "Connections, 8 MiB, 8 requests in flight over all of them", "connections", "connections.svg",
            [Place(str(count), replace(whole, depth=whole.depth // count), count) for count in (1, 2, 4, 8)],
            tuple(DEVICES),
        ),
    ]  # fmt: skip


async def take(table: Table, seconds: float) -> None:
    """One turn of `table`."""
    for way in table.ways:
        for place in table.places:
            for rw in DIRECTIONS[::-1]:  # what is read has been written
                figure = await tried(table.title, way, place, rw, seconds)
                table.figures.setdefault((way, rw, place.name), []).append(figure)


async def tried(title: str, way: str, place: Place, rw: str, seconds: float) -> float:
    """MB/s over fresh connections; NaN where they fail or stay without an answer, and why is printed."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await once(way, place, rw, seconds)
    except (Lost, Malformed, Status, OSError) as failure:
        print(f"{title}: {rw}, {way}, {place.name}: {failure!r}", flush=True)
        return float("nan")


async def once(way: str, place: Place, rw: str, seconds: float) -> float:
    """MB/s over fresh connections. Raises Lost, Malformed, Status, OSError."""
    arena = Arena()
    try:
        async with AsyncExitStack() as stack:
            who = (lab.ADDRESSES[way], True, arena, names()[0], PASSWORD)
            files = [await stack.enter_async_context(opened(*who)) for _ in range(place.connections)]
            load = replace(place.load, direction=rw)
            return await measure(files, arena, load, seconds)
    finally:
        arena.close()


@dataclass(slots=True)
class Bare:
    """This server and perftest in turn over the same device, each with as many requests in flight."""

    figures: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)
    """MB/s by way, direction and whose they are."""

    def take(self, seconds: float) -> None:
        """One turn, while the server runs."""
        for way, device in DEVICES.items():
            for rw in DIRECTIONS[::-1]:  # what is read has been written
                ours = asyncio.run(tried(BARE, way, WHOLE, rw, seconds))
                raw = perftest.measure(perftest.TOOLS[rw], device, lab.ADDRESSES[way], WHOLE.load.size, RAW_COUNTS[way])
                self.add(way, rw, ours, raw)

    def add(self, way: str, rw: str, ours: float, raw: float) -> None:
        self.figures.setdefault((way, rw, "ours"), []).append(ours)
        self.figures.setdefault((way, rw, "raw"), []).append(raw)

    def text(self) -> str:
        rows = []
        for way in DEVICES:
            for rw, tool in perftest.TOOLS.items():
                ours, raw = (results.median(self.figures.get((way, rw, whose), [])) for whose in ("ours", "raw"))
                rows.append([f"{rw}, {way}", *map(results.figure, (ours, raw)), results.ratio(ours, raw), tool])
        heads = [BARE_HEAD, "this server, MB/s", "device, MB/s", "ratio", "device by"]
        how = {"the device": " ".join(perftest.command("ib_write_bw", "rxe0", WHOLE.load.size, RAW_COUNTS["rxe"]))}
        return f"### {BARE}\n\n{results.table(heads, rows)}\n\n{results.listed(how)}"


def run(chosen: Sequence[Table], bare: Bare | None, rounds: int, seconds: float) -> None:
    for number in range(rounds):
        with OverRdma(lab.SCRATCH, "16M") as server:
            for table in chosen:
                asyncio.run(take(table, seconds))
            if bare is not None:
                bare.take(2 * seconds)
            server.stop()
        parts = [f"round {number + 1} of {rounds}", *(table.text() for table in chosen)]
        print(*parts, *([bare.text()] if bare else []), sep="\n\n", flush=True)


def told(chosen: Sequence[Table], bare: Bare | None, rounds: int) -> str:
    """The section: machine, tables, command lines."""
    about = results.machine(perftest=results.package("perftest"), pyverbs=results.package("python3-pyverbs"))
    parts = [f"In the lab ({about}), shares on tmpfs, 8 requests in flight where not said, medians of {rounds} turns."]
    parts += [table.text() for table in chosen]
    return "\n\n".join([*parts, *([bare.text()] if bare else [])])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rdma", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each figure (default 0.5)")
    parser.add_argument("--only", default="", metavar="WORD", help="leave out tables without this in their title")
    parser.add_argument("--output", type=Path, help="also write the tables to this file, and pictures beside it")
    given = parser.parse_args(argv)
    if not lab.inside():
        return lab.repeat("benchmarks.rdma", sys.argv[1:] if argv is None else argv, LIMIT)
    chosen = [table for table in tables() if given.only in table.title]
    bare = Bare() if given.only in BARE and not missing(*perftest.NEEDED) else None
    run(chosen, bare, given.rounds, given.seconds)
    said = told(chosen, bare, given.rounds)
    print(f"\n{said}")
    if given.output:
        results.record(given.output, TITLE, said)
        results.draw(given.output, {table.file: table.picture() for table in chosen})
    return 0


if __name__ == "__main__":
    sys.exit(main())
