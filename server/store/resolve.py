"""From a path to descriptors, never leaving the share's root.

The root is held open; every path is walked beneath it by the kernel in one call (openat2 with RESOLVE_BENEATH and
RESOLVE_NO_SYMLINKS), or, where that call is missing or a name is spelled in another case, a component at a time
with O_NOFOLLOW. Components are checked before use, so none is "..", and no symbolic link is ever followed:
one before the last name ends the walk with STOPPED_ON_SYMLINK, and one as last name is opened itself.

Descriptors here are O_PATH: they name a file without opening it, so a FIFO or device does nothing.
"""

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

from ..status import NT, Status
from . import names, reparse, shortnames, syscalls
from .base import Path
from .namecache import NameCache

ANCHOR = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
DIRECTORY = ANCHOR | os.O_DIRECTORY
BENEATH = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_MAGICLINKS


@dataclass(slots=True)
class Place:
    """A directory, held open, and a name in it as it lies on disk. `close` it."""

    directory: int
    name: bytes
    borrowed: bool = False
    """Whether `directory` is the root's own descriptor."""

    def close(self) -> None:
        if not self.borrowed:
            os.close(self.directory)


class Resolver:
    """A share's root."""

    def __init__(
        self,
        root: str,
        cache: NameCache,
        openat2: bool | None = None,
        vetoed: Callable[[str], bool] | None = None,
    ) -> None:
        self.cache = cache
        self._vetoed = vetoed
        self.root = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        has = syscalls.has_openat2() if openat2 is None else openat2
        self._directory = syscalls.How(DIRECTORY, BENEATH) if has else None

    def close(self) -> None:
        os.close(self.root)

    def vetoes(self, path: Path) -> bool:
        """Whether any name of `path` is one that is not found."""
        return self._vetoed is not None and any(map(self._vetoed, path))

    def directory(self, path: Path, last: Path = ()) -> int:
        """A descriptor of the directory `path`, a new one; raises OBJECT_PATH_NOT_FOUND, and STOPPED_ON_SYMLINK,
        which tells what is left of the path behind the link, with `last` at its end."""
        if not path:
            return os.open(".", DIRECTORY, dir_fd=self.root)
        if self.vetoes(path):
            raise Status(NT.OBJECT_PATH_NOT_FOUND, "vetoed")
        spelled = b"/".join(map(names.check, path))
        if self._directory is not None:
            try:
                return self._directory.open(self.root, spelled)
            except OSError as error:
                if error.errno in (errno.EACCES, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EIO):
                    raise
        return self._walk(path, last)

    def place(self, path: Path) -> Place:
        """Where `path`'s last name is or would be, as it was spelled."""
        name = names.check(path[-1])
        if self._vetoed is not None and self._vetoed(path[-1]):
            raise Status(NT.OBJECT_NAME_NOT_FOUND, "vetoed")
        if len(path) == 1:
            return Place(self.root, name, borrowed=True)
        return Place(self.directory(path[:-1], path[-1:]), name)

    def place_on_disk(self, components: list[bytes]) -> Place:
        """The name at the end of a path as the kernel spells it."""
        *path, name = components
        if not path:
            return Place(self.root, name, borrowed=True)
        if self._directory is not None:
            return Place(self._directory.open(self.root, b"/".join(path)), name)
        here = os.open(".", DIRECTORY, dir_fd=self.root)
        for component in path:
            try:
                below = os.open(component, DIRECTORY, dir_fd=here)
            finally:
                os.close(here)
            here = below
        return Place(here, name)

    def child(self, directory: int, name: str) -> tuple[int, bytes] | None:
        """A descriptor of `name` in `directory`, matched without case where the exact name is absent and then by its
        8.3 name, and how it is spelled on disk; None where there is none."""
        raw = names.check(name)
        try:
            return os.open(raw, ANCHOR, dir_fd=directory), raw
        except FileNotFoundError:
            pass
        folded = names.fold(name)
        for _ in range(2):
            found = self.cache.find(directory, folded) or self._by_short_name(directory, folded)
            if found is None:
                return None
            try:
                return os.open(found, ANCHOR, dir_fd=directory), found
            except FileNotFoundError:
                self.cache.forget(directory)
        return None

    def _by_short_name(self, directory: int, folded: str) -> bytes | None:
        """How the file whose 8.3 name this is is spelled; what is vetoed is not found by another name either."""
        if not shortnames.may_be_computed(folded):
            return None
        found = self.cache.find_short(directory, folded)
        if found is not None and self._vetoed is not None and self._vetoed(names.from_disk(found)):
            return None
        return found

    def _walk(self, path: Path, last: Path) -> int:
        """`directory` a component at a time."""
        here = os.open(".", DIRECTORY, dir_fd=self.root)
        try:
            for index, name in enumerate(path):
                found = self.child(here, name)
                if found is None:
                    raise Status(NT.OBJECT_PATH_NOT_FOUND, name)
                os.close(here)
                here = found[0]
                mode = os.fstat(here).st_mode
                if stat.S_ISLNK(mode):
                    raise stopped(here, path[index + 1 :] + last)
                if not stat.S_ISDIR(mode):
                    raise Status(NT.OBJECT_PATH_NOT_FOUND, name)
        except BaseException:
            os.close(here)
            raise
        return here


def stopped(link: int, unparsed: Path) -> Status:
    """The refusal that tells a client of the symbolic link `link` on the way, `unparsed` being what follows it."""
    target = os.readlink(b"", dir_fd=link)
    rest = "".join("\\" + name for name in unparsed)
    return Status(NT.STOPPED_ON_SYMLINK, rest, reparse.symlink_error(target, rest))
