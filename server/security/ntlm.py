"""NTLM's server side (MS-NLMP 3.2): NTLMv2 only, for users whose NT hash we hold.

The client's domain is taken as it comes: it goes into the computation and means nothing else. NTLMv1 and LM
responses are refused, whoever sends them. An unknown name goes through the computations of a known one, with a hash
that no password has, so that neither the answer nor its time tells which names exist.
"""

import hmac
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from spnego._ntlm_raw.crypto import rc4init, rc4k, sealkey, signkey
from spnego._ntlm_raw.messages import AvId, Challenge, FileTime, NegotiateFlags, TargetInfo, Version
from spnego._ntlm_raw.security import sign as ntlm_sign

from smbdirect.wire import utf16

from ..status import NT, Status
from .auth import NTLM, Context, Mechanism, Outcome
from .throttle import Throttle
from .tokens import Authentication, authentication, has_mic, negotiate_flags
from .users import User

_ALWAYS = (
    NegotiateFlags.unicode
    | NegotiateFlags.request_target
    | NegotiateFlags.ntlm
    | NegotiateFlags.target_type_server
    | NegotiateFlags.target_info
).value
_IF_ASKED = (
    NegotiateFlags.sign
    | NegotiateFlags.seal
    | NegotiateFlags.always_sign
    | NegotiateFlags.extended_session_security
    | NegotiateFlags.version
    | NegotiateFlags.key_128
    | NegotiateFlags.key_56
    | NegotiateFlags.key_exch
).value
_UNICODE = NegotiateFlags.unicode.value
_KEY_EXCHANGE = NegotiateFlags.key_exch.value
_SIGN_OR_SEAL = (NegotiateFlags.sign | NegotiateFlags.seal).value
_INTEGRITY = (NegotiateFlags.sign | NegotiateFlags.extended_session_security).value

_VERSION = Version(major=6, minor=1, build=0)
"""Ignored by those who read it; its revision, 15, is NTLMSSP_REVISION_W2K3 (MS-NLMP 2.2.2.10)."""

_SMALLEST_V2 = 16 + 28 + 4
"""NTProofStr, NTLMv2_CLIENT_CHALLENGE's fixed part, one AV pair. NTLMv1's response has 24 bytes."""

_UNIX_EPOCH = 116_444_736_000_000_000
"""1970-01-01 in 100 ns since 1601-01-01."""


class UserLookup(Protocol):
    def find(self, name: str) -> User | None: ...


@dataclass(frozen=True, slots=True)
class Names:
    """What the server calls itself towards clients."""

    computer: str
    """NetBIOS: at most 15 characters, upper case."""
    domain: str = ""
    """NetBIOS: the workgroup; "" for the computer's own name, as Windows says it in none."""
    dns_computer: str = ""
    dns_domain: str = ""


