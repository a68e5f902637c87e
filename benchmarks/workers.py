"""What more server processes could bring: one client, two clients at one server, and two at a server each.

Two servers that know nothing of each other are the best that worker processes behind one port could come to, for those
would have to agree about what is open, cached and locked. Samba, which has a process for each connection, is asked the
same. Clients are smbtorture; rates are the sum of both.

    python -m benchmarks.workers [--rounds N] [--under DIR] [--output FILE]
"""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from server.testing import Ours, Running, Samba, missing

from . import results, smbtorture
from .samba import BENCHES

TITLE = "Two processes instead of one"
ASKED = ("4 KiB reads", "open and close pairs", "echoes")
WAYS = ("one client", "two clients", "two clients, a server each")
SAMBA = "two clients of Samba"
NOTE = """\
There are no worker processes: this is the most that they could bring here, before what it costs that every CREATE, lock
and lease would have to be agreed between them. On a machine with more processors than its clients take it may be more;
that was not measured. Large transfers have no need of them: copies, checksums and ciphers run outside the interpreter's
lock already."""
HEADS = ["requests/s", *WAYS, "a server each / one server", SAMBA]


def rate(name: str, options: Sequence[str], *servers: Running) -> float:
    """All requests per second of one client at each of `servers` at once; NaN where one failed."""
    with ThreadPoolExecutor(len(servers)) as clients:
        turns = clients.map(lambda server: smbtorture.measure(server, name, *options), servers)
        return sum(turn.rate for turn in turns)


def measure(rounds: int, under: Path | None) -> dict[str, dict[str, list[float]]]:
    """By what is asked, then by way: the rate of each turn."""
    asked = {what: BENCHES[what] for what in ASKED}
    taken: dict[str, dict[str, list[float]]] = {what: {way: [] for way in (*WAYS, SAMBA)} for what in asked}
    with ExitStack() as stack:
        servers: list[Running] = [Ours(under=under), Ours(under=under), Samba(under=under)]
        first, second, other = map(stack.enter_context, servers)
        ways = [(first,), (first, first), (first, second), (other, other)]
        for _ in range(rounds):
            for what, (name, *options) in asked.items():
                for way, those in zip((*WAYS, SAMBA), ways, strict=True):
                    taken[what][way].append(rate(name, options, *those))
    return taken


def told(taken: dict[str, dict[str, list[float]]], rounds: int) -> str:
    rows = []
    for what, turns in taken.items():
        medians = {way: results.median(figures) for way, figures in turns.items()}
        *ours, theirs = medians.values()
        rows.append([what, *map(results.figure, ours), results.ratio(ours[2], ours[1]), results.figure(theirs)])
    about = f"Medians of {rounds} turns each, {results.machine()}. The clients run on the same processors."
    return f"{about}\n\n{results.table(HEADS, rows)}\n\n{NOTE}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--under", type=Path, help="where the shares lie (default: temporary files' place)")
    parser.add_argument("--output", type=Path, help="also write the table to its section of this file")
    options = parser.parse_args(argv)
    if absent := missing("smbtorture", "smbd", "smbpasswd"):
        print(f"missing: {', '.join(absent)}; install Debian's samba and samba-testsuite")
        return 2
    said = told(measure(options.rounds, options.under), options.rounds)
    print(said)
    if options.output:
        results.record(options.output, TITLE, said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
