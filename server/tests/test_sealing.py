"""Encrypted messages, judged by those Microsoft published ("SMB 3.1.1 encryption in Windows 10") and by smbprotocol."""

from collections.abc import Iterable
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smbprotocol.connection import Connection, SMB2TransformHeader

from server.messages.negotiate import Cipher
from server.messages.transform import TransformHeader
from server.security.sealing import _MOVE_BELOW, Sealer
from smbdirect.wire import Buffer, Malformed
from transport.memory import HEADROOM, Arena

SESSION = 0x100000000025
CIPHERS = {
    "128-CCM": Cipher.AES128_CCM,
    "128-GCM": Cipher.AES128_GCM,
    "256-CCM": Cipher.AES256_CCM,
    "256-GCM": Cipher.AES256_GCM,
}
SIZES = [1, 64, 1000, _MOVE_BELOW, _MOVE_BELOW + 1, 200_001]
every_cipher = pytest.mark.parametrize("cipher", CIPHERS.values(), ids=CIPHERS)

READ_RESPONSE = bytes.fromhex(
    "FE534D4240000100000000000800010001000000000000000600000000000000FFFE000001000000"
    "25000000001000000000000000000000000000000000000011005000170000000000000000000000"
    "536D623320656E6372797074696F6E2074657374696E67"
)
# cipher, the client's decryption key, the message on the wire, the message inside
PUBLISHED = {
    "GCM": (
        Cipher.AES128_GCM,
        "748C50868C90F302962A5C35F5F9A8BF",
        (
            "FD534D427F714B3B9D8FA1198584E71C2BAA1CB6E16831DD2E8EB7B4000000000000000067000000"
            "000001002500000000100000FECEDF4D03BB11A6CC5D8A53BE33D6D8701986342B4197D306E16F9C"
            "BB218E92F7F8281F51CE68BB85A20D87DE90EBBF80538066D1C37513C0A58D70936D537B624F5500"
            "202A612B6CD30D448A82791A0B2E049ED512AFAEFB06E98AB3D6F931D7D50DB2DBD36A"
        ),
        READ_RESPONSE,
    ),
    "CCM": (
        Cipher.AES128_CCM,
        "95C544AEF6072680DA1CE49A68A97FA6",
        (
            "FD534D42E241A13C7E1EE42ECF1FD69F3B8668C6DA6831DD2E8EB7B4000000000000000067000000"
            "00000100210000000010000015D67234FC8358D7BA1BF037ABC8EFD41A0A8F9BB04B16DEB1E85606"
            "BD8C2770823FE6239A286CB3E3D5762ABBD53FD8DE11ED491FE905E146A8FFCE09414AB741103D63"
            "7E28B19C6BA759B399DCC21FAE24CF2A455A13B215FC2857ABB513927F9F271D1C208B"
        ),
        READ_RESPONSE.replace(bytes.fromhex("25000000001000000000"), bytes.fromhex("21000000001000000000")),
    ),
}


def key_size(cipher: int) -> int:
    return 32 if cipher in (Cipher.AES256_CCM, Cipher.AES256_GCM) else 16


def pair(cipher: int) -> tuple[Sealer, Sealer]:
    """Two ends of a session."""
    down, up = bytes(range(key_size(cipher))), bytes(range(100, 100 + key_size(cipher)))
    return Sealer(cipher, down, up), Sealer(cipher, up, down)


def pattern(size: int) -> bytes:
    """Every 8-byte word holds its own offset."""
    return b"".join(offset.to_bytes(8, "little") for offset in range(0, size + 8, 8))[:size]


def on_the_wire(parts: Iterable[Buffer]) -> memoryview:
    return memoryview(bytearray().join(parts))


@pytest.mark.parametrize("example", PUBLISHED)
def test_published_messages_open(example: str) -> None:
    cipher, key, wire, inside = PUBLISHED[example]
    sealer = Sealer(cipher, bytes(16), bytes.fromhex(key))
    assert bytes(sealer.unseal(memoryview(bytearray.fromhex(wire)))) == inside


@every_cipher
@pytest.mark.parametrize("size", SIZES)
def test_what_one_end_seals_the_other_opens(cipher: int, size: int) -> None:
    server, client = pair(cipher)
    payload = pattern(size)
    wire = on_the_wire(server.seal([payload[:64], memoryview(payload)[64:]], SESSION))
    assert TransformHeader.unpack_from(wire).session_id == SESSION
    assert bytes(client.unseal(wire)) == payload


@every_cipher
@pytest.mark.parametrize("size", SIZES)
def test_a_block_is_sealed_where_it_lies(cipher: int, size: int) -> None:
    server, client = pair(cipher)
    arena = Arena()
    block = arena.take_nowait(size + 100)
    assert block is not None
    payload = pattern(size)
    block.view[:size] = payload
    (sealed,) = server.seal_block(b"h" * 80, block, size, SESSION)
    assert memoryview(sealed).obj is block.view.obj  # no copy of it
    assert bytes(client.unseal(on_the_wire([sealed]))) == b"h" * 80 + payload
    block.release()
    assert arena.idle


