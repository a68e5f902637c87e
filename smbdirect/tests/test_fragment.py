"""Cutting messages into packets and putting them together again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smbdirect.fragment import Outgoing, Reassembly
from smbdirect.wire import Malformed


def cuts(parts: list[bytes], size: int) -> list[bytes]:
    message = Outgoing(parts, None)
    out = []
    while message.remaining:
        out.append(b"".join(message.cut(size)))
    return out


@given(st.lists(st.binary(max_size=50), max_size=8), st.integers(1, 60))
def test_cuts_are_full_but_the_last_and_join_to_the_message(parts: list[bytes], size: int) -> None:
    whole = b"".join(parts)
    assert cuts(parts, size) == [whole[at : at + size] for at in range(0, len(whole), size)]


def test_cuts_are_slices_of_the_parts_and_not_copies() -> None:
    parts = [bytearray(b"01234"), bytearray(b"56789")]
    message = Outgoing(parts, None)
    pieces = message.cut(7) + message.cut(7)
    parts[0][0] = parts[1][4] = ord("x")
    assert [bytes(piece) for piece in pieces] == [b"x1234", b"56", b"78x"]


def put_together(message: bytes, sizes: list[int]) -> bytes:
    reassembly = Reassembly()
    at = 0
    whole = None
    for size in sizes:
        piece = memoryview(message)[at : at + size]
        at += len(piece)
        reassembly.check(len(piece), len(message) - at)
        whole = reassembly.add(piece, len(message) - at)
        assert (whole is None) == (at < len(message))
        if whole is not None:
            break
    assert whole is not None
    return bytes(whole)


@given(st.binary(min_size=1, max_size=200), st.lists(st.integers(1, 60), min_size=200, max_size=200))
def test_a_message_in_pieces_of_any_size_arrives_the_same(message: bytes, sizes: list[int]) -> None:
    assert put_together(message, sizes) == message


def test_packets_without_payload_may_come_in_the_middle() -> None:
    reassembly = Reassembly()
    reassembly.add(memoryview(b"he"), 3)
    for remaining in (0, 3):
        reassembly.check(0, remaining)
        assert reassembly.add(memoryview(b""), remaining) is None
    reassembly.check(3, 0)
    assert reassembly.add(memoryview(b"llo"), 0) == bytearray(b"hello")


@pytest.mark.parametrize(
    ("length", "remaining", "words"),
    [
        (1, 3, "1 bytes and 3 to follow where 3 are missing"),
        (4, 0, "4 bytes and 0 to follow"),
        (2, 0, "2 bytes and 0 to follow"),
        (0, 2, "0 bytes and 2 to follow"),
        (0, 0xFFFFFFFF, "0 bytes and 4294967295 to follow"),
    ],
)
def test_a_fragment_that_does_not_fit_is_malformed(length: int, remaining: int, words: str) -> None:
    reassembly = Reassembly()
    reassembly.add(memoryview(b"he"), 3)
    with pytest.raises(Malformed, match=words):
        reassembly.check(length, remaining)


def test_a_message_cannot_begin_with_an_empty_packet() -> None:
    with pytest.raises(Malformed, match="5 bytes to follow an empty packet"):
        Reassembly().check(0, 5)


def test_what_is_announced_and_not_sent_takes_no_memory() -> None:
    reassembly = Reassembly()
    reassembly.add(memoryview(b"x"), 0xFFFFFFF0)
    assert reassembly._data.__sizeof__() < 200


def test_a_delivered_message_is_nobody_elses_memory() -> None:
    source = bytearray(b"hello")
    reassembly = Reassembly()
    first = reassembly.add(memoryview(source), 0)
    source[0] = 0
    assert first == bytearray(b"hello")
    assert reassembly.add(memoryview(b"x"), 0) == bytearray(b"x")
    assert first == bytearray(b"hello")
