"""From a request to its handler and back to an answer: the table of commands, and the one error boundary.

What a route `needs` is resolved here, in the order of MS-SMB2 3.3.5.2: session, signature, encryption, expiry,
tree, body, credit charge, open. A handler raises `Status`; `Malformed` bodies and `OSError`s become one here;
anything else is our bug, logged once with its traceback and answered with INTERNAL_ERROR.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from smbdirect.wire import Buffer, Malformed
from transport.base import Lost

from .find import find_open
from .handlers import (
    create,
    directory,
    file,
    info,
    ioctl,
    lock,
    negotiate,
    notify,
    oplock,
    read_write,
    session,
    set_info,
    tree,
)
from .messages import create as create_messages
from .messages import directory as directory_messages
from .messages import file as file_messages
from .messages import info as info_messages
from .messages import ioctl as ioctl_messages
from .messages import negotiate as negotiate_messages
from .messages import oplock as oplock_messages
from .messages import read_write as read_write_messages
from .messages import session as session_messages
from .messages import tree as tree_messages
from .messages.base import Request, Response
from .messages.header import Command, ErrorResponse, Flags, command_name
from .messages.negotiate import Dialect
from .messages.read_write import Channel
from .messages.reparse import ErrorContext, pack_error_contexts
from .session import Session
from .status import NT, Status, from_os_error
from .work import Work

log = logging.getLogger("smbdirect.dispatch")

NONE, ANY, SESSION, TREE, OPEN = range(5)
"""What a route needs resolved; ANY takes a session where the request names one."""
CREDIT = 65536
"""Bytes of payload one credit stands for (3.1.5.2)."""


@dataclass(frozen=True, slots=True)
class Route:
    request: type[Request]
    handler: Callable[[Work, Any], Awaitable[Response]]
    needs: int = SESSION
    payload: Callable[[Any], int] | None = None
    """The larger of what the request carries and what it asks for, in bytes: what CreditCharge must cover."""
    expired_too: bool = False
    """Served on an expired session all the same (3.3.5.2.9)."""
    kept: bool = False
    """Whether it may change what is on disk of a persistent open; then it is answered after that."""


TABLE: dict[int, Route] = {
    Command.NEGOTIATE: Route(negotiate_messages.NegotiateRequest, negotiate.negotiate, NONE),
    Command.SESSION_SETUP: Route(session_messages.SessionSetupRequest, session.setup, NONE),
    Command.LOGOFF: Route(session_messages.LogoffRequest, session.logoff, expired_too=True),
    Command.TREE_CONNECT: Route(tree_messages.TreeConnectRequest, tree.connect),
    Command.TREE_DISCONNECT: Route(tree_messages.TreeDisconnectRequest, tree.disconnect, TREE),
    Command.CREATE: Route(create_messages.CreateRequest, create.create, TREE, kept=True),
    Command.CLOSE: Route(file_messages.CloseRequest, file.close, OPEN, expired_too=True, kept=True),
    Command.FLUSH: Route(file_messages.FlushRequest, file.flush, OPEN),
    Command.READ: Route(read_write_messages.ReadRequest, read_write.read, OPEN, lambda request: request.length),
    Command.WRITE: Route(
        read_write_messages.WriteRequest,
        read_write.write,
        OPEN,
        lambda request: max(len(request.data), request.remaining_bytes if request.descriptors else 0),
    ),
    Command.LOCK: Route(file_messages.LockRequest, lock.lock, OPEN, expired_too=True, kept=True),
    Command.IOCTL: Route(
        ioctl_messages.IoctlRequest,
        ioctl.ioctl,
        TREE,
        lambda request: max(len(request.input), request.max_input + request.max_output),
        kept=True,
    ),
    Command.ECHO: Route(file_messages.EchoRequest, file.echo, ANY),
    Command.QUERY_DIRECTORY: Route(
        directory_messages.QueryDirectoryRequest, directory.query, OPEN, lambda request: request.output_length
    ),
    Command.CHANGE_NOTIFY: Route(
        directory_messages.ChangeNotifyRequest, notify.notify, OPEN, lambda request: request.output_length
    ),
    Command.QUERY_INFO: Route(
        info_messages.QueryInfoRequest,
        info.query,
        OPEN,
        lambda request: max(len(request.input), request.output_length),
    ),
    Command.SET_INFO: Route(
        info_messages.SetInfoRequest, set_info.set_info, OPEN, lambda request: len(request.data), kept=True
    ),
    Command.OPLOCK_BREAK: Route(oplock_messages.OplockBreakRequest, oplock.oplock_break, SESSION, kept=True),
}


async def dispatch(work: Work) -> None:
    """Handle one request and add its answer to the message's answers. Raises Lost."""
    body: list[Buffer]
    try:
        body = await _respond(work)
    except Status as status:
        body = _refuse(work, status)
    except Malformed as error:
        body = _refuse(work, Status(NT.INVALID_PARAMETER, str(error)))
    except OSError as error:
        body = _refuse(work, from_os_error(error))
    except Lost:
        raise
    except Exception:
        log.exception("bug while handling %s", command_name(work.header.command))
        body = _refuse(work, Status(NT.INTERNAL_ERROR))
    finally:
        work.end()
    assert work.answers is not None
    work.answers.add(work, body)


