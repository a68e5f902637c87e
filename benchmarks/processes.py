"""What a server costs the machine, as /proc tells it: all processes of the session that it was started in."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from server.testing import Running

TICKS = os.sysconf("SC_CLK_TCK")
_SESSION, _TIMES = 3, slice(11, 15)
"""Fields of /proc/PID/stat behind the name: the session, and utime, stime and those of children that have ended."""


def cpu(server: Running) -> float:
    """Seconds of a processor that it has used so far, children that have ended among them."""
    return sum(sum(map(int, fields[_TIMES])) for _, fields in _processes(server)) / TICKS


def memory(server: Running) -> int:
    """Bytes in memory, as if nothing else on the machine had the same files mapped: of these each page counts once, of
    the rest what several processes share counts in parts (PSS)."""
    files: dict[tuple[str, ...], int] = {}
    anonymous = 0
    for pid, _ in _processes(server):
        with contextlib.suppress(OSError):  # it has ended
            anonymous += _field(Path(f"/proc/{pid}/smaps_rollup").read_text(), "Pss_Anon")
            for mapped, size in mappings(Path(f"/proc/{pid}/smaps").read_text()):
                files[mapped] = max(files.get(mapped, 0), size)
    return (anonymous + sum(files.values())) * 1024


def mappings(smaps: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Each mapping of a file (its device, inode, offset and permissions) and the KiB of the file that are in memory."""
    for part in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", smaps, flags=re.MULTILINE)[1:]:
        _, permissions, offset, device, inode, *_ = part.split(maxsplit=5)
        if inode != "0":
            yield (device, inode, offset, permissions), _field(part, "Rss") - _field(part, "Anonymous")


def count(server: Running) -> int:
    return sum(1 for _ in _processes(server))


def _processes(server: Running) -> Iterator[tuple[int, list[str]]]:
    """The id and the fields behind the name of each that is there."""
    assert server.process is not None
    for place in Path("/proc").glob("[0-9]*"):
        try:
            fields = (place / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[_SESSION]) == server.process.pid:
            yield int(place.name), fields


def _field(said: str, name: str) -> int:
    """KiB."""
    found = re.search(rf"^{name}:\s*(\d+) kB", said, re.MULTILINE)
    return int(found[1]) if found else 0
