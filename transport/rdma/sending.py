"""What leaves a connection: for each reply its WRITEs, then its packets, all in the order of the replies.

Everything that may go goes in one chain: WRITE ... WRITE, SEND is one `post_send`, with no wait between, for a
reliable queue pair keeps the order. Where send credits are short the WRITEs of later replies go ahead; where places
are short the rest follows at the next completion. A reply's blocks are released when the chain with its last packet
has completed, or when the queue pair is gone.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import smbdirect.connection
from smbdirect.connection import Packet
from smbdirect.wire import Buffer

from ..base import Reply
from . import work
from .device import Device
from .plan import Piece, plan
from .queue_pair import QueuePair
from .slots import Slots
from .work import Span

CHAIN = 32
"""Requests of one chain, at most: a long message's first packets complete while its last are being made."""
SLOTS = 64
DIRECT = 4096
"""Pieces of at least so many bytes are sent from where they lie; copying smaller ones costs less than naming them."""
QUEUED = 64
"""Replies that may wait before `wait_room` waits."""


@dataclass(slots=True, eq=False)
class _Queued:
    """A reply under way and the WRITEs of it that are not posted yet, each with its local key."""

    reply: Reply
    writes: deque[tuple[Piece, int]] = field(default_factory=deque)

    def release(self) -> None:
        for block in self.reply.blocks:
            block.release()


class Sender:
    """The sending half of one connection. Raises Lost where its slots cannot be had."""

    def __init__(self, device: Device, slots: Slots, pair: QueuePair, state: smbdirect.connection.Connection) -> None:
        self._device = device
        self._slots = slots
        self._pair = pair
        self._state = state
        self._free = list(range(slots.count))
        self._queue: deque[_Queued] = deque()
        self._unfinished: set[_Queued] = set()
        self._room: asyncio.Event = asyncio.Event()
        self._room.set()

    def submit(self, reply: Reply) -> None:
        """Queue `reply`, whose blocks are ours from here on. Raises Malformed or Lost, the blocks released."""
        queued = _Queued(reply)
        try:
            for place in reply.places:
                key = self._device.lkey(place.block.slab)
                pieces = plan(
                    place.descriptors, place.block, place.start, place.count, self._device.attributes.max_message
                )
                queued.writes.extend((piece, key) for piece in pieces)
        except BaseException:
            queued.release()
            raise
        self._unfinished.add(queued)
        self._queue.append(queued)
        if len(self._unfinished) > QUEUED:
            self._room.clear()

    async def wait_room(self) -> None:
        """Return once the next reply may be handed over."""
        await self._room.wait()

    @property
    def idle(self) -> bool:
        """Whether every reply submitted has gone, completions included."""
        return not self._unfinished

    def pump(self, now: float) -> None:
        """Post all that credits and places allow. Raises Lost."""
        while self._chain(now):
            pass

    def close(self) -> None:
        """The queue pair is gone: give back what was waiting."""
        for queued in self._unfinished:
            queued.release()
        self._unfinished.clear()
        self._queue.clear()
        self._room.set()

    # -- chains ----------------------------------------------------------------------------------------------

    def _chain(self, now: float) -> bool:
        """Post one chain; returns whether there was anything to post."""
        requests: list[Any] = []
        finished: list[_Queued] = []
        slots: list[int] = []
        while (room := min(CHAIN, self._pair.places) - len(requests)) > 0:
            packets = self._state.packets(min(room, len(self._free)), now)
            requests += [self._send(packet, slots, finished) for packet in packets]
            if not packets and not self._write_first(requests, room):
                break
        if not requests:
            return False
        self._pair.post(requests, lambda done: self._completed(slots, finished))
        return True

    def _write_first(self, requests: list[Any], room: int) -> bool:
        """Add WRITEs of the first reply that waits, or give its message on; returns whether there is one."""
        if not self._queue:
            return False
        first = self._queue[0]
        requests += [work.write(*first.writes.popleft()) for _ in range(min(room, len(first.writes)))]
        if not first.writes:
            self._queue.popleft()
            self._state.send(first.reply.parts, first)
        return True

    def _send(self, packet: Packet, slots: list[int], finished: list[_Queued]) -> Any:
        slot = self._free.pop()
        slots.append(slot)
        spans = self._gather(packet.pieces, slot)
        if not isinstance(packet.token, _Queued):
            return work.send(spans)
        finished.append(packet.token)
        return work.send(spans, packet.token.reply.invalidate)

    def _gather(self, pieces: list[Buffer], slot: int) -> list[Span]:
        """`pieces` as registered memory: small ones copied into the slot side by side, large ones where they lie."""
        spans: list[Span] = []
        view, address, lkey = self._slots.views[slot], self._slots.addresses[slot], self._slots.lkey
        begun = used = 0  # what was copied side by side and is not among the spans yet
        for left, piece in zip(range(len(pieces), 0, -1), pieces, strict=True):
            size = len(piece)
            # a piece may stand alone only while those after it could still be gathered in one more element
            direct = size >= DIRECT and len(spans) + (used > begun) + 1 + (left > 1) <= self._pair.sges
            span = self._device.span_of(piece) if direct else None
            if span is None:
                view[used : used + size] = piece
                used += size
                continue
            if used > begun:
                spans.append(Span(address + begun, used - begun, lkey))
                begun = used
            spans.append(span)
        if used > begun:
            spans.append(Span(address + begun, used - begun, lkey))
        return spans

    def _completed(self, slots: list[int], finished: list[_Queued]) -> None:
        self._free += slots
        for queued in finished:
            self._unfinished.discard(queued)
            queued.release()
        if len(self._unfinished) <= QUEUED:
            self._room.set()
