"""Everything that this server and Samba are measured in on the loopback address with the project's own client.

Each part is measured in turns: once through all of it, the two servers one after the other at each figure, then all
again. A figure is the median of its turns; a ratio over 1 means that this server was better. Run it on a quiet machine.

    python -m benchmarks.loopback [--rounds N] [--seconds S] [--quick] [--only WORD] [--under DIR] [--output FILE]
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from server.testing import missing

from . import latency, results, throughput
from .beside import Part, started
from .grid import pictures
from .memory import Memory
from .samba import samba_version

TITLE = "On the loopback address, with the project's own client"
QUICK = 0.05
COMMAND = "`python -m benchmarks.loopback`, whose client is `benchmarks/pump.py`; both servers as they are by default"


def parts() -> list[Part]:
    return [*throughput.parts(), latency.Depths(), latency.Latencies(), Memory()]


def measure(chosen: Sequence[Part], rounds: int, seconds: float, under: Path | None) -> None:
    with started(under) as servers:
        for turn in range(rounds):
            for part in chosen:
                begun = time.perf_counter()
                part.take(servers, turn, seconds)
                taken = time.perf_counter() - begun
                print(f"round {turn + 1} of {rounds}: {part.grids[0].title} ({taken:.0f} s)", flush=True)


def told(chosen: Sequence[Part], rounds: int) -> str:
    about = f"Medians of {rounds} turns each, {results.machine(Samba=samba_version())}; {COMMAND}."
    return "\n\n".join([about, *(grid.text() for part in chosen for grid in part.grids)])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loopback", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each figure in each turn (default 0.3)")
    parser.add_argument("--quick", action="store_true", help="one short round, to see that all of it runs")
    parser.add_argument("--only", default="", metavar="WORD", help="leave out tables without this in their title")
    parser.add_argument("--under", type=Path, help="where the shares lie (default: temporary files' place)")
    parser.add_argument("--output", type=Path, help="also write the tables to this file, and pictures beside it")
    given = parser.parse_args(argv)
    if absent := missing("smbd", "smbpasswd"):
        print(f"missing: {', '.join(absent)}; install Debian's samba")
        return 2
    rounds, seconds = (1, QUICK) if given.quick else (given.rounds, given.seconds)
    chosen = [part for part in parts() if any(given.only in grid.title for grid in part.grids)]
    measure(chosen, rounds, seconds, given.under)
    said = told(chosen, rounds)
    print(f"\n{said}")
    if given.output:
        results.record(given.output, TITLE, said)
        results.draw(given.output, pictures([grid for part in chosen for grid in part.grids]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
