"""Extended attributes as Samba and ksmbd keep them: EA `NAME` is the xattr `user.NAME`, its value as it is.

Names are matched without case; an EA keeps the spelling it was made with. Those under which the store keeps its own
things can be neither seen nor set. The NEED_EA flag has no place in an xattr and is not kept.
"""

import errno
import os
from collections.abc import Sequence

from ..status import NT, Status
from . import inode
from .base import Ea

_PREFIX = "user."
_LONGEST_NAME = 255 - len(_PREFIX)


def read(path: str) -> list[Ea]:
    """All EAs of the file at `path` (its name under /proc)."""
    found: list[Ea] = []
    for name in _names(path):
        value = inode.xattr(path, name)
        if value:
            found.append(Ea(os.fsencode(name)[len(_PREFIX) :], value))
    return found


def write(path: str, eas: Sequence[Ea]) -> None:
    """Set or, where the value is empty, remove each."""
    if not eas:
        return
    present = {_folded(name): name for name in _names(path)}
    for ea in eas:
        name = _name(ea)
        there = present.get(_folded(name))
        if ea.value:
            _set(path, there or name, ea.value)
            present.setdefault(_folded(name), name)
        elif there is not None:
            os.removexattr(path, there)
            del present[_folded(name)]


def clear(path: str) -> None:
    """Remove all."""
    for name in _names(path):
        os.removexattr(path, name)


def _names(path: str) -> list[str]:
    return [name for name in inode.xattrs(path) if inode.is_ea(name)]


def _folded(name: str) -> str:
    return name.upper()


def _name(ea: Ea) -> str:
    if not ea.name or len(ea.name) > _LONGEST_NAME or b"\0" in ea.name:
        raise Status(NT.INVALID_EA_NAME, repr(ea.name))
    name = _PREFIX + os.fsdecode(ea.name)
    if inode.is_own(name):
        raise Status(NT.ACCESS_DENIED, f"{name} is the server's own")
    return name


def _set(path: str, name: str, value: bytes) -> None:
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.E2BIG, errno.ERANGE):
            raise Status(NT.EA_TOO_LARGE, f"{len(value)} bytes") from error
        if error.errno == errno.ENOTSUP:
            raise Status(NT.EAS_NOT_SUPPORTED, "the file system keeps none") from error
        raise
