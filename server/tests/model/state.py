"""What there is in the model: files, opens, who caches what, and the rules that need no more than that."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from server.messages.create import ShareAccess
from server.tests.model.asks import (
    DATA,
    DELETE,
    HANDLE,
    NO_WISH,
    PERSISTENT,
    READ,
    READ_DATA,
    WRITE,
    WRITE_DATA,
    Acknowledge,
    Ask,
    Create,
    Locking,
    OfHandle,
    Repeat,
    Wish,
)

NEEDED = ((READ_DATA, ShareAccess.READ), (WRITE_DATA, ShareAccess.WRITE), (DELETE, ShareAccess.DELETE))


class Range(NamedTuple):
    handle: "Handle"
    offset: int
    length: int
    exclusive: bool

    def meets(self, offset: int, length: int) -> bool:
        return self.offset < offset + length and offset < self.offset + self.length


@dataclass(slots=True, eq=False)
class Node:
    """A file, for as long as it has a name."""

    name: str
    data: bytearray = field(default_factory=bytearray)
    handles: "list[Handle]" = field(default_factory=list, repr=False)
    holders: "list[Holder]" = field(default_factory=list, repr=False)
    locks: list[Range] = field(default_factory=list, repr=False)
    doomed: bool = False
    """It goes with its last open."""


@dataclass(slots=True, eq=False)
class Holder:
    """An oplock, or where there is a `key` a lease."""

    node: Node
    peer: int
    rights: int
    key: int | None
    handles: "list[Handle]" = field(default_factory=list, repr=False)
    breaking: bool = False
    """Whether an answer of its client is due; `rights` are those from before."""
    told: int = 0
    """What it may keep, as it was told."""
    required: int = 0
    """What it may keep after all that has come since."""

    @property
    def reachable(self) -> bool:
        """Whether its client is there."""
        return any(not handle.away for handle in self.handles)

    def left(self, lose: int) -> int:
        """What it has without `lose`; an oplock breaks to level II or to none."""
        kept = self.rights & ~lose
        if not kept & READ:
            return 0
        return kept & READ if self.key is None and kept != self.rights else kept


@dataclass(slots=True, eq=False)
class Handle:
    """An open."""

    peer: int
    node: Node
    access: int
    share: int
    delete_on_close: bool
    file_id: bytes
    holder: Holder | None = None
    durable: int = 0
    resilient: bool = False
    guid: int = 0
    locked: Locking | None = None
    """The last of its LOCKs that may be repeated."""
    used: bool = False
    """Whether something has been asked of it."""
    away: bool = False
    closed: bool = False
    wish: Wish = NO_WISH

    @property
    def stat(self) -> bool:
        return not self.access & DATA

    @property
    def repeatable(self) -> bool:
        """Whether its CREATE may be sent again, and it has the lease or oplock that this asks for."""
        if self.durable != PERSISTENT and (self.used or self.durable < 2):
            return False
        return self.holder is not None and not self.holder.breaking and self.holder.key == self.wish.key

    @property
    def steadfast(self) -> bool:
        """Whether it lasts whatever it caches."""
        return self.resilient or self.durable == PERSISTENT

    @property
    def lasts(self) -> bool:
        """Whether it is kept when its connection is lost (MS-SMB2 3.3.7.1). With locks only under WRITE, as Windows
        does it: without, others might lock and write meanwhile. A file that is to be deleted is not held up."""
        holder = self.holder
        if self.steadfast:
            return True
        if self.node.doomed:
            return False
        if not self.durable or holder is None or holder.breaking or not holder.rights & HANDLE:
            return False
        return bool(holder.rights & WRITE) or not any(lock.handle is self for lock in self.node.locks)


def violates(node: Node, access: int, share: int) -> bool:
    """Whether an open does not go with those that are there (MS-FSA 2.1.5.1.2.2)."""
    return any(
        (access & right and not other.share & mode) or (other.access & right and not share & mode)
        for other in node.handles
        if access & DATA and not other.stat
        for right, mode in NEEDED
    )


def others(node: Node, handle: Handle | None) -> Iterator[Holder]:
    """Who else caches `node` than the lease or oplock of `handle`."""
    mine = handle.holder if handle is not None else None
    return (holder for holder in list(node.holders) if holder is not mine)


def lock_conflict(node: Node, wanted: Range) -> bool:
    """MS-FSA 2.1.4.10."""
    return any(
        lock.meets(wanted.offset, wanted.length)
        and (wanted.exclusive or (lock.exclusive and lock.handle is not wanted.handle))
        for lock in node.locks
    )


def io_conflict(handle: Handle, offset: int, length: int, writes: bool) -> bool:
    """Whether a lock keeps `handle` from reading or writing there."""
    return any(
        lock.meets(offset, length) and (lock.handle is not handle if lock.exclusive else writes)
        for lock in handle.node.locks
    )


# -- what may be repeated -------------------------------------------------------------------------------------------
def note(ask: Locking) -> None:
    """Only the sequences of opens that last are kept, whatever the dialect."""
    lasts = ask.handle.durable or ask.handle.resilient
    ask.handle.locked = ask if lasts else None


def went(ask: Create) -> bool:
    """Whether the file that it has waited for has been deleted: it may have looked just before that."""
    return ask.waited and ask.blocked is not None and ask.blocked.doomed


def use(ask: Ask) -> None:
    """Whatever asks something of an open has had the answer of its CREATE, which is not repeated any more."""
    if isinstance(ask, Acknowledge):
        used = ask.holder.handles
    else:
        used = [ask.handle] if isinstance(ask, OfHandle) and not isinstance(ask, Repeat) else []
    for handle in used:
        handle.used = True


# -- grants (MS-FSA 2.1.5.18) ---------------------------------------------------------------------------------------
def grants(node: Node, mine: Holder | None, wish: Wish) -> set[int]:
    """What an open that is about to come may be granted; more than one where the specification leaves a choice.

    An exclusive right needs that nobody else has the file open, but whether stat opens count it does not say.
    """
    foreign = [holder for holder in node.holders if holder is not mine]
    if any(holder.rights & WRITE for holder in foreign):
        return {0}
    there = [handle for handle in node.handles if mine is None or handle.holder is not mine]
    alone = {False} if any(not handle.stat for handle in there) else {True, False} if there else {True}
    found = {_shared_or_exclusive(node, foreign, wish, exclusive) for exclusive in alone}
    if any(lock.offset >= len(node.data) for lock in node.locks):  # inside what is allocated, or not
        found.add(0)
    if any(holder.breaking for holder in foreign):
        found |= {0} | {kept for kept in (READ, READ | HANDLE) if not kept & ~wish.rights}
    return found


def _shared_or_exclusive(node: Node, foreign: list[Holder], wish: Wish, exclusive: bool) -> int:
    if wish.rights & WRITE and exclusive:
        return wish.rights
    if any(lock.offset < len(node.data) for lock in node.locks):
        return 0
    if wish.key is None:
        return 0 if any(holder.rights & HANDLE for holder in foreign) else wish.rights & READ
    beside_oplock = any(holder.key is None for holder in foreign)
    return wish.rights & READ if beside_oplock else wish.rights & (READ | HANDLE)
