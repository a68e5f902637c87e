"""Named data streams, as Samba's streams_xattr and ksmbd keep them: the xattr `user.DosStream.<name>:$DATA`.

Its value is the data and, as Samba writes it, one NUL behind; ksmbd writes none, and `Options.like_ksmbd` says which
it is here (Samba's NUL is taken off only where there is one). What an xattr cannot hold (64 KiB; on ext4 4 KiB for
all xattrs of a file) is kept whole in a file of the share's hidden directory (`hidden.py`), whose name the xattr
`user.smbdirect.stream.<name>` holds: any size, at the cost that only this server sees it. Such a stream goes with its
file when this server removes the file; a file removed by others leaves it behind, and a copy made by others has the
xattr, but not the stream: an xattr that names a file which is not part of this one is a stray, as good as absent.

Names are matched without case and keep the case they were made with. The calls here run as the service: what the
client may do with the file was asked of the system when the stream was opened.
"""

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from smbdirect.wire import Buffer

from ..status import NT, Status
from . import data, inode, names
from .base import Stream
from .descriptions import DESCRIPTIONS
from .hidden import Hidden, is_of
from .threads import as_service

T = TypeVar("T")

PREFIX = "user.DosStream."
SUFFIX = ":$DATA"
ELSEWHERE = "user.smbdirect.stream."
_LONGEST_NAME = 255 - max(len(PREFIX + SUFFIX), len(ELSEWHERE))
_MOST_IN_XATTR = 65536 - 1
_LOCKS = tuple(threading.RLock() for _ in range(64))
"""By inode, and of all shares, which may have the same files."""
_POINTER = 96
"""Bytes beyond which a stream is worth moving out of its xattr: the name of its file takes half of them."""
_UNIT = 8
_NO_ROOM = frozenset({errno.ENOSPC, errno.E2BIG, errno.ERANGE, errno.EDQUOT})


class Kept(NamedTuple):
    """A stream that is there: its name as made, and the name of its file where it is kept in one."""

    name: str
    elsewhere: str = ""


class _Seen(NamedTuple):
    """What the xattrs of a file say: its streams, and those xattrs that name a file which is not part of it."""

    kept: list[Kept]
    strays: list[str]


