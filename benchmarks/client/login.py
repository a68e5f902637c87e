"""Ways to log on: each takes the server's tokens and gives the client's, and in the end the session's key."""

from typing import Protocol

import spnego

from smbdirect.wire import Malformed


class Login(Protocol):
    def step(self, token: bytes) -> bytes:
        """The token that answers the server's `token`, b"" where there is nothing more to say."""

    def key(self) -> bytes:
        """The key that signing and sealing keys are derived from, whole; b"" for a session without keys."""


class NtlmLogin:
    """NTLMv2, in SPNEGO or raw."""

    def __init__(self, user: str, password: str, domain: str = "", spnego_wrapped: bool = True) -> None:
        name = f"{domain}\\{user}" if domain else user
        kinds = spnego.NegotiateOptions.use_ntlm
        if spnego_wrapped:
            kinds |= spnego.NegotiateOptions.use_negotiate
        self._context = spnego.client(
            name, password, hostname="server", service="cifs", options=kinds,
            protocol="negotiate" if spnego_wrapped else "ntlm",
        )  # fmt: skip
        self._begun = False

    def step(self, token: bytes) -> bytes:
        if self._context.complete:
            return b""
        incoming = token if self._begun else None  # the hint that NEGOTIATE carried answers nothing of ours
        self._begun = True
        try:
            return self._context.step(incoming) or b""
        except spnego.exceptions.SpnegoError as error:
            raise Malformed(f"the server's token: {error}") from None

    def key(self) -> bytes:
        return bytes(self._context.session_key)


class AnonymousLogin:
    """NTLM's anonymous AUTHENTICATE (MS-NLMP 3.2.5.1.2), raw: no name, no response, no key."""

    NEGOTIATE = b"NTLMSSP\0" + (1).to_bytes(4, "little") + (0x00088207).to_bytes(4, "little") + bytes(16)
    AUTHENTICATE = (
        b"NTLMSSP\0" + (3).to_bytes(4, "little")
        + (1).to_bytes(2, "little") * 2 + (64).to_bytes(4, "little")
        + (bytes(4) + (65).to_bytes(4, "little")) * 5
        + (0x00088A05).to_bytes(4, "little") + b"\0"
    )  # fmt: skip
    """An LM response of one zero byte, and nothing else."""

    def __init__(self) -> None:
        self._tokens = [self.NEGOTIATE, self.AUTHENTICATE]

    def step(self, token: bytes) -> bytes:
        return self._tokens.pop(0) if self._tokens else b""

    def key(self) -> bytes:
        return b""


class KeyLogin:
    """A login that is no more than the tokens to send, in order, and the key it ends with: for tests."""

    def __init__(self, tokens: list[bytes], key: bytes) -> None:
        self._tokens = list(tokens)
        self._key = key

    def step(self, token: bytes) -> bytes:
        return self._tokens.pop(0) if self._tokens else b""

    def key(self) -> bytes:
        return self._key
