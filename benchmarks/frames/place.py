"""A place frames are written to and read from, and what is done there."""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import StrEnum

from .figures import Frame

_NUMBERED = re.compile(r"([^/\\\0]*?)([0-9]{1,18})([^0-9/\\\0]*(?:\.[^./\\\0]*[A-Za-z][^./\\\0]*)?)")
"""A name's last number before its extension."""


class Refused(Exception):
    """What was asked for cannot be done there; the text says why."""


class Mode(StrEnum):
    READ = "read"
    WRITE = "write"
    EMPTY = "empty"
    """Frames are made, and nothing is written to them."""


@dataclass(frozen=True, slots=True)
class Names:
    """What frames are called: the number `first` for frame 0, in so many digits, between `before` and `after`."""

    before: str = "frame"
    first: int = 0
    digits: int = 6
    after: str = ".tst"

    @classmethod
    def like(cls, name: str) -> "Names":
        """Names that begin with that of the first frame, say shot-172.000001.exr; raises ValueError."""
        found = _NUMBERED.fullmatch(name)
        if found is None:
            raise ValueError(f"{name!r} is no name with a number that could be counted up")
        return cls(found[1], int(found[2]), len(found[2]), found[3])

    def of(self, number: int) -> str:
        return f"{self.before}{self.first + number:0{self.digits}}{self.after}"


@dataclass(frozen=True, slots=True)
class Task:
    """What is done with each frame; `size` None reads each as long as it is."""

    mode: Mode
    size: int | None = None
    pieces: int = 1
    """Into which each frame is cut on a mounted path."""
    stream: bool = False
    """All frames lie in one file, which the path names; else each in its own, in the directory that the path names."""
    names: Names = field(default_factory=Names)


class Place(ABC):
    how: str
    """The way data goes there, to be told."""

    @abstractmethod
    async def frame(self, number: int) -> Frame:
        """Transfer one frame whole. Raises OSError, Status, Lost, Malformed, and Refused where it is too short."""
