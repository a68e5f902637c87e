"""Which session a SESSION_SETUP with the BINDING flag is for, and whether it may have one more channel (MS-SMB2
3.3.5.5).

A client may bind with another ClientGuid than the session's: Windows takes that (smbtorture's bind_negative_*d tests).
The request is signed with the session's key in the session's own algorithm, whatever this connection speaks; and
so is a refusal, or the client could not tell it from what somebody in between has made up.
"""

from ..messages.header import Flags
from ..messages.negotiate import Dialect, SigningAlgorithm
from ..security.signing import Signer, signer
from ..session import Session
from ..status import NT, Status
from ..work import Work

MAX_CHANNELS = 32
"""Connections one session may use, and the status past that: Windows' (smbtorture's num_channels) and ksmbd's."""


def session_to_bind(work: Work) -> Session:
    """The session to be used over this connection too. Raises Status."""
    session = work.connection.server.sessions.get(work.header.session_id)
    if session is None or not session.valid:
        raise Status(NT.USER_SESSION_DELETED, "no session to bind")
    key = _key(work, session)
    if key is not None and work.header.flags & Flags.SIGNED and key.verify(work.packet, False):
        work.session, work.signed, work.signer = session, True, key
    for refused, code, why in _conditions(work, session):
        if refused:
            raise Status(code, why)
    return session


def _key(work: Work, session: Session) -> Signer | None:
    """What the request is signed with: a channel's own key where there is one here already."""
    channel = session.channels.get(work.connection)
    if channel is not None:
        return channel.signer
    keys = session.protection.keys
    return signer(session.signing, keys.signing) if keys is not None else None


def _conditions(work: Work, session: Session) -> tuple[tuple[bool, int, str], ...]:
    """What refuses a binding, in the order it is looked at."""
    ours = work.connection.negotiated
    signed = bool(work.header.flags & Flags.SIGNED)
    other_signing = session.signing != ours.signing  # of two algorithms that make do with the same kind of key
    return (
        (
            other_signing and session.signing == SigningAlgorithm.AES_GMAC,
            NT.REQUEST_OUT_OF_SEQUENCE,
            "the session signs with AES-GMAC, the connection does not",
        ),
        (
            other_signing and ours.signing == SigningAlgorithm.AES_GMAC,
            NT.NOT_SUPPORTED,
            "the connection signs with AES-GMAC, the session does not",
        ),
        (ours.dialect < Dialect.SMB300, NT.REQUEST_NOT_ACCEPTED, "there is no binding before 3.0"),
        (not signed, NT.INVALID_PARAMETER, "a binding must be signed"),
        (not work.signed, NT.ACCESS_DENIED, "the signature does not verify"),
        (session.dialect != ours.dialect, NT.INVALID_PARAMETER, "bound with another dialect"),
        (session.cipher != ours.cipher, NT.INVALID_PARAMETER, "bound with another cipher"),
        (work.connection in session.channels, NT.REQUEST_NOT_ACCEPTED, "bound already"),
        (not session.trusted, NT.NOT_SUPPORTED, "a guest cannot bind"),
        (session.expired, NT.NETWORK_SESSION_EXPIRED, "the session's login has expired"),
        (is_full(session), NT.INSUFFICIENT_RESOURCES, f"{MAX_CHANNELS} channels already"),
    )


def is_full(session: Session) -> bool:
    return len(session.channels) >= MAX_CHANNELS
