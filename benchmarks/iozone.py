"""What iozone and fileop do, on a mount of cifs.ko in the lab: this server, ksmbd and Samba in one boot, over TCP.

fio does iozone's work: one file is written, read, and read backwards, with gaps and at random, in records of 4 KiB to
16 MiB, each record a request of its own (iozone's -I). fileop's are calls on names, each of which the client has to
ask the server about (`fileop.py`). The servers take turns, and a turn on the same file system with no server is the
ceiling. A ratio over 1 means that this server was faster.

    python -m benchmarks.iozone [--rounds N] [--seconds S] [--width N] [--output FILE]
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from server.options import shown
from server.testing import NotStarted, names

from . import fileop, lab, mounts, peers, results
from .charts import bar_chart, line_chart, panels
from .peers import OURS, SERVERS

TITLE = "The work of iozone and fileop under the Linux client"
LOCAL = "local"
WHO = (*SERVERS, LOCAL)
KIB = 1024
RECORDS = tuple(size * KIB for size in (4, 64, 1024, 16384))
FILE = 64 << 20
WIDTH = 3
OPTIONS = mounts.options(False, "", mounts.UNCACHED)
OPERATIONS = {
    "write": ("write", mounts.NEW),
    "rewrite": ("write", mounts.OLD),
    "read": ("read", mounts.OLD),
    "random read": ("randread", mounts.OLD),
    "random write": ("randwrite", mounts.OLD),
    "backward read": ("read:-{two}", mounts.OLD),
    "strided read": ("read:{one}", mounts.OLD),
}
"""What fio calls them; after the colon stands by how much it moves on behind each record, in bytes."""
LIMIT = 1500
"""Seconds that the lab may take."""
RECORDS_PICTURE, CALLS_PICTURE = "iozone.svg", "fileop.svg"
ABOUT = """\
Over TCP, shares on tmpfs. Behind the peers' figures stands how many times faster this server was; `local` is the file
system under the shares with no server."""
ABOUT_RECORDS = """\
The client keeps nothing (`cache=none`, O_DIRECT), so iozone's reread would be another read. A record longer than what
client and server agreed on is several requests. A strided read leaves out every other record."""
ABOUT_CALLS = """\
On so many directories, as many in each, and as many files of one byte in each of those. With `actimeo=0` and
`closetimeo=0` each call asks the server, often more than once. ksmbd takes two to four ticks of this kernel's 100 Hz
clock, 20 to 40 ms, over each chain of CREATE, QUERY_INFO and CLOSE (seen between its packets), and 0.1 ms over single
requests: what it does with names in another kernel, these figures do not tell."""


@dataclass(slots=True)
class Figures:
    """Everyone's turns, by what is done; `unit` is theirs."""

    unit: str
    turns: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def add(self, who: str, turn: Mapping[str, float]) -> None:
        for what, figure in turn.items():
            self.turns.setdefault((who, what), []).append(figure)

    def median(self, who: str, what: str) -> float:
        return results.median(self.turns.get((who, what), []))

    def cell(self, who: str, what: str) -> str:
        """The figure, and behind that of a peer how many times faster this server was."""
        figure, ours = self.median(who, what), self.median(OURS, what)
        told = results.figure(figure)
        return f"{told} ({results.ratio(ours, figure)})" if who in SERVERS and who != OURS else told


def jobs() -> list[mounts.Job]:
    """fio's, for every operation and every size of record."""
    return [
        mounts.Job(name(operation, size), rw.format(one=size, two=2 * size), size, file)
        for size in RECORDS
        for operation, (rw, file) in OPERATIONS.items()
    ]


def name(operation: str, size: int) -> str:
    return f"{operation}, {shown(size)}"


def work(at: Path, seconds: float, width: int, records: Figures, calls: Figures, who: str) -> None:
    """One turn on what is mounted there, where OLD lies."""
    try:
        records.add(who, mounts.measure(at, jobs(), seconds, FILE))
        calls.add(who, fileop.measure(at, width, fileop.Timed()))
    except (mounts.Failed, OSError) as failure:
        print(f"{who}: {failure}", flush=True)


def turn(who: str, seconds: float, width: int, records: Figures, calls: Figures) -> None:
    with peers.started(who) as server, tempfile.TemporaryDirectory() as there:
        mounts.lay(server.path(), FILE, names()[0])
        with mounts.mounted(lab.ADDRESSES["TCP"], OPTIONS, Path(there)) as mount:
            work(mount.at, seconds, width, records, calls, who)


