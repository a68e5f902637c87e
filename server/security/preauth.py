"""Preauthentication integrity (MS-SMB2 3.3.5.4): a SHA-512 chain over the messages that set up a session.

A 3.1.1 connection has one chain over its NEGOTIATE request and response; each session setup continues a copy of
it, and the keys of the session are derived from where that copy ends. So whoever changed a byte of the messages
in between ends with other keys than the peer.
"""

import hashlib
from collections.abc import Iterable

from smbdirect.wire import Buffer

HASH_SIZE = 64


class Preauth:
    """One chain; `value` is where it stands, 64 bytes, all zero before the first message."""

    __slots__ = ("value",)

    def __init__(self, value: bytes = bytes(HASH_SIZE)) -> None:
        self.value = value

    def update(self, parts: Iterable[Buffer]) -> None:
        """Take in one whole message, from its SMB2 header on, given in parts."""
        digest = hashlib.sha512(self.value)
        for part in parts:
            digest.update(part)
        self.value = digest.digest()
