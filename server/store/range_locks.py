"""Byte-range locks as other processes of this machine see them: open-file-description locks (fcntl F_OFD_SETLK).

Who among clients may lock what is settled before (`server/lock.py`); all their locks of one file hang on the one
description that their opens share, so the kernel never finds two of them at odds. It keeps one kind of lock for each
byte and knows no stack of them: what is let go is therefore set anew to what is still held there.

SMB counts to 2**64 and has locks of no length. What lies beyond the kernel's last offset, and what has no length, no
local process can ask for: it is not taken. A lock needs a description that can do what it keeps others from: on one
that only reads, an exclusive lock is taken as a shared one, which keeps local processes from writing there; on one
that only writes, a shared lock as an exclusive one.

Where a file system has no locks, none are taken. The event loop makes the calls itself on file systems of this machine,
where they are a matter of memory, and few; others may ask another machine, so there threads do.
"""

import contextlib
import errno
import fcntl
import logging
import os
import struct
import threading
from collections import Counter
from collections.abc import Iterator, Sequence

log = logging.getLogger("smbdirect.locks")

_FLOCK = struct.Struct("hhqqi0q")
END = (1 << 63) - 1
"""Behind the last byte the kernel can lock; as a length that is 0, "to the end"."""
_FEW = 64
_CONFLICTS = (errno.EAGAIN, errno.EACCES)

Held = tuple[int, int, bool]
"""First byte, the one behind the last, and whether it is exclusive."""


def clipped(offset: int, length: int, exclusive: bool) -> Held | None:
    """The part of an SMB lock that the kernel can have."""
    end = min(offset + length, END)
    return (offset, end, exclusive) if offset < end else None


class RangeLocks:
    """The locks on one description, which was opened with the access mode `flags`. Any thread."""

    def __init__(self, descriptor: int, flags: int) -> None:
        self._descriptor = descriptor
        self._flags = flags
        self._held: list[Held] = []
        self._lock = threading.Lock()

    @property
    def at_once(self) -> bool:
        """Whether so few are held that a call takes no time to speak of."""
        return len(self._held) < _FEW

    def take(self, wanted: Held) -> bool:
        """Add a lock; False where a local process has one there."""
        with self._lock:
            self._held.append(wanted)
            if self._apply(wanted):
                return True
            self._held.remove(wanted)
            self._apply(wanted)
            return False

    def release(self, held: Sequence[Held]) -> None:
        gone, kept = Counter(held), []
        with self._lock:
            for each in self._held:
                if gone[each]:
                    gone[each] -= 1
                else:
                    kept.append(each)
            self._held = kept
            self._apply(_around(held))

    @contextlib.contextmanager
    def moving(self, other: int, flags: int) -> Iterator[None]:
        """Within: the descriptor is given the description of `other`, with another access mode."""
        with self._lock:
            everywhere = _around(self._held)
            for begin, end, kind in self._pieces(everywhere):
                if kind is not None and not _set(other, begin, end, fcntl.F_RDLCK):
                    _set(self._descriptor, begin, end, fcntl.F_UNLCK)  # the two descriptions are strangers
                    _set(other, begin, end, fcntl.F_RDLCK)
            yield
            self._flags = flags
            self._apply(everywhere)

    def _apply(self, changed: Held) -> bool:
        """Bring what the kernel has in that range up to date."""
        pieces = self._pieces(changed)
        return all(_set(self._descriptor, begin, end, _kind(kind, self._flags)) for begin, end, kind in pieces)

    def _pieces(self, within: Held) -> Iterator[tuple[int, int, bool | None]]:
        """That range, cut where the kind of lock changes that stands there; None: no lock. It takes no longer than to
        sort what is held in it: a client may hold thousands of ranges that overlap."""
        first, last, _ = within
        edges: dict[int, list[int]] = {first: [0, 0]}
        for at, to, exclusive in self._held:
            if at < last and first < to:
                edges.setdefault(max(at, first), [0, 0])[exclusive] += 1
                edges.setdefault(min(to, last), [0, 0])[exclusive] -= 1
        edges.pop(last, None)
        counts, begin, standing = [0, 0], first, None
        for edge in sorted(edges):
            counts = [count + change for count, change in zip(counts, edges[edge], strict=True)]
            kind = bool(counts[True]) if any(counts) else None
            if kind is not standing:
                if edge > begin:
                    yield begin, edge, standing
                begin, standing = edge, kind
        if last > begin:
            yield begin, last, standing


def _around(ranges: Sequence[Held]) -> Held:
    """The range from the first byte of `ranges` to the last."""
    return min((each[0] for each in ranges), default=0), max((each[1] for each in ranges), default=0), False


def _kind(exclusive: bool | None, flags: int) -> int:
    if exclusive is None:
        return fcntl.F_UNLCK
    if flags == os.O_RDWR:
        return fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK
    return fcntl.F_RDLCK if flags == os.O_RDONLY else fcntl.F_WRLCK


def _set(descriptor: int, begin: int, end: int, kind: int) -> bool:
    length = 0 if end == END else end - begin
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, begin, length, 0))
    except OSError as error:
        if error.errno in _CONFLICTS:
            return False
        log.info("no lock that local processes see: %s", error)
    return True
