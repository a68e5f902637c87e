"""Encrypted messages (MS-SMB2 2.2.41, 3.1.4.3): a transform header, then the message under AES-GCM or AES-CCM.

The AEAD puts its tag behind the ciphertext, the wire has it in the header before it. Large payload is encrypted and
decrypted where it lies: the block's tailroom takes the tag that `seal_block` moves; on the way in, either the tag
is given apart (GCM) or the ciphertext moves 16 bytes down over the header that has been read, and the tag is put
behind it, so no received message needs room behind its end.
"""

import os
from collections.abc import Sequence
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import ciphers
from cryptography.hazmat.primitives.ciphers import algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM

from smbdirect.wire import Buffer, Malformed
from transport.memory import Block

from ..messages.header import TRANSFORM_ID
from ..messages.negotiate import Cipher
from ..messages.transform import ENCRYPTED, TransformHeader

TAG_SIZE = 16
_TAG_AT = 4
_ASSOCIATED_AT = 20
"""What the tag covers besides the message: the header from its Nonce on."""

_MOVE_BELOW = 32768
"""Up to this many bytes, moving a GCM ciphertext down is faster than a context for a tag apart (measured: 2 us)."""


class _Aead(Protocol):
    def encrypt_into(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, buf: Buffer) -> int: ...

    def decrypt_into(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, buf: Buffer) -> int: ...


class _Suite:
    """What differs between the ciphers: key and nonce sizes in bytes, and the AEAD."""

    def __init__(self, aead: type[AESGCM] | type[AESCCM], key_size: int, nonce_size: int) -> None:
        self.aead = aead
        self.key_size = key_size
        self.nonce_size = nonce_size


_SUITES = {
    Cipher.AES128_CCM: _Suite(AESCCM, 16, 11),
    Cipher.AES128_GCM: _Suite(AESGCM, 16, 12),
    Cipher.AES256_CCM: _Suite(AESCCM, 32, 11),
    Cipher.AES256_GCM: _Suite(AESGCM, 32, 12),
}


class Sealer:
    """Both directions of one session's encryption. All channels of a session share its keys, so they share this
    object too: the nonces it gives out never repeat."""

    __slots__ = ("_algorithm", "_counter", "_nonce_size", "_salt", "_seal", "_unseal")

    def __init__(self, cipher: int, seal_key: bytes, unseal_key: bytes) -> None:
        suite = _SUITES[cipher]
        assert len(seal_key) == len(unseal_key) == suite.key_size
        self._nonce_size = suite.nonce_size
        self._seal: _Aead = suite.aead(seal_key)
        self._unseal: _Aead = suite.aead(unseal_key)
        self._algorithm = algorithms.AES(unseal_key) if suite.aead is AESGCM else None
        self._salt = os.urandom(suite.nonce_size - 8)
        self._counter = int.from_bytes(os.urandom(8), "little")

    def seal(self, parts: Sequence[Buffer], session_id: int) -> list[Buffer]:
        """The message in `parts`, encrypted: copied once, into bytes of its own. `parts` stay as they are."""
        whole = memoryview(bytearray().join((bytes(TransformHeader.SIZE), *parts, bytes(TAG_SIZE))))
        return [self._seal_in_place(whole, session_id)]

    def seal_block(self, head: Buffer, block: Block, count: int, session_id: int) -> list[Buffer]:
        """The message of `head` and the first `count` bytes of `block`'s payload, encrypted in the block itself.

        The payload there is ciphertext afterwards, with the transform header and `head` before it: all that is sent
        is one view of the block. `head` must fit the headroom together with the header of 52 bytes.
        """
        before = TransformHeader.SIZE + len(head)
        whole = block.around(before, TAG_SIZE)[: before + count + TAG_SIZE]
        whole[TransformHeader.SIZE : before] = head
        return [self._seal_in_place(whole, session_id)]

    def unseal(self, message: memoryview) -> memoryview:
        """The message inside `message` (from its transform header on), decrypted in place: a view of `message`.

        Raises Malformed where the header is wrong or the tag does not fit; `message` is of no more use then.
        """
        header = TransformHeader.unpack_from(message)
        size = len(message) - TransformHeader.SIZE
        if header.protocol_id != TRANSFORM_ID:
            raise Malformed("no transform header")
        if header.flags != ENCRYPTED:
            raise Malformed(f"transform header: Flags {header.flags:#x}")  # MS-SMB2 3.3.5.2.1.1
        if not size or header.original_message_size != size:
            raise Malformed(f"transform header: OriginalMessageSize {header.original_message_size} before {size} bytes")
        try:
            if self._algorithm is None or size <= _MOVE_BELOW:
                return self._unseal_moved(header, message, size)
            return self._unseal_apart(self._algorithm, header, message)
        except InvalidTag:
            raise Malformed("encrypted message: its tag does not fit") from None

    def _nonce(self) -> bytes:
        self._counter = (self._counter + 1) & 0xFFFF_FFFF_FFFF_FFFF
        return self._counter.to_bytes(8, "little") + self._salt

    def _seal_in_place(self, whole: memoryview, session_id: int) -> memoryview:
        """Encrypt what lies between the room for the header and the room for the tag; the view to send."""
        nonce = self._nonce()
        end = len(whole) - TAG_SIZE
        size = end - TransformHeader.SIZE
        TransformHeader(nonce=nonce, original_message_size=size, session_id=session_id).pack_into(whole)
        body = whole[TransformHeader.SIZE :]
        self._seal.encrypt_into(nonce, body[:size], whole[_ASSOCIATED_AT : TransformHeader.SIZE], body)
        whole[_TAG_AT : _TAG_AT + TAG_SIZE] = whole[end:]
        return whole[:end]

    def _unseal_moved(self, header: TransformHeader, message: memoryview, size: int) -> memoryview:
        """Move the ciphertext down by the tag's size and put the tag behind it, as the AEAD wants it."""
        associated = bytes(message[_ASSOCIATED_AT : TransformHeader.SIZE])
        body = message[TransformHeader.SIZE - TAG_SIZE :]
        body[:size] = message[TransformHeader.SIZE :]
        body[size:] = header.signature
        self._unseal.decrypt_into(header.nonce[: self._nonce_size], body, associated, body[:size])
        return body[:size]

    def _unseal_apart(self, algorithm: algorithms.AES, header: TransformHeader, message: memoryview) -> memoryview:
        gcm = ciphers.Cipher(algorithm, modes.GCM(header.nonce[: self._nonce_size], header.signature)).decryptor()
        gcm.authenticate_additional_data(message[_ASSOCIATED_AT : TransformHeader.SIZE])
        body = message[TransformHeader.SIZE :]
        gcm.update_into(body, body)
        gcm.finalize()
        return body
