"""What the server's own handlers do to files, told to whoever watches (MS-FSA 2.1.5, "send directory change
notification").

Each function is called once by the handler that has done it, after it is done, and costs next to nothing where
nobody watches. Writes to one open are told when they begin, then once a second at most, and at its end: a client
that watches a directory into which another copies would otherwise hear of nothing else.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .local_changes import LocalChanges
from .messages.directory import CompletionFilter as Filter
from .messages.directory import NotifyAction as Action
from .messages.fscc_file import Basic
from .notify import Event, Watches
from .status import NT, Status
from .store.base import Found, Kind, Path

if TYPE_CHECKING:
    from .open import Open, Shared
    from .tree import Tree

WRITTEN = Filter.SIZE | Filter.LAST_WRITE
WRITTEN_STREAM = Filter.STREAM_SIZE | Filter.STREAM_WRITE
CUT = Filter.ATTRIBUTES | Filter.SIZE | Filter.LAST_WRITE
MOVED = Filter.ATTRIBUTES | Filter.CREATION
"""What a rename may change of a file; Windows tells it when the handle that renamed is closed."""
BETWEEN_WRITES = 1.0
"""Seconds for which an open's further writes are not told."""


def place_of(tree: "Tree", path: Path) -> Path:
    """Where `path` of the tree's share is on the machine."""
    store = tree.share.store
    assert store is not None
    return store.location + path


def named(kind: Kind) -> int:
    """The filter that hears of names of this kind."""
    return Filter.DIR_NAME if kind is Kind.DIRECTORY else Filter.FILE_NAME


class Changes:
    def __init__(self, now: Callable[[], float] | None = None) -> None:
        self.watches = Watches()
        self.local = LocalChanges(self.watches)
        self._now = now or (lambda: asyncio.get_running_loop().time())

    def place(self, opened: "Open", filter_: int) -> Path | None:
        """Where the file of `opened` is; None where nobody would hear of `filter_`, or it has no name any more."""
        if not self.watches.wanted & filter_:
            return None
        try:
            return place_of(opened.tree, opened.file.path())
        except Status:
            return None

    def _report(self, events: Sequence[Event]) -> None:
        self.local.catch_up()
        self.watches.report(events)

    # -- names ----------------------------------------------------------------------------------------------
    def made(self, opened: "Open", found: Found) -> None:
        """CREATE has made the file, the stream, or both."""
        kind = named(found.file.kind)
        place = self.place(opened, kind | Filter.STREAM_NAME) if found.made or found.file_made else None
        if place is None:
            return
        events = [Event(Action.ADDED, kind, place)] if found.file_made or not found.file.stream else []
        if found.made and found.file.stream:
            events.append(Event(Action.ADDED_STREAM, Filter.STREAM_NAME, _stream(place, found.file.stream)))
        self._report(events)

    def removed(self, opened: "Open", place: Path | None) -> None:
        """The name or stream that `opened` is of is gone; it was at `place`."""
        if place is None:
            return
        if opened.file.stream:
            event = Event(Action.REMOVED_STREAM, Filter.STREAM_NAME, _stream(place, opened.file.stream))
        else:
            event = Event(Action.REMOVED, named(opened.file.kind), place)
        self._report([event])

    def removing(self, opened: "Open") -> Path | None:
        """Where the file is that is about to be removed, for `removed`."""
        return self.place(opened, Filter.STREAM_NAME if opened.file.stream else named(opened.file.kind))

    def renaming(self, opened: "Open") -> Path | None:
        """Where the file is that is about to be renamed, for `renamed`."""
        return self.place(opened, Filter.FILE_NAME | Filter.DIR_NAME | MOVED) if self.watches.count else None

    def renamed(self, opened: "Open", old: Path | None, replaced: bool) -> None:
        """The file was at `old`; `replaced`: another had its new name before. Within one directory that is a pair."""
        new = self.place(opened, ~0)
        if old is None or new is None or old == new:
            return
        kind = named(opened.file.kind)
        events = [Event(Action.REMOVED, kind, new)] if replaced else []
        together = old[:-1] == new[:-1]
        events.append(Event(Action.RENAMED_OLD_NAME if together else Action.REMOVED, kind, old))
        events.append(Event(Action.RENAMED_NEW_NAME if together else Action.ADDED, kind, new))
        if opened.file.kind is Kind.DIRECTORY:
            self.watches.moved(old, new)
        else:
            opened.untold |= MOVED
        self._report(events)

    def linked(self, opened: "Open", target: Path, replaced: bool) -> None:
        """The file has one more name."""
        if self.watches.wanted & Filter.FILE_NAME:
            place = place_of(opened.tree, target)
            events = [Event(Action.REMOVED, Filter.FILE_NAME, place)] if replaced else []
            self._report([*events, Event(Action.ADDED, Filter.FILE_NAME, place)])

    def stream_renamed(self, opened: "Open", old: str) -> None:
        place = self.place(opened, Filter.STREAM_NAME)
        if place is not None and opened.file.stream != old:
            self._report([
                Event(Action.REMOVED_STREAM, Filter.STREAM_NAME, _stream(place, old)),
                Event(Action.ADDED_STREAM, Filter.STREAM_NAME, _stream(place, opened.file.stream)),
            ])  # fmt: skip

    # -- contents -------------------------------------------------------------------------------------------
    def modified(self, opened: "Open", filter_: int) -> None:
        """What `filter_` names has changed of the file."""
        place = self.place(opened, filter_)
        if place:
            self._report([Event(Action.MODIFIED, filter_, place)])

    def basic(self, opened: "Open", wanted: Basic) -> None:
        """Times and attributes have been set; those that were let be are 0 or less."""
        times = ((wanted.created, Filter.CREATION), (wanted.accessed, Filter.LAST_ACCESS),
                 (wanted.modified, Filter.LAST_WRITE), (wanted.attributes, Filter.ATTRIBUTES))  # fmt: skip
        self.modified(opened, sum(filter_ for value, filter_ in times if value > 0))

    def data(self, opened: "Open", filter_: int = WRITTEN) -> None:
        """The data of the file or stream has changed: at once told for the file, as `filter_`."""
        if not opened.file.stream:
            self.modified(opened, filter_)
            return
        place = self.place(opened, WRITTEN_STREAM)
        if place is not None:
            event = Event(Action.MODIFIED_STREAM, WRITTEN_STREAM, _stream(place, opened.file.stream))
            self._report([event])

    def wrote(self, opened: "Open") -> None:
        """`opened` has written; told now, or later with what else it writes."""
        if not self.watches.wanted & (WRITTEN | WRITTEN_STREAM):
            return
        now = self._now()
        if now < opened.told_until:
            opened.untold |= WRITTEN
            return
        opened.told_until = now + BETWEEN_WRITES
        opened.untold &= ~WRITTEN
        self.data(opened)

    def rest(self, opened: "Open") -> None:
        """`opened` is flushed or closed: tell what has not been told."""
        if opened.untold:
            untold, opened.untold = opened.untold, 0
            self.data(opened, untold)

    # -- endings --------------------------------------------------------------------------------------------
    def doomed(self, shared: "Shared") -> None:
        """The directory goes with its last handle: nobody waits for what happens there (MS-FSA 2.1.5.15.3)."""
        for opened in shared.opens:
            if opened.watch is not None:
                opened.watch.end(NT.DELETE_PENDING)

    def closed(self, opened: "Open") -> None:
        if opened.watch is not None:
            self.local.leave(opened.watch)
            opened.watch.close()
            opened.watch = None


def _stream(place: Path, stream: str) -> Path:
    return (*place[:-1], f"{place[-1]}:{stream}") if place else place
