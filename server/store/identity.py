"""What tells a file from all others, and where the file is that was called so: for opens that outlive the server.

Inode number and time of birth, and the handle by which the kernel finds it where the file system has handles: in that
lies the inode's generation, so that a number that was given to another file is seen. None of them can be chosen by a
user. Only root may open a file by its handle; for others a file that was renamed meanwhile is lost.
"""

import os
import struct

from ..status import NT, Status
from . import fanotify, naming, syscalls
from .base import Path
from .resolve import Resolver

_FIXED = struct.Struct("<QQ")
"""Inode number, and ns since 1970, 0 where the file system knows no births."""
_VOLUME = 8
"""Bytes before a handle that say which file system it is of; some count that anew at each mount."""


def identity(descriptor: int) -> bytes:
    """Of an open file."""
    try:
        handle = fanotify.handle_of(descriptor)[_VOLUME:]
    except OSError:
        handle = b""
    return _FIXED.pack(os.fstat(descriptor).st_ino, syscalls.birth(descriptor) or 0) + handle


def locate(resolver: Resolver, wanted: bytes, path: Path) -> Path:
    """Where it is under the root, `path` being where it was. Raises Status. To be called as the service."""
    for look in (_by_name, _by_handle):
        descriptor = look(resolver, wanted, path)
        if descriptor is None:
            continue
        try:
            if identity(descriptor) == wanted:
                return naming.where(resolver, descriptor)
        finally:
            os.close(descriptor)
    raise Status(NT.OBJECT_NAME_NOT_FOUND, "it has gone, or is another file")


def _by_name(resolver: Resolver, wanted: bytes, path: Path) -> int | None:
    if not path:
        return resolver.directory(())
    try:
        place = resolver.place(path)
    except (Status, OSError):
        return None
    try:
        found = resolver.child(place.directory, path[-1])
    finally:
        place.close()
    return found[0] if found is not None else None


def _by_handle(resolver: Resolver, wanted: bytes, path: Path) -> int | None:
    handle = wanted[_FIXED.size :]
    if not handle:
        return None
    near = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=resolver.root)
    try:
        return fanotify.open_handle(near, bytes(_VOLUME) + handle)
    except OSError:
        return None
    finally:
        os.close(near)
