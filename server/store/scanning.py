"""What the follower of a store's directories does on the disk, in identity threads: marking directories for the
kernel, finding those below them, and looking whether a name is there.
"""

import contextlib
import logging
import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ..status import Status
from . import fanotify, names, naming
from .base import Path
from .marked import Directory
from .resolve import Resolver

log = logging.getLogger("smbdirect.watching")

Vetoed = Callable[[str], bool]
"""Says of a name whether clients do not see it."""


class Job(NamedTuple):
    """A directory to be marked and scanned."""

    path: Path
    parent: Directory | None = None
    deep: bool = True
    """With what is below it."""
    news: bool = False
    """Whether all that is in it is news."""
    tries: int = 3
    """How often it is looked for."""


class Seen(NamedTuple):
    """A directory that was marked, and where it asked for that, what is in it."""

    path: Path
    handle: bytes
    parent: bytes | Directory | None
    entries: list[tuple[str, bool]]
    """Names, and whether each is a directory; where they are news."""
    missed: Job | None = None
    """What was not found where it should be: it may have moved meanwhile, and events to come tell where to."""


class Doubt(NamedTuple):
    """A name of which it is not known whether it is there, as what it is to be scanned if it is a directory."""

    job: Job
    said: bool | None
    """What has been said of it last."""


class Question(NamedTuple):
    """What is to be looked at for some events."""

    jobs: list[Job]
    doubts: list[Doubt]
    unknown: list[bytes]
    """Handles of directories that are somewhere."""
    stale: list[tuple[Path, bytes]]
    """Directories that nobody follows any more, where they were, and their handles."""


class Answer(NamedTuple):
    seen: list[Seen]
    there: list[tuple[Doubt, bool | None]]
    """Whether each is a directory; None where it is not there. Those are left out whose parent has moved."""
    found: list[Path | None]


@dataclass(slots=True)
class _Met:
    """What one scan has come by: a directory may be met twice, through bind mounts."""

    handles: set[bytes]
    room: int
    """How many more directories may be marked."""


class Scanner:
    """`marked` are the handles of the directories that are marked already; never more than `most`."""

    def __init__(
        self,
        group: fanotify.Group,
        resolver: Resolver,
        vetoed: Vetoed | None,
        marked: Mapping[bytes, Directory],
        most: int,
    ) -> None:
        self._group = group
        self._resolver = resolver
        self._vetoed = vetoed
        self._marked = marked
        self._most = most
        self._full = False

    def scan(self, jobs: Iterable[Job]) -> list[Seen]:
        """Mark directories, parents first, and find those below them."""
        found: list[Seen] = []
        met = _Met(set(), self._most - len(self._marked))
        left: deque[tuple[Job, bytes | Directory | None]] = deque((job, job.parent) for job in jobs)
        while left:
            job, parent = left.popleft()
            try:
                seen = self._scan_one(job, parent, met)
            except (Status, OSError):
                found.append(Seen(job.path, b"", parent, [], job))
                continue
            if seen is None:
                continue
            found.append(Seen(job.path, seen.handle, parent, seen.entries if job.news else []))
            below = (name for name, directory in seen.entries if directory)
            left.extend((Job((*job.path, name), None, True, job.news), seen.handle) for name in below)
        return found

    def _scan_one(self, job: Job, parent: bytes | Directory | None, met: _Met) -> Seen | None:
        directory = self._resolver.directory(job.path)
        try:
            handle = fanotify.handle_of(directory)
            if handle in met.handles or (handle not in self._marked and not self._takes(met)):
                return None
            met.handles.add(handle)
            self._group.mark(directory)
            status = os.fstat(directory)
            if not job.deep or (status.st_nlink == 2 and not job.news):  # no directory in it, where links count them
                return Seen(job.path, handle, parent, [])
            return Seen(job.path, handle, parent, self._entries(directory, job.news))
        finally:
            os.close(directory)

    def _takes(self, met: _Met) -> bool:
        """Whether one more may be marked."""
        met.room -= 1
        if met.room < 0 and not self._full:
            self._full = True
            log.warning("over %d directories to watch: what local processes do in others is not heard of", self._most)
        return met.room >= 0

    def _entries(self, directory: int, all_of_them: bool) -> list[tuple[str, bool]]:
        readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
        try:
            with os.scandir(readable) as entries:
                kinds = ((self.shown(os.fsencode(each.name)), each.is_dir(follow_symlinks=False)) for each in entries)
                return [(name, kind) for name, kind in kinds if name is not None and (kind or all_of_them)]
        finally:
            os.close(readable)

    def shown(self, raw: bytes) -> str | None:
        """A name as clients see it; None where they do not."""
        name = names.shown(os.fsdecode(raw)) if raw else None
        return None if name is None or (self._vetoed is not None and self._vetoed(name)) else name

    def check(self, question: Question) -> Answer:
        """Look at all of it, as far as it goes."""
        for path, handle in question.stale:
            with contextlib.suppress(Status, OSError):
                self._unmark(path, handle)
        there: list[tuple[Doubt, bool | None]] = []
        for doubt in question.doubts:
            with contextlib.suppress(Status, OSError):
                there.append((doubt, self._is_there(doubt.job)))
        again = [self._again(doubt) for doubt, directory in there if directory]
        answer = Answer(self.scan([*again, *question.jobs]), there, [])
        for handle in question.unknown:
            with contextlib.suppress(Status, OSError):
                answer.found.append(self._where(handle))
        return answer

    def _again(self, doubt: Doubt) -> Job:
        """How to look at a directory that may not be the one that was told of: all in it is news, unless that was."""
        if doubt.said:
            with contextlib.suppress(Status, OSError):
                directory = self._resolver.directory(doubt.job.path)
                try:
                    if fanotify.handle_of(directory) in self._marked:
                        return doubt.job._replace(deep=False, news=False)
                finally:
                    os.close(directory)
        return doubt.job

    def _where(self, handle: bytes) -> Path | None:
        """Where the directory with this handle is, where we may know and clients may see it."""
        near = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._resolver.root)
        try:
            directory = fanotify.open_handle(near, handle)
        finally:
            os.close(near)
        try:
            path = naming.where(self._resolver, directory)
        finally:
            os.close(directory)
        return path if all(self.shown(names.on_disk(name)) for name in path) else None

    def _unmark(self, path: Path, handle: bytes) -> None:
        directory = self._resolver.directory(path)
        try:
            if fanotify.handle_of(directory) == handle:
                self._group.unmark(directory)
        finally:
            os.close(directory)

    def _is_there(self, job: Job) -> bool | None:
        directory = self._resolver.directory(job.path[:-1])
        try:
            if job.parent is None or fanotify.handle_of(directory) != job.parent.handle:
                raise FileNotFoundError(job.path)
            status = os.stat(names.on_disk(job.path[-1]), dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError as error:
            if error.errno is None:
                raise
            return None
        finally:
            os.close(directory)
        return stat.S_ISDIR(status.st_mode)
