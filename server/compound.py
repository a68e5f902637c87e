"""Compounds (MS-SMB2 3.3.5.2.7): a received message taken apart, and its answers put together.

`Answers` collects the responses of one received message and sends them as one, each padded to 8 bytes, linked
by NextCommand and signed by itself, or the whole sealed. A request that goes asynchronous sends what was
answered before it together with its interim response, and its own answer later alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from smbdirect.wire import Buffer, Malformed
from transport.base import Message, Place, Reply
from transport.memory import Block

from .messages.base import HEADER_SIZE
from .messages.header import PROTOCOL_ID, Command, ErrorResponse, Flags, Header
from .session import Session
from .status import NT
from .work import Work

if TYPE_CHECKING:
    from .connection import ServerConnection

ALIGNMENT = 8
"""Where the next element of a compound may begin."""
ENVELOPE = 64
"""At least the bytes that sealing adds."""
_SIGNATURE = slice(48, 64)
_NEXT_COMMAND = slice(20, 24)


def split(message: memoryview) -> Iterator[tuple[Header, memoryview]]:
    """The elements of a message: each header, and the bytes from it up to the next. Raises Malformed."""
    offset = 0
    while True:
        header = Header.unpack_from(message, offset)
        if header.protocol_id != PROTOCOL_ID or header.structure_size != HEADER_SIZE:
            raise Malformed(f"no SMB2 header at {offset}")
        step = header.next_command
        if step == 0:
            yield header, message[offset:] if offset else message
            return
        if step < HEADER_SIZE or step % 8 or offset + step > len(message):
            raise Malformed(f"NextCommand {step} at {offset} of {len(message)} bytes")  # 3.3.5.2.7
        yield header, message[offset : offset + step]
        offset += step


@dataclass(slots=True)
class Answer:
    """One response on its way out: its header in wire form, its body, and the work it ends (None: an interim)."""

    work: Work
    header: Header
    body: list[Buffer]
    final: bool = True


@dataclass(slots=True)
class Answers:
    """The responses to one received message."""

    connection: "ServerConnection"
    sealed_by: Session | None
    """The session whose keys sealed the request: the answer is sealed with them too."""
    message: Message
    """What is being answered; `connection` releases it in the end."""
    waiting: list[Answer] = field(default_factory=list)
    length: int = ENVELOPE
    """At most so many bytes are in what waits, once it is a message."""

    def add(self, work: Work, body: list[Buffer]) -> None:
        """The final answer of `work`."""
        self._append(Answer(work, response_header(work), body))

    def _append(self, answer: Answer) -> None:
        self.waiting.append(answer)
        self.length += HEADER_SIZE + sum(map(len, answer.body)) + ALIGNMENT

    def interim(self, work: Work) -> Reply:
        """Everything answered so far and an interim response for `work`, as one message (3.3.4.2)."""
        header = response_header(work)
        header.status = NT.PENDING
        self.waiting.append(Answer(work, header, ErrorResponse().parts(), final=False))
        return self.reply()

    def full(self, most: int) -> Reply | None:
        """All that waits but the newest, where that does not fit with it into a message of `most` bytes; else None."""
        if len(self.waiting) < 2 or self.length <= most:
            return None
        newest = self.waiting.pop()
        reply = self.reply()
        self._append(newest)
        return reply

    def reply(self) -> Reply:
        """What waits as one message, and nothing waits any more."""
        answers, self.waiting, self.length = self.waiting, [], ENVELOPE
        blocks: list[Block] = []
        places: list[Place] = []
        invalidate = None
        for answer in answers:
            if answer.final:
                work = answer.work
                blocks += work.blocks
                places += work.places
                invalidate = work.invalidate if invalidate is None else invalidate
                work.blocks = []
        sealer = self._sealing_session(answers)
        if sealer is None:
            return Reply(self._signed(answers), blocks, places, invalidate)
        return Reply(self._sealed(answers, sealer), blocks, places, invalidate)

    def _sealing_session(self, answers: Sequence[Answer]) -> Session | None:
        if self.sealed_by is not None:
            return self.sealed_by
        session = answers[0].work.session
        if session is None or not session.valid or answers[0].header.command == Command.SESSION_SETUP:
            return None
        protection = session.protection
        return session if protection.encryption_required and protection.sealer is not None else None

    def _signed(self, answers: Sequence[Answer]) -> list[Buffer]:
        parts: list[Buffer] = []
        last = len(answers) - 1
        for number, answer in enumerate(answers):
            element = link(answer, number == last, padded=last > 0)
            # an interim response is not signed: its MessageId, GMAC's nonce, comes again (3.3.4.1.1)
            signer = self.connection.signer_of(answer.work) if answer.final else None
            if signer is not None:
                head = bytearray(element[0])
                head[16:20] = (answer.header.flags | Flags.SIGNED).to_bytes(4, "little")
                element[0] = head
                head[_SIGNATURE] = signer.sign(element, answer.header.message_id, True, False)
            parts += element
            if answer.header.command == Command.NEGOTIATE or answer.header.command == Command.SESSION_SETUP:
                self.connection.hash_response(answer.work, element)
        return parts

    def _sealed(self, answers: Sequence[Answer], session: Session) -> list[Buffer]:
        sealer = session.protection.sealer
        assert sealer is not None
        if len(answers) == 1:
            payload = answers[0].work.payload
            element = link(answers[0], True)
            if payload is not None and len(element) == 3 and answers[0].final:
                return sealer.seal_block(b"".join(element[:2]), payload, len(element[2]), session.id)
            return sealer.seal(element, session.id)
        last = len(answers) - 1
        parts: list[Buffer] = []
        for number, answer in enumerate(answers):
            parts += link(answer, number == last, padded=True)
        return sealer.seal(parts, session.id)


def link(answer: Answer, last: bool, padded: bool = False) -> list[Buffer]:
    """Header and body in wire order: all but the last padded to 8 bytes and pointing to the next. The last of several
    is `padded` too (3.3.4.1.3), a lone one is not."""
    length = HEADER_SIZE + sum(map(len, answer.body))
    padding = -length % ALIGNMENT if padded or not last else 0
    if not last:
        answer.header.next_command = length + padding
    return [answer.header.pack(), *answer.body, *((bytes(padding),) if padding else ())]


def response_header(work: Work) -> Header:
    """The header of a response to `work`; credits are granted here, once a request."""
    request = work.header
    flags = Flags.RESPONSE | (request.flags & (Flags.RELATED | Flags.PRIORITY_MASK | Flags.REPLAY))
    session_id, signature = request.session_id, bytes(16)
    if work.session is not None:
        session_id = work.session.id
    elif request.flags & Flags.SIGNED:  # no key is known: clients take a refusal that gives back what they signed with
        flags |= Flags.SIGNED
        signature = request.signature
    if work.async_id:
        flags |= Flags.ASYNC
        ids = work.async_id
    else:
        ids = request.async_or_ids & 0xFFFFFFFF
        ids |= (work.tree.id if work.tree is not None else request.tree_id) << 32
    return Header(
        credit_charge=request.credit_charge,
        status=work.status,
        command=request.command,
        credits=work.connection.grant(work),
        flags=flags,
        message_id=request.message_id,
        async_or_ids=ids,
        session_id=session_id,
        signature=signature,
    )
