"""Directory entries of every class: where their fields lie, and packed and read as a chain."""

import pytest

from server.messages.entries import FIXED_SIZES, DirectoryClass, DirectoryEntry, pack_entry, unpack_entries
from server.store.base import Kind, Stat
from smbdirect.wire import Malformed, join_chain

STAT = Stat(
    device=1, inode=0x1122334455667788, kind=Kind.FILE, mode=0, uid=0, gid=0, links=1, size=5000, allocation=8192,
    created=11, accessed=12, modified=13, changed=14, attributes=0x20, ea_size=44,
)  # fmt: skip
LINK = Stat(**{name: getattr(STAT, name) for name in Stat.__slots__} | {"attributes": 0x400, "reparse_tag": 0xA000000C})
CLASSES = sorted(FIXED_SIZES)
WITH_SHORT_NAMES = (DirectoryClass.BOTH, DirectoryClass.ID_BOTH, DirectoryClass.ID_EXTD_BOTH)
WITH_IDS = (DirectoryClass.ID_FULL, DirectoryClass.ID_BOTH, DirectoryClass.ID_EXTD, DirectoryClass.ID_EXTD_BOTH)


@pytest.mark.parametrize("kind", CLASSES)
def test_a_chain_of_entries_reads_back(kind: int) -> None:
    packed = join_chain(
        pack_entry(kind, name, STAT, at, "SHORT~1") for at, name in enumerate(["a", "b.txt", "\U0001f600"])
    )
    entries = unpack_entries(kind, memoryview(packed))
    assert [(entry.name, entry.index) for entry in entries] == [("a", 0), ("b.txt", 1), ("\U0001f600", 2)]
    expected = DirectoryEntry("a")
    if kind != DirectoryClass.NAMES:
        expected = DirectoryEntry("a", 0, 11, 12, 13, 14, 5000, 8192, 0x20)
        expected.ea_size = 44 if kind != DirectoryClass.DIRECTORY else 0
        expected.inode = STAT.inode if kind in WITH_IDS else 0
        expected.short_name = "SHORT~1" if kind in WITH_SHORT_NAMES else ""
    assert entries[0] == expected


@pytest.mark.parametrize("kind", CLASSES)
def test_an_entry_cut_anywhere_is_malformed(kind: int) -> None:
    packed = pack_entry(kind, "name", STAT, 7)
    assert len(packed) == FIXED_SIZES[kind] + 8
    for end in range(1, len(packed)):
        with pytest.raises(Malformed):
            unpack_entries(kind, memoryview(packed)[:end])


@pytest.mark.parametrize("kind", [DirectoryClass.FULL, *WITH_SHORT_NAMES[:2], DirectoryClass.ID_FULL])
def test_the_reparse_tag_takes_the_place_of_the_ea_size(kind: int) -> None:
    (entry,) = unpack_entries(kind, memoryview(pack_entry(kind, "link", LINK)))
    assert entry.ea_size == LINK.reparse_tag


@pytest.mark.parametrize("kind", [DirectoryClass.ID_EXTD, DirectoryClass.ID_EXTD_BOTH])
def test_the_extended_classes_have_both(kind: int) -> None:
    (entry,) = unpack_entries(kind, memoryview(pack_entry(kind, "link", LINK)))
    assert (entry.ea_size, entry.reparse_tag) == (44, LINK.reparse_tag)


def test_a_short_name_longer_than_its_field_is_malformed() -> None:
    packed = bytearray(pack_entry(DirectoryClass.BOTH, "name", STAT))
    packed[68] = 26
    with pytest.raises(Malformed, match="short name"):
        unpack_entries(DirectoryClass.BOTH, memoryview(packed))


def test_names_need_no_stat() -> None:
    assert pack_entry(DirectoryClass.NAMES, "n", None, 3) == bytes([0] * 4 + [3, 0, 0, 0, 2, 0, 0, 0]) + b"n\0"