class Streams:
    """The streams of one share's files. Files are given by O_PATH descriptors."""

    def __init__(self, root: int, end_in_nul: bool) -> None:
        self._end = b"\0" if end_in_nul else b""
        self._hidden = Hidden(root)

    def close(self) -> None:
        self._hidden.close()

    def lock(self, descriptor: int) -> "contextlib.AbstractContextManager[bool]":
        """Held over each look at a stream and what is done with it."""
        return _LOCKS[os.fstat(descriptor).st_ino % len(_LOCKS)]

    def find(self, descriptor: int, name: str) -> Kept | None:
        """The stream of that name, matched without case."""
        folded = names.fold(name)
        for kept in self._look(descriptor).kept:
            if names.fold(kept.name) == folded:
                return kept
        return None

    def all(self, descriptor: int) -> list[Stream]:
        """All named streams, but those whose file is not there."""
        found: list[Stream] = []
        for kept in self._look(descriptor).kept:
            with contextlib.suppress(FileNotFoundError):
                size = self.size(descriptor, kept)
                found.append(Stream(kept.name, size, allocation(size)))
        return found

    def make(self, descriptor: int, name: str) -> Kept:
        """A new, empty stream."""
        if len(names.on_disk(name)) > _LONGEST_NAME:
            raise Status(NT.OBJECT_NAME_INVALID, f"stream {name!r}")
        kept = Kept(name)
        self._clear(descriptor, name)
        self.with_room(descriptor, lambda: self._put(descriptor, kept, b""))
        return kept

    def remove(self, descriptor: int, kept: Kept) -> None:
        os.removexattr(inode.proc(descriptor), _xattr(kept))
        if kept.elsewhere:
            self._hidden.unlink(kept.elsewhere)

    def remove_all(self, descriptor: int) -> None:
        seen = self._look(descriptor)
        for kept in seen.kept:
            self.remove(descriptor, kept)
        for stray in seen.strays:
            os.removexattr(inode.proc(descriptor), stray)

    def rename(self, descriptor: int, kept: Kept, name: str) -> Kept:
        """Give a stream another name; what has that name is replaced."""
        if len(names.on_disk(name)) > _LONGEST_NAME:
            raise Status(NT.OBJECT_NAME_INVALID, f"stream {name!r}")
        path = inode.proc(descriptor)
        moved = Kept(name, kept.elsewhere)
        self._clear(descriptor, name)
        os.setxattr(path, _xattr(moved), os.getxattr(path, _xattr(kept)))
        os.removexattr(path, _xattr(kept))
        return moved

    def kept_elsewhere(self, descriptor: int) -> list[str]:
        """The files that hold streams of a file about to be removed, for `forget`."""
        return [kept.elsewhere for kept in self._look(descriptor).kept if kept.elsewhere]

    def forget(self, elsewhere: Sequence[str]) -> None:
        for name in elsewhere:
            self._hidden.unlink(name)

    # -- data -----------------------------------------------------------------------------------------------
    def size(self, descriptor: int, kept: Kept) -> int:
        if kept.elsewhere:
            with self._hidden.opened(kept.elsewhere) as file:
                return os.fstat(file).st_size
        return len(self._get(descriptor, kept))

    def read(self, descriptor: int, kept: Kept, into: memoryview, offset: int) -> int:
        if kept.elsewhere:
            with self._hidden.opened(kept.elsewhere) as file:
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
        with self._hidden.opened(kept.elsewhere) as file:
            data.write(file, parts, offset, through=False)
        return kept

    def resize(self, descriptor: int, kept: Kept, size: int) -> Kept:
        """Cut or lengthen; the stream as it is kept from now on."""
        if not kept.elsewhere and size <= _MOST_IN_XATTR:
            value = self._get(descriptor, kept)[:size]
            if self._fits(descriptor, kept, value + bytes(size - len(value))):
                return kept
        kept = self._moved(descriptor, kept)
        with self._hidden.opened(kept.elsewhere) as file:
            os.ftruncate(file, size)
        return kept

    def flush(self, descriptor: int, kept: Kept) -> None:
        """Data, and the xattrs that name it, to stable storage."""
        if kept.elsewhere:
            with self._hidden.opened(kept.elsewhere) as file:
                os.fdatasync(file)
        with contextlib.suppress(PermissionError), DESCRIPTIONS.alone(descriptor):
            readable = os.open(inode.proc(descriptor), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                os.fsync(readable)
            finally:
                os.close(readable)

    # -- how it lies on disk --------------------------------------------------------------------------------
    def _look(self, descriptor: int) -> _Seen:
        path, identity = inode.proc(descriptor), ""
        seen = _Seen([], [])
        for xattr in inode.xattrs(path):
            if xattr.startswith(PREFIX) and xattr.endswith(SUFFIX):
                seen.kept.append(Kept(_shown(xattr[len(PREFIX) : -len(SUFFIX)])))
            elif xattr.startswith(ELSEWHERE):
                identity = identity or self._hidden.identity(descriptor)
                name = os.getxattr(path, xattr).decode("ascii", "replace")
                if is_of(name, identity):
                    seen.kept.append(Kept(_shown(xattr[len(ELSEWHERE) :]), name))
                else:
                    seen.strays.append(xattr)
        return seen

    def _clear(self, descriptor: int, name: str) -> None:
        """Take away strays of that name."""
        folded = names.fold(name)
        for stray in self._look(descriptor).strays:
            if names.fold(_shown(stray[len(ELSEWHERE) :])) == folded:
                os.removexattr(inode.proc(descriptor), stray)

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
        elsewhere, file = self._hidden.make(descriptor)
        moved = Kept(kept.name, elsewhere)
        try:
            data.write(file, [self._get(descriptor, kept)], 0, through=False)
            self._replace(descriptor, kept, moved)
        except BaseException:
            self._hidden.unlink(elsewhere)
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
        kept = self._look(descriptor).kept
        inside = {each: len(os.getxattr(path, _xattr(each))) for each in kept if not each.elsewhere}
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


def allocation(size: int) -> int:
    """Bytes that a stream of `size` takes, in the units of NTFS's small ones."""
    return (size + _UNIT - 1) // _UNIT * _UNIT


def _xattr(kept: Kept) -> str:
    name = os.fsdecode(names.on_disk(kept.name))
    return ELSEWHERE + name if kept.elsewhere else PREFIX + name + SUFFIX


def _shown(name: str) -> str:
    return names.from_disk(os.fsencode(name))
