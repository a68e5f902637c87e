"""Which names a directory holds, by their fold: how a name is found without case and without reading a directory
each time.

A listing is read once and is good for as long as the directory's times stay what they were. The store's own
creates, renames and unlinks tell it the new name together with the new times, under the listing's lock, so that
making n files looks at O(n) names in all. Two things the times cannot show are made up for by reading again:
a change in the same tick of the kernel's clock as the reading (the listing is young: it is read again once the
tick has passed), and a change by another process in the few microseconds between the check and our own change (it
is read again after as many own changes as it has names, which keeps the sum linear). A name missed meanwhile is
still found by its exact spelling, and a name that is gone is noticed at once by the open that fails.

Memory: `limit` names over all directories; the least recently used are forgotten. A directory larger than that is
read at every miss.
"""

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from . import names
from .shortnames import short_name

_TICK = 20_000_000
"""ns: more than a tick of the clock that file times are taken from (CONFIG_HZ=100)."""
_COARSE_TICK = 2_000_000_000
"""ns: that of file systems whose times are whole seconds (vfat counts every second one)."""
_FEWEST = 64
"""Own changes before a listing is read again, at least."""

_LISTING = 2
"""Names that an empty listing's own memory is worth."""

Key = tuple[int, int]
Stamp = tuple[int, int]


class _Listing:
    """One directory's names as of `stamp`."""

    __slots__ = ("counted", "doubted", "lock", "names", "own_changes", "stamp")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.names: dict[str, bytes] = {}
        self.stamp: Stamp | None = None
        self.counted = 0
        self.doubted = False
        self.own_changes = 0


class Change:
    """What the store is doing to a directory, while its listing's lock is held."""

    def __init__(self, listing: _Listing | None) -> None:
        self._listing = listing

    def holds(self, folded: str) -> bool:
        """Whether a name of this fold came while nobody held the listing."""
        return self._listing is not None and folded in self._listing.names

    def made(self, raw: bytes) -> None:
        """The name `raw` is there now."""
        shown = names.shown(os.fsdecode(raw))
        if self._listing is not None and shown is not None:
            self._listing.names[names.fold(shown)] = raw

    def removed(self, raw: bytes) -> None:
        """The name `raw` is there no more."""
        shown = names.shown(os.fsdecode(raw))
        if self._listing is not None and shown is not None:
            folded = names.fold(shown)
            if self._listing.names.get(folded) == raw:
                del self._listing.names[folded]


class NameCache:
    """The listings of one store, shared by its threads."""

    def __init__(self, limit: int = 500_000, clock: Callable[[], int] = time.time_ns) -> None:
        self.looked_at = 0
        """Names read from directories so far."""
        self._limit = limit
        self._clock = clock
        self._held = 0
        self._lock = threading.Lock()
        self._listings: OrderedDict[Key, _Listing] = OrderedDict()

    def find(self, directory: int, folded: str) -> bytes | None:
        """The name in `directory` (a descriptor) whose fold is `folded`, as it lies on disk."""
        listing = self._listing(_key(directory))
        with listing.lock:
            self._freshen(listing, directory)
            return listing.names.get(folded)

    def find_short(self, directory: int, folded: str) -> bytes | None:
        """The one name in `directory` whose 8.3 name is `folded`, as it lies on disk; None where several have it."""
        listing = self._listing(_key(directory))
        with listing.lock:
            self._freshen(listing, directory)
            found = [raw for raw in listing.names.values() if short_name(names.from_disk(raw)) == folded]
        return found[0] if len(found) == 1 else None

    @contextmanager
    def change(self, directory: int) -> Iterator[Change]:
        """Hold the listing of `directory`, if there is one, over a change to it, and learn the change with it."""
        key = _key(directory)
        with self._lock:
            listing = self._listings.get(key)
        if listing is None:
            yield Change(None)
            return
        with listing.lock:
            known = listing.stamp is not None and listing.stamp == _stamp(os.fstat(directory))
            try:
                yield Change(listing if known else None)
            finally:
                listing.own_changes += 1
                listing.stamp = _stamp(os.fstat(directory)) if known else None

    @contextmanager
    def changes(self, one: int, other: int) -> Iterator[tuple[Change, Change]]:
        """`change` for two directories, which may be the same, without two threads waiting for each other."""
        first, second = (_key(one), one), (_key(other), other)
        if first[0] == second[0]:
            with self.change(one) as change:
                yield change, change
        elif first < second:
            with self.change(one) as change, self.change(other) as another:
                yield change, another
        else:
            with self.change(other) as another, self.change(one) as change:
                yield change, another

    def forget(self, directory: int) -> None:
        """What was held about `directory` has proved wrong."""
        key = _key(directory)
        with self._lock:
            listing = self._listings.pop(key, None)
            if listing is not None:
                self._held -= listing.counted

    def _listing(self, key: Key) -> _Listing:
        with self._lock:
            listing = self._listings.get(key)
            if listing is None:
                listing = self._listings[key] = _Listing()
            else:
                self._listings.move_to_end(key)
            return listing

    def _freshen(self, listing: _Listing, directory: int) -> None:
        """Read the directory unless what is held stands. The listing's lock is held."""
        stamp = _stamp(os.fstat(directory))
        if (
            listing.stamp == stamp
            and listing.own_changes <= max(_FEWEST, listing.counted)
            and not (listing.doubted and self._clock() - stamp[0] > tick(stamp[0]))
        ):
            return
        listing.names.clear()
        listing.stamp = None
        try:
            for raw in _scan(directory):
                shown = names.shown(raw)
                self.looked_at += 1
                if shown is not None:
                    listing.names.setdefault(names.fold(shown), os.fsencode(raw))
        except PermissionError:  # this user may not read it, and finds exact names only; the next may
            return
        listing.stamp = stamp
        listing.doubted = self._clock() - stamp[0] <= tick(stamp[0])
        listing.own_changes = 0
        self._account(listing)

    def _account(self, listing: _Listing) -> None:
        """Forget the least recently used directories until the names held are within the limit."""
        with self._lock:
            self._held += len(listing.names) + _LISTING - listing.counted
            listing.counted = len(listing.names) + _LISTING
            while self._held > self._limit and self._listings:
                _, oldest = self._listings.popitem(last=False)
                self._held -= oldest.counted


def _key(directory: int) -> Key:
    status = os.fstat(directory)
    return status.st_dev, status.st_ino


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_mtime_ns, status.st_ctime_ns


def tick(stamp: int) -> int:
    """How long another change may leave a file's time at `stamp`; both in ns."""
    return _TICK if stamp % 1_000_000_000 else _COARSE_TICK


def _scan(directory: int) -> Iterator[str]:
    """The names in `directory`."""
    readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        with os.scandir(readable) as entries:
            for entry in entries:
                yield entry.name
    finally:
        os.close(readable)
