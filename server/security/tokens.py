"""NTLM messages read from the wire: the one place where pyspnego meets a peer's bytes.

Its parsers raise whatever comes up (ValueError, struct.error, KeyError, IndexError, UnicodeDecodeError ...) and read
some fields only when asked. So every field is read here, and whatever is raised becomes Malformed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from spnego._ntlm_raw.messages import Authenticate, Negotiate

from smbdirect.wire import Buffer, Malformed

_AV_EOL = 0
_AV_FLAGS = 6
_HAS_MIC = 0x2
_BLOB_PAIRS_AT = 28
"""Where AV pairs begin in NTLMv2_CLIENT_CHALLENGE (MS-NLMP 2.2.2.7)."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Authentication:
    """AUTHENTICATE_MESSAGE (MS-NLMP 2.2.1.3)."""

    flags: int
    user: str
    domain: str
    lm_response: bytes
    nt_response: bytes
    encrypted_key: bytes
    mic: bytes
    """b"" where the message has no room for one."""
    unsigned: bytes
    """The message as received, but for its MIC being zero: what the MIC covers."""


def negotiate_flags(token: Buffer) -> int:
    """NegotiateFlags of a NEGOTIATE_MESSAGE (MS-NLMP 2.2.1.1)."""
    return _parsed("NTLM NEGOTIATE", token, lambda data: Negotiate.unpack(data).flags)


def authentication(token: Buffer) -> Authentication:
    """The AUTHENTICATE_MESSAGE in `token`."""
    return _parsed("NTLM AUTHENTICATE", token, _authentication)


def has_mic(blob: bytes) -> bool:
    """Whether the AV pairs of an NTLMv2_CLIENT_CHALLENGE say that the message has a MIC (MsvAvFlags)."""
    at = _BLOB_PAIRS_AT
    while len(blob) - at >= 4:
        kind, length = int.from_bytes(blob[at : at + 2], "little"), int.from_bytes(blob[at + 2 : at + 4], "little")
        if kind == _AV_EOL:
            return False
        if kind == _AV_FLAGS:
            return bool(int.from_bytes(blob[at + 4 : at + 4 + length], "little") & _HAS_MIC)
        at += 4 + length
    raise Malformed("NTLM AUTHENTICATE: AV pairs without end")


def _authentication(data: bytes) -> Authentication:
    message = Authenticate.unpack(data)
    mic = message.mic or b""
    if mic:
        message.mic = bytes(16)
    return Authentication(
        flags=message.flags,
        user=message.user_name or "",
        domain=message.domain_name or "",
        lm_response=message.lm_challenge_response or b"",
        nt_response=message.nt_challenge_response or b"",
        encrypted_key=message.encrypted_random_session_key or b"",
        mic=mic,
        unsigned=message.pack(),
    )


def _parsed(what: str, token: Buffer, parse: Callable[[bytes], _T]) -> _T:
    try:
        return parse(bytes(token))
    except Exception as error:
        raise Malformed(f"{what} of {len(token)} bytes: {type(error).__name__}: {error}") from error
