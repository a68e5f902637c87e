"""Where each aim of the project stands: a section of the results, read from the tables that the same file holds.

python -m benchmarks.aims FILE
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import ksmbd, loopback, rdma, results, samba
from .memory import AT_REST, CONNECTION
from .peers import KSMBD

TITLE = "Where the aims stand"
PREFACE = "Ratios over 1 mean that this server was better; each figure is in one of the tables below."
WHY: Mapping[str, str] = {
    "8 MiB read and write, rxe and siw": (
        "one MiB written over siw costs the lab's processor some 1.3 ms that both servers share (the client, siw's"
        " threads, the soft interrupt), and ksmbd 0.2 ms more; this server's Python alone takes 0.3 ms, and the lab's"
        " kernel is a process itself, whose system calls are switches between processes. Over rxe the device is the"
        " limit, and the two are within a few percent of each other"
    ),
    "8 connections against 1": (
        "each connection has a file and buffers of its own, which fit no cache together: Samba, a process for each,"
        " loses as well where it writes. The two processors are the client's, too"
    ),
    "memory": (
        "at rest there is the interpreter with its libraries, before any client: Python 3.11 alone has 10 MB in memory,"
        " with all that the server imports 29 MB of its own and 17 MB of programs and libraries (OpenSSL twice: that of"
        " Python's `ssl`, and that of the `cryptography` wheel)"
    ),
}
"""For an aim that is not met, by its work: what stands in the way. Kept by hand."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure of a table: the section, the table's first head, the row's first cell and the column's head; divided by
    that in the column `over`, where there is one."""

    section: str
    table: str
    row: str
    column: str
    over: str = ""


@dataclass(frozen=True, slots=True)
class Aim:
    """`least` is what each of `figures` is to reach; None: the figures are shown and no more."""

    work: str
    against: str
    least: float | None
    figures: Mapping[str, Cell]

    def row(self, text: str) -> list[str]:
        found = {name: find(text, cell) for name, cell in self.figures.items()}
        measured = [figure for figure in found.values() if figure == figure]
        told = "; ".join(f"{name} {results.figure(figure, 2)}" for name, figure in found.items())
        aim = "shown" if self.least is None else f"{self.least:g}"
        return [self.work, self.against, aim, told, self._met(measured)]

    def falls_short(self, text: str) -> bool:
        return any(figure < (self.least or 0) for figure in (find(text, cell) for cell in self.figures.values()))

    def _met(self, measured: Sequence[float]) -> str:
        if self.least is None or not measured:
            return results.NONE
        met, all_of_them = sum(figure >= self.least for figure in measured), len(self.figures)
        return "yes" if met == all_of_them else f"{met} of {len(measured)}{' measured' * (len(measured) < all_of_them)}"


def transfers() -> Mapping[str, Cell]:
    return {
        f"{name} {word}": Cell(samba.TITLE, "", f"{name} 1G, {word}", "ratio")
        for word in samba.PROTECTIONS
        for name in ("put", "get")
    }


def requests(column: str) -> Mapping[str, Cell]:
    return {what: Cell(samba.TITLE, samba.REQUESTS, what, column) for what in samba.BENCHES if what != "4 KiB reads"}


def by_way(section: str, table: str, column: str, over: str = "") -> Mapping[str, Cell]:
    rows = [f"{rw}, {way}" for way in rdma.DEVICES for rw in rdma.DIRECTIONS]
    return {row.replace(",", ""): Cell(section, table, row, column, over) for row in rows}


def connections() -> Mapping[str, Cell]:
    own = {
        f"{work} TCP": Cell(loopback.TITLE, "MB/s by connections", f"{work}, this server", "8 / 1")
        for work in ("read", "write")
    }
    return {**own, **by_way(rdma.TITLE, "MB/s by connections", "8", over="1")}


def descriptors() -> Mapping[str, Cell]:
    many = by_way(rdma.TITLE, "MB/s by buffer descriptors", "16", over="1")
    large = by_way(rdma.TITLE, "MB/s by size", "8M", over="512K")
    return {
        **{f"16 for 1: {name}": cell for name, cell in many.items()},
        **{f"8M for 512K: {name}": cell for name, cell in large.items()},
    }


def memory() -> Mapping[str, Cell]:
    return {
        place: Cell(loopback.TITLE, "KiB by what is kept", "memory, ratio", place) for place in (AT_REST, CONNECTION)
    }


def aims() -> list[Aim]:
    return [
        Aim("1 GiB put and get, loopback", "Samba, smbclient as client", 1.2, transfers()),
        Aim("small requests, as root", "Samba, smbtorture as client", 0.5, requests("ratio")),
        Aim(f"small requests, {samba.SERVICE}", "Samba, smbtorture as client", 0.5,
            requests(f"ratio, {samba.SERVICE}")),
        Aim("8 MiB read and write, rxe and siw", "ksmbd, cifs.ko as client", 1.0,
            by_way(ksmbd.TITLE, ksmbd.HEAD, f"to {KSMBD}")),
        Aim("8 MiB read and write, own client", "the bare device", 0.9, by_way(rdma.TITLE, rdma.BARE_HEAD, "ratio")),
        Aim("8 connections against 1", "itself", 1.0, connections()),
        Aim("many descriptors, large requests", "itself", None, descriptors()),
        Aim("memory", "Samba, all its processes", 2.0, memory()),
    ]  # fmt: skip


def find(text: str, cell: Cell) -> float:
    """The figure in the results `text`; NaN where there is none."""
    for heads, rows in results.tables(text, cell.section):
        if heads[0] == cell.table:
            figures = next((dict(zip(heads, row, strict=True)) for row in rows if row[0] == cell.row), {})
            return _number(figures, cell.column) / (_number(figures, cell.over) if cell.over else 1.0)
    return float("nan")


def _number(figures: Mapping[str, str], column: str) -> float:
    """NaN for a dash, and for zero, which says no more in a ratio."""
    try:
        return float(figures.get(column, results.NONE)) or float("nan")
    except ValueError:
        return float("nan")


def section(text: str) -> str:
    """What to write of the results `text`."""
    rows = [aim.row(text) for aim in aims()]
    reasons = [f"* {aim.work}: {WHY[aim.work]}" for aim in aims() if aim.work in WHY and aim.falls_short(text)]
    table = results.table(["work", "against", "aim", "this run", "met"], rows)
    return "\n\n".join([PREFACE, table, *(["What falls short:\n" + "\n".join(reasons)] if reasons else [])])


def main(argv: Sequence[str] | None = None) -> int:
    (name,) = sys.argv[1:] if argv is None else argv
    path = Path(name)
    results.record(path, TITLE, section(path.read_text()), first=True)
    print(section(path.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
