"""`MemoryStore`: a share that lives in memory, for tests and for trying the server out.

It keeps the contract of `base.py` as `PosixStore` does, without threads and without accounts: nothing waits, and
what an identity may do is decided by security descriptors alone.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from server.security import access, descriptors

from .. import filetime
from ..status import NT, Status
from . import attributes, names, reparse, shortnames
from .base import Cursor, Ea, Entry, Found, Identity, Kind, Make, New, Path, Stat, Store, Stream, Wanted
from .opening import refuse_doomed
from .shape import Shape
from .streams import allocation as stream_allocation

BLOCK = 4096
_DEVICE = 1
_CAPACITY = 1 << 40


@dataclass(eq=False, slots=True)
class Named:
    """A named stream, or a file's own data."""

    name: str
    data: bytearray = field(default_factory=bytearray)
    reserved: int = 0


@dataclass(eq=False, slots=True)
class Node:
    """A file or directory."""

    inode: int
    kind: Kind
    who: Identity
    created: int
    accessed: int
    modified: int
    changed: int
    attributes: int
    acl: bytes | None = None
    data: Named = field(default_factory=lambda: Named(""))
    streams: dict[str, Named] = field(default_factory=dict)
    eas: dict[bytes, Ea] = field(default_factory=dict)
    reparse: bytes = b""
    children: "dict[str, Link]" = field(default_factory=dict)
    links: int = 1
    mark: bytes = b""

    @property
    def identity(self) -> bytes:
        return self.inode.to_bytes(8, "little")

    @property
    def mode(self) -> int:
        return 0o040755 if self.kind is Kind.DIRECTORY else 0o100644

    def descriptor(self) -> bytes:
        if self.acl is not None:
            return self.acl
        return descriptors.from_mode(self.who.uid, self.who.gid, self.mode & 0o7777, self.kind is Kind.DIRECTORY)

    def stat(self) -> Stat:
        flags = self.attributes
        if self.kind is Kind.DIRECTORY:
            flags |= attributes.DIRECTORY
        if self.reparse:
            flags |= attributes.REPARSE_POINT
        plain = self.kind is Kind.FILE
        tag = int.from_bytes(self.reparse[:4], "little")
        total = sum(5 + len(ea.name) + len(ea.value) for ea in self.eas.values())
        return Stat(
            device=_DEVICE,
            inode=self.inode,
            kind=Kind.SYMLINK if tag == reparse.TAG_SYMLINK else self.kind,
            mode=self.mode,
            uid=self.who.uid,
            gid=self.who.gid,
            links=self.links if plain else 1,
            size=len(self.data.data) if plain else 0,
            allocation=allocation(self.data) if plain else 0,
            created=self.created,
            accessed=self.accessed,
            modified=self.modified,
            changed=self.changed,
            attributes=flags or attributes.NORMAL,
            ea_size=total + 4 if total else 0,
            reparse_tag=tag,
        )


@dataclass(eq=False, slots=True)
class Link:
    """A name in a directory; `parent` is None for the root, and once the name is removed."""

    name: str
    node: Node
    parent: "Link | None"


