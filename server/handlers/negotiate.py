"""NEGOTIATE (MS-SMB2 3.3.5.3, 3.3.5.4): what this connection will speak. The server chooses."""

import os
from collections.abc import Sequence

from transport.base import Lost

from ..filetime import now as filetime_now
from ..messages.header import Flags
from ..messages.negotiate import (
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
from ..negotiated import Negotiated
from ..security.preauth import Preauth
from ..status import NT, Status
from ..work import Work

DIALECTS = (Dialect.SMB311, Dialect.SMB302, Dialect.SMB300, Dialect.SMB210, Dialect.SMB202)
CIPHERS = (Cipher.AES128_GCM, Cipher.AES256_GCM, Cipher.AES128_CCM, Cipher.AES256_CCM)
SIGNINGS = (SigningAlgorithm.AES_GMAC, SigningAlgorithm.AES_CMAC, SigningAlgorithm.HMAC_SHA256)
SMALL_IO = 65536
"""Largest read, write and transaction of dialect 2.0.2, which has no multi-credit requests."""
ENVELOPE = 1024
"""Room in a message for everything that is not payload: headers, transform, a response's fixed part."""
MAX_TRANSACT = 8 << 20


async def negotiate(work: Work, request: NegotiateRequest) -> NegotiateResponse:
    negotiated = work.connection.negotiated
    if negotiated.dialect not in (0, Dialect.WILDCARD):
        raise Lost("negotiated already")  # 3.3.5.4
    if work.header.flags & Flags.SIGNED:
        raise Status(NT.INVALID_PARAMETER, "signed before there is a key")  # 3.3.5.2.4
    if not request.dialects:
        raise Status(NT.INVALID_PARAMETER, "no dialects")
    config = work.connection.server.config
    dialect = _dialect(request, config.min_protocol, config.max_protocol, negotiated.dialect == 0)
    contexts: list[NegotiateContext] = []
    negotiated.cipher, negotiated.signing = 0, -1  # what a multi-protocol negotiate before this one settled is void
    if dialect == Dialect.SMB311:
        contexts = _settle_contexts(negotiated, request, config.encryption != "off")
        negotiated.preauth = work.preauth = Preauth()
        negotiated.preauth.update([work.packet])
    elif dialect in (Dialect.SMB300, Dialect.SMB302) and config.encryption != "off":
        negotiated.cipher = Cipher.AES128_CCM if request.capabilities & Capability.ENCRYPTION else 0
    _settle(work, request, dialect)
    server = work.connection.server
    return NegotiateResponse(
        security_mode=negotiated.security_mode,
        dialect=dialect,
        server_guid=server.guid,
        capabilities=negotiated.capabilities,
        max_transact=negotiated.max_transact,
        max_read=negotiated.max_read,
        max_write=negotiated.max_write,
        system_time=filetime_now(),
        token=server.acceptor.hint(),
        contexts=contexts,
    )


def _dialect(request: NegotiateRequest, least: int, most: int, first: bool) -> int:
    """The highest dialect both sides speak; the wildcard only as the answer to a multi-protocol negotiate."""
    if request.dialects == [Dialect.WILDCARD] and first:
        return Dialect.WILDCARD
    for dialect in DIALECTS:
        if dialect in request.dialects and least <= dialect <= most:
            return dialect
    raise Status(NT.NOT_SUPPORTED, f"no dialect in common with {request.dialects}")


def _settle(work: Work, request: NegotiateRequest, dialect: int) -> None:
    """Fill in what the answer promises and VALIDATE_NEGOTIATE_INFO will compare."""
    connection = work.connection
    config = connection.server.config
    negotiated = connection.negotiated
    negotiated.dialect = dialect
    negotiated.client_guid = request.client_guid
    negotiated.client_capabilities = request.capabilities
    negotiated.client_security_mode = request.security_mode
    negotiated.client_dialects = tuple(request.dialects)
    if negotiated.signing < 0:
        newer = dialect in (Dialect.SMB300, Dialect.SMB302, Dialect.SMB311)
        negotiated.signing = SigningAlgorithm.AES_CMAC if newer else SigningAlgorithm.HMAC_SHA256
    negotiated.security_mode = SecurityMode.SIGNING_ENABLED
    if config.signing == "required":
        negotiated.security_mode |= SecurityMode.SIGNING_REQUIRED
    negotiated.capabilities = 0
    if dialect == Dialect.SMB202:
        return
    negotiated.capabilities = Capability.LARGE_MTU | Capability.LEASING
    if Dialect.SMB300 <= dialect <= Dialect.SMB311:
        negotiated.capabilities |= Capability.MULTI_CHANNEL | Capability.DIRECTORY_LEASING
        if connection.server.keeping.on and any(share.continuous_availability for share in config.shares):
            negotiated.capabilities |= request.capabilities & Capability.PERSISTENT_HANDLES
    if dialect in (Dialect.SMB300, Dialect.SMB302) and negotiated.cipher:
        negotiated.capabilities |= Capability.ENCRYPTION
    limits = connection.transport.limits
    negotiated.max_transact = min(MAX_TRANSACT, config.io_size, limits.max_message - ENVELOPE)
    negotiated.max_read = negotiated.max_write = min(config.io_size, limits.max_read_write)


def _settle_contexts(negotiated: Negotiated, request: NegotiateRequest, encrypt: bool) -> list[NegotiateContext]:
    """Choose hash, cipher and signing algorithm (3.3.5.4), and the contexts that say so."""
    data = only(request.contexts, ContextType.PREAUTH_INTEGRITY)
    if data is None:
        raise Status(NT.INVALID_PARAMETER, "no preauthentication integrity context")
    if Hash.SHA512 not in PreauthIntegrity.parse(data).hashes:
        raise Status(NT.SMB_NO_PREAUTH_INTEGRITY_HASH_OVERLAP)
    contexts = [NegotiateContext(ContextType.PREAUTH_INTEGRITY, PreauthIntegrity([Hash.SHA512], os.urandom(32)).pack())]
    data = only(request.contexts, ContextType.ENCRYPTION)
    if data is not None:
        offered = EncryptionCapabilities.parse(data).ciphers
        if not offered:
            raise Status(NT.INVALID_PARAMETER, "an encryption context without ciphers")
        negotiated.cipher = _first(CIPHERS if encrypt else (), offered, 0)
        contexts.append(NegotiateContext(ContextType.ENCRYPTION, EncryptionCapabilities([negotiated.cipher]).pack()))
    data = only(request.contexts, ContextType.SIGNING)
    if data is not None:
        offered = SigningCapabilities.parse(data).algorithms
        if not offered:
            raise Status(NT.INVALID_PARAMETER, "a signing context without algorithms")
        negotiated.signing = _first(SIGNINGS, offered, SigningAlgorithm.AES_CMAC)
        contexts.append(NegotiateContext(ContextType.SIGNING, SigningCapabilities([negotiated.signing]).pack()))
    return contexts


def _first(ours: Sequence[int], theirs: Sequence[int], otherwise: int) -> int:
    """Our favourite that they offer."""
    return next((choice for choice in ours if choice in theirs), otherwise)
