"""What fileop does: calls on names, on a tree of their own making, each timed by itself.

fio can create, stat and delete files, but knows no directories, links and renames, and has no figure for a close; so
that all figures are of one tree, all are taken here.
"""

import os
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

KINDS = {
    "files": ("create", "open", "read", "write", "close", "stat"),
    "names": ("mkdir", "readdir", "rename", "link", "unlink", "rmdir"),
}
CALLS = tuple(call for calls in KINDS.values() for call in calls)
BYTE = b"\0"
P = ParamSpec("P")
T = TypeVar("T")


class Timed:
    """How often each call was made and how long all of them took, by its name."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._counts: dict[str, int] = defaultdict(int)
        self._seconds: dict[str, float] = defaultdict(float)

    def __call__(self, name: str, call: Callable[P, T], *what: P.args, **how: P.kwargs) -> T:
        """Make the call; one that fails does not count."""
        begun = self._clock()
        value = call(*what, **how)
        self._seconds[name] += self._clock() - begun
        self._counts[name] += 1
        return value

    def rates(self) -> Mapping[str, float]:
        """Calls a second; NaN where none succeeded."""
        return {name: self._rate(name) for name in CALLS}

    def _rate(self, name: str) -> float:
        seconds = self._seconds[name]
        return self._counts[name] / seconds if seconds else float("nan")


def measure(at: Path, width: int, timed: Timed) -> Mapping[str, float]:
    """Calls a second, by name, on `width` directories with as many in each, and as many files in each of those; at the
    end the tree is gone. A file is one byte. Raises OSError, but where nothing can be linked."""
    outer = [at / f"directory-{number}" for number in range(width)]
    inner = [parent / f"directory-{number}" for parent in outer for number in range(width)]
    files = [parent / f"file-{number}" for parent in inner for number in range(width)]
    for directory in outer + inner:
        timed("mkdir", os.mkdir, directory)
    for file in files:
        _create(file, timed)
    for file in files:
        timed("stat", os.stat, file)
    for file in files:
        _read(file, timed)
    for directory in inner:
        timed("readdir", os.listdir, directory)
    for file in files:
        _names(file, timed)
    for directory in inner + outer:
        timed("rmdir", os.rmdir, directory)
    return timed.rates()


def _create(file: Path, timed: Timed) -> None:
    descriptor = timed("create", os.open, file, os.O_CREAT | os.O_EXCL | os.O_RDWR)
    timed("write", os.write, descriptor, BYTE)
    timed("close", os.close, descriptor)


def _read(file: Path, timed: Timed) -> None:
    descriptor = timed("open", os.open, file, os.O_RDONLY)
    timed("read", os.read, descriptor, len(BYTE))
    timed("close", os.close, descriptor)


def _names(file: Path, timed: Timed) -> None:
    """What only touches the file's names, until it has none."""
    renamed, linked = file.with_suffix(".renamed"), file.with_suffix(".linked")
    timed("rename", os.rename, file, renamed)
    with suppress(OSError):
        timed("link", os.link, renamed, linked)
        timed("unlink", os.unlink, linked)
    timed("unlink", os.unlink, renamed)
