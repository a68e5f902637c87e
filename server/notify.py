"""Which watch hears which change (MS-SMB2 3.3.5.19, MS-FSA 2.1.4.1 and 2.1.5.11).

A watch belongs to an open directory and begins with the first CHANGE_NOTIFY on it, whose filter, depth and length
hold until the handle is closed. What happens between two requests is kept for it, in order, up to that length;
more is forgotten whole, and the client is told to look itself (NOTIFY_ENUM_DIR).

Watches hang in a tree of directories by where these are on the machine, so that shares which overlap hear of each
other's changes, and a change looks at the directories above it and at the watches there, however many others there
are. The event loop's alone; nothing here waits.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from .messages.directory import Change, NotifyAction, pack_changes
from .status import Status
from .store.base import Path

MOST_KEPT = 64 << 10
"""Bytes of changes kept for a watch between two requests, whatever length the client asked for."""
_HEAD = 12
"""Bytes of a record before its name (MS-FSCC 2.7.1)."""


class Event(NamedTuple):
    """One change: an action (`NotifyAction`), what filters hear it (`CompletionFilter`), and where it is."""

    action: int
    filter: int
    place: Path
    """From the machine's root on. A stream's is its file's, its name and the stream's joined by a colon."""


class _Record(NamedTuple):
    """A change as seen from one directory; shared by all that watch it."""

    change: Change
    size: int
    """Bytes of it, without what aligns the next one."""


class Waiting:
    """A request that waits for changes. Once `future` is done: the packed changes, or None for "look yourself"."""

    __slots__ = ("answer", "future", "room")

    def __init__(self, room: int) -> None:
        self.room = room
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answer: bytes | None = None


class _Directory:
    """A directory that is watched, or lies above one that is."""

    __slots__ = ("below", "flat", "name", "parent", "trees")

    def __init__(self, parent: "_Directory | None", name: str) -> None:
        self.parent = parent
        self.name = name
        self.below: dict[str, _Directory] = {}
        self.flat: dict[Watch, None] = {}
        """Those that hear of what is in it, and of nothing deeper; in order of their beginning, as `trees`."""
        self.trees: dict[Watch, None] = {}


class Watch:
    """One open directory's. `close` it with the handle."""

    __slots__ = (
        "_all", "_at", "_kept", "_overflowed", "_used", "_waiting",
        "filter", "on_move", "place", "room", "source", "tree",
    )  # fmt: skip

    def __init__(self, watches: "Watches", place: Path, filter_: int, tree: bool, room: int, source: object) -> None:
        self._all = watches
        self.place = place
        self.filter = filter_
        self.tree = tree
        self.room = min(room, MOST_KEPT)
        self.source = source
        self.on_move: Callable[[Path], None] | None = None
        """Is told where the directory is, when that changes."""
        self._kept: list[_Record] = []
        self._used = 0
        """Bytes of what is kept, packed; the last record aligned too."""
        self._overflowed = False
        self._waiting: list[Waiting] = []
        self._at: _Directory | None = None

    def ask(self, room: int) -> Waiting:
        """A request for at most `room` bytes of changes; done at once where some are kept."""
        waiting = Waiting(room)
        self._waiting.append(waiting)
        self.tell()
        return waiting

    def give_up(self, waiting: Waiting) -> None:
        """Its request has ended in another way."""
        if waiting in self._waiting:
            self._waiting.remove(waiting)

    def hear(self, record: _Record) -> None:
        """Keep one more change; `tell` passes it on."""
        if self._overflowed:
            return
        if self._kept and record == self._kept[-1] and record.change.action in REPEATED:
            return
        if self._used + record.size > self.room:
            self.overflow()
            return
        self._kept.append(record)
        self._used += record.size + -record.size % 4

    def overflow(self) -> None:
        """More has happened than can be said."""
        self._overflowed = True
        self._kept.clear()
        self._used = 0

    def tell(self) -> None:
        """Answer the oldest request, where there is one and something to say (FIFO, MS-FSA 2.1.5.11.1)."""
        if not self._kept and not self._overflowed:
            return
        while self._waiting:
            waiting = self._waiting.pop(0)
            if not waiting.future.done():  # else it has been cancelled
                self._answer(waiting)
                return

    def _answer(self, waiting: Waiting) -> None:
        if not self._overflowed:
            packed = pack_changes(record.change for record in self._kept)
            waiting.answer = packed if len(packed) <= waiting.room else None
        self._overflowed = False
        self._kept.clear()
        self._used = 0
        waiting.future.set_result(None)

    def end(self, code: int) -> None:
        """End all that wait with the status `code`."""
        while self._waiting:
            waiting = self._waiting.pop(0)
            if not waiting.future.done():
                waiting.future.set_exception(Status(code))

    def move(self, place: Path) -> None:
        """The directory is at `place` now."""
        if place != self.place and self._at is not None:
            self._all._leave(self)
            self.place = place
            self._all._enter(self)
            if self.on_move is not None:
                self.on_move(place)

    def close(self) -> None:
        if self._at is not None:
            self._all._leave(self)


