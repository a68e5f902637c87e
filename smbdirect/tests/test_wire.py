"""The shared vocabulary: compiled structures, spans and chains."""

from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smbdirect.wire import (
    Bytes4,
    FileId,
    Guid,
    Malformed,
    Pdu,
    chain,
    i32,
    i64,
    join_chain,
    pdu,
    span,
    text,
    u8,
    u16,
    u32,
    u64,
    utf16,
)


@pdu
class Everything(Pdu):
    """A structure with every width once."""

    LIMIT: ClassVar[int] = 7
    byte: u8 = 0
    short: u16 = 0
    word: u32 = 0
    long: u64 = 0
    signed: i32 = 0
    signed_long: i64 = 0
    magic: Bytes4 = bytes(4)
    guid: Guid = bytes(16)
    file_id: FileId = bytes(16)


@pdu
class Single(Pdu):
    """A structure of one field."""

    value: u16 = 0


FILLED = Everything(1, 0x0203, 0x04050607, 0x08090A0B0C0D0E0F, -1, -2, b"\xfeSMB", b"g" * 16, b"f" * 16)
PACKED = (
    bytes.fromhex("01 0302 07060504 0f0e0d0c0b0a0908 ffffffff feffffffffffffff") + b"\xfeSMB" + b"g" * 16 + b"f" * 16
)


def test_a_structure_is_little_endian_without_padding_and_reads_back() -> None:
    assert Everything.SIZE == len(PACKED) == 1 + 2 + 4 + 8 + 4 + 8 + 4 + 16 + 16
    assert FILLED.pack() == PACKED
    assert Everything.unpack_from(PACKED) == FILLED
    assert Everything.unpack_from(b"???" + PACKED + b"trailing", 3) == FILLED


def test_a_structure_is_packed_in_place_and_leaves_the_rest_alone() -> None:
    buffer = bytearray(b"?" * (len(PACKED) + 4))
    FILLED.pack_into(memoryview(buffer), 2)
    assert buffer == b"??" + PACKED + b"??"


def test_a_structure_cut_short_anywhere_is_malformed() -> None:
    for size in range(len(PACKED)):
        with pytest.raises(Malformed, match=f"Everything needs {len(PACKED)} bytes at 0 of {size}"):
            Everything.unpack_from(PACKED[:size])


def test_a_structure_of_one_field_packs_like_any_other() -> None:
    assert Single(0x0102).pack() == b"\x02\x01"
    assert Single.unpack_from(b"\x02\x01") == Single(0x0102)


def test_an_offset_past_the_end_or_before_the_start_is_malformed() -> None:
    for offset in (1, 1 << 31, 1 << 70, -1, -len(PACKED), -len(PACKED) - 1):
        with pytest.raises(Malformed):
            Everything.unpack_from(PACKED, offset)


def test_a_structure_has_no_room_for_other_attributes() -> None:
    with pytest.raises(AttributeError):
        FILLED.extra = 1  # type: ignore[attr-defined]


def test_a_span_is_a_view_of_the_packet_and_an_empty_one_ignores_its_offset() -> None:
    packet = memoryview(bytearray(b"0123456789"))
    cut = span(packet, 2, 3)
    packet[2] = ord("x")
    assert bytes(cut) == b"x34"
    assert not len(span(packet, 0xFFFFFFFF, 0))
    assert bytes(span(packet, 0, 10)) == bytes(packet)


@given(st.binary(max_size=40), st.integers(-50, 1 << 33), st.integers(-50, 1 << 33))
def test_a_span_is_inside_its_packet_or_malformed(data: bytes, offset: int, length: int) -> None:
    try:
        cut = span(memoryview(data), offset, length, "thing")
    except Malformed:
        assert offset < 0 or length < 0 or offset + length > len(data)
    else:
        assert len(cut) == length
        assert not length or data[offset : offset + length] == bytes(cut)


@given(st.text(st.characters()))
def test_text_survives_utf16_with_unpaired_surrogates(value: str) -> None:
    packed = utf16(value)
    again = text(memoryview(b"\xff" + packed), 1, len(packed))
    assert utf16(again) == packed


def test_text_of_an_odd_length_or_past_the_end_is_malformed() -> None:
    with pytest.raises(Malformed, match="share: 3 bytes"):
        text(memoryview(bytes(8)), 0, 3, "share")
    with pytest.raises(Malformed, match="share: 4 bytes at 6"):
        text(memoryview(bytes(8)), 6, 4, "share")


@given(st.binary(max_size=64))
def test_any_even_number_of_bytes_is_some_text(data: bytes) -> None:
    data = data[: len(data) & ~1]
    assert utf16(text(memoryview(data), 0, len(data))) == data


def test_a_chain_joined_is_a_chain_walked_and_aligned() -> None:
    entries = [bytes(4) + b"a", bytes(4) + b"bcd", bytes(4) + b"efghi"]
    joined = join_chain(entries)
    walked = list(chain(memoryview(joined), 5, align=8))
    assert [len(entry) for entry in walked] == [8, 8, 9]
    assert [bytes(entry[4:]).rstrip(b"\0") for entry in walked] == [b"a", b"bcd", b"efghi"]


def test_an_empty_chain_has_no_entries() -> None:
    assert not list(chain(memoryview(b""), 8))
    assert not join_chain([])


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        (b"\0\0\0", "3 bytes left at 0"),
        (bytes(7), "7 bytes left at 0, 8 needed"),
        (b"\x04\0\0\0" + bytes(12), "next at 4"),
        (b"\x09\0\0\0" + bytes(12), "next at 9"),
        (b"\x18\0\0\0" + bytes(12), "next at 24"),
        (b"\xff\xff\xff\xff" + bytes(12), "next at 4294967295"),
        (b"\x10\0\0\0" + bytes(12), "0 bytes left at 16"),
    ],
)
def test_a_chain_that_leads_astray_is_malformed(packed: bytes, words: str) -> None:
    with pytest.raises(Malformed, match=words):
        list(chain(memoryview(packed), 8, align=8))


@given(st.binary(max_size=200), st.integers(1, 16), st.sampled_from([1, 4, 8]))
def test_any_chain_ends_and_its_entries_cover_it_or_it_is_malformed(data: bytes, smallest: int, align: int) -> None:
    try:
        entries = list(chain(memoryview(data), smallest, "entry", align))
    except Malformed:
        return
    assert b"".join(map(bytes, entries)) == data
    assert all(len(entry) >= smallest for entry in entries)
