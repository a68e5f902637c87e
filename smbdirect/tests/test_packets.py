"""The packets of MS-SMBD 2.2: vectors both ways, cut short at every byte, and any bytes at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smbdirect.packets import (
    DATA_OFFSET,
    RESPONSE_REQUESTED,
    BufferDescriptor,
    DataTransfer,
    NegotiateRequest,
    NegotiateResponse,
    pack_data_head,
    pack_empty,
    read_data_transfer,
)
from smbdirect.wire import Malformed, Pdu

MOST = 131_072

# Built by hand from the tables of MS-SMBD 2.2, with the values of its examples (4.1, 4.2, 4.3).
VECTORS: list[tuple[Pdu, str]] = [
    (
        NegotiateRequest(0x0100, 0x0100, 0, 10, 1024, 1024, 131_072),
        "0001 0001 0000 0a00 00040000 00040000 00000200",
    ),
    (
        NegotiateResponse(0x0100, 0x0100, 0x0100, 0, 10, 10, 0, 0x100000, 1024, 1024, 131_072),
        "0001 0001 0001 0000 0a00 0a00 00000000 00001000 00040000 00040000 00000200",
    ),
    (
        NegotiateResponse(status=0xC00000BB),
        "0001 0001 0000 0000 0000 0000 bb0000c0 00000000 00000000 00000000 00000000",
    ),
    (DataTransfer(10, 1, 0, 0, 0xFC18, 24, 1000), "0a00 0100 0000 0000 18fc0000 18000000 e8030000"),
    (DataTransfer(10, 0, RESPONSE_REQUESTED), "0a00 0000 0100 0000 00000000 00000000 00000000"),
    (BufferDescriptor(0x0102030405060708, 0x11223344, 0x00100000), "0807060504030201 44332211 00001000"),
]


@pytest.mark.parametrize(("packet", "packed"), VECTORS, ids=lambda value: type(value).__name__)
def test_a_packet_is_its_vector_both_ways(packet: Pdu, packed: str) -> None:
    data = bytes.fromhex(packed)
    assert packet.pack() == data
    assert type(packet).unpack_from(data) == packet
    assert type(packet).unpack_from(data + b"trailing") == packet


@pytest.mark.parametrize(("packet", "packed"), VECTORS, ids=lambda value: type(value).__name__)
def test_a_packet_cut_short_anywhere_is_malformed(packet: Pdu, packed: str) -> None:
    data = bytes.fromhex(packed)
    for size in range(len(data)):
        with pytest.raises(Malformed):
            type(packet).unpack_from(data[:size])


def test_the_sizes_are_those_of_the_specification() -> None:
    sizes = [kind.SIZE for kind in (NegotiateRequest, NegotiateResponse, DataTransfer, BufferDescriptor)]
    assert sizes == [20, 32, 20, 16]
    assert DATA_OFFSET == 24


def test_the_heads_we_send_are_the_structure_padded_to_eight() -> None:
    assert pack_data_head(10, 1, 0, 0xFC18, 1000) == DataTransfer(10, 1, 0, 0, 0xFC18, 24, 1000).pack() + bytes(4)
    assert pack_empty(10, 3, 1) == DataTransfer(10, 3, 1).pack()


def read(head: DataTransfer, payload: bytes = b"", gap: int = 4) -> tuple[int, int, int, int, bytes]:
    requested, granted, flags, remaining, view = read_data_transfer(
        memoryview(head.pack() + bytes(gap) + payload), MOST
    )
    return requested, granted, flags, remaining, bytes(view)


def test_a_data_transfer_reads_as_what_was_packed() -> None:
    assert read(DataTransfer(10, 3, 1, 0xFFFF, 7, 24, 5), b"hello") == (10, 3, 1, 7, b"hello")


def test_payload_may_begin_further_on_and_bytes_may_trail() -> None:
    assert read(DataTransfer(1, 0, 0, 0, 0, 40, 5), b"hello, and more", gap=20) == (1, 0, 0, 0, b"hello")


def test_an_empty_packet_may_be_twenty_bytes() -> None:
    assert read(DataTransfer(255, 191, 0), gap=0) == (255, 191, 0, 0, b"")


def test_a_data_transfer_cut_short_anywhere_is_malformed() -> None:
    packet = memoryview(pack_data_head(10, 1, 0, 0, 5) + b"hello")
    for size in range(len(packet)):
        with pytest.raises(Malformed):
            read_data_transfer(packet[:size], MOST)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (DataTransfer(0, 1, 0, 0, 0, 24, 5), "CreditsRequested is zero"),
        (DataTransfer(1, 1, 0, 0, 0, 20, 5), "DataOffset 20 is not 8-aligned"),
        (DataTransfer(1, 1, 0, 0, 0, 0, 5), "DataOffset 0 lies inside the head"),
        (DataTransfer(1, 1, 0, 0, 0, 16, 5), "DataOffset 16 lies inside the head"),
        (DataTransfer(1, 1, 0, 0, 0, 24, 6), "6 bytes at DataOffset 24 of a 29-byte packet"),
        (DataTransfer(1, 1, 0, 0, 0, 32, 0), "0 bytes at DataOffset 32 of a 29-byte packet"),
        (DataTransfer(1, 1, 0, 0, 0, 24, 0xFFFFFFFF), "4294967295 bytes at DataOffset 24"),
        (DataTransfer(1, 1, 0, 0, 0, 0xFFFFFFF8, 16), "16 bytes at DataOffset 4294967288"),
        (DataTransfer(1, 1, 0, 0, MOST - 4, 24, 5), f"at least {MOST + 1} bytes, {MOST} allowed"),
        (DataTransfer(1, 1, 0, 0, 0xFFFFFFFF, 24, 5), "at least 4294967300 bytes"),
    ],
)
def test_every_check_of_a_data_transfer_speaks_for_itself(head: DataTransfer, words: str) -> None:
    with pytest.raises(Malformed, match=words):
        read(head, b"hello")


def test_a_message_of_exactly_the_limit_passes() -> None:
    assert read(DataTransfer(1, 1, 0, 0, MOST - 5, 24, 5), b"hello")[3] == MOST - 5


small = st.sampled_from([0, 1, 8, 20, 24, 32, 0xFFFF])
heads = st.builds(
    lambda *values: DataTransfer(*values).pack(), small, small, small, small, small, small, small | st.integers(0, 64)
)


@given(st.binary(max_size=80) | st.builds(bytes.__add__, heads, st.binary(max_size=60)))
def test_any_bytes_are_a_data_transfer_within_bounds_or_malformed(data: bytes) -> None:
    try:
        requested, _, _, remaining, payload = read_data_transfer(memoryview(data), MOST)
    except Malformed:
        return
    assert requested
    assert len(payload) + remaining <= MOST
    assert bytes(payload) in data
