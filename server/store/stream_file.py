"""`StreamFile`: an open named stream of a file or directory.

Where the stream lies (an xattr, a file of the hidden directory) and under which spelling is looked up for each
call, under the file's lock: other opens may have moved, renamed or removed it.
"""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from server.security import access
from smbdirect.wire import Buffer

from ..status import NT, Status
from . import attributes, inode, names, syscalls
from .base import File, Identity, Kind, Make, New, Path, Stat, Wanted
from .file import PosixFile, copy_by_hand
from .inode import Inode
from .kernel_leases import changing, patiently
from .opening import Opened
from .streams import Kept, allocation

if TYPE_CHECKING:
    from .posix import PosixStore

T = TypeVar("T")
_READS = access.FILE_READ_DATA | access.FILE_EXECUTE
_WRITES = access.FILE_WRITE_DATA | access.FILE_APPEND_DATA


class StreamFile(PosixFile):
    """Owns the descriptor of the file that the stream is part of; its data calls run as the service, for what the
    client may do was settled by `open_stream`."""

    def __init__(self, store: "PosixStore", who: Identity, opened: Opened, name: str) -> None:
        super().__init__(store, who, opened)
        self.kind = Kind.FILE
        self._named(name)

    def _named(self, name: str) -> None:
        self.stream = name
        self.key = self.key._replace(stream=names.fold(name))

    def _kept(self) -> Kept:
        kept = self._store.streams.find(self._descriptor, self.stream)
        if kept is None:
            raise Status(NT.FILE_DELETED, f"stream {self.stream!r} is gone")
        return kept

    async def _do(self, function: Callable[..., T], *args: object) -> T:
        return await self._hop(None, self._locked, function, *args)

    async def _alter(self, function: Callable[..., T], *args: object) -> T:
        """`_do` of what changes the stream: to the kernel that is a change of what belongs to the file."""
        return await self._change(None, self._locked, function, *args)

    def _locked(self, function: Callable[..., T], *args: object) -> T:
        with self._store.streams.lock(self._descriptor):
            return function(*args)

    async def stat(self) -> Stat:
        return await self._do(self.stat_now)

    def stat_now(self, path: Path | None = None) -> Stat:
        """In a thread: the file's, with the stream's size."""
        found = self._store.stat_of(Inode.of(self._descriptor), self._descriptor, path)
        found.kind = Kind.FILE
        found.attributes = found.attributes & ~attributes.DIRECTORY or attributes.NORMAL
        found.size = self._store.streams.size(self._descriptor, self._kept())
        found.allocation = allocation(found.size)
        return found

    # -- data -----------------------------------------------------------------------------------------------
    def read_nowait(self, into: memoryview, offset: int) -> int | None:
        return None

    async def read_into(self, into: memoryview, offset: int) -> int:
        return await self._do(lambda: self._store.streams.read(self._descriptor, self._kept(), into, offset))

    async def write(self, parts: Sequence[Buffer], offset: int, through: bool) -> int:
        return await self._alter(self._write, parts, offset, through)

    def _write(self, parts: Sequence[Buffer], offset: int, through: bool) -> int:
        kept = self._store.streams.write(self._descriptor, self._kept(), parts, offset)
        if through:
            self._store.streams.flush(self._descriptor, kept)
        return sum(len(part) for part in parts)

    async def flush(self) -> None:
        await patiently(lambda: self._do(lambda: self._store.streams.flush(self._descriptor, self._kept())))

    async def set_size(self, size: int) -> None:
        await self._alter(lambda: self._store.streams.resize(self._descriptor, self._kept(), size))

    async def set_allocation(self, size: int) -> None:
        await self._alter(self._set_allocation, size)

    def _set_allocation(self, size: int) -> None:
        kept = self._kept()
        if size < self._store.streams.size(self._descriptor, kept):
            self._store.streams.resize(self._descriptor, kept, size)

    async def zero(self, offset: int, length: int) -> None:
        await self._alter(self._write_zeros, offset, length)

    def _write_zeros(self, offset: int, length: int) -> None:
        kept = self._kept()
        length = min(length, self._store.streams.size(self._descriptor, kept) - offset)
        while length > 0:
            step = min(length, 1 << 20)
            self._store.streams.write(self._descriptor, self._kept(), [bytes(step)], offset)
            offset, length = offset + step, length - step

    async def allocated(self, offset: int, length: int, most: int = 65536) -> list[tuple[int, int]]:
        size = await self._do(lambda: self._store.streams.size(self._descriptor, self._kept()))
        length = min(length, size - offset)
        return [(offset, length)] if length > 0 else []

    async def trim(self, ranges: Sequence[tuple[int, int]]) -> None:
        """A stream gives no blocks back."""

    async def copy_from(self, source: File, source_offset: int, offset: int, length: int) -> int:
        return await copy_by_hand(source, self, source_offset, offset, length)

    async def clone_from(self, source: File, source_offset: int, offset: int, length: int) -> None:
        await copy_by_hand(source, self, source_offset, offset, length)

    async def overwrite(self, new: New, supersede: bool) -> Stat:
        await self.set_size(0)
        return await self.stat()

    # -- names ----------------------------------------------------------------------------------------------
    async def rename(self, target: Path, replace: bool) -> None:
        raise Status(NT.INVALID_PARAMETER, "a stream does not leave its file")

    async def link(self, target: Path, replace: bool) -> None:
        raise Status(NT.INVALID_PARAMETER, "a stream has no links")

    async def rename_stream(self, target: str, replace: bool) -> None:
        names.check_stream(target)
        await self._alter(self._rename, target, replace)
        self._named(target)

    def _rename(self, target: str, replace: bool) -> None:
        kept = self._kept()
        there = self._store.streams.find(self._descriptor, target)
        if there is not None and there != kept:
            if not replace:
                raise Status(NT.OBJECT_NAME_COLLISION, f"stream {target!r}")
            self._store.streams.remove(self._descriptor, there)
        if target != kept.name:
            self._store.streams.rename(self._descriptor, kept, target)

    async def unlink(self) -> None:
        await self._alter(lambda: self._store.streams.remove(self._descriptor, self._kept()))


