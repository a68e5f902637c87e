"""One connection: requests go out as soon as there are credits for them, answers come to whoever waits.

`post` sends requests (several make a compound) and returns a `Call` for each; a task of the client's reads what
comes, checks it, and hands it to its call by message id. When that task ends, every call under way ends with why.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self, TypeVar

from server.messages.base import Request, Response
from server.messages.file import CancelRequest
from server.messages.header import PROTOCOL_ID, TRANSFORM_ID, Command, Flags, Header
from server.messages.negotiate import NegotiateResponse
from server.messages.oplock import OplockBreakResponse
from server.messages.transform import TransformHeader
from server.security.preauth import Preauth
from server.status import NT
from smbdirect.wire import Buffer, Malformed
from transport.base import Connection, Lost, Message, Reply

from .answer import Answer
from .charge import charge
from .security import Security
from .settings import Agreement, Settings, agree
from .window import Window

R = TypeVar("R", bound=Response)
NOTIFICATION = 0xFFFF_FFFF_FFFF_FFFF
"""The message id of what the server sends unasked."""


@dataclass(slots=True)
class Element:
    """A request to send, and what its header says; `flags` are for those the client does not set itself."""

    request: Request
    tree_id: int = 0
    flags: int = 0
    credit_charge: int | None = None
    channel_sequence: int = 0


@dataclass(slots=True, eq=False)
class Call:
    """One request under way."""

    header: Header
    parts: list[Buffer]
    """As sent, before sealing."""
    security: Security | None
    answered: asyncio.Future[Answer]
    interim: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the server has said that the answer takes time."""
    async_id: int = 0

    async def answer(self) -> Answer:
        """What came back, to be released; raises Lost or Malformed."""
        return await self.answered

    async def result(self, kind: type[R]) -> R:
        """The response, in memory of its own; raises Status where it is an error."""
        return (await self.answered).keep().read(kind)


