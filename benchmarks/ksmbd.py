"""This server, ksmbd and Samba in one boot of the lab, under the Linux client: 8 MiB reads and writes.

They take turns: each turn one is started, mounted over every way it has (TCP, rxe, siw; Samba has TCP alone), and
stopped. All serve the same file system and are asked for the same sizes; what was granted stands in the table. A
ratio over 1 means that this server was faster. rxe and siw are soft devices, whose work falls on the same processors:
the figures say which server is faster there, and nothing of hardware.

    python -m benchmarks.ksmbd [--rounds N] [--seconds S] [--only PATTERN] [--output FILE]
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from server.options import shown
from server.testing import NotStarted, names

from . import lab, mounts, peers, results
from .peers import KSMBD, OURS, SAMBA, SERVERS

TITLE = "This server, ksmbd and Samba under the Linux client"
LOCAL = "local file system"
HEAD = "8 MiB, MB/s"
PROTECTIONS = ("", "sign", "seal")
DIRECTIONS = ("write", "read")
JOBS = tuple(mounts.Job(rw, rw, mounts.BLOCK) for rw in DIRECTIONS)
FILE = 64 << 20
LIMIT = 1500
"""Seconds that the lab may take."""
NOTES = """\
Over RDMA cifs.ko moves no more in one request than one fast registration of the device holds, 512 pages on rxe and 256
on siw (the kernel's log: max_fast_reg_page_list_len), whatever it is asked for; where it signs, READs are as long as
its own fragmented limit. Sealed payload goes in fragments of 1364 bytes, a WRITE of `wsize` as one message: cifs.ko
refuses to send it where that is more than the server's fragmented limit, and the write fails, as with ksmbd's 173910
bytes (`-`)."""


@dataclass(slots=True)
class Case:
    """One mount, and the figures of each server under it, by direction."""

    way: str
    protection: str
    figures: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    sizes: dict[str, str] = field(default_factory=dict)
    """Granted rsize and wsize, by server."""

    @property
    def options(self) -> str:
        return mounts.options(self.way != "TCP", self.protection)

    @property
    def name(self) -> str:
        return f"{self.way}{f', {self.protection}' if self.protection else ''}"

    def take(self, who: str, seconds: float) -> None:
        """One turn: mount, write, read."""
        turn: Mapping[str, float] = {}
        with tempfile.TemporaryDirectory() as there:
            try:
                with mounts.mounted(lab.ADDRESSES[self.way], self.options, Path(there)) as mount:
                    self.sizes[who] = f"{shown(mount.rsize)}, {shown(mount.wsize)}"
                    turn = mounts.measure(mount.at, JOBS, seconds, FILE)
            except mounts.Failed as failure:
                print(f"{who}, {self.name}: {failure}", flush=True)
        self.add(who, turn)

    def add(self, who: str, turn: Mapping[str, float]) -> None:
        for rw in DIRECTIONS:
            self.figures.setdefault((who, rw), []).append(turn.get(rw, float("nan")))

    def median(self, who: str, rw: str) -> float:
        return results.median(self.figures.get((who, rw), []))

    def rows(self) -> Iterator[list[str]]:
        sizes = " / ".join(self.sizes.get(who, results.NONE) for who in SERVERS)
        for rw in DIRECTIONS:
            ours, ksmbd, samba = (self.median(who, rw) for who in (OURS, KSMBD, SAMBA))
            figures = [results.figure(each) for each in (ours, ksmbd, samba)]
            yield [f"{rw}, {self.name}", *figures, results.ratio(ours, ksmbd), results.ratio(ours, samba), sizes]


def table(cases: Sequence[Case]) -> str:
    heads = [HEAD, *SERVERS, f"to {KSMBD}", f"to {SAMBA}", "rsize, wsize of each"]
    return results.table(heads, [row for case in cases for row in case.rows()])


def turn(who: str, cases: Sequence[Case], seconds: float) -> None:
    """One server from start to stop, through all cases."""
    try:
        with peers.started(who) as server:
            mounts.lay(server.path(), FILE, names()[0])
            for case in cases:
                if peers.serves(who, case.way):
                    case.take(who, seconds)
    except NotStarted as failure:
        print(failure, flush=True)


def beneath(seconds: float) -> Mapping[str, float]:
    """What the file system under the shares does with no server."""
    with tempfile.TemporaryDirectory(dir=lab.SCRATCH) as there:
        mounts.lay(Path(there), FILE)
        return mounts.measure(Path(there), JOBS, seconds, FILE)


def measure(rounds: int, seconds: float, only: str) -> tuple[list[Case], Case]:
    """The cases in whose name `only`, a regular expression, is found, measured; and the local file system."""
    cases = [Case(way, protection) for way in lab.ADDRESSES for protection in PROTECTIONS]
    cases = [case for case in cases if re.search(only, case.name)]
    local = Case(LOCAL, "")
    for number in range(rounds):
        for who in peers.order(number):
            turn(who, cases, seconds)
        local.add(LOCAL, beneath(seconds))
        print(f"round {number + 1} of {rounds}\n{table(cases)}", flush=True)
    return cases, local


def told(cases: Sequence[Case], local: Case, rounds: int, seconds: float) -> str:
    """The section: machine, table, command lines."""
    ceiling = ", ".join(f"{rw} {results.figure(local.median(LOCAL, rw))}" for rw in DIRECTIONS)
    commands = {
        "mounted with, `rdma` not over TCP, `sign` or `seal` where the row says so":
            f"mount.cifs //10.99.N.1/data DIR -o username=...,password=...,{mounts.options(True, '')}",
        "load": " ".join([*mounts.FIO, "-"]),
    }  # fmt: skip
    about = f"cifs.ko as the client in the lab ({results.machine(**peers.versions())}), shares on tmpfs, medians of"
    return "\n\n".join([
        f"{about} {rounds} turns. The same file system with no server, MB/s: {ceiling}.",
        table(cases),
        NOTES,
        results.listed(commands),
        f"where fio is told\n```\n{mounts.job_file(Path('DIR'), JOBS, seconds, FILE)}```",
    ])  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ksmbd", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each figure (default 0.5)")
    parser.add_argument("--only", default="", metavar="PATTERN", help="leave out rows whose name it is not in")
    parser.add_argument("--output", type=Path, help="also write the table to its section of this file")
    given = parser.parse_args(argv)
    if absent := peers.absent():
        print(f"missing: {', '.join(absent)}; install Debian's {peers.PACKAGES}")
        return 2
    if not lab.inside():
        return lab.repeat("benchmarks.ksmbd", sys.argv[1:] if argv is None else argv, LIMIT)
    said = told(*measure(given.rounds, given.seconds, given.only), given.rounds, given.seconds)
    print(f"\n{said}")
    if given.output:
        results.record(given.output, TITLE, said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