def open_stream(store: "PosixStore", who: Identity, opened: Opened, wanted: Wanted) -> tuple[StreamFile, bool]:
    """In a thread, as `who`: the stream `wanted` names of the file `opened`, and whether it was made."""
    if opened.inode.kind not in (Kind.FILE, Kind.DIRECTORY):
        raise Status(NT.OBJECT_NAME_NOT_FOUND, "a symbolic link or special file has no streams")
    names.check_stream(wanted.stream)
    with store.streams.lock(opened.descriptor):
        kept = store.streams.find(opened.descriptor, wanted.stream)
        made = kept is None
        if kept is None:
            if not inode.keeps_xattrs(inode.proc(opened.descriptor)):
                raise Status(NT.OBJECT_NAME_INVALID, "the file system keeps no streams")
            if wanted.make is Make.NEVER:
                raise Status(NT.OBJECT_NAME_NOT_FOUND, f"stream {wanted.stream!r}")
            with changing(opened.descriptor):
                kept = store.streams.make(opened.descriptor, wanted.stream)
        elif wanted.make is Make.ALWAYS:
            raise Status(NT.OBJECT_NAME_COLLISION, f"stream {wanted.stream!r}")
        elif not wanted.access & access.MAXIMUM_ALLOWED:
            _may(opened, wanted.access)
    return StreamFile(store, who, opened, kept.name), made


def _may(opened: Opened, wanted: int) -> None:
    """Ask the system whether the calling thread's user may read or write the file."""
    for rights, flags in ((_READS, os.O_RDONLY), (_WRITES, os.O_WRONLY)):
        if wanted & rights and not syscalls.may_open(inode.proc(opened.descriptor), flags):
            raise Status(NT.ACCESS_DENIED, "the system refuses")
