"""`PosixStore`: a directory of this machine as a share."""

import os

from . import inode
from .base import Found, Identity, Path, Shape, Stat, Store, Wanted
from .file import PosixFile
from .inode import Inode
from .namecache import NameCache
from .opening import find_or_make
from .options import Options
from .resolve import Resolver
from .volume import Volumes


class PosixStore(Store):
    """The tree under `root`, which is opened once: it may be moved while it is served."""

    def __init__(self, root: str, options: Options) -> None:
        self.options = options
        self.threads = options.threads
        self.volumes = Volumes()
        self.resolver = Resolver(root, NameCache(options.names_remembered))

    async def open(self, who: Identity, wanted: Wanted) -> Found:
        return await self.threads.run(who, self._open, who, wanted, undo=_abandon)

    def _open(self, who: Identity, wanted: Wanted) -> Found:
        opened = find_or_make(self.resolver, self.options, who, wanted)
        try:
            stat = self.stat_of(opened.inode, opened.descriptor, wanted.path)
            return Found(PosixFile(self, who, opened), stat, opened.made, opened.acl, opened.parent)
        except BaseException:
            os.close(opened.descriptor)
            raise

    def stat_of(self, seen: Inode, descriptor: int, path: Path | None = None) -> Stat:
        """As queries see it."""
        hidden = bool(path and path[-1][0] == "." and self.options.hide_dot_files)
        return seen.stat(descriptor, hidden)

    async def lookup(self, who: Identity, path: Path, stream: str = "") -> Stat | None:
        return await self.threads.run(who, self._lookup, path, stream)

    def _lookup(self, path: Path, stream: str) -> Stat | None:
        if not path:
            descriptor = self.resolver.directory(())
        else:
            place = self.resolver.place(path)
            try:
                found = self.resolver.child(place.directory, path[-1])
            finally:
                place.close()
            if found is None:
                return None
            descriptor = found[0]
        try:
            return self.stat_of(Inode.of(descriptor), descriptor, path)
        finally:
            os.close(descriptor)

    async def shape(self, who: Identity) -> Shape:
        return await self.threads.run(who, self._shape)

    def _shape(self) -> Shape:
        volume = os.statvfs(inode.proc(self.resolver.root))
        status = os.fstat(self.resolver.root)
        unit = volume.f_frsize or volume.f_bsize
        return Shape(
            total=volume.f_blocks * unit,
            free=volume.f_bfree * unit,
            available=volume.f_bavail * unit,
            block=unit,
            name_max=volume.f_namemax,
            serial=(status.st_dev ^ status.st_dev >> 32) & 0xFFFFFFFF,
            created=Inode.of(self.resolver.root).created(self.resolver.root),
            sparse=True,
            streams=True,
            eas=True,
            acls=True,
            reflink=False,
            read_only=self.options.read_only or bool(volume.f_flag & os.ST_RDONLY),
        )

    async def close(self) -> None:
        self.resolver.close()


def _abandon(found: Found) -> None:
    """Give back what was opened for a caller that is no longer there."""
    assert isinstance(found.file, PosixFile)
    found.file.abandon()
