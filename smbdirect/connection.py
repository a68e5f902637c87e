"""One SMB Direct connection as state (MS-SMBD 3.1): packets and the time in, packets and events out.

The transport keeps `settings.receives` receives posted and says so (`posted_receives`), hands every packet that
arrives to `receive` (then posts that receive again and says so), queues messages with `send`, and after any
of these, and after `delivered`, `trust` and `tick`, posts what `packets` gives it. It calls `tick` at
`deadline`. It owns the clock, the memory and the send queue; nothing here waits.

`receive` raises Malformed when the peer breaks the protocol; the connection must then be dropped.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from .credits import NONE, Credits
from .events import Event, Lost, Negotiated, Received, Refused
from .fragment import Outgoing, Reassembly
from .negotiate import Agreement, Settings, accept, agree, request, respond
from .packets import (
    DATA_OFFSET,
    RESPONSE_REQUESTED,
    SMALLEST_FRAGMENTED,
    STATUS_INSUFFICIENT_RESOURCES,
    NegotiateRequest,
    NegotiateResponse,
    pack_data_head,
    pack_empty,
    read_data_transfer,
)
from .timers import Timers
from .wire import Buffer


class Role(Enum):
    """Which side connected."""

    CLIENT = "client"
    SERVER = "server"


@dataclass(slots=True)
class Packet:
    """One packet to post as a SEND: `pieces` in order, `size` bytes in all.

    The first piece is the head; the others are slices of the parts given to `send`. `token` is what was given
    to `send` with them, in the packet that ends the message, else None.
    """

    pieces: list[Buffer]
    size: int
    token: object = None


class Backlog:
    """Messages received and not yet delivered, and how many may be before the peer gets no new credits."""

    __slots__ = ("bytes", "messages", "most_bytes", "most_messages")

    def __init__(self, most_messages: int, most_bytes: int) -> None:
        self.messages = 0
        self.bytes = 0
        self.most_messages = most_messages
        self.most_bytes = most_bytes

    def full(self) -> bool:
        return self.messages >= self.most_messages or self.bytes >= self.most_bytes


class Connection:
    """One end. `agreement` is None until both sides agree."""

    __slots__ = (
        "_answer_due",
        "_backlog",
        "_closed",
        "_credits",
        "_greeting",
        "_largest",
        "_outgoing",
        "_reassembly",
        "_room",
        "_timers",
        "agreement",
        "role",
        "settings",
    )

    def __init__(self, role: Role, settings: Settings, now: float) -> None:
        self.role = role
        self.settings = settings
        self.agreement: Agreement | None = None
        self._closed = False
        self._credits = Credits(min(settings.untrusted_credits, settings.receive_credit_max))
        self._timers = Timers(settings, now)
        self._backlog = Backlog(settings.untrusted_messages, settings.untrusted_bytes)
        self._reassembly = Reassembly()
        self._outgoing: deque[Outgoing] = deque()
        self._greeting: Packet | None = None
        self._answer_due = False
        self._largest = 0  # bytes of the largest message we take
        self._room = 0  # bytes of payload in one packet to the peer
        if role is Role.CLIENT:
            self._greet(request(settings).pack())
            self.trust()

    # In

    def posted_receives(self, count: int) -> None:
        """`count` more receives are on the NIC; only these are ever promised to the peer."""
        self._credits.posted += count

    def receive(self, packet: memoryview, now: float) -> list[Event]:
        """Take one packet; what is needed of it is copied, so its receive may be posted again. Raises Malformed."""
        if self._closed:
            return []
        if self.agreement is None:
            return self._negotiate(packet, now)
        requested, granted, flags, remaining, payload = read_data_transfer(packet, self._largest)
        reassembly = self._reassembly
        reassembly.check(len(payload), remaining)
        credits = self._credits
        credits.arrived()
        credits.target = requested
        if granted:
            credits.send += granted
            self._timers.starved = None
        self._timers.hear(now)
        if flags & RESPONSE_REQUESTED:
            self._answer_due = True
        message = reassembly.add(payload, remaining)
        if message is None:
            return []
        backlog = self._backlog
        backlog.messages += 1
        backlog.bytes += len(message)
        credits.withheld = backlog.full()
        return [Received(message)]

    def delivered(self, received: Received) -> None:
        """`received` is in the hands of whoever handles it; call it once for each, then `packets`."""
        backlog = self._backlog
        backlog.messages -= 1
        backlog.bytes -= len(received.data)
        self._credits.withheld = backlog.full()

    def trust(self) -> None:
        """The peer has logged on: the limits for unknown peers end."""
        settings = self.settings
        self._credits.most = settings.receive_credit_max
        self._backlog.most_messages = settings.backlog_messages
        self._backlog.most_bytes = settings.backlog_bytes
        self._credits.withheld = self._backlog.full()
        if self.agreement is not None:
            self._largest = self.agreement.max_fragmented_receive

    # Out

    @property
    def waiting(self) -> int:
        """How many messages are queued and not wholly cut into packets yet."""
        return len(self._outgoing)

    def send(self, parts: Sequence[Buffer], token: object = None) -> None:
        """Queue one message of at most `agreement.max_fragmented_send` bytes; its parts must stay as they are.

        They are done with when the packet that carries `token` has been sent.
        """
        assert self.agreement is not None, "a message before the negotiation"
        message = Outgoing(parts, token)
        assert 0 < message.remaining <= self.agreement.max_fragmented_send, f"a message of {message.remaining} bytes"
        self._outgoing.append(message)

    def packets(self, room: int, now: float) -> list[Packet]:
        """What may be posted now, in order, `room` packets at most. They count as sent."""
        out: list[Packet] = []
        if self._greeting is not None and room > 0:
            out.append(self._greeting)
            self._greeting = None
        if self.agreement is None or self._closed:
            return out
        spend = self._credits.spend
        while len(out) < room:
            if self._outgoing:
                granted = spend(True)
                if granted == NONE:
                    self._starve(now)
                    break
                out.append(self._fragment(granted))
            elif self._answer_due or self._timers.ask or self._credits.due():
                granted = spend(False)
                if granted == NONE:
                    break
                out.append(self._empty(granted))
            else:
                break
        return out

    # Time

    def deadline(self) -> float | None:
        """When to call `tick`, on the clock that `now` is read from; None once closed."""
        return None if self._closed else self._timers.deadline()

    def tick(self, now: float) -> list[Event]:
        """Do what the time calls for: ask a silent peer (see `packets`), or give it up."""
        if self._closed:
            return []
        why = self._timers.expire(now, held_back=self._credits.withheld)
        if why is None:
            return []
        self._closed = True
        return [Lost(why)]

    # Negotiation

    def _negotiate(self, packet: memoryview, now: float) -> list[Event]:
        self._credits.posted -= 1  # the first packet of each side needs no credit
        server = self.role is Role.SERVER
        outcome = self._answer(packet) if server else accept(self.settings, NegotiateResponse.unpack_from(packet))
        if isinstance(outcome, int):
            self._closed = True
            return [Refused(outcome)]
        self.agreement = outcome
        self._credits.send = outcome.granted
        self._credits.target = outcome.credit_target
        self._room = outcome.max_send_size - DATA_OFFSET
        self._largest = outcome.max_fragmented_receive
        if server:
            self._largest = min(self._largest, SMALLEST_FRAGMENTED)  # until `trust`
        self._timers.negotiating = False
        self._timers.hear(now)
        return [Negotiated(outcome)]

    def _answer(self, packet: memoryview) -> Agreement | int:
        """Agree to or refuse a request, and queue the response that says so."""
        outcome = agree(self.settings, NegotiateRequest.unpack_from(packet))
        if isinstance(outcome, int):
            self._greet(NegotiateResponse(status=outcome).pack())
            return outcome
        self._credits.target = outcome.credit_target
        granted = self._credits.grant()
        if granted == 0:  # MS-SMBD 3.1.5.6
            self._greet(NegotiateResponse(status=STATUS_INSUFFICIENT_RESOURCES).pack())
            return STATUS_INSUFFICIENT_RESOURCES
        self._greet(respond(self.settings, outcome, granted).pack())
        return outcome

    def _greet(self, head: bytes) -> None:
        self._greeting = Packet([head], len(head))

    # Packets

    def _fragment(self, granted: int) -> Packet:
        """The next packet of the first message in the queue."""
        message = self._outgoing[0]
        size = min(self._room, message.remaining)
        pieces: list[Buffer] = [b""]
        pieces += message.cut(size)
        pieces[0] = pack_data_head(self.settings.send_credit_target, granted, self._flags(), message.remaining, size)
        self._timers.starved = None
        if message.remaining:
            return Packet(pieces, DATA_OFFSET + size)
        self._outgoing.popleft()
        return Packet(pieces, DATA_OFFSET + size, message.token)

    def _empty(self, granted: int) -> Packet:
        """A packet without payload: it grants, asks or answers."""
        head = pack_empty(self.settings.send_credit_target, granted, self._flags())
        return Packet([head], len(head))

    def _flags(self) -> int:
        """The flags of the packet being made; whatever they are, it is an answer too.

        An answer never asks back, as a literal reading of MS-SMBD 3.1.5.8 has it: two such ends never rest.
        """
        self._answer_due = False
        if not self._timers.ask:
            return 0
        self._timers.ask = False
        return RESPONSE_REQUESTED

    def _starve(self, now: float) -> None:
        if self._timers.starved is None:
            self._timers.starved = now
