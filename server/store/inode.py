"""One file as the system knows it, through an O_PATH descriptor: what it is, its extended attributes, its times.

Linux answers neither xattrs nor chmod on such a descriptor itself but does through its name under /proc/self/fd,
which names the open file and not whatever has its path by now.
"""

import errno
import os
import stat as modes
from typing import Final

from ..filetime import from_ns
from . import attributes, syscalls
from .attributes import NOTHING, Stored
from .base import Kind, Stat

REPARSE = "user.smbdirect.REPARSE"
"""Reparse data other than a symbolic link's."""
_ABSENT: Final = frozenset({errno.ENODATA, errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ERANGE})
_FORMAT = 0o170000
_KINDS = {modes.S_IFREG: Kind.FILE, modes.S_IFDIR: Kind.DIRECTORY, modes.S_IFLNK: Kind.SYMLINK}
_OWN = frozenset({attributes.XATTR, REPARSE, "user.NTACL"})
_OWN_PREFIXES = ("user.DosStream.", "user.smbdirect.")


def proc(descriptor: int) -> str:
    """A path that means the open file."""
    return f"/proc/self/fd/{descriptor}"


def xattr(path: str, name: str, follow: bool = True) -> bytes | None:
    """A value, or None where it is absent or may not be read."""
    try:
        return os.getxattr(path, name, follow_symlinks=follow)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise


def xattrs(path: str, follow: bool = True) -> list[str]:
    """The names of all that the system shows; none where the file system keeps none."""
    try:
        return os.listxattr(path, follow_symlinks=follow)
    except OSError as error:
        if error.errno in _ABSENT:
            return []
        raise


def keeps_xattrs(path: str) -> bool:
    """Whether the file system has xattrs of users."""
    try:
        os.getxattr(path, attributes.XATTR)
    except OSError as error:
        return error.errno != errno.ENOTSUP
    return True


def is_own(name: str) -> bool:
    """Whether the xattr `name` is one that the store, Samba or ksmbd keeps its own things in."""
    return name in _OWN or name.startswith(_OWN_PREFIXES)


def is_ea(name: str) -> bool:
    """Whether the xattr `name` is a client's extended attribute."""
    return name.startswith("user.") and not is_own(name)


class Inode:
    """What was found at one moment. Its xattrs are reached by `path`: that of a descriptor under /proc, which is a
    link to be followed, or that of a name, which is not."""

    __slots__ = ("_born", "_ea_size", "_tag", "follow", "kind", "path", "status", "stored", "xattrs")

    def __init__(
        self, status: os.stat_result, path: str, follow: bool, xattrs: list[str], stored: Stored = NOTHING
    ) -> None:
        self.status = status
        self.kind: Kind = _KINDS.get(status.st_mode & _FORMAT, Kind.OTHER)
        self.path = path
        self.follow = follow
        self.xattrs = xattrs
        self.stored = stored
        self._born: int | None = None
        self._ea_size: int | None = None
        self._tag: int | None = None

    @classmethod
    def read(cls, status: os.stat_result, path: str, follow: bool) -> "Inode":
        """With what is stored about its attributes."""
        if modes.S_ISLNK(status.st_mode):
            return cls(status, path, follow, [])
        names = xattrs(path, follow)
        value = xattr(path, attributes.XATTR, follow) if attributes.XATTR in names else None
        return cls(status, path, follow, names, attributes.unpack(value) if value is not None else NOTHING)

    @classmethod
    def of(cls, descriptor: int) -> "Inode":
        """What an O_PATH descriptor names."""
        return cls.read(os.fstat(descriptor), proc(descriptor), True)

    @classmethod
    def bare(cls, descriptor: int) -> "Inode":
        """The same without what is stored about its attributes."""
        path = proc(descriptor)
        return cls(os.fstat(descriptor), path, True, xattrs(path))

    def now(self, status: os.stat_result, descriptor: int) -> "Inode":
        """The same file with the size and times it has by now, where nothing else of it has changed."""
        found = Inode(status, proc(descriptor), True, self.xattrs, self.stored)
        found._born, found._ea_size, found._tag = self._born, self._ea_size, self._tag
        return found

    def attributes(self) -> int:
        """FILE_ATTRIBUTE_* that are stored, and those that say what it is."""
        kind = self.kind
        value = self.stored.attributes
        if value is None:
            value = attributes.ARCHIVE if kind is Kind.FILE else 0
        if kind is Kind.DIRECTORY:
            value |= attributes.DIRECTORY
        if kind is Kind.SYMLINK or REPARSE in self.xattrs:
            value |= attributes.REPARSE_POINT
        return value or attributes.NORMAL

    def created(self, descriptor: int | None) -> int:
        """FILETIME: as stored, as the file system knows, else the oldest time there is."""
        if self.stored.created is not None:
            return self.stored.created
        if self._born is None:
            born = syscalls.birth(descriptor) if descriptor is not None else syscalls.birth_at(self.path)
            if born is None:
                born = min(self.status.st_mtime_ns, self.status.st_ctime_ns, self.status.st_atime_ns)
            self._born = from_ns(born)
        return self._born

    def stat(self, descriptor: int | None = None, hidden: bool = False) -> Stat:
        """As queries see it; `hidden` adds that attribute."""
        status = self.status
        kind = self.kind
        flags = self.attributes()
        if hidden:
            flags = (flags | attributes.HIDDEN) & ~attributes.NORMAL
        plain = kind is Kind.FILE
        return Stat(
            device=status.st_dev,
            inode=status.st_ino,
            kind=kind,
            mode=status.st_mode,
            uid=status.st_uid,
            gid=status.st_gid,
            links=status.st_nlink if plain else 1,
            size=status.st_size if plain else 0,
            allocation=self.allocation() if plain else 0,
            created=self.created(descriptor),
            accessed=from_ns(status.st_atime_ns),
            modified=from_ns(status.st_mtime_ns),
            changed=from_ns(status.st_ctime_ns),
            attributes=flags,
            ea_size=self.ea_size(),
            reparse_tag=self.reparse_tag() if flags & attributes.REPARSE_POINT else 0,
        )

    def allocation(self) -> int:
        """Bytes that the data takes. The one block that ext4 adds for xattrs is no room for an empty file's data."""
        status = self.status
        size = status.st_blocks * 512
        return 0 if not status.st_size and self.xattrs and size <= status.st_blksize else size

    def ea_size(self) -> int:
        """Bytes that the EAs take as FILE_FULL_EA_INFORMATION without their paddings, 0 where there are none."""
        if len(self.xattrs) <= (attributes.XATTR in self.xattrs):
            return 0
        if self._ea_size is None:
            self._ea_size = self._sum_of_eas()
        return self._ea_size

    def _sum_of_eas(self) -> int:
        total = 0
        for name in self.xattrs:
            if is_ea(name):
                value = xattr(self.path, name, self.follow)
                if value:
                    total += 4 + len(name) - len("user.") + 1 + len(value)
        return total + 4 if total else 0

    def reparse_tag(self) -> int:
        if self.kind is Kind.SYMLINK:
            return 0xA000000C
        if self._tag is None:
            value = xattr(self.path, REPARSE, self.follow) or b""
            self._tag = int.from_bytes(value[:4], "little")
        return self._tag


def store_attributes(path: str, flags: int, created: int) -> None:
    """Keep attributes and creation time; does nothing where the file system keeps no xattrs."""
    try:
        os.setxattr(path, attributes.XATTR, attributes.pack(flags, created))
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.ENOSPC):
            raise
