"""Reparse points on disk: a symbolic link for IO_REPARSE_TAG_SYMLINK, the xattr `inode.REPARSE` for any other tag.

A file or empty directory that becomes a symbolic link, or stops being one, is replaced under its name by another
inode: callers go on with the descriptor they are given. The name is verified to be the file's first. A file with
data does not become a link: that would be lost.
"""

import os
import secrets
import stat

from ..status import NT, Status
from . import inode, reparse
from .naming import held_place
from .resolve import Place, Resolver

_ANCHOR = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def read(descriptor: int) -> bytes:
    """The reparse data buffer of an open file."""
    if stat.S_ISLNK(os.fstat(descriptor).st_mode):
        return reparse.symlink(os.readlink(b"", dir_fd=descriptor))
    data = inode.xattr(inode.proc(descriptor), inode.REPARSE)
    if data is None:
        raise Status(NT.NOT_A_REPARSE_POINT)
    return data


def write(resolver: Resolver, descriptor: int, data: bytes) -> int | None:
    """Make an open file a reparse point; a new descriptor where it had to be replaced."""
    tag = reparse.tag_of(data)
    present = _tag(descriptor)
    if present not in (0, tag):
        raise Status(reparse.TAG_MISMATCH, f"{present:#x} is there")
    status = os.fstat(descriptor)
    mode = status.st_mode
    if stat.S_ISDIR(mode) and not _is_empty(descriptor):
        raise Status(NT.DIRECTORY_NOT_EMPTY, "a directory with entries")
    if tag != reparse.TAG_SYMLINK:
        os.setxattr(inode.proc(descriptor), inode.REPARSE, data)
        return None
    target = reparse.symlink_target(data)
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        raise Status(NT.NOT_SUPPORTED, "a special file")
    if stat.S_ISREG(mode) and status.st_size:
        raise Status(NT.NOT_SUPPORTED, "a file with data")
    with held_place(resolver, descriptor) as place:
        spare = _spare()
        os.symlink(target, spare, dir_fd=place.directory)
        return _take_place(place, spare, stat.S_ISDIR(mode))


def remove(resolver: Resolver, descriptor: int, tag: int, mode: int) -> int | None:
    """Make a reparse point with this tag a plain file or directory again; a new descriptor where it was a link."""
    present = _tag(descriptor)
    if present == 0:
        raise Status(NT.NOT_A_REPARSE_POINT)
    if present != tag:
        raise Status(reparse.TAG_MISMATCH, f"{present:#x} is there")
    if present != reparse.TAG_SYMLINK:
        os.removexattr(inode.proc(descriptor), inode.REPARSE)
        return None
    with held_place(resolver, descriptor) as place:
        spare = _spare()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        os.close(os.open(spare, flags, mode, dir_fd=place.directory))
        return _take_place(place, spare, False)


def _take_place(place: Place, spare: bytes, directory: bool) -> int:
    """Let what was made as `spare` have the name; a descriptor of it."""
    try:
        made = os.open(spare, _ANCHOR, dir_fd=place.directory)
        try:
            if directory:
                os.rmdir(place.name, dir_fd=place.directory)
            os.rename(spare, place.name, src_dir_fd=place.directory, dst_dir_fd=place.directory)
        except BaseException:
            os.close(made)
            raise
    except BaseException:
        os.unlink(spare, dir_fd=place.directory)
        raise
    return made


def _spare() -> bytes:
    """A name that no client can see, for a moment."""
    return b".smbdirect:" + secrets.token_hex(8).encode()


def _tag(descriptor: int) -> int:
    if stat.S_ISLNK(os.fstat(descriptor).st_mode):
        return reparse.TAG_SYMLINK
    data = inode.xattr(inode.proc(descriptor), inode.REPARSE) or b""
    return int.from_bytes(data[:4], "little")


def _is_empty(descriptor: int) -> bool:
    readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=descriptor)
    try:
        with os.scandir(readable) as entries:
            return next(entries, None) is None
    finally:
        os.close(readable)
