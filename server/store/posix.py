"""`PosixStore`: a directory of this machine as a share."""

import contextlib
import os
from collections.abc import Callable, Iterator

from ..status import Status
from . import inode, naming, watching
from .at_once import AtOnce
from .base import Found, Identity, Path, Stat, Store, Wanted
from .changes import ChangeTimes
from .file import PosixFile
from .following import Follower, Heard
from .identity import locate
from .inode import Inode
from .kernel_leases import patiently
from .known import Known
from .namecache import NameCache
from .opening import Opened, find_or_make
from .options import Options
from .promises import Promises
from .resolve import Resolver
from .shape import Shape
from .stream_file import open_stream
from .streams import Streams, allocation
from .threads import as_service
from .volume import Volumes

_PROMISES, _CHANGES = Promises(), ChangeTimes()
"""Of all shares, which may have the same files."""


class PosixStore(Store):
    """The tree under `root`, which is opened once: it may be moved while it is served."""

    shared_with_others = True

    def __init__(self, root: str, options: Options) -> None:
        self.options = options
        self.threads = options.threads
        self.volumes = Volumes()
        self.promises = _PROMISES
        self.changes = _CHANGES
        self.vetoed = options.vetoed()
        self.resolver = Resolver(root, NameCache(options.names_remembered), vetoed=self.vetoed)
        self.known = Known(self._telling_device(), several=self.threads.switches)
        self._at_once = AtOnce(self.resolver, self.threads, self.known)
        self.streams = Streams(self.resolver.root, not options.like_ksmbd)

    def _telling_device(self) -> int | None:
        """That of the root, where it tells of all that changes."""
        device = os.fstat(self.resolver.root).st_dev
        return device if self.volumes.tells_changes(device, self.resolver.root) else None

    @property
    def location(self) -> Path:
        return naming.location(self.resolver)

    def watch(self, heard: Heard, lost: Callable[[], None]) -> Follower | None:
        return watching.watch(self.resolver, self.threads, self.vetoed, heard, lost)

    async def open(self, who: Identity, wanted: Wanted) -> Found:
        return await patiently(lambda: self.threads.run(who, self._open, who, wanted, undo=_abandon))

    def open_nowait(self, who: Identity, wanted: Wanted) -> Found | None:
        opened = self._at_once.open(who, wanted)
        return self._found(who, wanted, opened) if opened is not None else None

    def _open(self, who: Identity, wanted: Wanted) -> Found:
        self.threads.introduce()
        return self._found(who, wanted, find_or_make(self.resolver, self.known, self.options, who, wanted))

    def _found(self, who: Identity, wanted: Wanted, opened: Opened) -> Found:
        try:
            if wanted.stream:
                with unmaking(self.resolver, self.streams, opened):
                    file, made = open_stream(self, who, opened, wanted)
                    with as_service():
                        stat = file.stat_now(wanted.path)
                    return Found(file, stat, made, opened.acl, opened.made, opened.parent)
            stat = self.stat_of(opened.inode, opened.descriptor, wanted.path)
            return Found(PosixFile(self, who, opened), stat, opened.made, opened.acl, opened.made, opened.parent)
        except BaseException:
            opened.close()
            raise

    def stat_of(self, seen: Inode, descriptor: int, path: Path | None = None) -> Stat:
        """As queries see it; the file's name is asked for where `path` does not say it."""
        stat = seen.stat(descriptor, self._is_hidden(path, descriptor))
        stat.changed = self.changes.of(seen.status)
        promised = self.promises.size((stat.device, stat.inode))
        if promised is not None:
            stat.size = max(stat.size, promised)
        return stat

    def _is_hidden(self, path: Path | None, descriptor: int) -> bool:
        if not self.options.hide_dot_files:
            return False
        if path is None:
            name = os.readlink(inode.proc(descriptor)).rpartition("/")[2]
            return name[:1] == "."
        return bool(path) and path[-1][0] == "."

    async def lookup(self, who: Identity, path: Path, stream: str = "") -> Stat | None:
        return await self.threads.run(who, self._lookup, path, stream)

    def _lookup(self, path: Path, stream: str) -> Stat | None:
        if not path:
            descriptor = self.resolver.directory(())
        else:
            if self.vetoed is not None and self.vetoed(path[-1]):
                return None
            place = self.resolver.place(path)
            try:
                found = self.resolver.child(place.directory, path[-1])
            finally:
                place.close()
            if found is None:
                return None
            descriptor = found[0]
        try:
            stat = self.stat_of(Inode.of(descriptor), descriptor, path)
            if stream:
                with as_service(), self.streams.lock(descriptor):
                    kept = self.streams.find(descriptor, stream)
                    if kept is None:
                        return None
                    stat.size = self.streams.size(descriptor, kept)
                stat.allocation = allocation(stat.size)
            return stat
        finally:
            os.close(descriptor)

    async def locate(self, identity: bytes, path: Path) -> Path:
        return await self.threads.run(None, locate, self.resolver, identity, path)

    async def shape(self, who: Identity) -> Shape:
        return await self.threads.run(who, self._shape)

    def _shape(self) -> Shape:
        root = self.resolver.root
        volume = os.statvfs(inode.proc(root))
        device = os.fstat(root).st_dev
        unit = volume.f_frsize or volume.f_bsize
        xattrs = inode.keeps_xattrs(inode.proc(root))
        return Shape(
            total=volume.f_blocks * unit,
            free=volume.f_bfree * unit,
            available=volume.f_bavail * unit,
            block=unit,
            name_max=volume.f_namemax,
            serial=(device ^ device >> 32) & 0xFFFFFFFF,
            created=Inode.of(root).created(root),
            sparse=self.volumes.sparse(device, root),
            streams=xattrs,
            eas=xattrs,
            acls=xattrs,
            reflink=self.volumes.reflink(device, root),
            read_only=bool(volume.f_flag & os.ST_RDONLY),
        )

    async def close(self) -> None:
        self.streams.close()
        self.resolver.close()


@contextlib.contextmanager
def unmaking(resolver: Resolver, streams: Streams, opened: Opened) -> Iterator[None]:
    """Remove a file made for a stream if the stream then cannot be made."""
    try:
        yield
    except BaseException:
        if opened.made:
            with contextlib.suppress(OSError, Status):
                naming.unlink(resolver, streams, opened.descriptor)
        raise


def _abandon(found: Found) -> None:
    """Give back what was opened for a caller that is no longer there."""
    assert isinstance(found.file, PosixFile)
    found.file.abandon()