def test_a_block_is_sealed_up_to_its_very_end_and_with_all_its_headroom() -> None:
    server, client = pair(Cipher.AES128_GCM)
    arena = Arena()
    block = arena.take_nowait(4096)
    assert block is not None
    head = b"h" * (HEADROOM - TransformHeader.SIZE)
    wire = on_the_wire(server.seal_block(head, block, block.length, SESSION))
    assert bytes(client.unseal(wire)) == head + bytes(block.length)
    block.release()


@every_cipher
def test_smbprotocol_opens_what_we_seal(cipher: int) -> None:
    server, _ = pair(cipher)
    header = SMB2TransformHeader()
    header.unpack(bytes(on_the_wire(server.seal([READ_RESPONSE], SESSION))))
    theirs = SimpleNamespace(decryption_key=bytes(range(key_size(cipher))))
    connection = SimpleNamespace(dialect=0x0311, cipher_id=cipher, session_table={SESSION: theirs})
    assert Connection._decrypt(connection, header) == READ_RESPONSE


@every_cipher
def test_we_open_what_smbprotocol_seals(cipher: int) -> None:
    server, _ = pair(cipher)
    theirs = SimpleNamespace(encryption_key=bytes(range(100, 100 + key_size(cipher))), session_id=SESSION)
    connection = SimpleNamespace(dialect=0x0311, cipher_id=cipher)
    wire = Connection._encrypt(connection, READ_RESPONSE, theirs).pack()
    assert bytes(server.unseal(memoryview(bytearray(wire)))) == READ_RESPONSE


@every_cipher
@pytest.mark.parametrize("size", [20, _MOVE_BELOW + 1])
def test_a_changed_bit_is_malformed(cipher: int, size: int) -> None:
    server, client = pair(cipher)
    wire = on_the_wire(server.seal([bytes(size)], SESSION))
    nonce_end = 20 + (11 if cipher in (Cipher.AES128_CCM, Cipher.AES256_CCM) else 12)
    for position in [*range(4, nonce_end), *range(36, 52), 52, len(wire) - 1]:
        changed = memoryview(bytearray(wire))
        changed[position] ^= 1
        with pytest.raises(Malformed):
            client.unseal(changed)


@every_cipher
def test_a_message_cut_anywhere_is_malformed(cipher: int) -> None:
    server, client = pair(cipher)
    wire = on_the_wire(server.seal([b"x" * 30], SESSION))
    for length in range(len(wire)):
        with pytest.raises(Malformed):
            client.unseal(memoryview(bytearray(wire[:length])))


def test_bytes_behind_the_message_are_malformed() -> None:
    server, client = pair(Cipher.AES128_GCM)
    with pytest.raises(Malformed, match="OriginalMessageSize 30 before 31"):
        client.unseal(on_the_wire([*server.seal([b"x" * 30], SESSION), b"x"]))


def test_an_empty_message_is_malformed() -> None:
    server, client = pair(Cipher.AES128_GCM)
    with pytest.raises(Malformed, match="OriginalMessageSize 0"):
        client.unseal(on_the_wire(server.seal([], SESSION)))


def test_our_own_message_sent_back_is_malformed() -> None:
    server, _ = pair(Cipher.AES128_GCM)
    with pytest.raises(Malformed, match="tag"):
        server.unseal(on_the_wire(server.seal([READ_RESPONSE], SESSION)))


@every_cipher
def test_no_nonce_comes_twice_and_their_end_is_zero(cipher: int) -> None:
    server, _ = pair(cipher)
    used = 11 if cipher in (Cipher.AES128_CCM, Cipher.AES256_CCM) else 12
    nonces = [TransformHeader.unpack_from(server.seal([b"x"], SESSION)[0]).nonce for _ in range(1000)]
    assert len(set(nonces)) == 1000
    assert {nonce[used:] for nonce in nonces} == {bytes(16 - used)}


def test_the_nonce_counter_goes_round_at_its_end() -> None:
    server, client = pair(Cipher.AES128_GCM)
    server._counter = 2**64 - 1
    assert bytes(client.unseal(on_the_wire(server.seal([b"x"], SESSION)))) == b"x"


def test_two_sealers_of_one_key_begin_elsewhere() -> None:
    assert pair(Cipher.AES128_GCM)[0].seal([b"x"], 1) != pair(Cipher.AES128_GCM)[0].seal([b"x"], 1)


@every_cipher
@given(st.binary(max_size=200))
def test_any_bytes_are_malformed(cipher: int, junk: bytes) -> None:
    server, _ = pair(cipher)
    for wire in (junk, TransformHeader(original_message_size=len(junk)).pack() + junk):
        with pytest.raises(Malformed):
            server.unseal(memoryview(bytearray(wire)))
