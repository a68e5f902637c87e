"""The open file descriptions of data: one for each file, which all our opens of that file share.

Were each open to have its own, one would break the kernel lease under which another one's client caches
(`kernel_leases.py`), and no lease for writing could be had by two. So what the system would have checked in opening is
asked of it, and where a shared description lacks a mode that one more open has, another with both takes its place
under the same number. When the last that writes has closed, one for reading does: a program that is open for writing
cannot be run.

A hard link's two names are two descriptions, for names are asked of the system by descriptor; so are those of a
directory that is mounted twice. Used in threads, and by `open_nowait` in the event loop.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator

from . import inode, syscalls
from .kernel_leases import KernelLease
from .range_locks import RangeLocks
from .threads import as_service

SAFE = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_Key = tuple[int, int]


class Description:
    """One open of a file's data in the kernel. `descriptor` stays the same to the end."""

    def __init__(self, table: "Descriptions", key: _Key, descriptor: int, flags: int) -> None:
        self.descriptor = descriptor
        self.flags = flags
        self.lease = KernelLease(descriptor, flags != os.O_RDONLY)
        self.ranges = RangeLocks(descriptor, flags)
        self.key = key
        self.users = 1
        self.writers = int(flags != os.O_RDONLY)
        self.changed = False
        """Whether we have changed the data: then its last close may write."""
        self._table = table

    def leave(self, flags: int) -> None:
        """One who opened it with `flags` closes it; the last does so in fact."""
        self._table.leave(self, flags)

    def serves(self, flags: int) -> bool:
        return self.flags in (flags, os.O_RDWR)


class Descriptions:
    """Those of one process, by the device and number of their inodes."""

    def __init__(self) -> None:
        self._by_inode: dict[_Key, Description] = {}
        self._lock = threading.Lock()
        """Held over a look at the table; those of `_opening` while a file is opened, which may take its time."""
        self._opening = [threading.Lock() for _ in range(64)]

    def __len__(self) -> int:
        return len(self._by_inode)

    def open(self, anchor: int, status: os.stat_result, flags: int) -> Description:
        """The data of the file that the O_PATH descriptor `anchor` names, with an access mode, as who the thread acts
        as. Raises OSError as open does, BlockingIOError where others have a lease on it."""
        key = status.st_dev, status.st_ino
        with self._opening_of(key):
            found = self._join(key, flags)
            if found is None:
                return self.adopt(os.open(inode.proc(anchor), flags | SAFE), status, flags)
            try:
                if _has_one_name(anchor, found):
                    self._check(found, anchor, flags)
                    if not found.serves(flags):
                        self._replace(found, os.O_RDWR)
                    return found
            except BaseException:
                self.leave(found, flags)
                raise
            self.leave(found, flags)
            return Description(self, (0, 0), os.open(inode.proc(anchor), flags | SAFE), flags)

    def open_nowait(
        self, anchor: int, status: os.stat_result, flags: int, granted: bool, opening: Callable[[int], int]
    ) -> Description | None:
        """`open` in the event loop; None where a thread must do it. `opening` gives a new descriptor for an access
        mode, or less than 0; who is `granted` that mode may join a description that is there.
        """
        key = status.st_dev, status.st_ino
        lock = self._opening_of(key)
        if not lock.acquire(blocking=False):
            return None
        try:
            found = self._by_inode.get(key)
            if found is None:
                descriptor = opening(flags)
                return self.adopt(descriptor, status, flags) if descriptor >= 0 else None
            if not granted or not found.serves(flags):
                return None
            found = self._join(key, flags)
        finally:
            lock.release()
        if found is not None and not _has_one_name(anchor, found):
            self.leave(found, flags)
            return None
        return found

    def adopt(self, descriptor: int, status: os.stat_result, flags: int) -> Description:
        """The same of what has been opened already."""
        made = Description(self, (status.st_dev, status.st_ino), descriptor, flags)
        with self._lock:
            self._by_inode.setdefault(made.key, made)
        return made

    def leave(self, description: Description, flags: int) -> None:
        with self._lock:
            description.users -= 1
            description.writers -= flags != os.O_RDONLY
            last = not description.users
            if last and self._by_inode.get(description.key) is description:
                del self._by_inode[description.key]
        if last:
            description.lease.close()
            os.close(description.descriptor)
        elif not description.writers and description.flags != os.O_RDONLY:
            self._reduce(description)

    @contextlib.contextmanager
    def alone(self, descriptor: int, unchanged: bool = True) -> Iterator[None]:
        """Within: what the calling thread opens or cuts of this file, by name, does not break our own lease on it."""
        status = os.fstat(descriptor)
        found = self._by_inode.get((status.st_dev, status.st_ino))
        if found is not None and not unchanged:
            found.changed = True
        with found.lease.suspended(unchanged) if found is not None else contextlib.nullcontext():
            yield

    def _opening_of(self, key: _Key) -> threading.Lock:
        return self._opening[hash(key) % len(self._opening)]

    def _join(self, key: _Key, flags: int) -> Description | None:
        with self._lock:
            found = self._by_inode.get(key)
            if found is not None:
                found.users += 1
                found.writers += flags != os.O_RDONLY
            return found

    @staticmethod
    def _check(found: Description, anchor: int, flags: int) -> None:
        opens = not syscalls.has_faccessat2()
        with found.lease.suspended() if opens else contextlib.nullcontext():
            if not syscalls.may_open(inode.proc(anchor), flags):
                raise PermissionError(13, "the system refuses")

    def _replace(self, description: Description, flags: int) -> None:
        """Give `description` another access mode."""
        with description.lease.suspended(), as_service():
            other = os.open(inode.proc(description.descriptor), flags | SAFE)
            try:
                with description.ranges.moving(other, flags):
                    os.dup2(other, description.descriptor, inheritable=False)
            finally:
                os.close(other)
            description.flags = flags
            description.lease.writable = flags != os.O_RDONLY

    def _reduce(self, description: Description) -> None:
        """Nobody writes by `description` any more; it stays as it is where something stands in the way.

        A user of it meanwhile: closed by its last, its number would be another file's.
        """
        opening = self._opening_of(description.key)
        if not opening.acquire(blocking=False):
            return
        try:
            if not self._join_reading(description):
                return
            try:
                with contextlib.suppress(OSError):
                    self._replace(description, os.O_RDONLY)
            finally:
                self.leave(description, os.O_RDONLY)
        finally:
            opening.release()

    def _join_reading(self, description: Description) -> bool:
        """Use `description` where somebody does, and nobody to write."""
        with self._lock:
            wanted = description.users > 0 and not description.writers
            description.users += wanted
        return wanted


def _has_one_name(anchor: int, found: Description) -> bool:
    """Whether a file is open as `found` by the name that `anchor` has: not by a link, nor through another mount."""
    return os.readlink(inode.proc(anchor)) == os.readlink(inode.proc(found.descriptor))


DESCRIPTIONS = Descriptions()
"""Of all shares, which may have the same files."""