def allocation(named: Named) -> int:
    """Bytes that the data of a file takes."""
    return max(-(-len(named.data) // BLOCK) * BLOCK, named.reserved)


class MemoryStore(Store):
    """`clock` gives ns since 1970."""

    def __init__(self, clock: Callable[[], int] = time.time_ns, owner: Identity | None = None) -> None:
        self._clock = clock
        self._inodes = itertools.count(17)
        nobody = Identity("root", 0, 0, (), frozenset(), b"", b"", privileged=True)
        self.root = Link("", self._node(Kind.DIRECTORY, owner or nobody), None)
        if owner is None:
            self.root.node.acl = _everyone_may()

    def now(self) -> int:
        """A FILETIME."""
        return filetime.from_ns(self._clock())

    async def open(self, who: Identity, wanted: Wanted) -> Found:
        from .memory_file import MemoryFile

        link, made = self._find_or_make(who, wanted)
        file_made = made
        parent = link.parent.node.descriptor() if link.parent is not None else b""
        if wanted.stream:
            file, made = MemoryFile.of_stream(self, who, link, wanted)
        else:
            if not made and wanted.make is Make.ALWAYS:
                raise Status(NT.OBJECT_NAME_COLLISION, link.name)
            file = MemoryFile(self, who, link, link.node.data)
        return Found(file, await file.stat(), made, link.node.descriptor(), file_made, parent)

    async def lookup(self, who: Identity, path: Path, stream: str = "") -> Stat | None:
        link = self.find(path)
        if link is None:
            return None
        stat = link.node.stat()
        if stream:
            named = link.node.streams.get(names.fold(stream))
            if named is None:
                return None
            stat.size, stat.allocation = len(named.data), stream_allocation(len(named.data))
        return stat

    async def locate(self, identity: bytes, path: Path) -> Path:
        link = self.find(path)
        if link is None or link.node.identity != identity:
            raise Status(NT.OBJECT_NAME_NOT_FOUND, "it has gone, or is another file")
        return path

    async def shape(self, who: Identity) -> Shape:
        root = self.root.node
        return Shape(
            _CAPACITY, _CAPACITY, _CAPACITY, BLOCK, names.LONGEST, 1, root.created, True, True, True, True, True, False
        )

    async def close(self) -> None:
        """Nothing is held but memory."""

    # -- the tree -------------------------------------------------------------------------------------------
    def find(self, path: Path) -> Link | None:
        """What has this path; None where the last name is absent."""
        if not path:
            return self.root
        names.check(path[-1])
        return _child(self.directory(path[:-1], path[-1]), path[-1])

    def directory(self, path: Path, last: str) -> Link:
        """The directory `path`, where `last` is wanted; raises OBJECT_PATH_NOT_FOUND, STOPPED_ON_SYMLINK."""
        here = self.root
        for index, name in enumerate(path):
            names.check(name)
            below = _child(here, name)
            if below is None:
                raise Status(NT.OBJECT_PATH_NOT_FOUND, name)
            if below.node.reparse[:4] == reparse.TAG_SYMLINK.to_bytes(4, "little"):
                rest = "".join("\\" + left for left in (*path[index + 1 :], last))
                target = reparse.symlink_target(below.node.reparse)
                raise Status(NT.STOPPED_ON_SYMLINK, name, reparse.symlink_error(target, rest))
            if below.node.kind is not Kind.DIRECTORY:
                raise Status(NT.OBJECT_PATH_NOT_FOUND, name)
            here = below
        return here

    def _find_or_make(self, who: Identity, wanted: Wanted) -> tuple[Link, bool]:
        link = self.find(wanted.path)
        if link is not None:
            return link, False
        if wanted.make is Make.NEVER:
            raise Status(NT.OBJECT_NAME_NOT_FOUND, wanted.path[-1])
        refuse_doomed(wanted)
        above = self.directory(wanted.path[:-1], wanted.path[-1])
        return self._make(who, above, wanted.path[-1], New() if wanted.stream else wanted.new), True

    def _make(self, who: Identity, above: Link, name: str, new: New) -> Link:
        right = access.FILE_ADD_SUBDIRECTORY if new.directory else access.FILE_ADD_FILE
        access.check(above.node.descriptor(), who, right)
        node = self._node(Kind.DIRECTORY if new.directory else Kind.FILE, who)
        node.acl = descriptors.inherit(above.node.descriptor(), who, new.directory, new.descriptor)
        node.attributes = new.attributes & attributes.SETTABLE | (0 if new.directory else attributes.ARCHIVE)
        node.reparse = new.reparse or b""
        set_eas(node, new.eas)
        node.data.reserved = new.allocation
        node.mark = new.mark
        link = Link(name, node, above)
        above.node.children[names.fold(name)] = link
        above.node.modified = above.node.changed = self.now()
        return link

    def _node(self, kind: Kind, who: Identity) -> Node:
        now = self.now()
        return Node(next(self._inodes), kind, who, now, now, now, now, 0)


def _child(above: Link, name: str) -> Link | None:
    """What has this name in `above`, or the one that has it as 8.3 name."""
    folded = names.fold(name)
    found = above.node.children.get(folded)
    if found is None and shortnames.may_be_computed(folded):
        same = [link for link in above.node.children.values() if shortnames.short_name(link.name) == folded]
        found = same[0] if len(same) == 1 else None
    return found


def _everyone_may() -> bytes:
    """A descriptor without a DACL: everything is granted."""
    return descriptors.SecurityDescriptor().pack()


def set_eas(node: Node, eas: Sequence[Ea]) -> None:
    """Set each, or remove it where its value is empty."""
    for ea in eas:
        if not ea.name or len(ea.name) > 250:
            raise Status(NT.INVALID_EA_NAME, repr(ea.name))
        there = node.eas.pop(ea.name.upper(), None)
        if ea.value:
            node.eas[ea.name.upper()] = Ea(there.name if there is not None else ea.name, ea.value)


def streams_of(node: Node) -> list[Stream]:
    """All data streams, the unnamed one of a file first."""
    unnamed = [Stream("", len(node.data.data), allocation(node.data))] if node.kind is Kind.FILE else []
    sizes = [(named.name, len(named.data)) for named in node.streams.values()]
    return unnamed + [Stream(name, size, stream_allocation(size)) for name, size in sizes]


class MemoryCursor(Cursor):
    """Over the names that were there when it began; what is gone by its turn is left out."""

    def __init__(self, link: Link, pattern: str, stats: bool) -> None:
        self._link = link
        self._matches = shortnames.compile_pattern(pattern)
        self._stats = stats
        self._left = iter([".", "..", *link.node.children])

    async def next(self, most: int) -> list[Entry]:
        found: list[Entry] = []
        for key in self._left:
            if key in (".", ".."):
                link, name = self._link, key
            else:
                there = self._link.node.children.get(key)
                if there is None:
                    continue
                link, name = there, there.name
            if self._matches(name):
                found.append(Entry(name, link.node.stat() if self._stats else None))
                if len(found) >= most:
                    break
        return found

    async def close(self) -> None:
        self._left = iter(())
