"""`PosixFile`: an open file or directory. Each method is one hop into an identity thread, but for reads that the
cache can answer and the path, which the kernel knows without a disk.
"""

import errno
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from smbdirect.wire import Buffer

from ..status import NT, Status
from . import attributes, data, inode, naming
from .base import Cursor, File, FileKey, Identity, Kind, Path
from .cursor import PosixCursor, Selection
from .descriptions import DESCRIPTIONS
from .inode import Inode
from .kernel_leases import KernelLease, changing, patiently
from .metadata import Metadata
from .opening import Opened
from .range_locks import Held, RangeLocks, clipped
from .threads import ANYONE
from .writer import Writer

if TYPE_CHECKING:
    from .posix import PosixStore

T = TypeVar("T")
_COPY = 1 << 20
_LARGEST_OFFSET = (1 << 63) - 1
_MUCH = 1 << 20
"""Bytes that take longer to be given back than a thread to be woken."""


class PosixFile(Metadata):
    """What `opening.find_or_make` has opened; it owns the descriptor."""

    def __init__(self, store: "PosixStore", who: Identity, opened: Opened) -> None:
        status = opened.inode.status
        self.who = who
        self.stream = ""
        self.key = FileKey(status.st_dev, status.st_ino)
        self.kind: Kind = opened.inode.kind
        self._store = store
        self._threads = store.threads
        self._writer = Writer(store.threads, who)
        self._descriptor = opened.descriptor
        self._description = opened.description
        self._flags = opened.flags
        self._ranges: list[Held] = []
        self._readable = opened.readable
        self._writable = opened.writable
        self._promised = self.kind is Kind.FILE and not store.volumes.sparse(status.st_dev, opened.descriptor)
        if self._promised:
            store.promises.opened(self._inode)

    @property
    def _inode(self) -> tuple[int, int]:
        return self.key.device, self.key.inode

    def path(self) -> Path:
        if self._closing:
            raise Status(NT.FILE_CLOSED, "closed")
        return naming.where(self._store.resolver, self._descriptor)

    def kernel_lease(self) -> KernelLease | None:
        return self._description.lease if self._description is not None else None

    async def lock_range(self, offset: int, length: int, exclusive: bool) -> bool:
        wanted = clipped(offset, length, exclusive)
        description = self._description
        if wanted is None or description is None or not self._store.options.posix_locking:
            return True
        if not await self._lock(description.ranges, description.ranges.take, wanted):
            return False
        self._ranges.append(wanted)
        return True

    async def _lock(self, ranges: RangeLocks, function: Callable[..., T], *args: object) -> T:
        """`function(*args)`, which locks or lets go: in a thread where another machine may be asked for it, or much is
        locked."""
        if not (ranges.at_once and self._is_local):
            return await self._hop(ANYONE, function, *args)
        self.hold()
        try:
            return function(*args)
        finally:
            self.let_go()

    async def unlock_range(self, offset: int, length: int) -> None:
        for exclusive in (True, False):
            held = clipped(offset, length, exclusive)
            if held in self._ranges and self._description is not None:
                self._ranges.remove(held)
                ranges = self._description.ranges
                await self._lock(ranges, ranges.release, [held])
                return

    # -- data -----------------------------------------------------------------------------------------------
    def read_nowait(self, into: memoryview, offset: int) -> int | None:
        device = self.key.device
        flags = self._store.volumes.read_flags(device)
        if flags is None or not self._readable or offset > _LARGEST_OFFSET:
            return None
        try:
            count = os.preadv(self._descriptor, [into], offset, flags)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                self._store.volumes.no_nowait(device, self._descriptor)
            return None  # whatever it is, the thread will say so
        if count == len(into):
            return count
        if self._promised or offset + count < os.fstat(self._descriptor).st_size:
            return None
        return count

    async def read_into(self, into: memoryview, offset: int) -> int:
        return await self._hop(ANYONE, self._read, self._for_reading(), into, offset)

    def _read(self, descriptor: int, into: memoryview, offset: int) -> int:
        count = data.read(descriptor, into, offset)
        promised = self._store.promises.size(self._inode)
        if promised is not None and count < len(into):
            end = min(len(into), max(count, promised - offset))
            into[count:end] = bytes(end - count)
            return end
        return count

    async def write(self, parts: Sequence[Buffer], offset: int, through: bool) -> int:
        descriptor = self._for_writing()
        self.hold()
        try:
            if through or len(parts) != 1:
                return await self._writer.write(descriptor, parts, offset, through)
            loan = self._threads.write_nowait(self.who, descriptor, parts[0], offset)
            count = max(0, await loan) if loan is not None else 0
            if count < len(parts[0]):  # whatever it is, the thread will say so
                count += await self._writer.write(descriptor, [memoryview(parts[0])[count:]], offset + count, False)
            return count
        finally:
            self.let_go()

    async def flush(self) -> None:
        await self._hop(self.who, self._flush)

    async def set_size(self, size: int) -> None:
        await patiently(lambda: self._hop(self.who, self._set_size, size))

    async def set_allocation(self, size: int) -> None:
        await self._hop(self.who, self._allocate, self._for_writing(), size)

    async def zero(self, offset: int, length: int) -> None:
        await self._hop(self.who, self._zero, offset, length)

    async def allocated(self, offset: int, length: int, most: int = 65536) -> list[tuple[int, int]]:
        return await self._hop(ANYONE, data.allocated, self._for_reading(), offset, length, most)

    async def trim(self, ranges: Sequence[tuple[int, int]]) -> None:
        await self._hop(self.who, data.trim, self._for_writing(), ranges)

    async def copy_from(self, source: File, source_offset: int, offset: int, length: int) -> int:
        if type(source) is not PosixFile:
            return await copy_by_hand(source, self, source_offset, offset, length)
        return await self._with(source, data.copy, source_offset, offset, length)

    async def clone_from(self, source: File, source_offset: int, offset: int, length: int) -> None:
        if type(source) is not PosixFile:
            await copy_by_hand(source, self, source_offset, offset, length)
        else:
            await self._with(source, data.clone, source_offset, offset, length)

    async def _with(self, source: "PosixFile", function: Callable[..., T], *numbers: int) -> T:
        """A call on both descriptors."""
        source.hold()
        try:
            return await self._hop(self.who, function, source._for_reading(), self._for_writing(), *numbers)
        finally:
            source.let_go()

    def _for_reading(self) -> int:
        if not self._readable:
            raise Status(NT.INVALID_DEVICE_REQUEST if self.kind is not Kind.FILE else NT.ACCESS_DENIED, "not readable")
        return self._descriptor

    def _for_writing(self) -> int:
        if not self._writable:
            raise Status(NT.INVALID_DEVICE_REQUEST if self.kind is not Kind.FILE else NT.ACCESS_DENIED, "not writable")
        if self._description is not None:
            self._description.changed = True
        return self._descriptor

    def _zero(self, offset: int, length: int) -> None:
        holes = bool(Inode.of(self._descriptor).attributes() & attributes.SPARSE_FILE)
        data.zero(self._for_writing(), offset, length, holes)

    def _flush(self) -> None:
        if self._readable or self._writable:
            os.fdatasync(self._descriptor)
            return
        if self.kind is Kind.DIRECTORY:
            readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._descriptor)
            try:
                os.fsync(readable)
            finally:
                os.close(readable)

    def _set_size(self, size: int) -> None:
        if self._promised:
            grows = size > os.fstat(self._descriptor).st_size
            if grows:
                self._store.volumes.check_room(self._descriptor, size)
            self._store.promises.promise(self._inode, size if grows else None)
            if grows:
                return
        if self._writable:
            self._resize(self._for_writing(), size)
        elif self.kind is Kind.FILE:
            with DESCRIPTIONS.alone(self._descriptor, unchanged=False):
                os.truncate(inode.proc(self._descriptor), size)
        else:
            raise Status(NT.INVALID_PARAMETER, "only a file has a size")

    def _resize(self, descriptor: int, size: int) -> None:
        """A client may set sizes before it answers a break: it does not wait for itself, nor do others go on before it
        has answered, where that can be avoided."""
        try:
            with changing(descriptor):
                os.ftruncate(descriptor, size)
        except BlockingIOError:
            if size <= os.fstat(descriptor).st_size or not data.grow(descriptor, size):
                with changing(descriptor, waits=False):
                    os.ftruncate(descriptor, size)

    def _allocate(self, descriptor: int, size: int) -> None:
        try:
            with changing(descriptor):
                data.set_allocation(descriptor, size)
        except BlockingIOError:
            if size < os.fstat(descriptor).st_size:  # else it is a hint
                self._resize(descriptor, size)

    # -- names ----------------------------------------------------------------------------------------------
    async def rename(self, target: Path, replace: bool) -> None:
        await self._change(self.who, self._rename_to, target, replace)

    def _rename_to(self, target: Path, replace: bool) -> None:
        store = self._store
        changed = store.changes.of(os.fstat(self._descriptor))
        naming.rename(store.resolver, store.streams, self.who, self._descriptor, target, replace)
        store.changes.remember(os.fstat(self._descriptor), changed)

    async def link(self, target: Path, replace: bool) -> None:
        if self.kind is Kind.DIRECTORY:
            raise Status(NT.FILE_IS_A_DIRECTORY, "a directory has one name")
        store = self._store
        await self._change(
            self.who,
            lambda: naming.link(store.resolver, store.streams, self.who, self._descriptor, target, replace),
        )

    async def unlink(self) -> None:
        await self._change(self.who, naming.unlink, self._store.resolver, self._store.streams, self._descriptor)

    async def is_empty(self) -> bool:
        return await self._hop(self.who, self._is_empty)

    def _is_empty(self) -> bool:
        readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._descriptor)
        try:
            with os.scandir(readable) as entries:
                return next(entries, None) is None
        finally:
            os.close(readable)

    def entries(self, pattern: str, stats: bool) -> Cursor:
        store = self._store
        if self._closing:
            raise Status(NT.FILE_CLOSED, "closed")
        options = store.options
        wanted = Selection(
            pattern, stats, options.hide_dot_files, store.changes.of, store.vetoed, options.hide_unreadable
        )
        return PosixCursor(store.threads, self.who, self._descriptor, wanted)

    def abandon(self) -> None:
        """Close in the calling thread, with no call under way."""
        descriptor, self._descriptor = self._descriptor, -1
        self._readable = self._writable = False
        try:
            left = self._store.promises.closed(self._inode) if self._promised else None
            if left is not None and left > os.fstat(descriptor).st_size:
                with DESCRIPTIONS.alone(descriptor, unchanged=False):
                    os.truncate(inode.proc(descriptor), left)
        finally:
            if self._description is None or self._description.descriptor != descriptor:
                os.close(descriptor)
            if self._description is not None:
                self._description.leave(self._flags)

    def _may_write(self) -> bool:
        """Whether closing may put something on the disk, or open the file anew for who goes on reading."""
        if self._promised or not self._writable or self._description is None:
            return self._promised or self._writable
        description = self._description
        leaves_readers = description.writers == 1 and description.users > 1
        return description.changed or leaves_readers or not self._is_local

    def _frees_much(self) -> bool:
        """Whether the file has no name any more, and with its last close its room is given back."""
        if self.kind is not Kind.FILE or not self._is_local:
            return False
        status = os.fstat(self._descriptor)
        return not status.st_nlink and status.st_blocks * 512 >= _MUCH

    @property
    def _is_local(self) -> bool:
        """Whether no other machine is asked for what concerns its locks and opens."""
        return self._store.volumes.locks_at_once(self.key.device, self._descriptor)

    async def close(self) -> None:
        if self._closing:
            return
        try:
            await self._finish()
            if self._ranges and self._description is not None:
                await self._threads.run(ANYONE, self._description.ranges.release, self._ranges)
        finally:
            if self._may_write() or self._frees_much():
                await self._threads.run(self.who, self.abandon)
            else:
                self.abandon()


async def copy_by_hand(source: File, target: File, source_offset: int, offset: int, length: int) -> int:
    """Copy by reading and writing, where one of both is no descriptor; the count of bytes."""
    buffer = memoryview(bytearray(min(length, _COPY)))
    done = 0
    while done < length:
        count = await source.read_into(buffer[: length - done], source_offset + done)
        if count == 0:
            break
        await target.write([buffer[:count]], offset + done, False)
        done += count
    return done
