"""This server and Samba side by side on the loopback address: transfers by smbclient, requests by smbtorture.

They take turns at each row, so that what else the machine does falls on all; a row is the median of its turns. A
transfer is timed as a person sees it, from smbclient's start to its end, login included. Requests go to this server
twice: started as root, when it acts as the user who logs on, and as that user itself. Run it on a quiet machine; a
ratio over 1 means that this server was faster.

    python -m benchmarks.samba [--rounds N] [--size BYTES] [--quick] [--under DIR] [--output FILE]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from server.options import shown, size_of
from server.testing import PASSWORD, Ours, Running, Samba, missing, names

from . import results, smbtorture
from .beside import ServiceUser, start
from .peers import OURS, SAMBA

TITLE = "This server and Samba"
SERVICE = "as a service user"
REQUESTS = "requests/s"
KINDS: Mapping[str, type[Running]] = {OURS: Ours, SERVICE: ServiceUser, SAMBA: Samba}
PROTECTIONS = {"plain": "off", "signed": "sign", "sealed": "encrypt"}
BENCHES = {
    "4 KiB reads": ("read", "--option=torture:io_size=4096"),
    "64 KiB reads": ("read", "--option=torture:io_size=65536"),
    "open and close pairs": ("path-contention-shared",),
    "echoes": ("echo",),
    "session set-ups": ("session-setup",),
}
NOTE = f"""\
smbtorture keeps {smbtorture.DEPTH} requests under way on one connection for {smbtorture.SECONDS} s. As root this server
switches to the Unix account of the session where it touches the disk, as Samba does; as a service user it is that one
account. The processor time of a request is all that the server's processes used, logins included; where smbtorture is
busy for nearly all of a processor, it is the limit. Both stand in the order of the rates."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """A file put or got; the seconds of each turn by server."""

    what: str
    command: str
    measure: Callable[[Running], float]
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def take(self, servers: Sequence[tuple[str, Running]]) -> None:
        for who, server in servers:
            if who != SERVICE:
                self.seconds.setdefault(who, []).append(self.measure(server))

    def row(self) -> list[str]:
        ours, theirs = (results.median(self.seconds.get(who, [])) for who in (OURS, SAMBA))
        figures = (
            results.figure(ours, 2),
            results.figure(theirs, 2),
            results.ratio(ours, theirs, larger_is_better=False),
        )
        return [self.what, *figures, f"`{self.command}`"]


@dataclass(frozen=True, slots=True)
class Requests:
    """One of smbtorture's timings; its turns by server."""

    what: str
    bench: str
    options: Sequence[str]
    turns: dict[str, list[smbtorture.Turn]] = field(default_factory=dict)

    def take(self, servers: Sequence[tuple[str, Running]]) -> None:
        for who, server in servers:
            self.turns.setdefault(who, []).append(smbtorture.measure(server, self.bench, *self.options))

    def row(self) -> list[str]:
        rates = {who: results.median([turn.rate for turn in self.turns.get(who, [])]) for who in KINDS}
        costs = [results.median([turn.cost for turn in self.turns.get(who, [])]) * 1e6 for who in KINDS]
        busy = [results.median([turn.client for turn in self.turns.get(who, [])]) * 100 for who in KINDS]
        ratios = [results.ratio(rates[who], rates[SAMBA]) for who in (OURS, SERVICE)]
        said = " ".join([f"smb2.bench.{self.bench}", *self.options])
        return [
            self.what, *map(results.figure, rates.values()), *ratios, " / ".join(map(results.figure, costs)),
            " / ".join(map(results.figure, busy)), f"`{said}`",
        ]  # fmt: skip


def smbclient(server: Running, protection: str, orders: str) -> list[str]:
    who = ["-p", str(server.port), "-U", f"{names()[0]}%{PASSWORD}", f"--client-protection={protection}"]
    return ["smbclient", "//127.0.0.1/data", *who, "-c", orders]


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


def timed(command: Sequence[str]) -> float:
    """Seconds that `command` took; NaN where it failed, and why is printed."""
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    seconds = time.perf_counter() - begun
    said = done.stdout + done.stderr
    if done.returncode == 0 and "NT_STATUS" not in said:
        return seconds
    print(f"{command[0]}: {said.strip()}", flush=True)
    return float("nan")


def transfers(source: Path) -> list[Transfer]:
    size = shown(source.stat().st_size)
    return [
        Transfer(f"{name} {size}, {word}", f"smbclient --client-protection={protection} -c '{name} ...'",
                 make(source, protection))
        for word, protection in PROTECTIONS.items()
        for name, make in (("put", put), ("get", get))
    ]  # fmt: skip


def requests() -> list[Requests]:
    known = smbtorture.known()
    return [Requests(what, name, options) for what, (name, *options) in BENCHES.items() if name in known]


@contextmanager
def started(under: Path | None) -> Iterator[list[tuple[str, Running]]]:
    """Those of KINDS that can be started."""
    with ExitStack() as stack:
        running = [(who, start(kind(under=under), stack)) for who, kind in KINDS.items()]
        yield [(who, server) for who, server in running if server is not None]


def measure(rows: Sequence[Transfer | Requests], rounds: int, under: Path | None) -> None:
    with started(under) as servers:
        for number in range(rounds):
            for row in rows:
                row.take(servers if number % 2 == 0 else servers[::-1])
            print(
                f"round {number + 1} of {rounds}", *(" | ".join(row.row()[:-1]) for row in rows), sep="\n", flush=True
            )


def told(moved: Sequence[Transfer], asked: Sequence[Requests], rounds: int) -> str:
    heads = ["", "this server, s", "Samba, s", "ratio", "command"]
    about = f"Medians of {rounds} turns each, {results.machine(Samba=samba_version())}."
    further = [
        REQUESTS, "this server, as root", SERVICE, "Samba", "ratio", f"ratio, {SERVICE}",
        "µs of the server for each", "smbtorture busy, %", "smbtorture",
    ]  # fmt: skip
    tables = [results.table(heads, [row.row() for row in moved]), results.table(further, [row.row() for row in asked])]
    return "\n\n".join([about, *tables, NOTE])


def samba_version() -> str:
    return subprocess.run(["smbd", "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.samba", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=size_of, default=1 << 30, help="of the file that is put and got (default 1G)")
    parser.add_argument("--quick", action="store_true", help="one round with 16M, to see that all of it runs")
    parser.add_argument(
        "--under", type=Path, help="where the shares and the file lie (default: temporary files' place)"
    )
    parser.add_argument("--output", type=Path, help="also write the table to its section of this file")
    options = parser.parse_args(argv)
    if absent := missing("smbclient", "smbtorture", "smbd", "smbpasswd"):
        print(f"missing: {', '.join(absent)}; install Debian's samba, smbclient and samba-testsuite")
        return 2
    rounds, size = (1, 16 << 20) if options.quick else (options.rounds, options.size)
    with tempfile.NamedTemporaryFile(dir=options.under) as file:
        block = os.urandom(1 << 20)
        for _ in range(size >> 20):
            file.write(block)
        file.flush()
        moved, asked = transfers(Path(file.name)), requests()
        measure([*moved, *asked], rounds, options.under)
    said = told(moved, asked, rounds)
    print(f"\n{said}")
    if options.output:
        results.record(options.output, TITLE, said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