class Ntlm(Mechanism):
    """Logins by NTLMv2. With `unknown_is_guest` a name that `users` does not know is let in as guest
    (ksmbd's and Samba's "map to guest = bad user"); a known name with a wrong password never is."""

    oids = (NTLM,)

    def __init__(
        self,
        users: UserLookup,
        names: Names,
        unknown_is_guest: bool = False,
        throttle: Throttle | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.users = users
        self.names = names
        self.unknown_is_guest = unknown_is_guest
        self.throttle = throttle or Throttle()
        self.clock = clock
        self.nobody = User("", os.urandom(16))
        """Stands in for users that are not there."""

    def start(self, peer: str) -> "NtlmContext":
        return NtlmContext(self, peer)

    def challenge(self, flags: int, challenge: bytes) -> bytes:
        """The CHALLENGE_MESSAGE to a client that asked for `flags` (MS-NLMP 3.2.5.1.1)."""
        pairs = TargetInfo()
        pairs[AvId.nb_domain_name] = self.names.domain or self.names.computer
        pairs[AvId.nb_computer_name] = self.names.computer
        pairs[AvId.dns_domain_name] = self.names.dns_domain
        pairs[AvId.dns_computer_name] = self.names.dns_computer or self.names.computer.lower()
        filetime = _UNIX_EPOCH + int(self.clock() * 10_000_000)
        pairs[AvId.timestamp] = FileTime.unpack(filetime.to_bytes(8, "little"))
        granted = _ALWAYS | flags & _IF_ASKED
        version = _VERSION if granted & NegotiateFlags.version.value else None
        packed: bytes = Challenge(granted, challenge, self.names.computer, pairs, version).pack()
        return packed


class NtlmContext(Context):
    """NEGOTIATE in, CHALLENGE out, AUTHENTICATE in."""

    def __init__(self, ntlm: Ntlm, peer: str) -> None:
        self._ntlm = ntlm
        self._peer = peer
        self._nonce = os.urandom(8)
        self._said: list[bytes] = []
        """The messages so far, as they went over the wire: what the MIC covers."""
        self._flags = 0
        self._key: bytes | None = None
        """The exported session key, None where the client's is not known."""

    async def step(self, token: bytes) -> tuple[bytes, Outcome | None]:
        if self._said:
            return b"", await self._authenticate(authentication(token))
        flags = negotiate_flags(token)
        if not flags & _UNICODE:
            raise Status(NT.INVALID_PARAMETER, "NTLM without Unicode")
        challenge = self._ntlm.challenge(flags, self._nonce)
        self._said = [bytes(token), challenge]
        return challenge, None

    def sign(self, message: bytes) -> bytes | None:
        return self._signature("accept", message)

    def verify(self, message: bytes, signature: bytes) -> bool:
        right = self._signature("initiate", message)
        return right is None or hmac.compare_digest(right, signature)

    def _signature(self, side: str, message: bytes) -> bytes | None:
        """The first signature of `side` in this context (MS-NLMP 3.4.4.2)."""
        if self._key is None or self._flags & _INTEGRITY != _INTEGRITY:
            return None
        cipher = rc4init(sealkey(self._flags, self._key, side))
        made: bytes = ntlm_sign(self._flags, cipher, signkey(self._flags, self._key, side), 0, message)
        return made

    async def _authenticate(self, said: Authentication) -> Outcome:
        self._flags = said.flags
        if not said.user and not said.nt_response and said.lm_response in (b"", b"\0"):
            key = self._key = _exported(said, bytes(16))  # MS-NLMP 3.2.5.1.2
            return Outcome("", said.domain, key, key, anonymous=True)
        throttle = self._ntlm.throttle
        try:
            outcome = self._judge(said)
        except Status:
            await throttle.failed(self._peer, said.user)
            raise
        if not outcome.guest:
            throttle.succeeded(said.user)
        return outcome

    def _judge(self, said: Authentication) -> Outcome:
        """Let the client in or raise Status(LOGON_FAILURE) (MS-NLMP 3.2.5.1.2, 3.3.2)."""
        if len(said.nt_response) < _SMALLEST_V2:
            raise Status(NT.LOGON_FAILURE, f"{said.user}: NTLMv1")
        proof, blob = said.nt_response[:16], said.nt_response[16:]
        has_own_mic = has_mic(blob)
        user = self._ntlm.users.find(said.user)
        response_key = ntowf_v2((user or self._ntlm.nobody).nt_hash, said.user, said.domain)
        right = hmac_md5(response_key, self._nonce + blob)
        base_key = hmac_md5(response_key, right)
        matches = hmac.compare_digest(right, proof)
        if user is None and self._ntlm.unknown_is_guest:
            return Outcome(said.user, said.domain, b"", b"", guest=True)
        if user is None or not matches:
            raise Status(NT.LOGON_FAILURE, f"{said.user}: {'wrong password' if user else 'unknown'}")
        key = _exported(said, base_key)
        if has_own_mic and not hmac.compare_digest(hmac_md5(key, b"".join((*self._said, said.unsigned))), said.mic):
            raise Status(NT.LOGON_FAILURE, f"{said.user}: the login's messages were changed on the way")
        self._key = key
        return Outcome(user.name, said.domain, key, key)


def hmac_md5(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "md5")


def ntowf_v2(nt_hash: bytes, user: str, domain: str) -> bytes:
    """NTOWFv2 (MS-NLMP 3.3.2). Upper case is one character for one, as Windows has it: "ß" stays."""
    upper = "".join(up if len(up := char.upper()) == 1 else char for char in user)
    return hmac_md5(nt_hash, utf16(upper + domain))


def _exported(said: Authentication, base_key: bytes) -> bytes:
    """ExportedSessionKey: chosen by the client and sent under `base_key`, or that key itself (3.2.5.1.2)."""
    if not said.flags & _KEY_EXCHANGE or not said.flags & _SIGN_OR_SEAL:
        return base_key
    if len(said.encrypted_key) != 16:
        raise Status(NT.INVALID_PARAMETER, f"NTLM session key of {len(said.encrypted_key)} bytes")
    key: bytes = rc4k(base_key, said.encrypted_key)
    return key
