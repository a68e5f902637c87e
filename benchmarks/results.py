"""How figures are kept: Markdown sections of one file, each written by one program and kept by the others.

Everything but `record`, `draw`, `machine` and `package` is pure.
"""

import os
import platform
import re
import statistics
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
PICTURES = Path(__file__).with_name("pictures")
HEADING = "## "
NONE = "-"


def record(path: Path, title: str, body: str, *, first: bool = False) -> None:
    """Write `body` under `title` in the file; what stands under other titles stays."""
    before = path.read_text() if path.exists() else "# Results\n"
    path.write_text(put(before, title, body, first=first))


def draw(beside: Path, pictures: Mapping[str, str]) -> None:
    """Write SVG by file name into the directory `pictures` beside the file."""
    for name, drawn in pictures.items():
        place = beside.parent / PICTURES.name / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(drawn)


def put(text: str, title: str, body: str, *, first: bool = False) -> str:
    """`text` with `body` under the heading `title`: before all others, or in its old place, or at the end."""
    preface, bodies = _sections(text)
    bodies = ({title: ""} | bodies if first else bodies) | {title: f"\n{body.strip()}\n"}
    return "\n".join([preface.lstrip("\n"), *(f"{HEADING}{name}\n{said}" for name, said in bodies.items())])


def _sections(text: str) -> tuple[str, dict[str, str]]:
    """What stands before the first heading, and the rest by heading."""
    preface, *sections = f"\n{text}".split(f"\n{HEADING}")
    return preface, dict(section.split("\n", 1) for section in sections)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def tables(text: str, title: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    """The heads and the rows of each table under `title`; bold or not is the same."""
    body = _sections(text)[1].get(title, "")
    for lines in re.findall(r"(?:^\|.*\n?)+", body, re.MULTILINE):
        heads, _, *rows = ([cell.strip(" *") for cell in line.split("|")[1:-1]] for line in lines.splitlines())
        yield heads, rows


def median(figures: Sequence[float]) -> float:
    """The median of the turns that succeeded; NaN where none did."""
    good = [figure for figure in figures if figure == figure]
    return statistics.median(good) if good else float("nan")


def ratio(ours: float, theirs: float, *, larger_is_better: bool = True) -> str:
    """How many times better `ours` is; "-" where one of them is missing."""
    over, under = (ours, theirs) if larger_is_better else (theirs, ours)
    return figure(over / under, 2) if under else "-"


def figure(value: float, digits: int = 0) -> str:
    """`value` with so many decimals; "-" where there is none."""
    return f"{value:.{digits}f}" if value == value else "-"


def machine(**programs: str) -> str:
    """What the figures were taken on, in one line; `programs` are further versions, by name."""
    known = {"Linux": platform.release(), "Python": platform.python_version(), **programs}
    cores, memory = len(os.sched_getaffinity(0)), os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    hardware = f"{cores} cores of {processor(Path('/proc/cpuinfo').read_text())}, {memory:.0f} GiB"
    return ", ".join([hardware, *(f"{name} {version}" for name, version in known.items())])


def processor(cpuinfo: str) -> str:
    """Its name, as the kernel tells it."""
    found = re.search(r"^model name\s*: *(.+)$", cpuinfo, re.MULTILINE)
    return found[1] if found else platform.machine()


def package(name: str) -> str:
    """The version of a Debian package, as dpkg knows it; "" where it does not."""
    command = ["dpkg-query", "-W", "-f", "${Version}", name]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def listed(commands: Mapping[str, str]) -> str:
    """Command lines by what they do."""
    return "\n".join(f"* {what}: `{command}`" for what, command in commands.items())
