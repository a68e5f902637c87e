"""The entries of directory answers (MS-FSCC 2.4): packed for the server, many and fast, and read for the client.

All classes but NAMES share their first 64 bytes; what follows those, before the name, is a row of `_LAYOUTS`.
`pack_entry` leaves the distance to the next entry 0; `smbdirect.wire.join_chain` makes the chain of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Any, Protocol

from smbdirect.wire import Malformed, chain, text


class DirectoryClass:
    DIRECTORY = 1
    FULL = 2
    BOTH = 3
    NAMES = 12
    ID_BOTH = 37
    ID_FULL = 38
    ID_EXTD = 60
    ID_EXTD_BOTH = 63


class Numbers(Protocol):
    """What an entry tells of a file; a store's `Stat` has it all. Times are FILETIMEs, sizes bytes."""

    created: int
    accessed: int
    modified: int
    changed: int
    size: int
    allocation: int
    attributes: int
    inode: int
    ea_size: int
    reparse_tag: int


def _short(name: str) -> tuple[int, bytes]:
    raw = name.encode("utf-16-le", "surrogatepass")[:24]
    return len(raw), raw


_COMMON = "<IIQQQQQQII"
"""NextEntryOffset, FileIndex, four times, EndOfFile, AllocationSize, FileAttributes, FileNameLength."""

_LAYOUTS: dict[int, tuple[Struct, Callable[[Any, str], tuple[int | bytes, ...]]]] = {
    # In the classes without a field for it, the reparse tag stands where the size of the EAs does.
    DirectoryClass.DIRECTORY: (Struct(_COMMON), lambda stat, short: ()),
    DirectoryClass.FULL: (Struct(_COMMON + "I"), lambda stat, short: (stat.reparse_tag or stat.ea_size,)),
    DirectoryClass.BOTH: (
        Struct(_COMMON + "IBx24s"),
        lambda stat, short: (stat.reparse_tag or stat.ea_size, *_short(short)),
    ),
    DirectoryClass.ID_FULL: (
        Struct(_COMMON + "I4xQ"),
        lambda stat, short: (stat.reparse_tag or stat.ea_size, stat.inode),
    ),
    DirectoryClass.ID_BOTH: (
        Struct(_COMMON + "IBx24s2xQ"),
        lambda stat, short: (stat.reparse_tag or stat.ea_size, *_short(short), stat.inode),
    ),
    DirectoryClass.ID_EXTD: (
        Struct(_COMMON + "IIQ8x"),
        lambda stat, short: (stat.ea_size, stat.reparse_tag, stat.inode),
    ),
    DirectoryClass.ID_EXTD_BOTH: (
        Struct(_COMMON + "IIQ8xBx24s"),
        lambda stat, short: (stat.ea_size, stat.reparse_tag, stat.inode, *_short(short)),
    ),
}
_NAMES = Struct("<III")

FIXED_SIZES = {kind: layout.size for kind, (layout, _) in _LAYOUTS.items()} | {DirectoryClass.NAMES: _NAMES.size}
"""Bytes of an entry before its name; its keys are the classes there are."""


def pack_entry(info_class: int, name: str, stat: Numbers | None, index: int = 0, short_name: str = "") -> bytes:
    """One entry of `info_class`, one of `FIXED_SIZES`; `stat` may be None for NAMES only."""
    raw = name.encode("utf-16-le", "surrogatepass")
    if stat is None or info_class == DirectoryClass.NAMES:
        return _NAMES.pack(0, index, len(raw)) + raw
    layout, tail = _LAYOUTS[info_class]
    return (
        layout.pack(
            0, index, stat.created, stat.accessed, stat.modified, stat.changed, stat.size, stat.allocation,
            stat.attributes, len(raw), *tail(stat, short_name),
        )
        + raw
    )  # fmt: skip


@dataclass(slots=True)
class DirectoryEntry:
    """An entry as the client reads it; 0 and "" for what its class does not tell."""

    name: str
    index: int = 0
    created: int = 0
    accessed: int = 0
    modified: int = 0
    changed: int = 0
    size: int = 0
    allocation: int = 0
    attributes: int = 0
    ea_size: int = 0
    reparse_tag: int = 0
    inode: int = 0
    short_name: str = ""


_TAILS: dict[int, tuple[str, ...]] = {
    DirectoryClass.DIRECTORY: (),
    DirectoryClass.FULL: ("ea_size",),
    DirectoryClass.BOTH: ("ea_size", "short_length", "short_name"),
    DirectoryClass.ID_FULL: ("ea_size", "inode"),
    DirectoryClass.ID_BOTH: ("ea_size", "short_length", "short_name", "inode"),
    DirectoryClass.ID_EXTD: ("ea_size", "reparse_tag", "inode"),
    DirectoryClass.ID_EXTD_BOTH: ("ea_size", "reparse_tag", "inode", "short_length", "short_name"),
}


def unpack_entries(info_class: int, data: memoryview) -> list[DirectoryEntry]:
    """The entries of an answer of `info_class`, one of `FIXED_SIZES`."""
    return [_unpack(info_class, entry) for entry in chain(data, FIXED_SIZES[info_class], "directory entry", align=4)]


def _unpack(info_class: int, entry: memoryview) -> DirectoryEntry:
    if info_class == DirectoryClass.NAMES:
        _, index, length = _NAMES.unpack_from(entry)
        return DirectoryEntry(text(entry, _NAMES.size, length), index)
    layout, _ = _LAYOUTS[info_class]
    _, index, *numbers, length = (values := layout.unpack_from(entry))[:10]
    tail: dict[str, Any] = dict(zip(_TAILS[info_class], values[10:], strict=True))
    if "short_name" in tail:
        tail["short_name"] = _unpack_short(tail["short_name"], tail.pop("short_length"))
    return DirectoryEntry(text(entry, layout.size, length), index, *numbers, **tail)


def _unpack_short(field: bytes, length: int) -> str:
    if length > len(field):
        raise Malformed(f"short name: {length} bytes")
    return text(memoryview(field), 0, length, "short name")