def measure(rounds: int, seconds: float, width: int) -> tuple[Figures, Figures]:
    """Of records and of calls."""
    records, calls = Figures("MB/s"), Figures("calls a second")
    for number in range(rounds):
        for who in peers.order(number):
            try:
                turn(who, seconds, width, records, calls)
            except (NotStarted, mounts.Failed) as failure:
                print(f"{who}: {failure}", flush=True)
        with tempfile.TemporaryDirectory(dir=lab.SCRATCH) as there:
            mounts.lay(Path(there), FILE)
            work(Path(there), seconds, width, records, calls, LOCAL)
        print(f"round {number + 1} of {rounds}", records_table(records), calls_table(calls), sep="\n\n", flush=True)
    return records, calls


# -- what is said ---------------------------------------------------------------------------------------------------
def records_table(records: Figures) -> str:
    heads = [f"{records.unit} by record", *map(shown, RECORDS)]
    return results.table(heads, [
        [f"{operation}, {who}", *(records.cell(who, name(operation, size)) for size in RECORDS)]
        for operation in OPERATIONS
        for who in WHO
    ])  # fmt: skip


def calls_table(calls: Figures) -> str:
    rows = [[call, *(calls.cell(who, call) for who in WHO)] for call in fileop.CALLS]
    return results.table([calls.unit, *WHO], rows)


def pictures(records: Figures, calls: Figures) -> Mapping[str, str]:
    """By file name."""
    charts = [
        line_chart(
            operation.capitalize(), "record", records.unit, list(map(shown, RECORDS)),
            {who: [records.median(who, name(operation, size)) for size in RECORDS] for who in WHO}, logarithmic=True,
        )
        for operation in OPERATIONS
    ]  # fmt: skip
    bars = [
        bar_chart(
            f"Calls on {what}", "", calls.unit, some,
            {who: [calls.median(who, call) for call in some] for who in SERVERS}, logarithmic=True,
        )
        for what, some in fileop.KINDS.items()
    ]  # fmt: skip
    return {RECORDS_PICTURE: panels(charts, columns=2), CALLS_PICTURE: panels(bars, columns=1)}


def told(records: Figures, calls: Figures, rounds: int, seconds: float, width: int) -> str:
    """The section: machine, tables, command lines."""
    commands = {
        "mounted with": f"mount.cifs //10.99.9.1/data DIR -o username=...,password=...,{OPTIONS}",
        "load": f"{' '.join(mounts.FIO)} -",
    }
    about = results.machine(**peers.versions())
    return "\n\n".join([
        f"cifs.ko as the client in the lab ({about}), medians of {rounds} turns. {ABOUT}",
        f"### Records, as iozone has them\n\n{records_table(records)}",
        ABOUT_RECORDS,
        f"![Records](pictures/{RECORDS_PICTURE})",
        f"### Calls on names, as fileop has them: a tree of width {width}\n\n{calls_table(calls)}",
        ABOUT_CALLS,
        f"![Calls on names](pictures/{CALLS_PICTURE})",
        results.listed(commands),
        f"where fio is told, for one of the records\n```\n{mounts.job_file(Path('DIR'), jobs()[:1], seconds, FILE)}```",
    ])  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.iozone", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.2, help="of each figure of fio's (default 0.2)")
    parser.add_argument("--width", type=int, default=WIDTH, help=f"of fileop's tree (default {WIDTH})")
    parser.add_argument("--output", type=Path, help="also write the tables to this file, and pictures beside it")
    given = parser.parse_args(argv)
    if absent := peers.absent():
        print(f"missing: {', '.join(absent)}; install Debian's {peers.PACKAGES}")
        return 2
    if not lab.inside():
        return lab.repeat("benchmarks.iozone", sys.argv[1:] if argv is None else argv, LIMIT)
    records, calls = measure(given.rounds, given.seconds, given.width)
    said = told(records, calls, given.rounds, given.seconds, given.width)
    print(f"\n{said}")
    if given.output:
        results.record(given.output, TITLE, said)
        results.draw(given.output, pictures(records, calls))
    return 0


if __name__ == "__main__":
    sys.exit(main())
