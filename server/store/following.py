"""What a store says of changes that other processes make in it, and how it is asked for that.

It never tells of what this process does: whoever does that knows it better.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from enum import Enum
from typing import NamedTuple

from .base import Path


class LocalKind(Enum):
    ADDED = "a name that came"
    REMOVED = "a name that went"
    RENAMED = "a name that was another"
    WRITTEN = "data, and size"
    SET = "attributes, times, owner, descriptor or extended attributes"


class LocalChange(NamedTuple):
    """What another process has done in a followed directory."""

    kind: LocalKind
    path: Path
    directory: bool
    old: Path = ()
    """Where what was renamed had been."""


Heard = Callable[[Sequence[LocalChange]], None]
"""Is told, in the event loop, what others than this process have done, in order."""


class Followed(ABC):
    """A directory that is followed; `close` ends that, and never waits."""

    @abstractmethod
    def move(self, path: Path) -> None:
        """It is at `path` now, which the follower may not have heard of."""

    @abstractmethod
    def close(self) -> None: ...


class Follower(ABC):
    """Hears from the system what other processes do in directories of one store."""

    @abstractmethod
    async def follow(self, path: Path, tree: bool) -> Followed | None:
        """Follow the directory `path`, with `tree` also those below it, as many as may be. None where it is gone."""

    @abstractmethod
    def catch_up(self) -> None:
        """Tell at once what the system knows already, as far as that needs no waiting."""

    @abstractmethod
    def close(self) -> None:
        """Hear no more; whatever is followed still ends."""
