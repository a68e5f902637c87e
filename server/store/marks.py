"""Marks of the CREATEs that made or cut a file, kept with it until that is on disk elsewhere too: so a CREATE that is
repeated after the server was killed in the middle of it knows its own doing.

A new file has its mark before it has its name, so there is none without: it is made without one (O_TMPFILE) and linked.
Where the file system cannot do that the mark comes right after the name. Without xattrs there are no marks.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

from . import inode
from .threads import as_service

XATTR = "user.smbdirect.CREATE"
_SAFE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_UNKNOWN = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL, errno.EPERM, errno.EXDEV})
"""Where there are no files without a name, or they can be given none."""
_NO_MARK = frozenset({
    errno.ENOTSUP, errno.ENOSPC, errno.EDQUOT, errno.E2BIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENODATA
})  # fmt: skip
"""Where a file goes without one: also one that a server that is not root may not write."""
_OWNERS = stat.S_IRUSR | stat.S_IWUSR


def put(descriptor: int, mark: bytes) -> None:
    """Leave `mark`, where the file can have one, instead of one that is there; b"" takes that away."""
    path = inode.proc(descriptor)
    try:
        with as_service():
            if mark:
                os.setxattr(path, XATTR, mark)
            else:
                os.removexattr(path, XATTR)
    except OSError as error:
        if error.errno not in _NO_MARK:
            raise


def get(descriptor: int) -> bytes:
    """The mark, or b""."""
    with as_service():
        return inode.xattr(inode.proc(descriptor), XATTR) or b""


def make(directory: int, name: bytes, mode: int, mark: bytes) -> int:
    """A new file with a mark, open for reading and writing. Raises FileExistsError where the name is there."""
    if mode & _OWNERS == _OWNERS:  # else it could be opened once only
        with contextlib.suppress(NotImplementedError):
            return _make_unnamed(directory, name, mode, mark)
    descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | _SAFE, mode, dir_fd=directory)
    try:
        put(descriptor, mark)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _make_unnamed(directory: int, name: bytes, mode: int, mark: bytes) -> int:
    """Raises NotImplementedError where files have to be made by name."""
    with _where_known():
        unnamed = os.open(".", os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, mode, dir_fd=directory)
    try:
        put(unnamed, mark)
        with _where_known():
            os.link(inode.proc(unnamed), name, dst_dir_fd=directory, follow_symlinks=True)
        descriptor = os.open(name, os.O_RDWR | _SAFE, dir_fd=directory)  # the first one never learns its name
        if os.path.sameopenfile(descriptor, unnamed):
            return descriptor
        os.close(descriptor)
        raise FileExistsError(errno.EEXIST, "replaced as soon as it was there", name)
    finally:
        os.close(unnamed)


@contextlib.contextmanager
def _where_known() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _UNKNOWN:
            raise NotImplementedError from None
        raise
