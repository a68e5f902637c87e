"""Leases (MS-SMB2 3.3.1.12): caching rights of a client on one file, shared by all its opens with the lease's key.

A lease grows when an open asks for more and nothing stands in the way, and its epoch counts every change, so that
the client can put answers and breaks in order. A break takes rights in steps: while the client is on its way to
one state a second conflict may demand a lower one, and the client hears of that when it has acknowledged the first.

`Leases` finds them by client and key, and those on directories by where the directory is on the machine, so that
shares which overlap hear of each other: whatever changes there breaks them.

MS-SMB2 3.3.4.7, 3.3.5.9.8, 3.3.5.9.11, 3.3.5.22.2.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .messages.create_contexts import Lease as LeaseContext
from .messages.create_contexts import LeaseFlags
from .oplock import HANDLE, READ, WRITE, Holder, Notice
from .status import NT, Status

if TYPE_CHECKING:
    from .open import Open, Shared
    from .store.base import Path

GRANTED = (READ, READ | HANDLE, READ | WRITE, READ | WRITE | HANDLE)
"""The states a lease can have besides none; any other that is asked for is none."""
Key = tuple[bytes, bytes]
"""A lease's name: the client's GUID and the lease key."""


@dataclass(slots=True, eq=False)
class Lease(Holder):
    key: Key = (b"", b"")
    version: int = 1
    epoch: int = 0
    parent: bytes | None = None
    """The lease key of the directory the file is in, as the client gave it with the last open."""
    members: "list[Open]" = field(default_factory=list)
    asked: int = 0
    """The rights it was told to break to."""
    required: int = 0
    """The rights it must break to in the end; fewer than `asked` where conflicts came since."""

    def opens(self) -> "list[Open]":
        return self.members

    def count(self) -> None:
        """Another change of state."""
        self.epoch = (self.epoch + 1) & 0xFFFF

    def upgrade(self, wanted: int, granted: int) -> None:
        """Take what one more open was granted, where that is all it wanted and more than there is."""
        more = granted == wanted and granted != self.rights and not self.rights & ~wanted
        if more and not self.breaking:
            self.rights = granted
            self.count()

    def break_to(self, rights: int) -> Notice | None:
        before, after = self.rights, rights & self.rights
        if self.breaking:
            self.required &= after
            return None
        if after == before:
            return None
        self.count()
        if before == READ:
            self.rights = 0
            return Notice(READ, 0, False)
        self.breaking, self.asked, self.required = True, after, after
        return Notice(before, after, True)

    def acknowledge(self, rights: int) -> Notice | None:
        """The client keeps `rights`; the next step where it must give up more. Raises Status (3.3.5.22.2)."""
        if not self.breaking:
            raise Status(NT.UNSUCCESSFUL, "no break is under way")
        if rights & ~self.asked:
            raise Status(NT.REQUEST_NOT_ACCEPTED, f"acknowledged with {rights:#x} where {self.asked:#x} was left")
        self.rights = rights
        self.required &= rights
        if not rights & ~self.required:
            self.breaking = False
            return None
        if rights == READ:
            self.rights, self.breaking = 0, False
            return Notice(READ, 0, False)
        self.asked = self.required
        if rights & ~self.required & (WRITE | HANDLE):  # what needs work goes first
            self.asked |= rights & READ
        return Notice(rights, self.asked, True)

    def expire(self) -> None:
        self.rights, self.breaking = 0, False

    def context(self) -> LeaseContext:
        """What a CREATE is answered (2.2.14.2.10, 2.2.14.2.11)."""
        flags = LeaseFlags.BREAK_IN_PROGRESS if self.breaking else 0
        if self.version == 1:
            return LeaseContext(self.key[1], self.rights, flags)
        if self.parent is not None:
            flags |= LeaseFlags.PARENT_KEY_SET
        return LeaseContext(self.key[1], self.rights, flags, self.parent or bytes(16), self.epoch)


class Leases:
    """All leases of the server."""

    def __init__(self) -> None:
        self.by_key: dict[Key, Lease] = {}
        self._places: dict[Path, list[Lease]] = {}
        self._place_of: dict[Lease, Path] = {}

    def add(self, lease: Lease, place: "Path | None") -> None:
        """Keep `lease`; on a directory, `place` is where that is."""
        self.by_key[lease.key] = lease
        lease.shared.holders.append(lease)
        if place is not None:
            self._put(lease, place)

    def remove(self, lease: Lease) -> None:
        if self.by_key.get(lease.key) is lease:
            del self.by_key[lease.key]
        self._take(lease)

    def at(self, place: "Path") -> "list[Lease]":
        """The leases on the directory at `place`."""
        return list(self._places.get(_folded(place), ()))

    def below(self, place: "Path") -> "list[Lease]":
        """The leases on the directory at `place`, and on those below it."""
        top = _folded(place)
        return [lease for at, leases in self._places.items() if at[: len(top)] == top for lease in leases]

    def moved(self, shared: "Shared", place: "Path") -> None:
        """The directory that `shared` is about is at `place` now."""
        if shared.guard is not None:
            shared.guard.move(place)
        for lease in shared.holders:
            if isinstance(lease, Lease) and lease in self._place_of:
                self._take(lease)
                self._put(lease, place)

    @property
    def on_directories(self) -> int:
        return len(self._place_of)

    def _put(self, lease: Lease, place: "Path") -> None:
        self._place_of[lease] = place
        self._places.setdefault(_folded(place), []).append(lease)

    def _take(self, lease: Lease) -> None:
        place = self._place_of.pop(lease, None)
        if place is not None:
            here = self._places[_folded(place)]
            here.remove(lease)
            if not here:
                del self._places[_folded(place)]


def _folded(place: "Path") -> "Path":
    """Names without their case: a client may not spell them as they are stored."""
    return tuple(name.casefold() for name in place)
