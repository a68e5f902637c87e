"""TREE_CONNECT and TREE_DISCONNECT (MS-SMB2 3.3.5.7, 3.3.5.8)."""

from transport.base import Lost

from ..messages.negotiate import Dialect
from ..messages.tree import (
    ShareCapability,
    ShareFlags,
    ShareType,
    TreeConnectRequest,
    TreeConnectResponse,
    TreeDisconnectRequest,
    TreeDisconnectResponse,
)
from ..session import Session
from ..status import NT, Status
from ..tree import Share, Tree
from ..work import Work

MAX_TREES = 65535


async def connect(work: Work, request: TreeConnectRequest) -> TreeConnectResponse:
    session, server = work.session, work.connection.server
    assert session is not None
    if work.connection.negotiated.dialect == Dialect.SMB311 and session.trusted and not (work.signed or work.encrypted):
        raise Lost("TREE_CONNECT is neither signed nor encrypted")  # 3.3.5.7: somebody may sit in between
    share = server.shares.find(_share_name(request.path))
    access, who = server.shares.admit(share, session)
    encrypt = share.config is not None and share.config.encryption_required
    if encrypt and session.protection.sealer is None:
        raise Status(NT.ACCESS_DENIED, "the share wants encryption, and this session has none")
    if len(session.trees) >= MAX_TREES:
        raise Status(NT.INSUFFICIENT_RESOURCES, f"{MAX_TREES} trees already")
    tree = Tree(session.next_tree, session, share, access, who, encrypt)
    session.next_tree += 1
    session.trees[tree.id] = tree
    share.connections += 1
    work.tree = tree
    if work.related is not None:
        work.related.tree_id = tree.id
    return TreeConnectResponse(
        share_type=ShareType.PIPE if share.pipes else ShareType.DISK,
        share_flags=_flags(share, session, encrypt),
        capabilities=_capabilities(share, session),
        maximal_access=access,
    )


def _share_name(path: str) -> str:
    r"""The share of \\server\share."""
    parts = path.split("\\")
    if len(parts) != 4 or parts[0] or parts[1] or not parts[3]:
        raise Status(NT.BAD_NETWORK_NAME, repr(path))
    return parts[3]


def _flags(share: Share, session: Session, encrypt: bool) -> int:
    flags = ShareFlags.NO_CACHING if share.pipes else ShareFlags.MANUAL_CACHING
    if share.config is not None and share.config.hide_unreadable:
        flags |= ShareFlags.ACCESS_BASED_DIRECTORY_ENUM
    if encrypt and session.dialect >= Dialect.SMB300:
        flags |= ShareFlags.ENCRYPT_DATA
    return flags


def _capabilities(share: Share, session: Session) -> int:
    available = share.continuously_available and session.dialect >= Dialect.SMB300
    return ShareCapability.CONTINUOUS_AVAILABILITY if available else 0


async def disconnect(work: Work, request: TreeDisconnectRequest) -> TreeDisconnectResponse:
    assert work.tree is not None
    await work.connection.server.end_tree(work.tree, but=work)
    return TreeDisconnectResponse()
