"""A walk through a directory: batches read in an identity thread, matching names looked at only if asked.

The kernel's own readdir buffer is all that is held between two batches, so a directory of 100,000 names costs as
much as one of ten. What is made or removed during the walk may or may not be seen, as everywhere.
"""

import os
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

from server.security import access

from . import acls, inode, names, shortnames
from .base import Cursor, Entry, Identity, Stat
from .inode import Inode
from .threads import IdentityThreads

_LOOKS = 4096
"""Names looked at in one batch, matching or not, before the thread is given to another."""


class Selection(NamedTuple):
    """Which entries are given, and what of them."""

    pattern: str
    stats: bool
    hide_dots: bool
    changed: Callable[[os.stat_result], int]
    """Says when a file was last changed."""
    vetoed: Callable[[str], bool] | None = None
    only_readable: bool = False
    """Leave out what the identity may not read."""


_READABLE = access.READ_CONTROL | access.FILE_READ_DATA | access.FILE_READ_ATTRIBUTES | access.FILE_READ_EA


class PosixCursor(Cursor):
    """Over the directory that `descriptor` names; it opens its own."""

    def __init__(self, threads: IdentityThreads, who: Identity, descriptor: int, wanted: Selection) -> None:
        self._threads = threads
        self._who = who
        self._matches = shortnames.compile_pattern(wanted.pattern)
        self._vetoed = wanted.vetoed
        self._only_readable = wanted.only_readable and not who.privileged
        self._stats = wanted.stats
        self._hide_dots = wanted.hide_dots
        self._changed = wanted.changed
        self._directory = os.dup(descriptor)
        self._readable = -1
        self._entries: Iterator[os.DirEntry[str]] | None = None
        self._ended = False
        self._lock = threading.Lock()
        """One batch at a time: a client may ask for two, or close, at once."""

    async def next(self, most: int) -> list[Entry]:
        found: list[Entry] = []
        while not found and not self._ended:
            found = await self._threads.run(self._who, self._batch, most)
        return found

    async def close(self) -> None:
        self._ended = True
        await self._threads.run(self._who, self._close)

    def _close(self) -> None:
        with self._lock:
            self._let_go()

    def _let_go(self) -> None:
        if self._entries is not None:
            self._entries.close()  # type: ignore[attr-defined]  # os.scandir's iterator has it
            self._entries = None
        for descriptor in (self._readable, self._directory):
            if descriptor >= 0:
                os.close(descriptor)
        self._readable = self._directory = -1

    def _batch(self, most: int) -> list[Entry]:
        """In a thread: up to `most` entries; perhaps none before the end, where few names match."""
        with self._lock:
            return [] if self._directory < 0 else self._read(most)

    def _read(self, most: int) -> list[Entry]:
        found: list[Entry] = []
        if self._entries is None:
            self._readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._directory)
            self._entries = os.scandir(self._readable)
            found = self._dots()
        for _ in range(_LOOKS):
            if len(found) >= most:
                return found
            entry = next(self._entries, None)
            if entry is None:
                self._ended = True
                break
            name = names.shown(entry.name)
            if name is None or not self._matches(name) or (self._vetoed is not None and self._vetoed(name)):
                continue
            if not self._stats and not self._only_readable:
                found.append(Entry(name, None))
                continue
            seen = self._look(entry)
            if seen is not None and (not self._only_readable or self._may_read(seen)):
                found.append(Entry(name, self._stat(seen, name) if self._stats else None))
        return found

    def _dots(self) -> list[Entry]:
        """ "." and "..". Both show this directory: what is above it may lie outside the share."""
        own = Inode.of(self._directory).stat(self._directory) if self._stats else None
        return [Entry(name, own) for name in (".", "..") if self._matches(name)]

    def _look(self, entry: "os.DirEntry[str]") -> Inode | None:
        """None where the name is gone by now."""
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None
        return Inode.read(status, f"{inode.proc(self._readable)}/{entry.name}", False)

    def _may_read(self, seen: Inode) -> bool:
        descriptor = acls.of(seen.status, seen.path, seen.xattrs)
        return not _READABLE & ~access.maximum(descriptor, self._who)

    def _stat(self, seen: Inode, name: str) -> Stat:
        stat = seen.stat(hidden=self._hide_dots and name[0] == ".")
        stat.changed = self._changed(seen.status)
        return stat
