"""SESSION_SETUP and LOGOFF (MS-SMB2 3.3.5.5, 3.3.5.6): logging on, again, and over further connections."""

import copy

from smbdirect.wire import Malformed

from ..messages.header import Flags
from ..messages.negotiate import SecurityMode
from ..messages.session import (
    LogoffRequest,
    LogoffResponse,
    SessionFlags,
    SessionSetupRequest,
    SessionSetupResponse,
    SetupFlags,
)
from ..security.auth import Outcome
from ..security.keys import Keys, derive
from ..security.sealing import Sealer
from ..security.signing import Signer, signer
from ..session import Channel, Session, Setup
from ..status import NT, Status
from ..store.base import Identity
from ..work import Work
from .session_binding import MAX_CHANNELS, is_full, session_to_bind

MOST_SETUPS = 4096
"""Logins under way on one connection."""


async def setup(work: Work, request: SessionSetupRequest) -> SessionSetupResponse:
    session, attempt = _attempt(work, request)
    if attempt.preauth is not None:
        attempt.preauth.update([work.packet])
    try:
        token, outcome = await attempt.exchange.step(request.token)
        who = None if outcome is None else await work.connection.server.identity_of(outcome)
    except (Status, Malformed):
        work.connection.setups.pop(session.id, None)
        if not session.valid:
            work.connection.server.forget(session)
        elif not attempt.binding:  # who cannot prove again who he is has lost what he had (3.3.5.5.3)
            await work.connection.server.end_session(session, but=work)
        raise
    if work.cancelled or work.connection.server.sessions.get(session.id) is not session:
        raise Status(NT.USER_SESSION_DELETED)
    work.session = session
    if work.related is not None:
        work.related.session_id = session.id
    if outcome is None or who is None:
        work.status = NT.MORE_PROCESSING_REQUIRED
        work.preauth = attempt.preauth
        return SessionSetupResponse(0, token)
    del work.connection.setups[session.id]
    if attempt.binding:
        _bind(work, session, outcome, attempt)
    elif session.valid:
        _renew(work, session, outcome, who)
    else:
        try:
            await _establish(work, session, outcome, who, attempt, request)
        except Status:
            work.connection.server.forget(session)
            raise
    work.must_sign = session.trusted
    return SessionSetupResponse(_flags(session), token)


def _flags(session: Session) -> int:
    outcome = session.outcome
    assert outcome is not None
    flags = SessionFlags.IS_NULL if outcome.anonymous else SessionFlags.IS_GUEST if outcome.guest else 0
    return flags | (SessionFlags.ENCRYPT_DATA if session.protection.encryption_required else 0)


# -- which attempt this request belongs to ----------------------------------------------------------------------
def _attempt(work: Work, request: SessionSetupRequest) -> tuple[Session, Setup]:
    """The session this request is for, and the authentication it continues or begins."""
    connection = work.connection
    server = connection.server
    identifier = work.header.session_id
    if request.flags & SetupFlags.BINDING:
        session = session_to_bind(work)
    elif identifier == 0:
        session = server.new_session(connection)
    else:
        found = connection.sessions.get(identifier)
        if found is None:
            raise Status(NT.USER_SESSION_DELETED, f"no session {identifier:#x} here")
        session = found
        _check_signature(work, session)
    attempt = connection.setups.get(session.id)
    if attempt is None:
        if len(connection.setups) >= MOST_SETUPS:  # bindings of sessions that have ended stay until the connection ends
            raise Status(NT.INSUFFICIENT_RESOURCES, f"{MOST_SETUPS} logins under way")
        binding = connection not in session.channels
        attempt = Setup(server.acceptor.start(connection.transport.peer), binding=binding and session.valid)
        if connection.negotiated.preauth is not None:
            attempt.preauth = copy.copy(connection.negotiated.preauth)
        connection.setups[session.id] = attempt
    return session, attempt


