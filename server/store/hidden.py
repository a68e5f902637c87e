"""The files that hold large streams: those of the directory `NAME` in a share's root, which no client can see or name,
for its name holds a colon.

Directory and files are the service's alone to reach (mode 0700), but what says which file holds a stream is an xattr
of the stream's own file, and its owner may write that, or copy it from another's. So each file here bears in its name
which file it is part of: inode number, time of birth and, on another file system than the share's root, that one's
id, none of which a user can choose. What names a file that is not its own names nothing. The random rest keeps who
gets a removed file's inode number, where the file system knows no births, from guessing what that has left behind.

The files belong to the owners of the files they are part of, so quotas count them.
"""

import contextlib
import os
import secrets
import threading
from collections.abc import Iterator

from ..status import NT, Status
from . import inode, syscalls

NAME = ".smbdirect:streams"
_RANDOM = 8
"""Bytes; two hexadecimal digits each in a name."""


class Hidden:
    """The directory of one share, made with its first file. Its callers act as the service."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._device = os.fstat(root).st_dev
        self._descriptor = -1
        self._lock = threading.Lock()

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def identity(self, descriptor: int) -> str:
        """What the names of files begin with that are part of an open file: the same under all its names and owners,
        and after a restart."""
        status = os.fstat(descriptor)
        near = status.st_dev == self._device
        volume = "" if near else f"{os.statvfs(inode.proc(descriptor)).f_fsid:x}"
        return f"{status.st_ino:x}.{syscalls.birth(descriptor) or 0:x}.{volume}."

    def make(self, descriptor: int) -> tuple[str, int]:
        """A new, empty file that is part of an open one: its name, and a descriptor."""
        name = self.identity(descriptor) + secrets.token_hex(_RANDOM)
        owner = os.fstat(descriptor)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = os.open(name, flags, 0o600, dir_fd=self._directory(make=True))
        try:
            if os.geteuid() == 0:
                os.fchown(file, owner.st_uid, owner.st_gid)
        except BaseException:
            os.close(file)
            self.unlink(name)
            raise
        return name, file

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[int]:
        """Within: a descriptor of a file whose name `is_of` has judged."""
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        file = os.open(name, flags, dir_fd=self._directory())
        try:
            yield file
        finally:
            os.close(file)

    def unlink(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._directory())

    def _directory(self, make: bool = False) -> int:
        with self._lock:
            if self._descriptor < 0:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(NAME, 0o700, dir_fd=self._root)
                flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                found = os.open(NAME, flags, dir_fd=self._root)
                if os.fstat(found).st_uid != os.geteuid():  # its owner could look at and change what others keep there
                    os.close(found)
                    raise Status(NT.FILE_NOT_AVAILABLE, f"{NAME} is not the service's own")
                self._descriptor = found
            return self._descriptor


def is_of(name: str, identity: str) -> bool:
    """Whether `name`, which any local user may have written, is that of a file which is part of the one with this
    `identity`."""
    random = name.removeprefix(identity)
    return name.startswith(identity) and len(random) == 2 * _RANDOM and set(random) <= set("0123456789abcdef")
