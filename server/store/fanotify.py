"""The kernel's fanotify on directories: what is done to the names in them, and by which process.

That it names the process is why it is this and not inotify: what the server itself does is told apart without
guessing. A rename is one event with both names (from Linux 5.17 on; before that two events that say nothing of each
other). It needs Linux 5.13, as root 5.9, and a file system with file handles. The kernel merges events of one process
about one name that nobody has read yet, so an event may say several things, and not in which order.

A directory is known by its handle. What happens to one itself is told with the name "." in it, also where only the
directory above it is marked. Calls raise OSError as those of `os` do.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from .inode import proc

MODIFY = 0x2
ATTRIB = 0x4
MOVED_FROM = 0x40
MOVED_TO = 0x80
CREATE = 0x100
DELETE = 0x200
OVERFLOW = 0x4000
RENAME = 0x10000000
ON_DIRECTORY = 0x40000000

_EVENT_ON_CHILD = 0x08000000
_CLOEXEC_NONBLOCK = 0x3
_REPORT_DIRECTORY_AND_NAME = 0xC00
_REPORT_FILE = 0x200
_REPORT_WHAT_IS_NAMED = 0x1200
"""Linux 5.17; then events about one name are merged only where they are about the same file, too."""
_MARK_ADD, _MARK_REMOVE, _MARK_ONLY_DIRECTORIES = 0x1, 0x2, 0x8
_AT_FDCWD, _AT_EMPTY_PATH, _AT_HANDLE_FID = -100, 0x1000, 0x200

_NAMES = CREATE | DELETE | MODIFY | ATTRIB | ON_DIRECTORY | _EVENT_ON_CHILD
_BUFFER = 64 << 10
_HEAD = struct.Struct("=IBBHQii")
_RECORD = struct.Struct("=BBH")
_HANDLE = struct.Struct("=Ii")
_LARGEST_HANDLE = 128
_FILE, _NAME, _OLD_NAME, _NEW_NAME = 1, 2, 10, 12
"""Kinds of record: a handle alone, or with a name."""

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.fanotify_mark.argtypes = [ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p]


class Name(NamedTuple):
    """A name in the directory that has this handle."""

    directory: bytes
    name: bytes


class Event(NamedTuple):
    mask: int
    process: int
    """Its id; 0 for another's, where the kernel does not say which."""
    at: Name | None
    """Where it happened; for a rename where the file is now, None where nothing is marked."""
    old: Name | None = None
    file: bytes | None = None
    """The handle of what is named, where the kernel says that."""


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


class Group:
    """Marks and their events. Not to be closed while another thread is in a call of it."""

    def __init__(self, names: bool = True) -> None:
        """`names`: of directories, with the names in them; else of files, which events name by handle."""
        flags = _CLOEXEC_NONBLOCK | _REPORT_DIRECTORY_AND_NAME
        if not names:
            self.descriptor = _check(_LIBC.fanotify_init(_CLOEXEC_NONBLOCK | _REPORT_FILE, os.O_RDONLY))
            return
        self.descriptor = _LIBC.fanotify_init(flags | _REPORT_WHAT_IS_NAMED, os.O_RDONLY)
        if self.descriptor < 0:
            self.descriptor = _check(_LIBC.fanotify_init(flags, os.O_RDONLY))
        self._mask = _NAMES | RENAME

    def mark(self, directory: int) -> None:
        """Hear of the names in `directory`, a descriptor."""
        try:
            self._change(_MARK_ADD, directory)
        except OSError as error:
            if error.errno != errno.EINVAL or not self._mask & RENAME:
                raise
            self._mask = _NAMES | MOVED_FROM | MOVED_TO
            self._change(_MARK_ADD, directory)

    def unmark(self, directory: int) -> None:
        self._change(_MARK_REMOVE, directory)

    def _change(self, how: int, directory: int) -> None:
        self._do(how | _MARK_ONLY_DIRECTORIES, directory, self._mask)

    def mark_file(self, file: int, mask: int) -> None:
        """Hear of what `mask` says of one open file."""
        self._do(_MARK_ADD, file, mask)

    def unmark_file(self, file: int, mask: int) -> None:
        self._do(_MARK_REMOVE, file, mask)

    def _do(self, how: int, file: int, mask: int) -> None:
        _check(_LIBC.fanotify_mark(self.descriptor, how, mask, _AT_FDCWD, proc(file).encode()))

    def read(self) -> list[Event]:
        """What has happened since; [] where nothing has."""
        try:
            return list(parse(os.read(self.descriptor, _BUFFER)))
        except BlockingIOError:
            return []

    def close(self) -> None:
        os.close(self.descriptor)


def handle_of(directory: int) -> bytes:
    """The handle by which events name `directory`, or a file, its file system's number before it."""
    raw = ctypes.create_string_buffer(_HANDLE.pack(_LARGEST_HANDLE, 0), _HANDLE.size + _LARGEST_HANDLE)
    mount = ctypes.c_int()
    for flags in (_AT_EMPTY_PATH, _AT_EMPTY_PATH | _AT_HANDLE_FID):
        if _LIBC.name_to_handle_at(directory, b"", raw, ctypes.byref(mount), flags) == 0:
            break
    else:
        _check(-1)
    length, _ = _HANDLE.unpack_from(raw)
    file_system: int = os.fstatvfs(directory).f_fsid
    return file_system.to_bytes(8, "little") + raw.raw[: _HANDLE.size + length]


def open_handle(near: int, handle: bytes) -> int:
    """A descriptor of the directory with this handle, on the file system that `near` is open on. Root's alone."""
    raw = ctypes.create_string_buffer(handle[8:])
    return _check(_LIBC.open_by_handle_at(near, raw, os.O_PATH | os.O_CLOEXEC))


def parse(data: bytes) -> Iterator[Event]:
    """The events in what was read."""
    at = 0
    while at + _HEAD.size <= len(data):
        length, _, _, head, mask, _, process = _HEAD.unpack_from(data, at)
        if length < _HEAD.size:
            return
        found = dict(_records(data[at + head : at + length]))
        file = found.get(_FILE)
        at_name = found.get(_NAME) or found.get(_NEW_NAME)
        yield Event(mask, process, at_name, found.get(_OLD_NAME), file.directory if file is not None else None)
        at += length


def _records(data: bytes) -> Iterator[tuple[int, Name]]:
    """What an event names: a kind, and a name in a directory."""
    at = 0
    while at + _RECORD.size <= len(data):
        kind, _, length = _RECORD.unpack_from(data, at)
        if length < _RECORD.size:
            return
        if kind in (_FILE, _NAME, _OLD_NAME, _NEW_NAME):
            handle = at + _RECORD.size
            size, _ = _HANDLE.unpack_from(data, handle + 8)
            end = handle + 8 + _HANDLE.size + size
            yield kind, Name(data[handle:end], data[end : at + length].split(b"\0", 1)[0])
        at += length