async def _respond(work: Work) -> list[Buffer]:
    _relate(work)
    if not work.connection.negotiated.dialect and work.header.command != Command.NEGOTIATE:
        raise Lost("nothing may come before NEGOTIATE")
    route = TABLE.get(work.header.command)
    if route is None:
        raise Status(NT.INVALID_PARAMETER, f"no command {work.header.command}")
    if route.needs >= SESSION or (route.needs == ANY and work.header.session_id in work.connection.sessions):
        _find_session(work, route)
    if route.needs >= TREE:
        _find_tree(work)
    request = route.request.parse(work.packet)
    _take_token(work, request)
    if route.payload is not None:
        _check_charge(work, route.payload(request))
    if route.needs == OPEN:
        find_open(work, request.file_id)  # type: ignore[attr-defined]
    keeps = route.kept and work.connection.server.keeping.on
    response = await (_keep(work, route, request) if keeps else route.handler(work, request))
    return response.parts()


async def _keep(work: Work, route: Route, request: Any) -> Response:
    """What the handler changes of persistent opens, also where it refuses, is on disk before anybody hears of it."""
    keeping = work.connection.server.keeping
    try:
        response = await route.handler(work, request)
    except (Lost, asyncio.CancelledError):  # nobody hears of it, and no other error is to take its place
        keeping.note(work.open)
        raise
    except Exception:
        await keeping.settle(work.open)
        raise
    await keeping.settle(work.open)
    return response


def _refuse(work: Work, status: Status) -> list[Buffer]:
    log.debug("%s %s: %s", work.connection.transport.peer, command_name(work.header.command), status)
    work.status = status.code
    work.release()
    work.places.clear()
    work.payload = None
    if work.header.command == Command.CREATE and work.related is not None:
        work.related.failed = status.code
        work.related.file_id = None
    if not status.data:
        return ErrorResponse().parts()
    if work.connection.negotiated.dialect == Dialect.SMB311:  # 2.2.2: only there ErrorData is a list of contexts
        return ErrorResponse(pack_error_contexts([ErrorContext(bytes(status.data))]), 1).parts()
    return ErrorResponse(status.data).parts()


def _relate(work: Work) -> None:
    """A related request takes session, tree and file from the one before it (3.3.5.2.7.2)."""
    related = work.related
    assert related is not None
    header = work.header
    if header.flags & Flags.RELATED:
        if work.first or related.refused:
            related.refused = True
            raise Status(NT.INVALID_PARAMETER, "related to nothing")
        header.session_id = related.session_id
        header.async_or_ids = (header.async_or_ids & 0xFFFFFFFF) | related.tree_id << 32
    else:
        related.refused = False
        related.failed = NT.SUCCESS
        related.file_id = None
        related.session_id = header.session_id
        related.tree_id = header.tree_id


def _find_session(work: Work, route: Route) -> None:
    """The session, and whether this request may be trusted to come from it (3.3.5.2.4, .9, .11)."""
    session = work.connection.sessions.get(work.header.session_id)
    if session is None or not session.valid:
        related = work.header.flags & Flags.RELATED  # then it is the request before it that had no session
        code = NT.INVALID_PARAMETER if related else NT.USER_SESSION_DELETED
        raise Status(code, f"no session {work.header.session_id:#x} here")
    if work.sealed_by is not None and work.sealed_by is not session:
        raise Status(NT.USER_SESSION_DELETED, "sealed by another session")
    check_protection(work, session)
    if session.outcome is not None and session.outcome.expires is not None:
        session.expired = session.expired or work.connection.server.now() >= session.outcome.expires
    if session.expired and not route.expired_too:
        raise Status(NT.NETWORK_SESSION_EXPIRED)


def check_protection(work: Work, session: Session) -> None:
    """Verify a signature that is there, and refuse a request that lacks the protection its session demands.

    A refusal too is signed (3.3.4.1.1) or sealed as the session's answers are."""
    protection = session.protection
    work.session = session
    if work.encrypted:
        return
    work.signed = bool(work.header.flags & Flags.SIGNED)
    if work.signed:
        channel = session.channels.get(work.connection)
        if channel is None or channel.signer is None or not channel.signer.verify(work.packet, False):
            raise Status(NT.ACCESS_DENIED, "the signature does not verify")
    elif protection.signing_required:
        raise Status(NT.ACCESS_DENIED, "not signed")
    if protection.encryption_required:
        raise Status(NT.ACCESS_DENIED, "not encrypted")


def _find_tree(work: Work) -> None:
    assert work.session is not None
    tree = work.session.trees.get(work.header.tree_id)
    if tree is None:
        raise Status(NT.NETWORK_NAME_DELETED, f"no tree {work.header.tree_id}")
    if tree.encryption_required and not work.encrypted:
        raise Status(NT.ACCESS_DENIED, "the share wants encryption")  # 3.3.5.2.11
    work.tree = tree


def _check_charge(work: Work, payload: int) -> None:
    """CreditCharge covers the payload (3.3.5.2.5)."""
    if payload <= CREDIT:
        return
    negotiated = work.connection.negotiated
    if not negotiated.multi_credit or (work.header.credit_charge or 1) * CREDIT < payload:
        raise Status(NT.INVALID_PARAMETER, f"CreditCharge {work.header.credit_charge} for {payload} bytes")


def _take_token(work: Work, request: Any) -> None:
    """Any answer to a request of channel RDMA_V1_INVALIDATE invalidates its first token (3.3.5.12, 3.3.5.13)."""
    if work.header.command in (Command.READ, Command.WRITE) and request.descriptors:
        if work.connection.transport.remote is None:
            raise Status(NT.INVALID_PARAMETER, "a channel where there is none")
        if request.channel == Channel.RDMA_V1_INVALIDATE and work.connection.negotiated.dialect != Dialect.SMB300:
            work.invalidate = request.descriptors[0].token
