"""The security descriptor of a file: the one stored with it, else what its owner and mode say."""

import os
import stat

from server.security import descriptors

from . import inode


def of(status: os.stat_result, path: str, xattrs: list[str]) -> bytes:
    """The self-relative descriptor of the file that `path` and its xattrs' names belong to."""
    return descriptors.from_mode(
        status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), stat.S_ISDIR(status.st_mode)
    )


def of_directory(descriptor: int) -> bytes:
    """The descriptor of an open directory."""
    path = inode.proc(descriptor)
    return of(os.fstat(descriptor), path, os.listxattr(path))
