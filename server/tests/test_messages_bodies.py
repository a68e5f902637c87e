"""Every command's bodies, read and written whole, cut at every byte, and with a wrong StructureSize."""

import pytest

from server.messages.base import HEADER_SIZE, Body
from server.messages.file import LockRequest
from server.messages.header import PROTOCOL_ID, Command, ErrorResponse, Header
from server.messages.read_write import ReadRequest, ReadResponse, WriteRequest
from server.messages.registry import REQUESTS, RESPONSES
from server.messages.tree import TreeConnectRequest
from smbdirect.wire import Malformed

from . import message_samples as samples

BODIES = [pytest.param(body, id=f"{type(body).__name__}-{at}") for at, body in enumerate(samples.REQUESTS)]
BODIES += [pytest.param(body, id=f"{type(body).__name__}-{at}") for at, body in enumerate(samples.RESPONSES)]


@pytest.mark.parametrize("body", BODIES)
def test_what_is_packed_parses_to_the_same(body: Body) -> None:
    assert type(body).parse(memoryview(samples.packet(body))) == body


@pytest.mark.parametrize("body", BODIES)
def test_cut_anywhere_it_is_malformed_or_only_filler_was_lost(body: Body) -> None:
    packet = samples.packet(body)
    assert len(packet) - HEADER_SIZE >= 2
    for end in range(len(packet)):
        try:
            parsed = type(body).parse(memoryview(packet)[:end])
        except Malformed:
            continue
        assert end == len(packet) - 1, f"cut at {end} of {len(packet)}"
        assert packet[end] == 0
        assert parsed == body


@pytest.mark.parametrize("body", BODIES)
def test_what_follows_it_is_ignored(body: Body) -> None:
    assert type(body).parse(memoryview(samples.packet(body) + b"trailing")) == body


@pytest.mark.parametrize("body", BODIES)
def test_another_structure_size_is_malformed(body: Body) -> None:
    packet = bytearray(samples.packet(body))
    packet[HEADER_SIZE] ^= 1
    with pytest.raises(Malformed):
        type(body).parse(memoryview(packet))


def test_the_structure_size_is_the_fixed_part_and_one_for_a_buffer() -> None:
    for body in [*samples.REQUESTS, *samples.RESPONSES]:
        size = int.from_bytes(samples.packet(body)[HEADER_SIZE:][:2], "little")
        assert len(samples.packet(body)) - HEADER_SIZE >= size & ~1


def test_the_registry_has_every_command_and_the_samples_every_class() -> None:
    commands = {code for name, code in vars(Command).items() if name.isupper()}
    assert set(REQUESTS) == commands
    assert set(RESPONSES) == commands - {Command.CANCEL}
    assert {type(body) for body in samples.REQUESTS} == set(REQUESTS.values())
    assert {type(body) for body in samples.RESPONSES} == {*RESPONSES.values(), ErrorResponse}


def test_a_name_outside_the_message_is_malformed() -> None:
    packet = bytearray(samples.packet(TreeConnectRequest(0, r"\\a\b")))
    packet[HEADER_SIZE + 4 : HEADER_SIZE + 6] = (0xFFFF).to_bytes(2, "little")
    with pytest.raises(Malformed, match="path"):
        TreeConnectRequest.parse(memoryview(packet))


def test_a_name_of_an_odd_length_is_malformed() -> None:
    packet = bytearray(samples.packet(TreeConnectRequest(0, r"\\a\b")))
    packet[HEADER_SIZE + 6] -= 1
    with pytest.raises(Malformed, match="UTF-16"):
        TreeConnectRequest.parse(memoryview(packet))


def test_a_tree_connect_extension_before_the_path_is_skipped() -> None:
    packet = bytearray(samples.packet(TreeConnectRequest(4, r"\\a\b")))
    packet[HEADER_SIZE + 4] -= 16  # to the Buffer, where the extension lies
    assert TreeConnectRequest.parse(memoryview(packet)).path == r"\\a\b"


def test_a_lock_without_locks_is_malformed() -> None:
    with pytest.raises(Malformed, match="zero"):
        LockRequest.parse(memoryview(samples.packet(LockRequest(samples.FILE_ID, []))))


def test_a_payload_is_a_view_of_the_message() -> None:
    packet = samples.packet(WriteRequest(samples.FILE_ID, 0, b"payload"))
    assert isinstance(WriteRequest.parse(memoryview(packet)).data, memoryview)


def test_descriptors_that_are_not_whole_are_malformed() -> None:
    packet = bytearray(samples.packet(samples.REQUESTS[12]))
    assert packet[HEADER_SIZE + 46] == 32
    packet[HEADER_SIZE + 46] = 31
    with pytest.raises(Malformed, match="whole descriptors"):
        ReadRequest.parse(memoryview(packet))


def test_a_header_is_64_bytes_and_reads_back() -> None:
    header = Header(PROTOCOL_ID, 64, 1, 0x00010002, 5, 7, 9, 11, 13, 15 << 32 | 17, 19, bytes(range(16)))
    packed = header.pack()
    assert packed == bytes.fromhex(
        "fe534d42 4000 0100 02000100 0500 0700 09000000 0b000000 0d00000000000000"
        "11000000 0f000000 1300000000000000 000102030405060708090a0b0c0d0e0f"
    )
    assert Header.unpack_from(packed) == header
    assert (header.tree_id, header.channel_sequence) == (15, 2)
    for end in range(len(packed)):
        with pytest.raises(Malformed):
            Header.unpack_from(packed[:end])


def test_the_answer_to_a_channel_read_ends_with_its_fixed_part():
    """The Linux client takes a byte behind it for the next message's first (cifs_readv_receive)."""
    assert sum(map(len, ReadResponse(remaining=4096).parts())) == 16
    assert sum(map(len, ReadResponse().parts())) == 17