class Client:
    """The client's end of one connection; made by `negotiate`."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self.connection = connection
        self.settings = settings
        self.window = Window()
        self.preauth = Preauth()
        self.agreement: Agreement
        self.securities: dict[int, Security] = {}
        """By session id."""
        self.notifications: asyncio.Queue[OplockBreakResponse] = asyncio.Queue()
        self.ended: Exception | None = None
        """Why nothing more will come."""
        self.posted = 0
        """Messages sent so far."""
        self._calls: dict[int, Call] = {}
        connection.trust(connection.limits.max_message)
        self._reader = asyncio.get_running_loop().create_task(self._read(), name="client")

    @classmethod
    async def negotiate(cls, connection: Connection, settings: Settings) -> Self:
        """A client on `connection`, which is its own from now on."""
        client = cls(connection, settings)
        try:
            call = await client.post_one(Element(settings.request()))
            answer = (await call.answer()).keep()
            client.agreement = agree(settings, answer.read(NegotiateResponse))
        except BaseException:
            await client.close()
            raise
        client.preauth.update(call.parts)
        client.preauth.update([answer.packet])
        return client

    @property
    def under_way(self) -> int:
        """Requests not answered yet."""
        return len(self._calls)

    async def close(self) -> None:
        """End the connection and every call under way."""
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader
        await self.connection.close()

    async def post_one(self, element: Element, security: Security | None = None) -> Call:
        return (await self.post([element], security))[0]

    async def post(self, elements: Sequence[Element], security: Security | None = None) -> list[Call]:
        """Send `elements` as one message once there are credits for them; a call for each."""
        charges = [self._charge(element) for element in elements]
        first = await self.window.take(sum(max(each, 1) for each in charges))
        calls: list[Call] = []
        for element, cost in zip(elements, charges, strict=True):
            calls.append(self._prepare(element, first, cost, security))
            first += max(cost, 1)
        self._chain(calls)
        self.posted += 1
        await self._send(calls, security)
        return calls

    async def cancel(self, call: Call) -> None:
        """Ask the server to give `call` up (MS-SMB2 3.2.4.24): it is answered all the same."""
        if not call.answered.done():
            asynchronous = Flags.ASYNC if call.async_id else 0
            ids = call.async_id or call.header.async_or_ids
            header = Header(
                command=Command.CANCEL, flags=asynchronous, message_id=call.header.message_id, async_or_ids=ids,
                session_id=call.header.session_id,
            )  # fmt: skip
            await self._send([self._sign(header, CancelRequest(), call.security)], call.security)

    def _charge(self, element: Element) -> int:
        if element.credit_charge is not None:
            return element.credit_charge
        agreed = getattr(self, "agreement", None)
        return charge(element.request) if agreed is not None and agreed.large else 0

    def _prepare(self, element: Element, message_id: int, cost: int, security: Security | None) -> Call:
        wanted = self.settings.credits - self.window.credits
        header = Header(
            credit_charge=cost, status=element.channel_sequence, command=element.request.COMMAND,
            credits=min(max(wanted, cost, 1), 0xFFFF), flags=element.flags, message_id=message_id,
            async_or_ids=element.tree_id << 32 | 0xFEFF, session_id=security.session_id if security else 0,
        )  # fmt: skip
        call = self._sign(header, element.request, security, later=True)
        self._calls[message_id] = call
        return call

    def _sign(self, header: Header, request: Request, security: Security | None, later: bool = False) -> Call:
        """The packed request, signed unless that is done `later`, when its padding is known."""
        if security is not None and not security.encrypt and security.signs(request.COMMAND):
            header.flags |= Flags.SIGNED
        body = request.parts()
        parts: list[Buffer] = [bytearray(header.pack()) + body[0], *body[1:]]
        if header.flags & Flags.SIGNED and security is not None and not later:
            security.put_signature(parts, header)
        return Call(header, parts, security, asyncio.get_running_loop().create_future())

    def _chain(self, calls: Sequence[Call]) -> None:
        """Make one message of `calls`, each padded to where the next begins, and sign them."""
        for call in calls[:-1]:
            size = sum(map(len, call.parts))
            call.parts.append(bytes(-size % 8))
            call.header.next_command = size + -size % 8
            head = call.parts[0]
            assert isinstance(head, bytearray)
            call.header.pack_into(head)
        for call in calls:
            if call.header.flags & Flags.SIGNED and call.security is not None:
                call.security.put_signature(call.parts, call.header)

    async def _send(self, calls: Sequence[Call], security: Security | None) -> None:
        parts = [part for call in calls for part in call.parts]
        if security is not None and security.encrypt:
            assert security.sealer is not None, "nothing to encrypt with"
            parts = security.sealer.seal(parts, security.session_id)
        await self.connection.send(Reply(parts))

    # -- what comes ------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        ended: Exception = Lost("the server closed the connection")
        try:
            while (message := await self.connection.receive()) is not None:
                try:
                    self._take(message)
                except BaseException:
                    message.release()
                    raise
        except asyncio.CancelledError:
            ended = Lost("the client was closed")
            raise
        except Exception as error:  # a bug of ours too must reach those who wait
            ended = error
        finally:
            self.ended = ended
            self.window.lose(ended if isinstance(ended, Lost) else Lost(str(ended)))
            for call in self._calls.values():
                if not call.answered.done():
                    call.answered.set_exception(ended)
                    call.answered.exception()  # seen: whoever no longer waits for it need not hear of it
            self._calls.clear()

    def _take(self, message: Message) -> None:
        view, sealed = message.view, False
        if view[:4] == TRANSFORM_ID:
            security = self.securities.get(TransformHeader.unpack_from(view).session_id)
            if security is None or security.sealer is None:
                raise Malformed("a sealed message of a session that has no keys")
            view, sealed = security.sealer.unseal(view), True
        packets = list(_split(view))
        if len(packets) == 1:
            self._deliver(Answer(Header.unpack_from(view), view, message, sealed))
            return
        for packet in packets:
            copy = memoryview(bytes(packet))
            self._deliver(Answer(Header.unpack_from(copy), copy, Message(copy), sealed))
        message.release()

    def _deliver(self, answer: Answer) -> None:
        header = answer.header
        self.window.grant(header.credits)
        if header.message_id == NOTIFICATION:
            self.notifications.put_nowait(OplockBreakResponse.parse(answer.keep().packet))
            return
        call = self._calls.get(header.message_id)
        if call is None or header.command != call.header.command:
            raise Malformed(f"an answer to message {header.message_id}, command {header.command}")
        if header.status == NT.PENDING and header.flags & Flags.ASYNC:
            call.async_id = header.async_or_ids
            call.interim.set()
            return
        _check(call, answer)
        del self._calls[header.message_id]
        if call.answered.done():  # its waiter was cancelled
            answer.release()
        else:
            call.answered.set_result(answer)


def _split(view: memoryview) -> Iterator[memoryview]:
    """The responses of a message, each from its header to the next one's."""
    while True:
        header = Header.unpack_from(view)
        if header.protocol_id != PROTOCOL_ID or not header.flags & Flags.RESPONSE:
            raise Malformed(f"no response: {bytes(view[:20]).hex()}")
        if not header.next_command:
            yield view
            return
        if header.next_command % 8 or not Header.SIZE <= header.next_command < len(view):
            raise Malformed(f"the next response at {header.next_command} of {len(view)}")
        yield view[: header.next_command]
        view = view[header.next_command :]


def _check(call: Call, answer: Answer) -> None:
    """Signed or sealed, as the request was; a login checks its own last answer, whose key it makes first."""
    if call.security is None or answer.header.command == Command.SESSION_SETUP:
        return
    if answer.sealed or answer.status == NT.USER_SESSION_DELETED:  # the server has no key to sign that with
        return
    if call.security.encrypt:
        raise Malformed(f"message {answer.header.message_id} is not sealed")
    gone = (NT.USER_SESSION_DELETED, NT.NETWORK_SESSION_EXPIRED)  # a session without keys left cannot sign
    if answer.status not in gone:
        call.security.check(answer.packet, answer.header)
