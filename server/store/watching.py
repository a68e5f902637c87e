"""What other processes do in directories of a store, as the kernel tells it (`fanotify`).

The kernel watches a directory, not a tree: for a tree each directory in it is marked, those that appear later when
they appear, up to `MOST` in all. What is where is kept here as the kernel's events tell it, also by events of our own
process, which are otherwise passed over.

What goes to the disk goes to an identity thread: scanning directories that are new, and looking whether a name is
there where the kernel has merged its coming and going. While that is under way no events are read, so they are
always taken in order.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Any, TypeVar

from ..status import Status
from . import fanotify, names
from .base import Path
from .fanotify import ATTRIB, CREATE, DELETE, MODIFY, MOVED_FROM, MOVED_TO, ON_DIRECTORY, OVERFLOW, RENAME, Event, Name
from .following import Followed, Follower, Heard, LocalChange, LocalKind
from .marked import Directory, Tree
from .resolve import Resolver
from .scanning import Answer, Doubt, Job, Question, Scanner, Seen, Vetoed
from .threads import IdentityThreads

log = logging.getLogger("smbdirect.watching")

T = TypeVar("T")
MOST = 8192
"""Directories of one share that are marked at a time."""
_READS = 16
"""How often events are read in a row, before others have their turn."""
_APPEARS = CREATE | MOVED_TO
_GOES = DELETE | MOVED_FROM
_SAYS = (
    (CREATE, LocalKind.ADDED), (MOVED_TO, LocalKind.ADDED), (MODIFY, LocalKind.WRITTEN), (ATTRIB, LocalKind.SET),
    (DELETE, LocalKind.REMOVED), (MOVED_FROM, LocalKind.REMOVED),
)  # fmt: skip
"""What each bit says, in the order in which it mostly happens where several are merged."""


def watch(
    resolver: Resolver, threads: IdentityThreads, vetoed: Vetoed | None, heard: Heard, lost: Callable[[], None]
) -> Follower | None:
    """Hear of what others do below the resolver's root; None where this kernel or container does not let us."""
    try:
        group = fanotify.Group()
    except (OSError, AttributeError) as error:
        log.info("what local processes change is not heard of: %s", error)
        return None
    return Watching(group, resolver, threads, vetoed, heard, lost)


Spot = tuple[Directory, str]
"""A name in a directory that is followed, wherever that is by now."""


class _Batch:
    """What has been made of the events read in one go."""

    def __init__(self) -> None:
        self.changes: list[LocalChange] = []
        self.jobs: dict[Spot, Job] = {}
        """Directories to be scanned, by where they are: one may move on before that happens."""
        self.unknown: list[bytes] = []
        """Directories, by their handles, that are not marked and whose attributes have changed."""
        self.merged: list[tuple[int, int, Spot]] = []
        """Slices of `changes` that tell of a name's coming and going in an order that is not known."""
        self.moves: dict[Spot, list[bool | None]] = {}
        """For each name that came or went: whether it was there after each time; None where that is not known."""

    def move(self, spot: Spot | None, there: bool | None) -> None:
        if spot is not None:
            self.moves.setdefault(spot, []).append(there)

    def doubts(self) -> list[Doubt]:
        """Names of which the kernel may not have told all."""
        return [
            Doubt(Job((*spot[0].path(), spot[1]), spot[0], spot[0].deep(), news=True), states[-1])
            for spot, states in self.moves.items()
            if len(states) > 1 or None in states
        ]


class _Following(Followed):
    def __init__(self, owner: "Watching", directory: Directory, tree: bool) -> None:
        self._owner = owner
        self._directory = directory
        self._tree = tree

    def move(self, path: Path) -> None:
        if self._directory.parent is None:
            self._directory.top = path

    def close(self) -> None:
        self._owner.unfollow(self._directory, self._tree)


