"""What clients may cache of a file, and the oldest way to let them: an oplock that belongs to one open.

Oplocks and leases (`lease.py`) grant the same three rights: READ, to keep data read; WRITE, to keep data written;
HANDLE, to keep an open whose application has closed it. A `Holder` has some of them and can be told to give some
up: that is a break. Where it may have to flush or close first it must acknowledge, and keeps its rights until it
does or its time is up. Holders are pure state: they say what is to be told and `breaks.py` tells it.

MS-SMB2 3.3.1.10 (Open.Oplock*), 3.3.4.6, 3.3.5.22.1; MS-FSA 2.1.5.18.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from .messages.create import OplockLevel
from .messages.create_contexts import LeaseState
from .status import NT, Status

if TYPE_CHECKING:
    from .open import Open, Shared

READ = LeaseState.READ
HANDLE = LeaseState.HANDLE
WRITE = LeaseState.WRITE

RIGHTS = {
    OplockLevel.NONE: 0,
    OplockLevel.II: READ,
    OplockLevel.EXCLUSIVE: READ | WRITE,
    OplockLevel.BATCH: READ | WRITE | HANDLE,
}
"""What each level of oplock lets its open cache."""


def level_of(rights: int) -> int:
    """The strongest oplock that needs no more than `rights`."""
    for level in (OplockLevel.BATCH, OplockLevel.EXCLUSIVE, OplockLevel.II):
        if not RIGHTS[level] & ~rights:
            return level
    return OplockLevel.NONE


class Notice(NamedTuple):
    """What a holder is to be told: the rights it has, those it may keep, and whether it must acknowledge."""

    before: int
    after: int
    acknowledge: bool


class Timer(Protocol):
    def cancel(self) -> None: ...


@dataclass(slots=True, eq=False)
class Holder(ABC):
    """One client's caching of one stream."""

    shared: "Shared"
    rights: int
    """What it may cache. While a break is not acknowledged these are still the rights from before it."""
    breaking: bool = False
    """Whether an acknowledgment is due."""
    timer: Timer | None = None
    """What ends the wait for it."""
    retry: Timer | None = None
    """What tells the client again, over another channel."""

    @abstractmethod
    def opens(self) -> "list[Open]":
        """The opens it caches for; over one of their sessions it is reached."""

    @abstractmethod
    def break_to(self, rights: int) -> Notice | None:
        """Begin to take away all but `rights`; what to tell it, None where it has heard of it or has no more."""

    @abstractmethod
    def expire(self) -> None:
        """Its time is up: it caches nothing any more."""


@dataclass(slots=True, eq=False)
class Oplock(Holder):
    """The oplock of `opened`. It can be broken to level II or to none only."""

    opened: "Open | None" = None
    target: int = 0
    """The rights it was told to break to."""

    def opens(self) -> "list[Open]":
        return [self.opened] if self.opened is not None else []

    def break_to(self, rights: int) -> Notice | None:
        """An oplock is told once; what more is to go goes when it has answered."""
        before, after = self.rights, rights & self.rights & READ
        if self.breaking or after == before:
            return None
        if before == READ:
            self.rights = 0
            return Notice(READ, 0, False)
        self.breaking, self.target = True, after
        return Notice(before, after, True)

    def acknowledge(self, level: int) -> int:
        """The client answers with `level`; the level it has from now on (3.3.5.22.1).

        A level that it may not have ends the break with none. Raises Status.
        """
        if not self.breaking:
            raise Status(NT.INVALID_OPLOCK_PROTOCOL, "no break is under way")
        self.breaking = False
        if level not in (OplockLevel.NONE, OplockLevel.II):
            self.rights = 0
            raise Status(NT.INVALID_PARAMETER, f"a break acknowledged with level {level:#x}")
        self.rights = self.target & RIGHTS[level]
        return level_of(self.rights)

    def expire(self) -> None:
        self.rights, self.breaking = 0, False
