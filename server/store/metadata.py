"""The half of an open file that is not data or names: times, attributes, EAs, security, streams, reparse data."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from server.security import descriptors

from ..status import NT, Status
from . import acls, attributes, basic, eas, inode
from .base import Ea, File, Kind, New, Stat, Stream
from .basic import Basic
from .inode import Inode
from .threads import IdentityThreads

if TYPE_CHECKING:
    from .posix import PosixStore


class Metadata(File):
    """Methods of `PosixFile`, each one hop into an identity thread."""

    _store: "PosixStore"
    _descriptor: int
    _threads: IdentityThreads

    async def stat(self) -> Stat:
        return await self._threads.run(self.who, self._stat)

    def _stat(self) -> Stat:
        return self._store.stat_of(Inode.of(self._descriptor), self._descriptor)

    async def set_basic(
        self,
        created: int | None = None,
        accessed: int | None = None,
        modified: int | None = None,
        changed: int | None = None,
        attributes: int | None = None,
    ) -> None:
        # Linux alone says when an inode changed: `changed` cannot be set.
        wanted = Basic(created, accessed, modified, attributes)
        if any(value is not None for value in wanted):
            await self._threads.run(self.who, basic.write, self._descriptor, self.who.uid, wanted)

    async def set_sparse(self, sparse: bool) -> None:
        await self._threads.run(self.who, basic.sparse, self._descriptor, self.who.uid, sparse)

    async def overwrite(self, new: New, supersede: bool) -> Stat:
        return await self._threads.run(self.who, self._overwrite, new, supersede)

    def _overwrite(self, new: New, supersede: bool) -> Stat:
        if self.kind is not Kind.FILE:
            raise Status(NT.ACCESS_DENIED, "only a file is overwritten")
        path = inode.proc(self._descriptor)
        os.truncate(path, 0)
        eas.clear(path)
        eas.write(path, new.eas)
        found = Inode.of(self._descriptor)
        flags = new.attributes & attributes.SETTABLE | attributes.ARCHIVE
        basic.write(self._descriptor, self.who.uid, Basic(found.created(self._descriptor), attributes=flags))
        return self._stat()

    # -- security -------------------------------------------------------------------------------------------
    async def descriptor(self) -> bytes:
        return await self._threads.run(self.who, self._acl)

    def _acl(self) -> bytes:
        found = Inode.of(self._descriptor)
        return acls.of(found.status, found.path, found.xattrs)

    async def set_descriptor(self, descriptor: bytes, parts: int) -> None:
        await self._threads.run(self.who, self._set_acl, descriptor, parts)

    def _set_acl(self, descriptor: bytes, parts: int) -> None:
        descriptors.merge(self._acl(), descriptor, parts)

    # -- extended attributes --------------------------------------------------------------------------------
    async def eas(self) -> list[Ea]:
        return await self._threads.run(self.who, eas.read, inode.proc(self._descriptor))

    async def set_eas(self, changes: Sequence[Ea]) -> None:
        await self._threads.run(self.who, eas.write, inode.proc(self._descriptor), changes)

    # -- streams and reparse data ---------------------------------------------------------------------------
    async def streams(self) -> list[Stream]:
        if self.kind is not Kind.FILE:
            return []
        stat = await self.stat()
        return [Stream("", stat.size, stat.allocation)]

    async def rename_stream(self, target: str, replace: bool) -> None:
        raise Status(NT.INVALID_PARAMETER, "no named stream")

    async def reparse(self) -> bytes:
        raise Status(NT.NOT_A_REPARSE_POINT)

    async def set_reparse(self, data: bytes) -> None:
        raise Status(NT.NOT_SUPPORTED)

    async def delete_reparse(self, tag: int) -> None:
        raise Status(NT.NOT_A_REPARSE_POINT)