class Watching(Follower):
    def __init__(
        self, group: fanotify.Group, resolver: Resolver, threads: IdentityThreads, vetoed: Vetoed | None, heard: Heard,
        lost: Callable[[], None], most: int = MOST,
    ) -> None:  # fmt: skip
        self.tree = Tree()
        self._group = group
        self._scanner = Scanner(group, resolver, vetoed, self.tree.by_handle, most)
        self._threads = threads
        self._heard = heard
        self._lost = lost
        self._us = os.getpid()
        self._busy = 0
        self._closed = False
        self._told: set[Name] = set()
        """Names that a scan has told and an event may tell again."""
        self._stale: list[tuple[Path, bytes]] = []
        self._left: _Batch | None = None
        """What could not be looked at because it, or what it is in, has moved: events to come tell where to."""
        self._task: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(group.descriptor, self._ready)

    # -- what is followed -----------------------------------------------------------------------------------
    async def follow(self, path: Path, tree: bool) -> Followed | None:
        directory = await self._mark(path)
        if directory is None:
            return None
        followed = directory.hold(tree)
        if tree and not followed:
            try:
                self._enter(_Batch(), await self._in_thread(self._scanner.scan, [Job(path, directory.parent)]) or [])
            except BaseException:
                self.unfollow(directory, tree)
                raise
        return _Following(self, directory, tree)

    async def _mark(self, path: Path) -> Directory | None:
        """Mark one directory; None where it is not there, or one too many."""
        for seen in await self._in_thread(self._scanner.scan, [Job(path, deep=False)]) or ():
            return self.tree.enter(seen.handle, path, None) if seen.handle else None
        return None

    def unfollow(self, directory: Directory, tree: bool) -> None:
        directory.let_go(tree)
        gone = self.tree.prune(directory)
        if not self._closed and gone:
            self._stale += gone
            self._begin(_Batch())

    def catch_up(self) -> None:
        if not (self._busy or self._closed or self._task is not None):
            self._ready()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._busy:
            return  # a thread works with the group; it is closed when that has ended
        self._loop.remove_reader(self._group.descriptor)
        self._group.close()

    # -- threads --------------------------------------------------------------------------------------------
    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T | None:
        """`function` in a thread, while no events are read; None once we are closed, or where it fails."""
        if self._closed:
            return None
        self._loop.remove_reader(self._group.descriptor)
        self._busy += 1
        try:
            return await self._threads.run(None, function, *arguments)
        except Status as error:
            log.debug("%s", error)
            return None
        finally:
            self._busy -= 1
            self._go_on()

    def _go_on(self) -> None:
        """Read events again, once no thread has anything left to do with what they are about."""
        if self._busy:
            return
        if self._closed:
            self._group.close()
        else:
            self._loop.add_reader(self._group.descriptor, self._ready)

    # -- events ---------------------------------------------------------------------------------------------
    def _ready(self) -> None:
        """The kernel has events."""
        batch = _Batch()
        for _ in range(_READS):
            events = self._group.read()
            if not events:
                self._told.clear()
                break
            if self._left is not None:
                batch, self._left = self._left, None
            for event in events:
                self._take(event, batch)
        self._begin(batch)

    def _take(self, event: Event, batch: _Batch) -> None:
        if event.mask & OVERFLOW:
            batch.jobs |= {(each, ""): Job(each.path(), each.parent) for each in self.tree.roots()}
            self._lost()
        elif event.mask & RENAME:
            self._renamed(event, batch)
        elif event.at is not None:
            self._happened(event, event.at, batch)

    def _happened(self, event: Event, at: Name, batch: _Batch) -> None:
        """Something that concerns one name."""
        mask, news = event.mask, event.process != self._us
        if at.name == b".":
            if news and mask & ATTRIB:
                self._set(at.directory, batch)
            return
        directory, path = self._place(at)
        if directory is None or path is None:
            return
        if mask & ON_DIRECTORY:
            if mask & _GOES:
                self._gone(directory, path[-1], event.file)
            if mask & _APPEARS and directory.deep():
                batch.jobs[directory, path[-1]] = Job(path, directory, news=news)
        if not news:
            return
        if mask & CREATE and not mask & _GOES and at in self._told:
            mask &= ~CREATE
        begin = len(batch.changes)
        batch.changes += [LocalChange(kind, path, bool(mask & ON_DIRECTORY)) for bit, kind in _SAYS if mask & bit]
        if mask & _APPEARS and mask & _GOES:
            batch.merged.append((begin, len(batch.changes), (directory, path[-1])))
            batch.move((directory, path[-1]), None)
        elif mask & (_APPEARS | _GOES):
            batch.move((directory, path[-1]), bool(mask & _APPEARS))

    def _set(self, handle: bytes, batch: _Batch) -> None:
        """A directory's own attributes have changed."""
        directory = self.tree.by_handle.get(handle)
        if directory is None:
            batch.unknown.append(handle)
        elif path := directory.path():
            batch.changes.append(LocalChange(LocalKind.SET, path, True))

    def _renamed(self, event: Event, batch: _Batch) -> None:
        was_in, old = self._place(event.old)
        is_in, new = self._place(event.at)
        before = (was_in, old[-1]) if was_in is not None and old is not None else None
        after = (is_in, new[-1]) if is_in is not None and new is not None else None
        directory, news = bool(event.mask & ON_DIRECTORY), event.process != self._us
        if directory:
            self._moved(before, after, batch, news, event.file)
        if not news:
            return
        batch.move(before, False)
        batch.move(after, True)
        if new is not None:
            kind = LocalKind.ADDED if old is None else LocalKind.RENAMED
            batch.changes.append(LocalChange(kind, new, directory, old or ()))
        elif old is not None:
            batch.changes.append(LocalChange(LocalKind.REMOVED, old, directory))

    def _moved(self, old: Spot | None, new: Spot | None, batch: _Batch, news: bool, handle: bytes | None) -> None:
        """A directory has been renamed; one that was to be scanned is scanned where it is."""
        waiting = batch.jobs.pop(old, None) if old is not None else None
        if new is None:
            if old is not None:
                self._gone(*old, handle)
            return
        if handle is not None:
            known = self.tree.by_handle.get(handle)
            moved = known and self.tree.enter(handle, (*new[0].path(), new[1]), new[0])
        else:
            moved = self.tree.move(*old, *new) if old is not None else None
        if moved is not None:
            self._stale += self.tree.prune(moved)
        elif new[0].deep():
            batch.jobs[new] = waiting or Job((*new[0].path(), new[1]), new[0], news=news)

    def _gone(self, parent: Directory, name: str, handle: bytes | None) -> None:
        """A directory has gone from where it was; another may have come there already."""
        there = parent.below.get(name)
        if there is not None and handle in (None, there.handle):
            self.tree.lose(parent, name)

    def _place(self, at: Name | None) -> tuple[Directory | None, Path | None]:
        """The directory, and the whole path; None where that is not followed, and where clients do not see it."""
        directory = self.tree.by_handle.get(at.directory) if at is not None else None
        if at is None or directory is None:
            return None, None
        name = self._scanner.shown(at.name)
        return directory, None if name is None else (*directory.path(), name)

    # -- telling --------------------------------------------------------------------------------------------
    def _begin(self, batch: _Batch) -> None:
        """Tell the batch, at once where nothing has to be looked at for it."""
        if not (batch.jobs or batch.doubts() or batch.unknown or self._stale):
            self._tell(batch)
        elif self._task is None:
            self._task = self._loop.create_task(self._finish(batch))

    async def _finish(self, batch: _Batch) -> None:
        """Look at what has to be looked at, then tell."""
        try:
            while True:
                stale, self._stale = self._stale, []
                jobs = [
                    job._replace(path=(*at.path(), name)) if name else job for (at, name), job in batch.jobs.items()
                ]
                answer = await self._in_thread(
                    self._scanner.check, Question(jobs, batch.doubts(), batch.unknown, stale)
                )
                if answer is None:
                    return
                self._settle(batch, answer)
                self._enter(batch, answer.seen)
                batch.changes += [LocalChange(LocalKind.SET, path, True) for path in answer.found if path]
                self._tell(batch)
                if not self._stale:
                    return
                batch = _Batch()
        finally:
            self._task = None

    def _settle(self, batch: _Batch, answer: Answer) -> None:
        """Say of doubtful names what is so in the end."""
        there = {(each.job.parent, each.job.path[-1]): found for each, found in answer.there}
        for spot, states in batch.moves.items():
            if spot not in there and (len(states) > 1 or None in states) and spot[0].handle in self.tree.by_handle:
                self._later().moves[spot] = [states[-1] or False] * 2
        for begin, end, spot in batch.merged:
            if there.get(spot) is not None:  # it went first, and came again
                batch.changes[begin:end] = batch.changes[end - 1 : end] + batch.changes[begin : end - 1]
        for doubt, found in answer.there:
            parent, path = doubt.job.parent, doubt.job.path
            if found is None and parent is not None:
                self.tree.lose(parent, path[-1])
            if doubt.said is not None and doubt.said != (found is not None):
                kind = LocalKind.REMOVED if found is None else LocalKind.ADDED
                batch.changes.append(LocalChange(kind, path, bool(found)))

    def _enter(self, batch: _Batch, seen: list[Seen]) -> None:
        """Take over the directories that were scanned, and tell what was news in them."""
        for each in seen:
            parent = self.tree.by_handle.get(each.parent) if isinstance(each.parent, bytes) else each.parent
            if each.missed is not None:
                if parent is not None and each.missed.tries:
                    again = each.missed._replace(parent=parent, tries=each.missed.tries - 1)
                    self._later().jobs[parent, each.path[-1]] = again
                continue
            if each.parent is not None and (parent is None or self.tree.by_handle.get(parent.handle) is not parent):
                continue  # nobody follows the directory it is in any more
            self.tree.enter(each.handle, each.path, parent)
            for name, directory in each.entries:
                self._told.add(Name(each.handle, names.on_disk(name)))
                batch.changes.append(LocalChange(LocalKind.ADDED, (*each.path, name), directory))

    def _later(self) -> _Batch:
        if self._left is None:
            self._left = _Batch()
        return self._left

    def _tell(self, batch: _Batch) -> None:
        if batch.changes and not self._closed:
            self._heard(batch.changes)
