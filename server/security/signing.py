"""Signatures of SMB2 messages (MS-SMB2 3.1.4.1): HMAC-SHA256, AES-128-CMAC and AES-128-GMAC.

A signature covers the message from its header on with the header's Signature field zero. Messages come in parts
and are never joined for it, unless they are so small that joining is faster than feeding GMAC piece by piece. What
depends on the key alone is computed once: the two keyed SHA-256 states of HMAC, the keyed CMAC, the AES-GCM object.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from hmac import compare_digest

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.cmac import CMAC

from smbdirect.wire import Buffer, Malformed

from ..messages.base import HEADER_SIZE
from ..messages.header import Command
from ..messages.negotiate import Dialect, SigningAlgorithm

SIGNATURE_AT = 48
SIGNATURE_SIZE = 16
_NO_SIGNATURE = bytes(SIGNATURE_SIZE)
_COMMAND_AT = 12
_MESSAGE_ID_AT = 24

_JOIN_BELOW = 16384
"""Up to this many bytes, joining the parts is faster than a GCM context of their own (measured: 2 us)."""


class Signer(ABC):
    """One signing key of one channel."""

    __slots__ = ()

    def sign(self, parts: Sequence[Buffer], message_id: int = 0, response: bool = True, cancel: bool = False) -> bytes:
        """The 16-byte signature of the message in `parts`; the first holds the header whole, its Signature zero.

        `message_id`, `response` and `cancel` (a CANCEL request) make GMAC's nonce, so no two different messages
        may be signed with the same three: interim responses and notifications go unsigned (3.3.4.1.1).
        """
        return self._digest(parts, message_id | response << 64 | cancel << 65)

    def verify(self, packet: memoryview, response: bool = False) -> bool:
        """Whether `packet`, one message from its header on and not touched here, carries its right signature."""
        if len(packet) < HEADER_SIZE:
            raise Malformed(f"{len(packet)} bytes are no SMB2 message")
        message_id = int.from_bytes(packet[_MESSAGE_ID_AT : _MESSAGE_ID_AT + 8], "little")
        cancel = not response and packet[_COMMAND_AT] == Command.CANCEL
        parts = (packet[:SIGNATURE_AT], _NO_SIGNATURE, packet[HEADER_SIZE:])
        right = self.sign(parts, message_id, response, cancel)
        return compare_digest(right, packet[SIGNATURE_AT:HEADER_SIZE])

    @abstractmethod
    def _digest(self, parts: Sequence[Buffer], nonce: int) -> bytes: ...


class HmacSigner(Signer):
    """HMAC-SHA256, its first 16 bytes: dialects 2.x, and 3.1.1 where negotiated."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        padded = key.ljust(hashlib.sha256().block_size, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))

    def _digest(self, parts: Sequence[Buffer], nonce: int) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        for part in parts:
            inner.update(part)
        outer.update(inner.digest())
        return outer.digest()[:SIGNATURE_SIZE]


class CmacSigner(Signer):
    """AES-128-CMAC: dialects 3.x."""

    __slots__ = ("_keyed",)

    def __init__(self, key: bytes) -> None:
        self._keyed = CMAC(algorithms.AES(key))

    def _digest(self, parts: Sequence[Buffer], nonce: int) -> bytes:
        mac = self._keyed.copy()
        for part in parts:
            mac.update(part)  # type: ignore[arg-type]  # any buffer will do, its annotation says bytes
        return mac.finalize()


class GmacSigner(Signer):
    """AES-128-GMAC: the tag of AES-GCM over the message as associated data and no plaintext."""

    __slots__ = ("_algorithm", "_gcm")

    def __init__(self, key: bytes) -> None:
        self._algorithm = algorithms.AES(key)
        self._gcm = AESGCM(key)

    def _digest(self, parts: Sequence[Buffer], nonce: int) -> bytes:
        iv = nonce.to_bytes(12, "little")
        if len(parts) == 1:
            return self._gcm.encrypt(iv, b"", parts[0])
        if sum(map(len, parts)) <= _JOIN_BELOW:
            return self._gcm.encrypt(iv, b"", b"".join(parts))
        gcm = Cipher(self._algorithm, modes.GCM(iv)).encryptor()
        for part in parts:
            gcm.authenticate_additional_data(part)
        gcm.finalize()
        return gcm.tag


_SIGNERS: dict[int, type[HmacSigner] | type[CmacSigner] | type[GmacSigner]] = {
    SigningAlgorithm.HMAC_SHA256: HmacSigner,
    SigningAlgorithm.AES_CMAC: CmacSigner,
    SigningAlgorithm.AES_GMAC: GmacSigner,
    Dialect.SMB202: HmacSigner,
    Dialect.SMB210: HmacSigner,
    Dialect.SMB300: CmacSigner,
    Dialect.SMB302: CmacSigner,
    Dialect.SMB311: CmacSigner,
}


def signer(algorithm: int, key: bytes) -> Signer:
    """The signer for a SigningAlgorithmId, or for a dialect with which none was negotiated."""
    return _SIGNERS[algorithm](key)
