"""What a CREATE wishes to cache, whom its open disturbs, and what it can be granted beside the others.

Plain functions over the opens and holders of one stream; nothing here waits or sends. An open that asks for
attributes only (a stat open) disturbs nobody; what it is granted counts like any other open's.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .lease import GRANTED, Key, Lease
from .messages.create import OplockLevel
from .messages.create_contexts import Lease as LeaseContext
from .oplock import HANDLE, READ, RIGHTS, WRITE, Holder, Oplock, level_of
from .security.access import FILE_READ_ATTRIBUTES, FILE_WRITE_ATTRIBUTES, READ_CONTROL, SYNCHRONIZE

if TYPE_CHECKING:
    from .open import Open, Shared

STAT_ACCESS = SYNCHRONIZE | FILE_READ_ATTRIBUTES | FILE_WRITE_ATTRIBUTES
"""An open with no more than this breaks no oplock; a lease it does not break with READ_CONTROL either."""
STAT_ACCESS_TO_LEASES = STAT_ACCESS | READ_CONTROL


@dataclass(slots=True)
class Wish:
    """What one CREATE wishes to cache. `lease` and `key` are None where it asks for an oplock, or for nothing."""

    level: int = OplockLevel.NONE
    lease: LeaseContext | None = None
    key: Key | None = None
    again: bool = False
    """Whether it has waited for a break already."""

    @property
    def rights(self) -> int:
        if self.lease is None:
            return RIGHTS.get(self.level, 0)
        return self.lease.state if self.lease.state in GRANTED else 0

    def shares(self, holder: Holder | None) -> bool:
        """Whether `holder` is the very lease that is asked for."""
        return self.key is not None and isinstance(holder, Lease) and holder.key == self.key


@dataclass(frozen=True, slots=True)
class Break:
    holder: Holder
    rights: int
    """What it may keep."""


def breaks_for_open(
    shared: "Shared", wish: Wish, access: int, overwrites: bool, refused: bool
) -> tuple[list[Break], bool]:
    """Whom an open with `access` breaks, and whether it must wait for an answer (MS-FSA 2.1.5.1.2, 2.1.4.12).

    An open that the share modes refuse takes HANDLE, so that opens kept for later reuse are closed; any other takes
    WRITE, so that it finds what was written, and one that overwrites takes READ too, for which nobody waits.
    """
    if not access & ~STAT_ACCESS:
        return [], False
    taken = HANDLE if refused else WRITE
    to_none = overwrites and not refused
    found: list[Break] = []
    wait = False
    for holder in shared.holders:
        if wish.shares(holder) or (isinstance(holder, Lease) and not access & ~STAT_ACCESS_TO_LEASES):
            continue
        kept = 0 if to_none else holder.rights & ~taken
        under_way = holder.breaking and isinstance(holder, Lease)
        if kept == holder.rights:
            wait = wait or under_way
            continue
        found.append(Break(holder, kept))
        wait = wait or bool(holder.rights & taken) or (under_way and wish.again)
    return found, wait


def breaks_for_change(shared: "Shared", changer: "Open") -> list[Holder]:
    """Who may not keep what it has read when `changer` changes or locks data (MS-FSA 2.1.5.4, 2.1.5.8).

    A lease is not broken by its own opens; a level II oplock is, even by the open it belongs to.
    """
    mine = changer.caching
    if mine is not None and mine.rights & WRITE:
        return []
    return [holder for holder in shared.holders if holder.rights & READ and (holder is not mine or _is_oplock(mine))]


def _is_oplock(holder: Holder | None) -> bool:
    return isinstance(holder, Oplock)


def grantable(wish: Wish, opened: "Open", directory: bool, size: int) -> int:
    """The rights that `opened`, of `size` bytes of data, can be granted of those it wishes (MS-FSA 2.1.5.18)."""
    rights = wish.rights
    shared = opened.shared
    others = [other for other in shared.opens if other is not opened]
    if directory:
        rights &= ~WRITE
    if any(_keeps_from_writing(wish, other) for other in others):
        rights &= ~WRITE
    locks = shared.locks.held if shared.locks is not None else ()
    if not rights & WRITE and any(lock.offset < size for lock in locks):
        return 0  # locks on data that there is
    holders = [holder for holder in shared.holders if not wish.shares(holder)]
    if any(holder.rights & WRITE for holder in holders):  # a stat open has not broken it
        return 0
    if wish.lease is not None:
        return rights & ~HANDLE if any(map(_is_oplock, holders)) else rights
    if any(isinstance(holder, Lease) and holder.rights & HANDLE for holder in holders):
        return 0
    return RIGHTS[level_of(rights)]


def _keeps_from_writing(wish: Wish, other: "Open") -> bool:
    """Whether nobody else may keep data written while `other` is open: it caches, or may see the data."""
    if wish.shares(other.caching):
        return False
    return other.caching is not None or bool(other.mode.access & ~STAT_ACCESS)
