"""The keys of a session (MS-SMB2 3.3.5.5.3, 3.2.5.3.1), each derived from the key that the login left.

SP800-108 in counter mode with HMAC-SHA256 and a 32-bit counter (3.1.4.2). HMAC-SHA256 gives 32 bytes and no key
here is longer, so the counter never passes 1. Labels and contexts end in a zero byte of their own, which comes on
top of the separator that SP800-108 puts between them.
"""

import hmac
from typing import NamedTuple

from ..messages.negotiate import Cipher, Dialect

KEY_SIZE = 16


class Keys(NamedTuple):
    """`seal` encrypts what this side sends, `unseal` decrypts what it receives: both b"" before dialect 3.0."""

    signing: bytes
    seal: bytes
    unseal: bytes
    application: bytes


def derive(
    session_key: bytes,
    dialect: int,
    cipher: int = 0,
    preauth: bytes = b"",
    full_key: bytes | None = None,
    client: bool = False,
) -> Keys:
    """The keys of a session as its server, or with `client` as its client, holds them.

    `session_key` is the login's, cut or zero-padded to 16 bytes here. `cipher` counts in 3.1.1 only, where the 256-bit
    ones take keys of 32 bytes from `full_key` (the login's key in its whole length). `preauth` is the value of
    the session's chain in 3.1.1. Another channel of a session has a signing key of its own, from its own chain,
    and shares the rest.
    """
    key = session_key[:KEY_SIZE].ljust(KEY_SIZE, b"\0")
    if dialect < Dialect.SMB300:
        return Keys(key, b"", b"", key)
    if dialect < Dialect.SMB311:
        signing, application = _kdf(key, b"SMB2AESCMAC\0", b"SmbSign\0"), _kdf(key, b"SMB2APP\0", b"SmbRpc\0")
        down = _kdf(key, b"SMB2AESCCM\0", b"ServerOut\0")
        up = _kdf(key, b"SMB2AESCCM\0", b"ServerIn \0")
    else:
        signing, application = _kdf(key, b"SMBSigningKey\0", preauth), _kdf(key, b"SMBAppKey\0", preauth)
        wide = cipher in (Cipher.AES256_CCM, Cipher.AES256_GCM)
        sealing_key, size = (full_key or key, 32) if wide else (key, KEY_SIZE)
        down = _kdf(sealing_key, b"SMBS2CCipherKey\0", preauth, size)
        up = _kdf(sealing_key, b"SMBC2SCipherKey\0", preauth, size)
    return Keys(signing, up, down, application) if client else Keys(signing, down, up, application)


def _kdf(key: bytes, label: bytes, context: bytes, size: int = KEY_SIZE) -> bytes:
    fixed = label + b"\0" + context + (size * 8).to_bytes(4, "big")
    return hmac.digest(key, b"\0\0\0\1" + fixed, "sha256")[:size]
