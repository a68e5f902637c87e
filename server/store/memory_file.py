"""`MemoryFile`: an open file, directory or named stream of a `MemoryStore`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from server.security import access, descriptors
from smbdirect.wire import Buffer

from ..status import NT, Status
from . import attributes, names, reparse
from .base import Cursor, Ea, File, FileKey, Identity, Kind, Make, New, Path, Stat, Stream, Wanted
from .file import copy_by_hand
from .memory import Link, MemoryCursor, Named, set_eas, streams_of
from .streams import allocation as stream_allocation

if TYPE_CHECKING:
    from .memory import MemoryStore

_LARGEST = 1 << 30
"""Bytes that a file in memory may have."""


class MemoryFile(File):
    def __init__(self, store: "MemoryStore", who: Identity, link: Link, named: Named) -> None:
        self.who = who
        self.stream = named.name
        self.kind = Kind.FILE if named.name else link.node.stat().kind
        self.key = FileKey(1, link.node.inode, names.fold(named.name))
        self._store = store
        self._link = link
        self._node = link.node
        self._named = named

    @classmethod
    def of_stream(cls, store: "MemoryStore", who: Identity, link: Link, wanted: Wanted) -> "tuple[MemoryFile, bool]":
        """The named stream of what has `link`, and whether it was made."""
        folded = names.fold(names.check_stream(wanted.stream))
        named = link.node.streams.get(folded)
        made = named is None
        if named is None:
            if wanted.make is Make.NEVER:
                raise Status(NT.OBJECT_NAME_NOT_FOUND, wanted.stream)
            named = link.node.streams[folded] = Named(wanted.stream)
        elif wanted.make is Make.ALWAYS:
            raise Status(NT.OBJECT_NAME_COLLISION, wanted.stream)
        return cls(store, who, link, named), made

    def path(self) -> Path:
        if self._link is self._store.root:
            return ()
        found: list[str] = []
        here: Link | None = self._link
        while here is not self._store.root:
            if here is None or here.parent is None:
                raise Status(NT.FILE_DELETED, "removed")
            found.append(here.name)
            here = here.parent
        return tuple(reversed(found))

    async def identity(self) -> bytes:
        return self._node.identity

    async def mark(self, mark: bytes) -> None:
        self._node.mark = mark

    async def marked(self) -> bytes:
        return self._node.mark

    async def stat(self) -> Stat:
        found = self._node.stat()
        if self.stream:
            found.kind = Kind.FILE
            found.attributes = found.attributes & ~attributes.DIRECTORY or attributes.NORMAL
            found.size = len(self._named.data)
            found.allocation = stream_allocation(found.size)
        return found

    # -- data -----------------------------------------------------------------------------------------------
    def read_nowait(self, into: memoryview, offset: int) -> int | None:
        self._need_data()
        with memoryview(self._named.data) as data:
            part = data[offset : offset + len(into)]
            into[: len(part)] = part
            count = len(part)
            part.release()
        return count

    async def read_into(self, into: memoryview, offset: int) -> int:
        return self.read_nowait(into, offset) or 0

    async def write(self, parts: Sequence[Buffer], offset: int, through: bool) -> int:
        self._need_data()
        count = sum(len(part) for part in parts)
        if count and offset + count > len(self._named.data):
            self._resize(offset + count)
        at = offset
        for part in parts:
            self._named.data[at : at + len(part)] = part
            at += len(part)
        self._touch(modified=bool(count))
        return count

    async def flush(self) -> None:
        """Memory is as stable as it gets."""

    async def set_size(self, size: int) -> None:
        self._need_data()
        self._resize(size)
        self._touch(modified=True)

    async def set_allocation(self, size: int) -> None:
        self._need_data()
        if size < len(self._named.data):
            self._resize(size)
        self._named.reserved = min(size, _LARGEST)

    async def set_sparse(self, sparse: bool) -> None:
        if self._node.kind is not Kind.FILE:
            raise Status(NT.INVALID_PARAMETER, "only a file can be sparse")
        self._node.attributes &= ~attributes.SPARSE_FILE
        self._node.attributes |= attributes.SPARSE_FILE if sparse else 0

    async def zero(self, offset: int, length: int) -> None:
        self._need_data()
        end = min(offset + length, len(self._named.data))
        if end > offset:
            self._named.data[offset:end] = bytes(end - offset)

    async def allocated(self, offset: int, length: int, most: int = 65536) -> list[tuple[int, int]]:
        length = min(length, len(self._named.data) - offset)
        return [(offset, length)] if length > 0 else []

    async def trim(self, ranges: Sequence[tuple[int, int]]) -> None:
        for offset, length in ranges:
            await self.zero(offset, length)

    async def lock_range(self, offset: int, length: int, exclusive: bool) -> bool:
        return True  # no other process sees it

    async def unlock_range(self, offset: int, length: int) -> None:
        """There is nothing to let go of."""

    async def copy_from(self, source: File, source_offset: int, offset: int, length: int) -> int:
        return await copy_by_hand(source, self, source_offset, offset, length)

    async def clone_from(self, source: File, source_offset: int, offset: int, length: int) -> None:
        await copy_by_hand(source, self, source_offset, offset, length)

    def _need_data(self) -> None:
        if self.kind is not Kind.FILE:
            raise Status(NT.INVALID_DEVICE_REQUEST, "no data")

    def _resize(self, size: int) -> None:
        if size > _LARGEST:
            raise Status(NT.DISK_FULL, f"{size} bytes")
        data = self._named.data
        if size < len(data):
            del data[size:]
        else:
            data.extend(bytes(size - len(data)))

    def _touch(self, modified: bool) -> None:
        self._node.changed = self._store.now()
        if modified:
            self._node.modified = self._node.changed

    # -- metadata -------------------------------------------------------------------------------------------
    async def set_basic(
        self,
        created: int | None = None,
        accessed: int | None = None,
        modified: int | None = None,
        changed: int | None = None,
        attributes: int | None = None,
    ) -> None:
        node = self._node
        self._touch(modified=False)
        node.created = node.created if created is None else created
        node.accessed = node.accessed if accessed is None else accessed
        node.modified = node.modified if modified is None else modified
        node.changed = node.changed if changed is None else changed
        if attributes is not None:
            self._set_attributes(attributes)

    def _set_attributes(self, wanted: int) -> None:
        kept = self._node.attributes & ~attributes.SETTABLE
        self._node.attributes = wanted & attributes.SETTABLE | kept

    async def overwrite(self, new: New, supersede: bool) -> Stat:
        self._need_data()
        self._resize(0)
        if not self.stream:
            node = self._node
            kept = 0 if supersede else node.attributes
            node.attributes = (kept | new.attributes) & attributes.SETTABLE | attributes.ARCHIVE
            node.streams.clear()
            node.eas.clear()
            set_eas(node, new.eas)
            node.data.reserved = new.allocation
        self._touch(modified=True)
        return await self.stat()

    async def descriptor(self) -> bytes:
        return self._node.descriptor()

    async def set_descriptor(self, descriptor: bytes, parts: int) -> None:
        self._node.acl = descriptors.merge(self._node.descriptor(), descriptor, parts)

    async def eas(self) -> list[Ea]:
        return list(self._node.eas.values())

    async def set_eas(self, eas: Sequence[Ea]) -> None:
        set_eas(self._node, eas)

    async def streams(self) -> list[Stream]:
        return streams_of(self._node)

    async def reparse(self) -> bytes:
        if not self._node.reparse:
            raise Status(NT.NOT_A_REPARSE_POINT)
        return self._node.reparse

    async def set_reparse(self, data: bytes) -> None:
        tag = reparse.tag_of(data)
        self._same_tag(tag)
        if self._node.children:
            raise Status(NT.DIRECTORY_NOT_EMPTY, "a directory with entries")
        if tag == reparse.TAG_SYMLINK:
            data = reparse.symlink(reparse.symlink_target(data))
        self._node.reparse = data
        self.kind = self._node.stat().kind

    async def delete_reparse(self, tag: int) -> None:
        if not self._node.reparse:
            raise Status(NT.NOT_A_REPARSE_POINT)
        self._same_tag(tag)
        self._node.reparse = b""
        self.kind = self._node.kind

    def _same_tag(self, tag: int) -> None:
        present = int.from_bytes(self._node.reparse[:4], "little")
        if present not in (0, tag):
            raise Status(reparse.TAG_MISMATCH, f"{present:#x} is there")

    # -- names ----------------------------------------------------------------------------------------------
    async def rename(self, target: Path, replace: bool) -> None:
        if self.stream:
            raise Status(NT.INVALID_PARAMETER, "a stream does not leave its file")
        above = self._goal(target)
        if self._node.kind is Kind.DIRECTORY and self._is_above(above):
            raise Status(NT.INVALID_PARAMETER, "a directory is not moved into itself")
        there = above.node.children.get(names.fold(target[-1]))
        if there is not None and there is not self._link:
            self._replace(there, replace)
        self._leave()
        self._link.name, self._link.parent = target[-1], above
        self._enter(self._link, above)

    async def rename_stream(self, target: str, replace: bool) -> None:
        if not self.stream:
            raise Status(NT.INVALID_PARAMETER, "no named stream")
        folded = names.fold(names.check_stream(target))
        streams = self._node.streams
        if streams.get(folded, self._named) is not self._named and not replace:
            raise Status(NT.OBJECT_NAME_COLLISION, target)
        self._gone_stream()
        self.stream = self._named.name = target
        self.key = self.key._replace(stream=folded)
        streams[folded] = self._named

    async def link(self, target: Path, replace: bool) -> None:
        if self.stream or self._node.kind is Kind.DIRECTORY:
            raise Status(NT.FILE_IS_A_DIRECTORY, "only a file has links")
        above = self._goal(target)
        there = above.node.children.get(names.fold(target[-1]))
        if there is not None:
            self._replace(there, replace)
        self._enter(Link(target[-1], self._node, above), above)
        self._node.links += 1

    async def unlink(self) -> None:
        if self.stream:
            self._gone_stream()
            return
        self.path()
        if self._node.children:
            raise Status(NT.DIRECTORY_NOT_EMPTY, self._link.name)
        if self._link.parent is None:
            raise Status(NT.ACCESS_DENIED, "the share's root")
        self._leave()
        self._link.parent = None
        self._node.links -= 1

    async def is_empty(self) -> bool:
        return not self._node.children

    def entries(self, pattern: str, stats: bool) -> Cursor:
        return MemoryCursor(self._link, pattern, stats)

    async def close(self) -> None:
        """Nothing is held."""

    def _goal(self, target: Path) -> Link:
        """The directory that is to hold `target`."""
        if not target:
            raise Status(NT.OBJECT_NAME_COLLISION, "the share's root")
        self.path()
        if self._link.parent is None:
            raise Status(NT.ACCESS_DENIED, "the share's root")
        names.check(target[-1])
        above = self._store.directory(target[:-1], target[-1])
        if above is not self._link.parent:
            right = access.FILE_ADD_SUBDIRECTORY if self._node.kind is Kind.DIRECTORY else access.FILE_ADD_FILE
            access.check(above.node.descriptor(), self.who, right)
        return above

    def _is_above(self, link: Link | None) -> bool:
        while link is not None:
            if link is self._link:
                return True
            link = link.parent
        return False

    def _replace(self, there: Link, replace: bool) -> None:
        if not replace:
            raise Status(NT.OBJECT_NAME_COLLISION, there.name)
        if there.node.kind is Kind.DIRECTORY:
            raise Status(NT.ACCESS_DENIED, "a directory is not replaced")
        above = there.parent.node.descriptor() if there.parent is not None else b""
        access.check(there.node.descriptor(), self.who, access.DELETE, above)
        there.parent = None
        there.node.links -= 1

    def _leave(self) -> None:
        assert self._link.parent is not None
        above = self._link.parent.node
        if above.children.get(names.fold(self._link.name)) is self._link:
            del above.children[names.fold(self._link.name)]
        above.modified = above.changed = self._store.now()

    def _enter(self, link: Link, above: Link) -> None:
        above.node.children[names.fold(link.name)] = link
        above.node.modified = above.node.changed = self._store.now()

    def _gone_stream(self) -> None:
        folded = names.fold(self.stream)
        if self._node.streams.get(folded) is not self._named:
            raise Status(NT.FILE_DELETED, f"stream {self.stream!r} is gone")
        del self._node.streams[folded]
