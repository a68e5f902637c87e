"""Named data streams, as Samba's streams_xattr and ksmbd keep them: the xattr `user.DosStream.<name>:$DATA`.

Its value is the data and, as Samba writes it, one NUL behind; ksmbd writes none, and `Options.like_ksmbd` says which
it is here (Samba's NUL is taken off only where there is one). What an xattr cannot hold (64 KiB; on ext4 4 KiB for
all xattrs of a file) is kept whole in a file of the hidden directory `HIDDEN` in the share's root, whose name the
xattr `user.smbdirect.stream.<name>` holds: any size, at the cost that only this server sees it. No client can see or
name that directory, for its name holds a colon; it is the service's own (mode 0700) and its files belong to the
owners of the files they are part of, so quotas count them. Such a stream goes with its file when this server removes
the file; a file removed by others leaves it behind.

Names are matched without case and keep the case they were made with. The calls here run as the service: what the
client may do with the file was asked of the system when the stream was opened.
"""

import contextlib
import errno
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from smbdirect.wire import Buffer

from ..status import NT, Status
from . import data, inode, names
from .base import Stream
from .threads import as_service

T = TypeVar("T")

PREFIX = "user.DosStream."
SUFFIX = ":$DATA"
ELSEWHERE = "user.smbdirect.stream."
HIDDEN = ".smbdirect:streams"
_LONGEST_NAME = 255 - max(len(PREFIX + SUFFIX), len(ELSEWHERE))
_MOST_IN_XATTR = 65536 - 1
_LOCKS = tuple(threading.RLock() for _ in range(64))
"""By inode, and of all shares, which may have the same files."""
_POINTER = 64
"""Bytes by which a stream's xattr must be worth moving: the one that names its file takes half of it."""
_UNIT = 8
_NO_ROOM = frozenset({errno.ENOSPC, errno.E2BIG, errno.ERANGE, errno.EDQUOT})


class Kept(NamedTuple):
    """A stream that is there: its name as made, and the name of its file where it is kept in one."""

    name: str
    elsewhere: str = ""