def _check_signature(work: Work, session: Session) -> None:
    """A request for a session that has a key here is signed with it, where it is signed or must be."""
    if work.sealed_by is not None and work.sealed_by is not session:
        raise Status(NT.USER_SESSION_DELETED, "sealed by another session")
    channel = session.channels.get(work.connection)
    if work.encrypted or channel is None or channel.signer is None:
        return
    if work.header.flags & Flags.SIGNED:
        if not channel.signer.verify(work.packet, False):
            raise Status(NT.ACCESS_DENIED, "the signature does not verify")
        work.signed = True
    elif session.protection.signing_required:
        raise Status(NT.ACCESS_DENIED, "not signed")


# -- what a successful authentication does ------------------------------------------------------------------------
def _signer(work: Work, keys: Keys) -> Signer:
    return signer(work.connection.negotiated.signing, keys.signing)


def _keys(work: Work, outcome: Outcome, attempt: Setup) -> Keys:
    negotiated = work.connection.negotiated
    preauth = attempt.preauth.value if attempt.preauth is not None else b""
    return derive(outcome.session_key, negotiated.dialect, negotiated.cipher, preauth, outcome.full_key)


async def _establish(
    work: Work, session: Session, outcome: Outcome, who: Identity, attempt: Setup, request: SessionSetupRequest
) -> None:
    """A new session becomes valid (3.3.5.5.3)."""
    connection = work.connection
    server = connection.server
    negotiated = connection.negotiated
    must_encrypt = server.config.encryption == "required"
    if must_encrypt and (not negotiated.cipher or not outcome.session_key or outcome.anonymous):
        raise Status(NT.ACCESS_DENIED, "encryption is required, and this client or login has none")
    if outcome.session_key:
        keys = _keys(work, outcome, attempt)
        session.protection.keys = keys
        session.channels[connection].signer = _signer(work, keys)
        if negotiated.cipher:
            session.protection.sealer = Sealer(negotiated.cipher, keys.seal, keys.unseal)
    wants = (request.security_mode | negotiated.security_mode) & SecurityMode.SIGNING_REQUIRED
    session.protection.signing_required = bool(wants) and not outcome.guest and not outcome.anonymous
    session.protection.encryption_required = must_encrypt
    session.who, session.outcome = who, outcome
    session.dialect, session.client_guid = negotiated.dialect, negotiated.client_guid
    session.cipher, session.signing = negotiated.cipher, negotiated.signing
    connection.trust(outcome.anonymous)
    connection.authenticated |= session.trusted
    previous = server.sessions.get(request.previous_session_id)
    if previous is not None and previous is not session and previous.user == session.user != "":
        await server.end_session(previous, keep=True)  # 3.3.5.5.3: the client has come back


def _renew(work: Work, session: Session, outcome: Outcome, who: Identity) -> None:
    """A valid session is authenticated again: its keys stay, what it may do is the new login's (3.3.5.5.3).

    So it is on its trees; what is open stays as it is."""
    server, before = work.connection.server, session.who
    session.who = who
    session.outcome = outcome
    session.expired = False
    if session.who == before:
        return
    for tree in session.trees.values():
        try:
            tree.access, tree.who = server.shares.grant(tree.share, session)
        except Status:
            tree.access, tree.who = 0, session.who


def _bind(work: Work, session: Session, outcome: Outcome, attempt: Setup) -> None:
    """A valid session gets another channel, with a signing key of its own (3.3.5.5.2)."""
    if outcome.name.casefold() != session.user.casefold() or outcome.anonymous or outcome.guest:
        raise Status(NT.ACCESS_DENIED, "bound by another user")
    if is_full(session):  # others were faster
        raise Status(NT.INSUFFICIENT_RESOURCES, f"{MAX_CHANNELS} channels already")
    session.channels[work.connection] = Channel(work.connection, _signer(work, _keys(work, outcome, attempt)))
    work.connection.sessions[session.id] = session
    work.signer = None
    work.connection.trust(outcome.anonymous)
    work.connection.authenticated = True


async def logoff(work: Work, request: LogoffRequest) -> LogoffResponse:
    assert work.session is not None
    await work.connection.server.end_session(work.session, but=work, keep=True)
    return LogoffResponse()
