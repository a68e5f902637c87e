"""What lies with files beside their data, kept from one open to the next: attributes, EAs, security descriptors.

Whatever changes any of it moves the file's change time, so what was read once holds for as long as that stays: but for
a change in the same tick of the kernel's clock, so nothing is kept of a file that was changed just now. Who may not
read an extended attribute finds none, so each account has its own. Only of the file system that the share's root is on,
and where that is this machine's own: elsewhere times are what another machine has said some seconds ago, and to ask for
them may take its time.
"""

import os
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from . import acls
from .base import Credentials, Identity
from .inode import Inode
from .namecache import tick

_Key = tuple[Credentials | None, int, int]
_LARGEST = 4096
"""Bytes of a security descriptor and of xattrs' names, up to which they are kept: each may be 64 KiB."""


class Seen(NamedTuple):
    """A file with its security descriptor."""

    inode: Inode
    acl: bytes
    modes: set[int]
    """Those in which the system has let the account open its data: what says so lies with the file, too."""


def look(descriptor: int) -> Seen:
    """What an O_PATH descriptor names, as the calling thread may see it."""
    found = Inode.of(descriptor)
    return Seen(found, acls.of(found.status, found.path, found.xattrs), set())


class Known:
    """By account (where there are `several`), device and inode; at most `limit`, and the first go first."""

    def __init__(
        self, device: int | None, several: bool, limit: int = 16384, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self.device = device
        """What files are to be on; None where nothing is kept. Of others nothing is to be asked in the event loop."""
        self._several = several
        self._limit = limit
        self.clock = clock
        self._seen: dict[_Key, Seen] = {}
        self._lock = threading.Lock()

    def find(self, who: Identity, descriptor: int) -> Seen | None:
        """What is known of an open file; None where that is nothing, or has changed since. Never waits."""
        status = os.fstat(descriptor)
        seen = self._seen.get((who.credentials if self._several else None, status.st_dev, status.st_ino))
        if seen is None or seen.inode.status.st_ctime_ns != status.st_ctime_ns:
            return None
        return Seen(seen.inode.now(status, descriptor), seen.acl, seen.modes)

    def look(self, who: Identity, descriptor: int) -> Seen:
        """In a thread that acts as `who`: what an open file is, read where it is not known."""
        found = self.find(who, descriptor)
        if found is None:
            now = self.clock()
            found = look(descriptor)
            self._keep(who, found, descriptor, now)
        return found

    def _keep(self, who: Identity, seen: Seen, descriptor: int, now: int) -> None:
        """Keep what was read at `now` or later, where it cannot change without another change time."""
        status = seen.inode.status
        if status.st_dev != self.device or now - status.st_ctime_ns <= tick(status.st_ctime_ns):
            return
        if len(seen.acl) + sum(map(len, seen.inode.xattrs)) > _LARGEST:
            return
        seen.inode.stat(descriptor)  # asks for all that it may be asked for
        key = who.credentials if self._several else None, status.st_dev, status.st_ino
        with self._lock:
            self._seen.pop(key, None)
            self._seen[key] = seen
            if len(self._seen) > self._limit:
                del self._seen[next(iter(self._seen))]
