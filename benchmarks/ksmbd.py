"""This server and ksmbd in one boot of the lab, under the Linux client: 8 MiB reads and writes over TCP, rxe and siw.

The two take turns: each turn one is started, mounted over every way, and stopped. Both serve the same file system
and are asked for the same sizes; what was granted stands in the table. A ratio over 1 means that this server was
faster. rxe and siw are soft devices, whose work falls on the same processors: the figures say which server is
faster there, and nothing of hardware.

    python -m benchmarks.ksmbd [--rounds N] [--seconds S] [--only PATTERN] [--output FILE]
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from server.options import shown
from server.testing import NotStarted, Running, missing

from . import lab, mounts, results
from .peers import Ksmbd, OverRdma, tool

TITLE = "This server and ksmbd"
PROTECTIONS = ("", "sign", "seal")
DIRECTIONS = ("write", "read")
FILE = 128 << 20
LIMIT = 1500
"""Seconds that the lab may take."""
NOTES = """\
Over RDMA cifs.ko moves no more in one request than one fast registration of the device holds, 512 pages on rxe and 256
on siw (the kernel's log: max_fast_reg_page_list_len), whatever it is asked for; where it signs, READs are as long as
its own fragmented limit. Sealed payload goes in fragments of 1364 bytes, a WRITE of `wsize` as one message: cifs.ko
refuses to send it where that is more than the server's fragmented limit, and the write fails, as with ksmbd's 173910
bytes (`-`)."""
SERVERS: tuple[type[OverRdma] | type[Ksmbd], ...] = (OverRdma, Ksmbd)


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

    def take(self, server: Running, seconds: float) -> None:
        """One turn: mount, write, read."""
        who = type(server).__name__
        turn = {rw: float("nan") for rw in DIRECTIONS}
        with tempfile.TemporaryDirectory() as there:
            try:
                with mounts.mounted(lab.ADDRESSES[self.way], self.options, Path(there)) as mount:
                    self.sizes[who] = f"{shown(mount.rsize)}, {shown(mount.wsize)}"
                    for rw in DIRECTIONS:
                        turn[rw] = mounts.measure(mount.at, rw, seconds, FILE)
            except mounts.Failed as failure:
                print(f"{who}, {self.name}: {failure}", flush=True)
        for rw, figure in turn.items():
            self.figures.setdefault((who, rw), []).append(figure)

    def rows(self) -> list[list[str]]:
        ours, theirs = (server.__name__ for server in SERVERS)
        made = []
        for rw in DIRECTIONS:
            mine, other = (results.median(self.figures.get((who, rw), [])) for who in (ours, theirs))
            sizes = " / ".join(self.sizes.get(who, "-") for who in (ours, theirs))
            made.append(
                [f"{rw}, {self.name}", results.figure(mine), results.figure(other), results.ratio(mine, other), sizes]
            )
        return made


def table(cases: Sequence[Case]) -> str:
    heads = ["8 MiB", "this server, MB/s", "ksmbd, MB/s", "ratio", "rsize, wsize (here / ksmbd)"]
    return results.table(heads, [row for case in cases for row in case.rows()])


def turn(server: Running, cases: Sequence[Case], seconds: float) -> None:
    """One server from start to stop, through all cases."""
    try:
        server.start()
        for case in cases:
            case.take(server, seconds)
            server.clear()
    except NotStarted as failure:
        print(failure, flush=True)
    finally:
        server.stop()


def measure(rounds: int, seconds: float, only: str) -> list[Case]:
    """The cases in whose name `only`, a regular expression, is found, measured."""
    cases = [Case(way, protection) for way in lab.ADDRESSES for protection in PROTECTIONS]
    cases = [case for case in cases if re.search(only, case.name)]
    for number in range(rounds):
        for kind in SERVERS if number % 2 == 0 else SERVERS[::-1]:
            server = kind(under=lab.SCRATCH)
            try:
                turn(server, cases, seconds)
            finally:
                server.remove()
        print(f"round {number + 1} of {rounds}\n{table(cases)}", flush=True)
    return cases


def version() -> str:
    """ksmbd-tools'."""
    said = subprocess.run([tool("ksmbd.control"), "-V"], capture_output=True, text=True, check=False)
    return (said.stdout + said.stderr).split()[-1]


def told(cases: Sequence[Case], rounds: int, seconds: float) -> str:
    """The section: machine, table, command lines."""
    about = results.machine(**{"ksmbd-tools": version(), "fio": results.package("fio")})
    commands = {
        "mounted with": f"mount.cifs //10.99.N.1/data DIR -o username=...,password=...,{mounts.options(True, '')}"
        " (`rdma` not over TCP; `sign` or `seal` where the row says so)",
        "load": " ".join(mounts.fio(Path("DIR"), "write", seconds, FILE)),
    }
    return "\n\n".join([
        f"cifs.ko as the client in the lab ({about}), shares on tmpfs, medians of {rounds} turns.",
        table(cases),
        NOTES,
        results.listed(commands),
    ])  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ksmbd", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of each run of fio (default 2)")
    parser.add_argument("--only", default="", metavar="PATTERN", help="leave out rows whose name it is not in")
    parser.add_argument("--output", type=Path, help="also write the table to its section of this file")
    given = parser.parse_args(argv)
    if absent := missing(tool("ksmbd.mountd"), "fio", "mount.cifs"):
        print(f"missing: {', '.join(absent)}; install Debian's ksmbd-tools, fio and cifs-utils")
        return 2
    if not lab.inside():
        return lab.repeat("benchmarks.ksmbd", sys.argv[1:] if argv is None else argv, LIMIT)
    said = told(measure(given.rounds, given.seconds, given.only), given.rounds, given.seconds)
    print(f"\n{said}")
    if given.output:
        results.record(given.output, TITLE, said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
