"""Times and attributes of a file, set through its name under /proc.

Linux lets only an owner set times, and only one who may write set an xattr; Windows lets whoever holds
FILE_WRITE_ATTRIBUTES, which the command core has checked. So an owner, and one who may write, is helped by the
service's own identity where the system refuses.
"""

import os
import stat
from collections.abc import Callable
from typing import NamedTuple

from .. import filetime
from ..status import NT, Status
from . import attributes, inode, syscalls
from .base import Kind
from .inode import Inode
from .threads import as_service


class Basic(NamedTuple):
    """What SET_INFO's FileBasicInformation changes; None is left as it is. Times are FILETIMEs."""

    created: int | None = None
    accessed: int | None = None
    modified: int | None = None
    attributes: int | None = None


def write(descriptor: int, uid: int, wanted: Basic) -> None:
    """Set what `wanted` says on an open file, for the user `uid`."""
    found = Inode.of(descriptor)
    path = found.path
    if wanted.created is not None or wanted.attributes is not None:
        if found.kind in (Kind.SYMLINK, Kind.OTHER):
            if wanted.attributes is not None and wanted.accessed is None and wanted.modified is None:
                raise Status(NT.NOT_SUPPORTED, "Linux keeps no user xattrs on links and special files")
        else:
            _helped(found, uid, lambda: _store(found, descriptor, wanted))
    if wanted.accessed is not None or wanted.modified is not None:
        times = (
            found.status.st_atime_ns if wanted.accessed is None else filetime.to_ns(wanted.accessed),
            found.status.st_mtime_ns if wanted.modified is None else filetime.to_ns(wanted.modified),
        )
        _helped(found, uid, lambda: os.utime(path, ns=times))


def _store(found: Inode, descriptor: int, wanted: Basic) -> None:
    kept = found.attributes()
    flags = kept if wanted.attributes is None else wanted.attributes & attributes.SETTABLE | kept & ~attributes.SETTABLE
    created = found.created(descriptor) if wanted.created is None else wanted.created
    inode.store_attributes(found.path, flags, created)


def sparse(descriptor: int, uid: int, wanted: bool) -> None:
    """Remember that the file is sparse, or is not."""
    found = Inode.of(descriptor)
    if found.kind is not Kind.FILE:
        raise Status(NT.INVALID_PARAMETER, "only a file can be sparse")
    flags = found.attributes() & ~attributes.SPARSE_FILE | (attributes.SPARSE_FILE if wanted else 0)
    _helped(found, uid, lambda: inode.store_attributes(found.path, flags, found.created(descriptor)))


def _helped(found: Inode, uid: int, change: Callable[[], None]) -> None:
    """Do `change`; where the system refuses it to an owner or one who may write, as the service."""
    try:
        change()
    except PermissionError:
        owns = found.status.st_uid == uid
        if not owns and (stat.S_ISLNK(found.status.st_mode) or not syscalls.may_open(found.path, os.O_WRONLY)):
            raise
        with as_service():
            change()
