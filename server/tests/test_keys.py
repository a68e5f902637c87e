"""The preauthentication chain and key derivation, against Microsoft's published examples and smbprotocol's KDF.

The examples are those of the Open Specifications blog, "the anatomy of signing and cryptographic keys" and
"SMB 3.1.1 encryption in Windows 10". They name keys as the client does.
"""

import copy
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smbprotocol.session import Session

from server.messages.negotiate import Cipher
from server.security.keys import derive
from server.security.preauth import Preauth

# dialect, cipher, session key, preauthentication hash, then signing, encryption, decryption and application key
PUBLISHED = {
    "3.0": (
        0x0300, Cipher.AES128_CCM, "7CD451825D0450D235424E44BA6E78CC", "",
        "0B7E9C5CAC36C0F6EA9AB275298CEDCE", "FAD27796665B313EBB578F388632B4F7",
        "B0F0427F7CEB416D1D9DCC0CD4F99447", "BB23A4575AA26C721AF525AF15A87B4F",
    ),
    "3.1.1": (
        0x0311, Cipher.AES128_GCM, "270E1BA896585EEB7AF3472D3B4C75A7",
        ("0DD13628CC3ED218EF9DF9772D436D0887AB9814BFAE63A80AA845F36909DB79"
        "28622DDDAD522D9751640A459762C5A9D6BB084CBB3CE6BDADEF5D5BCE3C6C01"),
        "73FE7A9A77BEF0BDE49C650D8CCB5F76", "629BCBC54422A0F572B97F45989B6073",
        "E2AF0DCEFAC68DA71A0DFBD0D1350D74", "6D7AD7954E9EC61E907B4D473DC178FF",
    ),
    "3.1.1 sealed": (
        0x0311, Cipher.AES128_GCM, "419FDDF34C1E001909D362AE7FB6AF79",
        ("B23F3CBFD69487D9832B79B1594A367CDD950909B774C3A4C412B4FCEA9EDDDB"
        "A7DB256BA2EA30E977F11F9B113247578E0E915C6D2A513B8F2FCA5707DC8770"),
        "8765949DFEAEE105CE9118B45BE988F0", "A2F5E80E5D59103034F32E52F698E5EC",
        "748C50868C90F302962A5C35F5F9A8BF", "099D610789FBE82055B313601C3E8CC4",
    ),
}  # fmt: skip

NEGOTIATE_REQUEST = bytes.fromhex(
    "FE534D4240000100000000000000010000000000000000000000000000000000FFFE000000000000"
    "00000000000000000000000000000000000000000000000024000500010000006600000078EA16AC"
    "6877C34A95F7160F73EA377270000000020000000202100200030203110300000100260000000000"
    "0100200001001A05A92392E1554C072AE7B186EE7DC02CB90BEF2E639CCC94B7A9DC7B3934420000"
    "0200060000000000020001000200"
)
AFTER_NEGOTIATE_REQUEST = bytes.fromhex(
    "A3A8A769FEA693B3D037406EF945E115D2B7A4A9318564D2CAAA4B1FE0EC36D8D92A4802619EDCF2"
    "9E2410534D2D3749E71F76ADF5212F959210D291097A6355"
)


@pytest.mark.parametrize("example", PUBLISHED)
def test_keys_are_those_microsoft_published(example: str) -> None:
    dialect, cipher, session_key, preauth, signing, encryption, decryption, application = PUBLISHED[example]
    client = derive(bytes.fromhex(session_key), dialect, cipher, bytes.fromhex(preauth), client=True)
    server = derive(bytes.fromhex(session_key), dialect, cipher, bytes.fromhex(preauth))
    assert [key.hex().upper() for key in client] == [signing, encryption, decryption, application]
    assert (server.seal, server.unseal) == (client.unseal, client.seal)
    assert (server.signing, server.application) == (client.signing, client.application)


@pytest.mark.parametrize("dialect", [0x0202, 0x0210])
def test_before_dialect_3_the_session_key_signs_and_nothing_seals(dialect: int) -> None:
    key = bytes(range(16))
    assert derive(key, dialect) == (key, b"", b"", key)


@pytest.mark.parametrize("cipher", [Cipher.AES256_CCM, Cipher.AES256_GCM])
@given(full_key=st.binary(min_size=16, max_size=32), preauth=st.binary(min_size=64, max_size=64))
def test_256_bit_ciphers_take_their_keys_from_the_whole_login_key(cipher: int, full_key: bytes, preauth: bytes) -> None:
    keys = derive(full_key[:16], 0x0311, cipher, preauth, full_key)
    judge = Session._smb3kdf
    assert keys.seal == judge(None, full_key, b"SMBS2CCipherKey\0", preauth, length=32)
    assert keys.unseal == judge(None, full_key, b"SMBC2SCipherKey\0", preauth, length=32)
    assert keys.signing == judge(None, full_key[:16], b"SMBSigningKey\0", preauth)


def test_a_login_key_that_is_not_16_bytes_long_is_cut_or_padded() -> None:
    assert derive(b"short", 0x0300) == derive(b"short".ljust(16, b"\0"), 0x0300)
    assert derive(bytes(range(32)), 0x0300) == derive(bytes(range(16)), 0x0300)


def test_preauth_chain_is_the_published_one() -> None:
    chain = Preauth()
    assert chain.value == bytes(64)
    chain.update([NEGOTIATE_REQUEST])
    assert chain.value == AFTER_NEGOTIATE_REQUEST


@given(st.lists(st.binary(), max_size=5))
def test_preauth_takes_a_message_in_any_parts(parts: list[bytes]) -> None:
    chain = Preauth(AFTER_NEGOTIATE_REQUEST)
    chain.update([memoryview(part) for part in parts])
    assert chain.value == hashlib.sha512(AFTER_NEGOTIATE_REQUEST + b"".join(parts)).digest()


def test_a_copy_of_the_chain_goes_its_own_way() -> None:
    chain = Preauth()
    setup = copy.copy(chain)
    setup.update([b"SESSION_SETUP"])
    assert chain.value == bytes(64) != setup.value
