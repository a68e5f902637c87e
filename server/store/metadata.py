"""The half of an open file that is not data or names: times, attributes, EAs, security, streams, reparse data."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ..status import NT, Status
from . import acls, attributes, basic, data, eas, inode, links, marks
from .base import Ea, Identity, Kind, New, Stat, Stream
from .basic import Basic
from .descriptions import DESCRIPTIONS, Description
from .held import Held
from .identity import identity
from .inode import Inode
from .kernel_leases import changing, patiently
from .known import Seen
from .threads import ANYONE, as_service

if TYPE_CHECKING:
    from .posix import PosixStore

T = TypeVar("T")


class Metadata(Held):
    """Methods of `PosixFile`, each one hop into an identity thread."""

    _store: "PosixStore"
    _descriptor: int
    _description: Description | None
    _readable: bool
    _writable: bool

    async def _change(self, who: Identity | None, function: Callable[..., T], *args: Any) -> T:
        """`_hop` of a call that changes what belongs to the file, or its names. Others who wait already for what
        clients have cached come first."""
        return await patiently(lambda: self._hop(who, self._changing, function, *args))

    def _changing(self, function: Callable[..., T], *args: Any) -> T:
        with changing(self._descriptor):
            return function(*args)

    async def identity(self) -> bytes:
        return await self._hop(ANYONE, identity, self._descriptor)

    async def mark(self, mark: bytes) -> None:
        await self._hop(self.who, self._mark, mark)

    def _mark(self, mark: bytes) -> None:
        with changing(self._descriptor, waits=False):  # for a client that has no answer yet, and nothing to write back
            marks.put(self._descriptor, mark)

    async def marked(self) -> bytes:
        return await self._hop(self.who, marks.get, self._descriptor)

    async def stat(self) -> Stat:
        seen = self._known()
        if seen is not None:
            return self._store.stat_of(seen.inode, self._descriptor)
        return await self._hop(self.who, self._stat)

    def _known(self) -> Seen | None:
        """What is known of the file without a wait."""
        known = self._store.known
        return known.find(self.who, self._descriptor) if self.key.device == known.device and not self._closing else None

    def _stat(self) -> Stat:
        return self._store.stat_of(self._store.known.look(self.who, self._descriptor).inode, self._descriptor)

    async def set_basic(
        self,
        created: int | None = None,
        accessed: int | None = None,
        modified: int | None = None,
        changed: int | None = None,
        attributes: int | None = None,
    ) -> None:
        await self._change(self.who, self._set_basic, Basic(created, accessed, modified, attributes), changed)

    def _set_basic(self, wanted: Basic, changed: int | None) -> None:
        if any(value is not None for value in wanted):
            basic.write(self._descriptor, self.who.uid, wanted)
        if changed is not None:
            self._store.changes.remember(os.fstat(self._descriptor), changed)

    async def set_sparse(self, sparse: bool) -> None:
        if sparse and not self._store.volumes.sparse(self.key.device, self._descriptor):
            raise Status(NT.INVALID_DEVICE_REQUEST, "the file system has no holes")  # MS-FSA 2.1.5.10.36
        await self._change(self.who, basic.sparse, self._descriptor, self.who.uid, sparse)

    async def overwrite(self, new: New, supersede: bool) -> Stat:
        return await self._change(self.who, self._overwrite, new, supersede)

    def _overwrite(self, new: New, supersede: bool) -> Stat:
        if self.kind is not Kind.FILE:
            raise Status(NT.ACCESS_DENIED, "only a file is overwritten")
        path = inode.proc(self._descriptor)
        with DESCRIPTIONS.alone(self._descriptor, unchanged=False):
            os.truncate(path, 0)
        os.utime(path)  # cutting an empty file changes no time
        with as_service(), self._store.streams.lock(self._descriptor):
            self._store.streams.remove_all(self._descriptor)
        eas.clear(path)
        eas.write(path, new.eas)
        found = Inode.of(self._descriptor)
        kept = 0 if supersede else found.attributes()
        flags = (kept | new.attributes) & attributes.SETTABLE | attributes.ARCHIVE
        basic.write(self._descriptor, self.who.uid, Basic(found.created(self._descriptor), attributes=flags))
        if new.allocation:
            self._reserve(new.allocation)
        return self._stat()

    def _reserve(self, size: int) -> None:
        with DESCRIPTIONS.alone(self._descriptor, unchanged=False):
            writable = os.open(inode.proc(self._descriptor), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                data.set_allocation(writable, size)
            finally:
                os.close(writable)

    # -- security -------------------------------------------------------------------------------------------
    async def descriptor(self) -> bytes:
        seen = self._known()
        return seen.acl if seen is not None else await self._hop(self.who, self._acl)

    def _acl(self) -> bytes:
        return self._store.known.look(self.who, self._descriptor).acl

    async def set_descriptor(self, descriptor: bytes, parts: int) -> None:
        like_ksmbd = self._store.options.like_ksmbd
        change = partial(acls.change, self._descriptor, self.who, descriptor, parts, like_ksmbd)
        await self._change(self.who, self._store.streams.with_room, self._descriptor, change)

    # -- extended attributes --------------------------------------------------------------------------------
    async def eas(self) -> list[Ea]:
        return await self._hop(self.who, eas.read, inode.proc(self._descriptor))

    async def set_eas(self, changes: Sequence[Ea]) -> None:
        change = partial(eas.write, inode.proc(self._descriptor), changes)
        await self._change(self.who, self._store.streams.with_room, self._descriptor, change)

    # -- streams and reparse data ---------------------------------------------------------------------------
    async def streams(self) -> list[Stream]:
        return await self._hop(self.who, self._streams)

    def _streams(self) -> list[Stream]:
        found = Inode.of(self._descriptor)
        if found.kind not in (Kind.FILE, Kind.DIRECTORY):
            return []
        unnamed = [Stream("", found.status.st_size, found.allocation())] if found.kind is Kind.FILE else []
        with as_service(), self._store.streams.lock(self._descriptor):
            return unnamed + self._store.streams.all(self._descriptor)

    async def rename_stream(self, target: str, replace: bool) -> None:
        raise Status(NT.INVALID_PARAMETER, "no named stream")

    async def reparse(self) -> bytes:
        return await self._hop(self.who, links.read, self._descriptor)

    async def set_reparse(self, data: bytes) -> None:
        await self._change(self.who, self._set_reparse, data)

    def _set_reparse(self, buffer: bytes) -> None:
        self._replaced(links.write(self._store.resolver, self._descriptor, buffer))

    async def delete_reparse(self, tag: int) -> None:
        await self._change(self.who, self._delete_reparse, tag)

    def _delete_reparse(self, tag: int) -> None:
        mode = self._store.options.file_mode(False)
        self._replaced(links.remove(self._store.resolver, self._descriptor, tag, mode))

    def _replaced(self, descriptor: int | None) -> None:
        """Go on with another descriptor, where the file had to be replaced by one of another kind. The key stays: it
        is what the command core knows this open by."""
        if descriptor is not None:
            if self._description is None:
                os.dup2(descriptor, self._descriptor, inheritable=False)
                os.close(descriptor)
            else:  # others may use that one, and so may calls of this open that are under way
                self._descriptor = descriptor
            self.kind = Inode.bare(self._descriptor).kind
            self._readable = self._writable = False
