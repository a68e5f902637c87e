"""Signatures, judged by a message Microsoft published, by smbprotocol's client and by impacket's CMAC."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from impacket.crypto import AES_CMAC as impacket_cmac
from smbprotocol.connection import Connection

from server.messages.header import Command, Flags, Header
from server.messages.negotiate import SigningAlgorithm
from server.security.signing import _JOIN_BELOW, signer
from smbdirect.wire import Buffer, Malformed

KEY = bytes(range(16, 32))
HMAC_SHA256 = SigningAlgorithm.HMAC_SHA256
AES_CMAC = SigningAlgorithm.AES_CMAC
AES_GMAC = SigningAlgorithm.AES_GMAC
ALGORITHMS = {"HMAC-SHA256": HMAC_SHA256, "AES-CMAC": AES_CMAC, "AES-GMAC": AES_GMAC}

# The SESSION_SETUP response of "the anatomy of signing and cryptographic keys", dialect 3.1.1, first channel.
PUBLISHED_KEY = bytes.fromhex("73FE7A9A77BEF0BDE49C650D8CCB5F76")
PUBLISHED = bytes.fromhex(
    "FE534D4240000100000000000100800009000000000000000300000000000000FFFE000000000000"
    "1900000000100000EBE146DA120BA25FC3376A49DFE31BC10900000048001D00A11B3019A0030A01"
    "00A3120410010000003B453CDC3524164200000000"
)


def message(
    payload: bytes = b"payload", message_id: int = 7, command: int = Command.WRITE, response: bool = False
) -> bytes:
    flags = Flags.SIGNED | (Flags.RESPONSE if response else 0)
    return Header(command=command, flags=flags, message_id=message_id).pack() + payload


def signed(algorithm: int, packet: bytes, response: bool = False) -> bytes:
    header = Header.unpack_from(packet)
    cancel = header.command == Command.CANCEL and not response
    header.signature = signer(algorithm, KEY).sign([packet], header.message_id, response, cancel)
    return header.pack() + packet[Header.SIZE :]


def judged(algorithm: int, packet: bytes, message_id: int, response: bool, command: int) -> bytes:
    connection = SimpleNamespace(dialect=0x0311, signing_algorithm_id=algorithm)
    signature: bytes = Connection._generate_signature(connection, packet, KEY, message_id, response, command)
    return signature


def test_the_published_response_verifies() -> None:
    assert signer(0x0311, PUBLISHED_KEY).verify(memoryview(PUBLISHED), response=True)


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
@pytest.mark.parametrize("response", [False, True])
@pytest.mark.parametrize("command", [Command.WRITE, Command.CANCEL])
@given(payload=st.binary(max_size=300), message_id=st.integers(0, 2**64 - 1))
def test_signatures_are_those_of_smbprotocol(
    algorithm: int, response: bool, command: int, payload: bytes, message_id: int
) -> None:
    if command == Command.CANCEL and response:
        return  # there is none
    packet = message(payload, message_id, command, response)
    expected = judged(algorithm, packet, message_id, response, command)
    cancel = command == Command.CANCEL
    assert signer(algorithm, KEY).sign([packet], message_id, response, cancel) == expected


@given(st.binary(max_size=100))
def test_cmac_is_that_of_impacket(payload: bytes) -> None:
    packet = message(payload)
    assert signer(AES_CMAC, KEY).sign([packet]) == impacket_cmac(KEY, packet, len(packet))


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
@pytest.mark.parametrize("size", [0, 1, 1000, _JOIN_BELOW, _JOIN_BELOW + 1, 200_000])
def test_parts_sign_as_the_whole_does(algorithm: int, size: int) -> None:
    payload = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
    packet = message(payload)
    parts: list[Buffer] = [packet[:64], bytearray(packet[64:80]), memoryview(packet)[80:]]
    one = signer(algorithm, KEY)
    assert one.sign(parts, 7) == one.sign([packet], 7)


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
@pytest.mark.parametrize("command", [Command.READ, Command.CANCEL])
@pytest.mark.parametrize("size", [0, 100, 50_000])
def test_what_is_signed_verifies_and_stays_untouched(algorithm: int, command: int, size: int) -> None:
    packet = bytearray(signed(algorithm, message(bytes(size), command=command)))
    before = bytes(packet)
    assert signer(algorithm, KEY).verify(memoryview(packet))
    assert packet == before


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_a_changed_bit_anywhere_is_seen(algorithm: int) -> None:
    packet = bytearray(signed(algorithm, message()))
    one = signer(algorithm, KEY)
    for position in range(len(packet)):
        packet[position] ^= 1
        assert not one.verify(memoryview(packet)), position
        packet[position] ^= 1
    assert one.verify(memoryview(packet))


def test_a_request_does_not_pass_as_a_response_under_gmac() -> None:
    packet = signed(AES_GMAC, message())
    assert not signer(AES_GMAC, KEY).verify(memoryview(packet), response=True)


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
@given(st.binary(max_size=120))
def test_any_bytes_are_refused_without_another_exception(algorithm: int, packet: bytes) -> None:
    try:
        assert not signer(algorithm, KEY).verify(memoryview(packet))
    except Malformed:
        assert len(packet) < 64


@pytest.mark.parametrize(
    ("dialect", "algorithm"),
    [(0x0202, HMAC_SHA256), (0x0210, HMAC_SHA256), (0x0300, AES_CMAC), (0x0302, AES_CMAC), (0x0311, AES_CMAC)],
)
def test_a_dialect_has_its_algorithm_where_none_is_negotiated(dialect: int, algorithm: int) -> None:
    assert signer(dialect, KEY).sign([message()]) == signer(algorithm, KEY).sign([message()])