REPEATED = (NotifyAction.MODIFIED, NotifyAction.MODIFIED_STREAM)
"""What says nothing more when it is said twice in a row."""


class Watches:
    """All watches of the server."""

    def __init__(self) -> None:
        self.wanted = 0
        """Filters that any watch has: what is none of these need not be reported."""
        self.count = 0
        self.looked_at = 0
        """Directories and watches looked at so far, to find out who hears of a change."""
        self._filters: Counter[int] = Counter()
        self._root = _Directory(None, "")

    def add(self, place: Path, filter_: int, tree: bool, room: int, source: object = None) -> Watch:
        """Watch the directory at `place`. What `report` says is from one `source` only those of that source hear."""
        watch = Watch(self, place, filter_, tree, room, source)
        self._enter(watch)
        return watch

    def report(self, events: Sequence[Event], source: object = None) -> None:
        """These changes have happened, in this order; who waits for any of them hears of all at once."""
        heard: dict[Watch, None] = {}
        for event in events:
            if event.filter & self.wanted:
                for watch, record in self._hearers(event):
                    if source is None or watch.source is source:
                        watch.hear(record)
                        heard[watch] = None
        for watch in heard:
            watch.tell()

    def lost(self, source: object) -> None:
        """What happened at `source` is not known: its watches are told to look themselves."""
        for watch in list(self._below(self._root)):
            if watch.source is source:
                watch.overflow()
                watch.tell()

    def moved(self, old: Path, new: Path) -> None:
        """The directory at `old` is at `new` now, with all that is below it."""
        directory = self._find(old)
        if directory is not None:
            for watch in list(self._below(directory)):
                watch.move(new + watch.place[len(old) :])

    def __iter__(self) -> Iterator[Watch]:
        return self._below(self._root)

    def _hearers(self, event: Event) -> Iterator[tuple[Watch, _Record]]:
        """Who hears `event`, and as what: those at the directory it is in, and at any above that watch their tree."""
        directory = self._root
        last = len(event.place) - 1
        for depth in range(last + 1):
            self.looked_at += 1
            near = depth == last
            if directory.trees or (near and directory.flat):
                record = _record(event, depth)
                for watch in (*directory.trees, *directory.flat) if near else directory.trees:
                    self.looked_at += 1
                    if watch.filter & event.filter:
                        yield watch, record
            below = directory.below.get(event.place[depth])
            if below is None:
                return
            directory = below

    def _find(self, place: Path) -> _Directory | None:
        directory: _Directory | None = self._root
        for name in place:
            if directory is None:
                return None
            directory = directory.below.get(name)
        return directory

    def _below(self, directory: _Directory) -> Iterator[Watch]:
        """The watches at `directory` and below it."""
        left = [directory]
        while left:
            here = left.pop()
            yield from here.trees
            yield from here.flat
            left.extend(here.below.values())

    def _enter(self, watch: Watch) -> None:
        directory = self._root
        for name in watch.place:
            below = directory.below.get(name)
            if below is None:
                below = directory.below[name] = _Directory(directory, name)
            directory = below
        (directory.trees if watch.tree else directory.flat)[watch] = None
        watch._at = directory
        self.count += 1
        self._filters[watch.filter] += 1
        self.wanted |= watch.filter

    def _leave(self, watch: Watch) -> None:
        directory = watch._at
        assert directory is not None
        watch._at = None
        del (directory.trees if watch.tree else directory.flat)[watch]
        while directory.parent is not None and not (directory.trees or directory.flat or directory.below):
            del directory.parent.below[directory.name]
            directory = directory.parent
        self.count -= 1
        self._filters[watch.filter] -= 1
        if not self._filters[watch.filter]:
            del self._filters[watch.filter]
            self.wanted = 0
            for filter_ in self._filters:
                self.wanted |= filter_


def _record(event: Event, depth: int) -> _Record:
    """`event` as the directory `depth` names below the machine's root sees it."""
    name = "\\".join(event.place[depth:])
    return _Record(Change(event.action, name), _HEAD + len(name.encode("utf-16-le", "surrogatepass")))