class Streams:
    """The streams of one share's files. Files are given by O_PATH descriptors."""

    def __init__(self, root: int, end_in_nul: bool) -> None:
        self._root = root
        self._end = b"\0" if end_in_nul else b""
        self._hidden = -1
        self._lock = threading.Lock()

    def close(self) -> None:
        if self._hidden >= 0:
            os.close(self._hidden)

    def lock(self, descriptor: int) -> "contextlib.AbstractContextManager[bool]":
        """Held over each look at a stream and what is done with it."""
        return _LOCKS[os.fstat(descriptor).st_ino % len(_LOCKS)]

    def find(self, descriptor: int, name: str) -> Kept | None:
        """The stream of that name, matched without case."""
        folded = names.fold(name)
        for kept in self._kept(inode.proc(descriptor)):
            if names.fold(kept.name) == folded:
                return kept
        return None

    def all(self, descriptor: int) -> list[Stream]:
        """All named streams."""
        path = inode.proc(descriptor)
        sizes = [(kept.name, self.size(descriptor, kept)) for kept in self._kept(path)]
        return [Stream(name, size, allocation(size)) for name, size in sizes]

    def make(self, descriptor: int, name: str) -> Kept:
        """A new, empty stream."""
        if len(names.on_disk(name)) > _LONGEST_NAME:
            raise Status(NT.OBJECT_NAME_INVALID, f"stream {name!r}")
        kept = Kept(name)
        self.with_room(descriptor, lambda: self._put(descriptor, kept, b""))
        return kept

    def remove(self, descriptor: int, kept: Kept) -> None:
        path = inode.proc(descriptor)
        if kept.elsewhere:
            self._unlink(kept.elsewhere)
        os.removexattr(path, _xattr(kept))

    def remove_all(self, descriptor: int) -> None:
        for kept in self._kept(inode.proc(descriptor)):
            self.remove(descriptor, kept)

    def rename(self, descriptor: int, kept: Kept, name: str) -> Kept:
        """Give a stream another name; what has that name is replaced."""
        if len(names.on_disk(name)) > _LONGEST_NAME:
            raise Status(NT.OBJECT_NAME_INVALID, f"stream {name!r}")
        path = inode.proc(descriptor)
        moved = Kept(name, kept.elsewhere)
        os.setxattr(path, _xattr(moved), os.getxattr(path, _xattr(kept)))
        os.removexattr(path, _xattr(kept))
        return moved

    def kept_elsewhere(self, descriptor: int) -> list[str]:
        """The files that hold streams of a file about to be removed, for `forget`."""
        return [kept.elsewhere for kept in self._kept(inode.proc(descriptor)) if kept.elsewhere]

    def forget(self, elsewhere: Sequence[str]) -> None:
        for name in elsewhere:
            self._unlink(name)

    # -- data -----------------------------------------------------------------------------------------------
    def size(self, descriptor: int, kept: Kept) -> int:
        if kept.elsewhere:
            with self._opened(kept) as file:
                return os.fstat(file).st_size
        return len(self._get(descriptor, kept))

    def read(self, descriptor: int, kept: Kept, into: memoryview, offset: int) -> int:
        if kept.elsewhere:
            with self._opened(kept) as file:
                return data.read(file, into, offset)
        part = memoryview(self._get(descriptor, kept))[offset : offset + len(into)]
        into[: len(part)] = part
        return len(part)

    def write(self, descriptor: int, kept: Kept, parts: Sequence[Buffer], offset: int) -> Kept:
        """Write all; the stream as it is kept from now on."""
        end = offset + sum(len(part) for part in parts)
        if not kept.elsewhere and end <= _MOST_IN_XATTR:
            value = bytearray(self._get(descriptor, kept))
            if end > len(value):
                value += bytes(end - len(value))
            at = offset
            for part in parts:
                value[at : at + len(part)] = part
                at += len(part)
            if self._fits(descriptor, kept, bytes(value)):
                return kept
        kept = self._moved(descriptor, kept)
        with self._opened(kept) as file:
            data.write(file, parts, offset, through=False)
        return kept

    def resize(self, descriptor: int, kept: Kept, size: int) -> Kept:
        """Cut or lengthen; the stream as it is kept from now on."""
        if not kept.elsewhere and size <= _MOST_IN_XATTR:
            value = self._get(descriptor, kept)[:size]
            if self._fits(descriptor, kept, value + bytes(size - len(value))):
                return kept
        kept = self._moved(descriptor, kept)
        with self._opened(kept) as file:
            os.ftruncate(file, size)
        return kept

    def flush(self, descriptor: int, kept: Kept) -> None:
        """Data, and the xattrs that name it, to stable storage."""
        if kept.elsewhere:
            with self._opened(kept) as file:
                os.fdatasync(file)
        with contextlib.suppress(PermissionError):
            readable = os.open(inode.proc(descriptor), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                os.fsync(readable)
            finally:
                os.close(readable)

    # -- how it lies on disk --------------------------------------------------------------------------------
    def _kept(self, path: str) -> list[Kept]:
        found: list[Kept] = []
        for xattr in inode.xattrs(path):
            if xattr.startswith(PREFIX) and xattr.endswith(SUFFIX):
                found.append(Kept(_shown(xattr[len(PREFIX) : -len(SUFFIX)])))
            elif xattr.startswith(ELSEWHERE):
                name = os.getxattr(path, xattr).decode("ascii", "replace")
                found.append(Kept(_shown(xattr[len(ELSEWHERE) :]), name))
        return found

    def _get(self, descriptor: int, kept: Kept) -> bytes:
        value = os.getxattr(inode.proc(descriptor), _xattr(kept))
        return value[:-1] if value.endswith(b"\0") and self._end else value

    def _put(self, descriptor: int, kept: Kept, value: bytes) -> None:
        os.setxattr(inode.proc(descriptor), _xattr(kept), value + self._end)

    def _fits(self, descriptor: int, kept: Kept, value: bytes) -> bool:
        """Put the value into the xattr, if there is room."""
        try:
            self._put(descriptor, kept, value)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            return False
        return True

    def _moved(self, descriptor: int, kept: Kept) -> Kept:
        """The stream in a file of the hidden directory, where it may grow."""
        if kept.elsewhere:
            return kept
        moved = Kept(kept.name, secrets.token_hex(16))
        owner = os.fstat(descriptor)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = os.open(moved.elsewhere, flags, 0o600, dir_fd=self._directory())
        try:
            if os.geteuid() == 0:
                os.fchown(file, owner.st_uid, owner.st_gid)
            data.write(file, [self._get(descriptor, kept)], 0, through=False)
            self._replace(descriptor, kept, moved)
        except BaseException:
            self._unlink(moved.elsewhere)
            raise
        finally:
            os.close(file)
        return moved

    def with_room(self, descriptor: int, change: Callable[[], T]) -> T:
        """Do `change`, which sets xattrs of the file. Where there is no room for them (on ext4 all share one block),
        streams that lie in xattrs move to the hidden directory, the largest first."""
        while True:
            try:
                return change()
            except (OSError, Status) as error:
                full = error.code == NT.EA_TOO_LARGE if isinstance(error, Status) else error.errno in _NO_ROOM
                if not full:
                    raise
                with as_service(), self.lock(descriptor):
                    if not self._move_largest(descriptor):
                        raise

    def _move_largest(self, descriptor: int) -> bool:
        """Whether there was a stream whose xattr is larger than that which would name its file."""
        path = inode.proc(descriptor)
        inside = {kept: len(os.getxattr(path, _xattr(kept))) for kept in self._kept(path) if not kept.elsewhere}
        largest = max(inside, key=inside.__getitem__, default=None)
        if largest is None or inside[largest] <= _POINTER:
            return False
        self._moved(descriptor, largest)
        return True

    def _replace(self, descriptor: int, kept: Kept, moved: Kept) -> None:
        """Put the xattr that names a file in the place of the one that holds the data."""
        path, value = inode.proc(descriptor), moved.elsewhere.encode()
        try:
            os.setxattr(path, _xattr(moved), value)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            before = os.getxattr(path, _xattr(kept))
            os.removexattr(path, _xattr(kept))
            try:
                self.with_room(descriptor, lambda: os.setxattr(path, _xattr(moved), value))
            except OSError:
                os.setxattr(path, _xattr(kept), before)
                raise
        else:
            os.removexattr(path, _xattr(kept))

    def _directory(self) -> int:
        with self._lock:
            if self._hidden < 0:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(HIDDEN, 0o700, dir_fd=self._root)
                flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                hidden = os.open(HIDDEN, flags, dir_fd=self._root)
                if (
                    os.fstat(hidden).st_uid != os.geteuid()
                ):  # whose it is could look at and change what others keep there
                    os.close(hidden)
                    raise Status(NT.FILE_NOT_AVAILABLE, f"{HIDDEN} is not the service's own")
                self._hidden = hidden
            return self._hidden

    @contextlib.contextmanager
    def _opened(self, kept: Kept) -> Iterator[int]:
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        file = os.open(_safe(kept.elsewhere), flags, dir_fd=self._directory())
        try:
            yield file
        finally:
            os.close(file)

    def _unlink(self, elsewhere: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_safe(elsewhere), dir_fd=self._directory())


def allocation(size: int) -> int:
    """Bytes that a stream of `size` takes, in the units of NTFS's small ones."""
    return (size + _UNIT - 1) // _UNIT * _UNIT


def _xattr(kept: Kept) -> str:
    name = os.fsdecode(names.on_disk(kept.name))
    return ELSEWHERE + name if kept.elsewhere else PREFIX + name + SUFFIX


def _shown(name: str) -> str:
    return names.from_disk(os.fsencode(name))


def _safe(elsewhere: str) -> str:
    """The name of a file in the hidden directory; a local user who may write the xattr could put any text there."""
    if len(elsewhere) != 32 or not set(elsewhere) <= set("0123456789abcdef"):
        raise Status(NT.FILE_NOT_AVAILABLE, "a stream kept under a name that is none")
    return elsewhere
