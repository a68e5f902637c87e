"""Opening what the kernel has in memory, in the event loop: without a thread, a disk or a wait.

The name is looked up as whoever asks, by the kernel, and only in its cache of names (RESOLVE_CACHED); what lies with
the file must be known already. Where anything is missing or looks unusual, nothing has happened and an identity thread
does it all, as it does for what is to be made: so what is refused is refused there.

Opening data waits for no disk either. It may wait for a program that wants to be asked (fanotify's permission events,
as virus scanners have them): where it has taken long more than once, threads open data for a while.
"""

import os
import time
from collections.abc import Callable

from server.security.access import MAXIMUM_ALLOWED

from . import names, resolve, syscalls
from .base import Identity, Kind, Make, Path, Wanted
from .descriptions import DESCRIPTIONS, SAFE
from .known import Known, Seen
from .opening import Opened, modes
from .resolve import Resolver
from .threads import IdentityThreads

_AT_ONCE = resolve.BENEATH | syscalls.RESOLVE_CACHED | syscalls.RESOLVE_NO_XDEV
_ANCHOR = syscalls.How(resolve.ANCHOR, _AT_ONCE)
_DIRECTORY = syscalls.How(resolve.DIRECTORY, _AT_ONCE)
_DATA = {mode: syscalls.How(mode | os.O_NOFOLLOW | SAFE, _AT_ONCE) for mode in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR)}
_LONG = 0.02
"""Seconds in which data is opened where nobody is asked; but for when the processor was another's just then."""
_SELDOM = 16
"""Opens that are not long, between two that are by chance."""
_REST = 30.0
"""Seconds for which threads open data where that is no chance."""


class AtOnce:
    """For one share."""

    def __init__(
        self, resolver: Resolver, threads: IdentityThreads, known: Known, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._resolver = resolver
        self._threads = threads
        self._known = known
        self._clock = clock
        self._rests_until = 0.0
        self._since_long = _SELDOM

    def open(self, who: Identity, wanted: Wanted) -> Opened | None:
        """As `opening.find_or_make`; None where a thread must do it."""
        path = wanted.path
        if self._known.device is None or wanted.stream or wanted.make is Make.ALWAYS or self._resolver.vetoes(path):
            return None
        if not path:
            return self._child(who, wanted, self._resolver.root, b".", b"")
        if len(path) == 1:
            return self._below(who, wanted, self._resolver.root)
        directory = self._threads.open_nowait(who, self._resolver.root, _spelled(path[:-1]), _DIRECTORY)
        if directory < 0:
            return None
        try:
            return self._below(who, wanted, directory)
        finally:
            os.close(directory)

    def _below(self, who: Identity, wanted: Wanted, directory: int) -> Opened | None:
        parent = self._known.find(who, directory)
        if parent is None:
            return None
        return self._child(who, wanted, directory, names.check(wanted.path[-1]), parent.acl)

    def _child(self, who: Identity, wanted: Wanted, directory: int, name: bytes, parent: bytes) -> Opened | None:
        descriptor = self._threads.open_nowait(who, directory, name, _ANCHOR)
        if descriptor < 0:
            return None
        seen = self._known.find(who, descriptor)
        if seen is None:
            os.close(descriptor)
            return None
        opened = Opened(descriptor, seen.inode, False, acl=seen.acl, parent=parent)
        if seen.inode.kind is Kind.DIRECTORY or self._has_data(who, seen, opened, wanted, directory, name):
            return opened
        opened.close()
        return None

    def _has_data(self, who: Identity, seen: Seen, opened: Opened, wanted: Wanted, directory: int, name: bytes) -> bool:
        """Whether a file is open for the data rights that are wanted, or none are."""
        if seen.inode.kind is not Kind.FILE:
            return False
        flags = next(iter(modes(wanted.access)), None)
        if flags is None:
            return True
        status = seen.inode.status
        if status.st_nlink != 1 or wanted.access & MAXIMUM_ALLOWED or self._clock() < self._rests_until:
            return False
        description = DESCRIPTIONS.open_nowait(
            opened.descriptor,
            status,
            flags,
            flags in seen.modes,
            lambda mode: self._open_data(who, status, mode, directory, name),
        )
        if description is not None:
            opened.use(description, flags)
            seen.modes.add(flags)
        return description is not None

    def _open_data(self, who: Identity, status: os.stat_result, mode: int, directory: int, name: bytes) -> int:
        """A descriptor of the data of the file `status` is of; less than 0 where there is none at once."""
        begun = self._clock()
        descriptor = self._threads.open_nowait(who, directory, name, _DATA[mode])
        self._time(begun, self._clock())
        if descriptor >= 0 and not os.path.samestat(os.fstat(descriptor), status):
            os.close(descriptor)
            return -1
        return descriptor

    def _time(self, begun: float, ended: float) -> None:
        """Data was opened, and took from `begun` to `ended`."""
        self._since_long += 1
        if ended - begun > _LONG:
            if self._since_long < _SELDOM:
                self._rests_until = ended + _REST
            self._since_long = 0


def _spelled(path: Path) -> bytes:
    return b"/".join(map(names.check, path))
