"""Two ends in memory over a lossless wire that keeps the order, as a reliable queue pair does.

Each end has a NIC with posted receives; a packet that finds none is a failure, since queue pairs here do not
retry (MS-SMBD relies on credits alone). Nothing moves by itself: tests say who posts, receives and delivers.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from smbdirect.connection import Connection, Packet, Role
from smbdirect.events import Event, Received
from smbdirect.negotiate import CLIENT_SETTINGS, RESERVE, Settings
from smbdirect.packets import DataTransfer


@dataclass
class End:
    """One connection with its NIC: `inbox` is on the wire to it, `undelivered` what its reader has not taken."""

    connection: Connection
    receives: int
    peer: "End" = field(init=False)
    posted: int = 0
    inbox: deque[bytes] = field(default_factory=deque)
    events: list[Event] = field(default_factory=list)
    undelivered: deque[Received] = field(default_factory=deque)
    messages: list[bytes] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    in_message: bool = False

    def post_receives(self, count: int | None = None) -> None:
        """Post `count` receives more, or as many as are missing."""
        missing = self.receives - self.posted
        count = missing if count is None else min(count, missing)
        self.posted += count
        self.connection.posted_receives(count)

    def send(self, *parts: bytes, token: object = None) -> None:
        self.sent.append(b"".join(parts))
        self.connection.send(parts, token)

    def post(self, room: int = 1000, now: float = 0.0) -> list[Packet]:
        """Put all that may be sent on the wire."""
        packets = self.connection.packets(room, now)
        assert len(packets) <= room
        for packet in packets:
            data = b"".join(packet.pieces)
            assert len(data) == packet.size
            if self.connection.agreement is not None and len(data) not in (20, 32):
                assert packet.size <= self.connection.agreement.max_send_size
            self.peer.inbox.append(data)
        return packets

    def take(self, now: float = 0.0) -> list[Event]:
        """Receive one packet from the wire, if there is one."""
        if not self.inbox:
            return []
        assert self.posted > 0, "a packet found no receive posted"
        self.posted -= 1
        packet = self.inbox.popleft()
        if self.connection.agreement is not None:
            self._watch(DataTransfer.unpack_from(packet))
        events = self.connection.receive(memoryview(packet), now)
        self.events += events
        self.undelivered += [event for event in events if isinstance(event, Received)]
        return events

    def deliver(self) -> None:
        """Let the reader have one message, if there is one."""
        if self.undelivered:
            received = self.undelivered.popleft()
            self.messages.append(bytes(received.data))
            self.connection.delivered(received)

    def _watch(self, head: DataTransfer) -> None:
        assert head.data_length or not self.in_message, "an empty packet in the middle of a message"
        self.in_message = bool(head.remaining_data_length)


def pair(
    server: Settings | None = None, client: Settings | None = None, now: float = 0.0, reserve: int = RESERVE
) -> tuple[End, End]:
    """A client's and a server's end, receives posted, nothing said yet. The client keeps `reserve` of them back."""
    theirs, ours = client or CLIENT_SETTINGS, server or Settings()
    ends = (
        End(Connection(Role.CLIENT, theirs, now), theirs.receive_credit_max + reserve),
        End(Connection(Role.SERVER, ours, now), ours.receives),
    )
    ends[0].peer, ends[1].peer = ends[1], ends[0]
    for end in ends:
        end.post_receives()
    return ends


def settle(ends: Sequence[End], now: float = 0.0, deliver: bool = True) -> int:
    """Move everything until nothing moves; returns how many packets that took. Fails if it never rests."""
    packets = 0
    while True:
        moved = sum(len(end.post(now=now)) for end in ends)
        packets += moved
        for end in ends:
            while end.inbox:
                end.take(now)
                end.post_receives()
                moved += 1
            while deliver and end.undelivered:
                end.deliver()
                moved += 1
        if not moved:
            return packets
        limit = 1000 + sum(len(message) for end in ends for message in end.sent)
        assert packets < limit, "the ends talk for ever"


def joined(server: Settings | None = None, client: Settings | None = None, now: float = 0.0) -> tuple[End, End]:
    """A client's and a server's end that have agreed and trust each other."""
    ends = pair(server, client, now)
    settle(ends, now)
    ends[1].connection.trust()
    settle(ends, now)
    return ends
