"""What a client offers when it negotiates, and what came of it."""

import os
from dataclasses import dataclass, field

from server.messages.negotiate import (
    Capability,
    Cipher,
    ContextType,
    Dialect,
    EncryptionCapabilities,
    Hash,
    NegotiateContext,
    NegotiateRequest,
    NegotiateResponse,
    PreauthIntegrity,
    SecurityMode,
    SigningAlgorithm,
    SigningCapabilities,
    only,
)
from smbdirect.wire import Malformed

DIALECTS = (Dialect.SMB202, Dialect.SMB210, Dialect.SMB300, Dialect.SMB302, Dialect.SMB311)
CAPABILITIES = (
    Capability.DFS
    | Capability.LEASING
    | Capability.LARGE_MTU
    | Capability.MULTI_CHANNEL
    | Capability.PERSISTENT_HANDLES
    | Capability.DIRECTORY_LEASING
    | Capability.ENCRYPTION
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What one client wants; ciphers and signing algorithms count in 3.1.1, the favourite first."""

    dialects: tuple[int, ...] = DIALECTS
    ciphers: tuple[int, ...] = (Cipher.AES128_GCM, Cipher.AES128_CCM, Cipher.AES256_GCM, Cipher.AES256_CCM)
    signing: tuple[int, ...] = (SigningAlgorithm.AES_GMAC, SigningAlgorithm.AES_CMAC, SigningAlgorithm.HMAC_SHA256)
    capabilities: int = CAPABILITIES
    sign: bool = False
    """Require signatures; without it they are made where the server requires them."""
    encrypt: bool = False
    """Encrypt all that a session sends, whether the server demands it or not."""
    credits: int = 512
    """How many the client asks to have at hand."""
    guid: bytes = field(default_factory=lambda: os.urandom(16))
    contexts: tuple[NegotiateContext, ...] = ()
    """Further negotiate contexts, as they are."""

    @property
    def security_mode(self) -> int:
        return SecurityMode.SIGNING_REQUIRED if self.sign else SecurityMode.SIGNING_ENABLED

    def request(self) -> NegotiateRequest:
        """The NEGOTIATE that says all this."""
        contexts = self._contexts() if Dialect.SMB311 in self.dialects else []
        capabilities = self.capabilities if max(self.dialects) >= Dialect.SMB300 else 0  # 2.2.3
        return NegotiateRequest(list(self.dialects), self.security_mode, capabilities, self.guid, contexts)

    def _contexts(self) -> list[NegotiateContext]:
        hashes = PreauthIntegrity([Hash.SHA512], os.urandom(32))
        contexts = [NegotiateContext(ContextType.PREAUTH_INTEGRITY, hashes.pack())]
        if self.ciphers:
            ciphers = EncryptionCapabilities(list(self.ciphers))
            contexts.append(NegotiateContext(ContextType.ENCRYPTION, ciphers.pack()))
        if self.signing:
            algorithms = SigningCapabilities(list(self.signing))
            contexts.append(NegotiateContext(ContextType.SIGNING, algorithms.pack()))
        return [*contexts, *self.contexts]


@dataclass(frozen=True, slots=True)
class Agreement:
    """What client and server settled. `cipher` is 0 where nothing can be encrypted."""

    dialect: int
    capabilities: int
    cipher: int
    signing: int
    """A SigningAlgorithm, or the dialect where none was negotiated: what `security.signing.signer` takes."""
    signing_required: bool
    max_transact: int
    max_read: int
    max_write: int
    token: bytes
    response: NegotiateResponse

    @property
    def large(self) -> bool:
        """Whether requests may take more than one credit."""
        return self.dialect >= Dialect.SMB210 and bool(self.capabilities & Capability.LARGE_MTU)


def agree(settings: Settings, response: NegotiateResponse) -> Agreement:
    """What `response` settles; raises Malformed where it answers what was not offered."""
    dialect = response.dialect
    if dialect not in settings.dialects:
        raise Malformed(f"the server chose dialect {dialect:#x}")
    cipher, signing = _algorithms(settings, response)
    required = settings.sign or bool(response.security_mode & SecurityMode.SIGNING_REQUIRED)
    return Agreement(
        dialect, response.capabilities, cipher, signing, required, response.max_transact, response.max_read,
        response.max_write, response.token, response,
    )  # fmt: skip


def _algorithms(settings: Settings, response: NegotiateResponse) -> tuple[int, int]:
    if response.dialect < Dialect.SMB311:
        sealed = response.dialect >= Dialect.SMB300 and response.capabilities & Capability.ENCRYPTION
        return Cipher.AES128_CCM if sealed else 0, response.dialect
    hashes = only(response.contexts, ContextType.PREAUTH_INTEGRITY)
    if hashes is None or PreauthIntegrity.parse(hashes).hashes != [Hash.SHA512]:
        raise Malformed("the server chose no preauthentication hash")
    ciphers = only(response.contexts, ContextType.ENCRYPTION)
    cipher = _one(EncryptionCapabilities.parse(ciphers).ciphers, settings.ciphers) if ciphers else 0
    signers = only(response.contexts, ContextType.SIGNING)
    if signers is None:
        return cipher, SigningAlgorithm.AES_CMAC
    return cipher, _one(SigningCapabilities.parse(signers).algorithms, settings.signing)


def _one(chosen: list[int], offered: tuple[int, ...]) -> int:
    """The one algorithm the server chose; a cipher of 0 says that it has none of those offered."""
    if len(chosen) != 1 or (chosen[0] not in offered and chosen[0] != 0):
        raise Malformed(f"the server chose {chosen} of {offered}")
    return chosen[0]
