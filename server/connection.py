"""`ServerConnection` (MS-SMB2 3.3.1.7): one client connection, from its first byte to its last answer.

It takes received messages out of their envelope, keeps credits and pending requests, and gives back everything
when the client leaves. What a request means is `dispatch`'s and the handlers'. One event loop owns all of it.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from smbdirect.wire import Buffer, Malformed
from transport.base import Connection, Lost, Message, Reply
from transport.kept import Keep
from transport.memory import Block

from .compound import Answers, split
from .dispatch import dispatch
from .messages.header import PROTOCOL_ID, SMB1_ID, TRANSFORM_ID, Command, Flags, Header
from .messages.transform import TransformHeader
from .negotiated import Negotiated
from .security.signing import Signer
from .session import Session, Setup
from .step import step
from .window import Window
from .work import Related, Work

if TYPE_CHECKING:
    from .server import Server

log = logging.getLogger("smbdirect.connection")

LOGIN_TIME = 45.0
"""Seconds a peer has to log on (ksmbd's figure)."""
MOST_UNSENT = 32 << 20
"""Bytes of answers that may wait for a client to take them; while there are more nothing is received from it."""


@dataclass(slots=True)
class Pending:
    """Requests being handled, as CANCEL finds them."""

    by_message: dict[int, Work] = field(default_factory=dict)
    by_async: dict[int, Work] = field(default_factory=dict)
    next_async: int = 1


class ServerConnection:
    """One client. `serve` runs until the client is gone and everything it held is given back."""

    def __init__(self, server: "Server", transport: Connection) -> None:
        self.server = server
        self.transport = transport
        self.negotiated = Negotiated()
        self.window = Window(server.config.max_credits)
        self.pending = Pending()
        self.sessions: dict[int, Session] = {}
        self.setups: dict[int, Setup] = {}
        """Logins under way here, by session id; one that binds is for a session that is not among `sessions` yet."""
        self.share = server.arena_share()
        self.trusted = False
        self.authenticated = False
        """A person with a key has logged on here; before that nothing is taken sealed (ConstrainedConnection)."""
        self.since = time.time()
        self.heard = 0
        """Messages received."""
        self._tasks: dict[asyncio.Task[None], Message | None] = {}
        """With the message that each answers."""
        self._unsent = 0
        """At most so many bytes of answers are being sent."""
        self._taken = asyncio.Event()
        """Set when one of them has gone or failed."""
        self._timer = asyncio.get_running_loop().call_later(LOGIN_TIME, self._too_late)

    # -- receiving ------------------------------------------------------------------------------------------
    async def serve(self) -> None:
        """Receive and answer until the client leaves, is lost, or sends what no client may send."""
        try:
            while (message := await self.transport.receive()) is not None:
                self.heard += 1
                self._run(self._handle(message), message)
                while self._unsent > MOST_UNSENT:
                    self._taken.clear()
                    await self._taken.wait()
        except (Malformed, Lost) as error:
            self._say(error)
        finally:
            await self._end()

    def _run(self, coroutine: Coroutine[Any, Any, None], message: Message | None = None) -> None:
        task = step(coroutine)
        if task is not None:
            self._tasks[task] = message
            task.add_done_callback(lambda task: self._tasks.pop(task, None))

    async def _handle(self, message: Message) -> None:
        """Answer one received message; whatever happens its memory is given back."""
        try:
            packet, sealed_by = self._unwrap(message.view)
            await self._answer(packet, Answers(self, sealed_by, message))
        except (Malformed, Lost) as error:
            self._say(error)
            await self.transport.close()
        except Exception:
            log.exception("bug while answering %s", self.transport.peer)
            await self.transport.close()
        finally:
            message.release()

    def _unwrap(self, view: memoryview) -> tuple[memoryview, Session | None]:
        """The message inside its envelope, and the session whose keys sealed it (3.3.5.2.1)."""
        protocol = bytes(view[:4])
        if protocol == PROTOCOL_ID:
            return view, None
        if protocol == SMB1_ID and not self.negotiated.dialect:
            return self.server.multi_protocol(view), None
        if protocol != TRANSFORM_ID:
            raise Malformed(f"no SMB2 message: it begins with {protocol.hex()}")
        session = self.sessions.get(TransformHeader.unpack_from(view).session_id)
        if session is None or session.protection.sealer is None or not self.authenticated:
            raise Malformed("sealed for a session that has no keys here")  # 3.3.5.2.1.1
        return session.protection.sealer.unseal(view), session

    async def _answer(self, packet: memoryview, answers: Answers) -> None:
        works = self._works(packet, answers)
        try:
            for work in works:
                try:
                    await dispatch(work)
                finally:
                    self.pending.by_message.pop(work.header.message_id, None)
                    self.pending.by_async.pop(work.async_id, None)
                length = answers.length
                if (full := answers.full(self.transport.limits.max_message)) is not None:
                    await self._send(full, length)
            if answers.waiting:
                length = answers.length
                await self._send(answers.reply(), length)
        finally:  # a work that was not answered still holds its blocks
            for work in works:
                work.release()

    async def _send(self, reply: Reply, length: int) -> None:
        """Send answers of at most `length` bytes. Raises Lost."""
        self._unsent += length
        try:
            await self.transport.send(reply)
        finally:
            self._unsent -= length
            self._taken.set()

    def _works(self, packet: memoryview, answers: Answers) -> list[Work]:
        """The requests of a message, each admitted to the window; CANCEL is carried out here (3.3.5.16)."""
        works: list[Work] = []
        related = Related()
        for header, element in split(packet):
            if header.command == Command.CANCEL:
                self._cancel(header)
                continue
            charge = (header.credit_charge or 1) if self.negotiated.multi_credit else 1
            if not self.window.use(header.message_id, charge):
                raise Malformed(f"message id {header.message_id} (charge {charge}) is not in the window")  # 3.3.5.2.3
            work = Work(self, header, element, related=related, encrypted=answers.sealed_by is not None)
            work.sealed_by = answers.sealed_by
            work.answers = answers
            work.first = not works
            if works:
                works[-1].last = False
            works.append(work)
            self.pending.by_message[header.message_id] = work
        return works

    def _cancel(self, header: Header) -> None:
        """Cancel the request that `header` names; one that is not there any more is no error."""
        if header.flags & Flags.ASYNC:
            work = self.pending.by_async.get(header.async_or_ids)
        else:
            work = self.pending.by_message.get(header.message_id)
        if work is not None:
            work.cancel()

    # -- answering ------------------------------------------------------------------------------------------
    def grant(self, work: Work) -> int:
        """Credits for the response to `work`: once a request; one at a time until somebody has logged on."""
        if work.credited:
            return 0
        work.credited = True
        wanted = max(work.header.credits, 1)
        return self.window.grant(wanted if self.trusted else 1)

    def signer_of(self, work: Work) -> Signer | None:
        """What signs the response to `work`, or None (3.3.4.1.1)."""
        session = work.session
        if session is None or work.encrypted:
            return None
        if work.signer is not None:
            return work.signer
        channel = session.channels.get(self)
        if channel is None or channel.signer is None:
            return None
        if work.signed or session.protection.signing_required or work.must_sign:
            return channel.signer
        return None

    def send_interim(self, work: Work) -> None:
        """Tell the client that `work` will take time: STATUS_PENDING with an async id (3.3.4.2)."""
        assert work.answers is not None
        if not work.async_id:
            work.async_id = self.pending.next_async
            self.pending.next_async += 1
            self.pending.by_async[work.async_id] = work
            self._run(self._send_quietly(work.answers.interim(work)))

    def post(self, reply: Reply) -> None:
        """Send what no request asked for (a break); a lost connection is the reader's to see."""
        self._run(self._send_quietly(reply))

    async def _send_quietly(self, reply: Reply) -> None:
        try:
            await self.transport.send(reply)
        except Lost as error:
            log.debug("%s: %s", self.transport.peer, error)

    def hash_response(self, work: Work, element: list[Buffer]) -> None:
        """Take a NEGOTIATE or SESSION_SETUP response into the preauthentication hash (3.3.5.4, 3.3.5.5)."""
        if work.preauth is not None:
            work.preauth.update(element)

    # -- resources ------------------------------------------------------------------------------------------
    def take_nowait(self, length: int, keep: Keep | None = None) -> Block | None:
        """As `take`, or None where that would wait."""
        return self.server.arena.take_nowait(length, self.share, keep)

    async def take(self, length: int, keep: Keep | None = None) -> Block:
        """A block of at least `length` bytes from the arena, counted against this connection's share."""
        return await self.server.arena.take(length, self.share, keep)

    def trust(self, anonymous: bool) -> None:
        """Somebody has logged on: more credits; and unless it is nobody by name, large messages and all the time."""
        self.trusted = True
        if not anonymous:
            self._timer.cancel()
            self.transport.trust(self.negotiated.max_write + 65536)

    def _too_late(self) -> None:
        log.info("%s: no login within %d s", self.transport.peer, LOGIN_TIME)
        self._run(self.transport.close())

    def _say(self, error: Exception) -> None:
        log.info("%s: connection ended: %s", self.transport.peer, error)

    async def drain(self) -> None:
        """Let what is in flight finish, end what waits for others, and close (SIGTERM)."""
        for work in list(self.pending.by_async.values()):
            work.cancel()
        if self._tasks:  # those that are there now: a client that keeps asking does not keep the server
            await asyncio.wait(self._tasks)
        await self.transport.close()

    async def cut(self) -> None:
        """Close, and end what is in flight: there was time enough for it."""
        await self.transport.close()
        for work in list(self.pending.by_message.values()):
            work.cancel()
        for task in self._tasks:
            task.cancel()

    def _let_go_on(self) -> None:
        """Give to the server what is done for sessions that have other channels, and may be asked for again there."""
        for work in list(self.pending.by_message.values()):
            if not work.lasting or work.session is None or len(work.session.channels) < 2 or work.answers is None:
                continue
            for task, message in list(self._tasks.items()):
                if message is work.answers.message and self.server.adopt(task, work):
                    del self._tasks[task]
                    self.pending.by_message.pop(work.header.message_id)

    async def _end(self) -> None:
        """The client is gone: its pending requests end, its sessions lose this channel."""
        self._timer.cancel()
        await self.transport.close()
        self._let_go_on()
        for work in list(self.pending.by_message.values()):
            work.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)
        for session in list(self.sessions.values()):
            await self.server.leave(session, self)
