"""This server and Samba side by side on the loopback address: transfers by smbclient, requests by smbtorture.

The two take turns at each row, so that what else the machine does falls on both; a row is the median of its turns.
A transfer is timed as a person sees it, from smbclient's start to its end, login included. Run it on a quiet
machine; a ratio over 1 means that this server was faster.

    python -m benchmarks.samba [--rounds N] [--size BYTES] [--under DIR] [--output FILE]
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from server.options import shown, size_of
from server.testing import PASSWORD, Ours, Running, Samba, missing, names

from . import results

TITLE = "This server and Samba"
PROTECTIONS = {"plain": "off", "signed": "sign", "sealed": "encrypt"}
BENCHES = {
    "4 KiB reads": ("read", "--option=torture:io_size=4096"),
    "64 KiB reads": ("read", "--option=torture:io_size=65536"),
    "open and close pairs": ("path-contention-shared",),
    "echoes": ("echo",),
    "session set-ups": ("session-setup",),
}
SECONDS = 3
DEPTH = 4
_RATE = re.compile(r"\[num/s=(\d+)")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what is done, by which command, and how one turn is measured."""

    what: str
    unit: str
    command: str
    measure: Callable[[Running], float]
    larger_is_better: bool


def smbclient(server: Running, protection: str, orders: str) -> list[str]:
    who = ["-p", str(server.port), "-U", f"{names()[0]}%{PASSWORD}", f"--client-protection={protection}"]
    return ["smbclient", "//127.0.0.1/data", *who, "-c", orders]


def torture(server: Running, name: str, *options: str) -> list[str]:
    load = [f"--option=torture:timelimit={SECONDS}", "--option=torture:nprocs=1", f"--option=torture:qdepth={DEPTH}"]
    who = ["-p", str(server.port), f"-U{names()[0]}%{PASSWORD}", "--option=torture:progress=no"]
    return ["smbtorture", "//127.0.0.1/data", *who, *load, *options, f"smb2.bench.{name}"]


def put(source: Path, protection: str) -> Callable[[Running], float]:
    def measure(server: Running) -> float:
        (server.path() / "large").unlink(missing_ok=True)
        return timed(smbclient(server, protection, f"put {source} large"))

    return measure


def get(source: Path, protection: str) -> Callable[[Running], float]:
    def measure(server: Running) -> float:
        if not (server.path() / "large").exists():
            timed(smbclient(server, "off", f"put {source} large"))
        return timed(smbclient(server, protection, "get large /dev/null"))

    return measure


def rate(name: str, *options: str) -> Callable[[Running], float]:
    def measure(server: Running) -> float:
        command = torture(server, name, *options)
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS + 60, check=False)
        found = _RATE.findall(done.stdout + done.stderr)
        return float(found[0]) if done.returncode == 0 and found else float("nan")

    return measure


def timed(command: Sequence[str]) -> float:
    """Seconds that `command` took; NaN where it failed."""
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    seconds = time.perf_counter() - begun
    failed = done.returncode != 0 or "NT_STATUS" in done.stdout + done.stderr
    return float("nan") if failed else seconds


def rows(source: Path) -> list[Row]:
    size = shown(source.stat().st_size)
    transfers = [
        Row(f"{name} {size}, {word}", "s", f"smbclient --client-protection={protection} -c '{name} ...'",
            make(source, protection), larger_is_better=False)
        for word, protection in PROTECTIONS.items()
        for name, make in (("put", put), ("get", get))
    ]  # fmt: skip
    known = subprocess.run(["smbtorture", "--list"], capture_output=True, text=True, check=True).stdout
    requests = [
        Row(what, "/s", " ".join([f"smbtorture smb2.bench.{name}", *options]), rate(name, *options), True)
        for what, (name, *options) in BENCHES.items()
        if f"smb2.bench.{name}." in known
    ]
    return transfers + requests


def table(measured: Sequence[tuple[Row, list[float], list[float]]]) -> str:
    """The results as Markdown; the ratio says how many times faster this server was."""
    rows = []
    for row, ours, theirs in measured:
        mine, other = results.median(ours), results.median(theirs)
        digits = 0 if row.larger_is_better else 2
        figures = [f"{figure:.{digits}f} {row.unit}" for figure in (mine, other)]
        how = results.ratio(mine, other, larger_is_better=row.larger_is_better)
        rows.append([row.what, *figures, how, f"`{row.command}`"])
    return results.table(["", "this server", "Samba", "ratio", "command"], rows)


def samba_version() -> str:
    return subprocess.run(["smbd", "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.samba", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=size_of, default=1 << 30, help="of the file that is put and got (default 1G)")
    parser.add_argument(
        "--under", type=Path, help="where the shares and the file lie (default: temporary files' place)"
    )
    parser.add_argument("--output", type=Path, help="also write the table to its section of this file")
    options = parser.parse_args(argv)
    if absent := missing("smbclient", "smbtorture", "smbd", "smbpasswd"):
        print(f"missing: {', '.join(absent)}; install Debian's samba, smbclient and samba-testsuite")
        return 2
    with (
        tempfile.NamedTemporaryFile(dir=options.under) as file,
        Ours(under=options.under) as ours,
        Samba(under=options.under) as samba,
    ):
        block = os.urandom(1 << 20)
        for _ in range(options.size >> 20):
            file.write(block)
        file.flush()
        measured: list[tuple[Row, list[float], list[float]]] = []
        for row in rows(Path(file.name)):
            turns = [(row.measure(ours), row.measure(samba)) for _ in range(options.rounds)]
            measured.append((row, [turn[0] for turn in turns], [turn[1] for turn in turns]))
            print(table(measured[-1:]).splitlines()[-1], flush=True)
    about = results.machine(Samba=samba_version())
    said = f"Medians of {options.rounds} turns each, {about}.\n\n{table(measured)}\n"
    print(f"\n{said}")
    if options.output:
        results.record(options.output, TITLE, said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
