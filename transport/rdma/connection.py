"""One SMB Direct connection over a queue pair: the state machine of `smbdirect.connection` given a NIC.

Packets, completions, timers and connection events all come in on the loop thread, and whatever they make
possible is posted before it returns. There is one end, `_end`: the queue pair is destroyed first, for from then on
the NIC touches nothing, and only then is memory given back and whoever waits told.
"""

import asyncio
from collections import deque
from dataclasses import dataclass

from smbdirect.connection import Connection as SmbDirect
from smbdirect.connection import Role
from smbdirect.events import Event as ProtocolEvent
from smbdirect.events import Lost as ProtocolLost
from smbdirect.events import Negotiated, Received, Refused
from smbdirect.negotiate import Settings
from smbdirect.wire import Malformed

from ..base import Connection, Limits, Lost, Message, Reply
from ..memory import SMALL, Arena, Block
from . import cm_abi, verbs
from .cm import Event, Identifier
from .depths import Depths
from .exposing import ExposedMemory
from .fabric import Fabric
from .queue_pair import QueuePair
from .reading import RdmaMemory
from .sending import SLOTS, Sender
from .sinks import Sinks
from .slots import Slots

LINGER = 2.0
"""Seconds that `close` gives what is under way."""
KEPT_REQUESTS = 2
"""Requests of the largest size whose sinks a connection keeps."""


@dataclass(slots=True)
class _End:
    """How the connection ended: in an error, or (None) because one side closed it."""

    error: Malformed | Lost | None


class RdmaConnection(Connection):
    """One end, either role. Made by `listener` and `client`, and theirs until negotiated. Raises Lost."""

    def __init__(self, fabric: Fabric, messages: Arena, identifier: Identifier, role: Role, settings: Settings) -> None:
        self._loop = asyncio.get_running_loop()
        self._identifier = identifier
        self._fabric = fabric
        self._messages = messages
        self._ended: _End | None = None
        self._arrived: deque[Received] = deque()
        self._changed = asyncio.Event()
        """Set when a message has arrived, when the connection has ended, and while it closes at whatever happens."""
        self._closing = False
        self._timer: asyncio.TimerHandle | None = None
        self.negotiated: asyncio.Future[None] = self._loop.create_future()
        """Done once the peer has agreed, or in the error that ended the connection before."""
        self.established: asyncio.Future[Event] = self._loop.create_future()
        """Done at the connection manager's ESTABLISHED or CONNECT_RESPONSE."""
        self.limits = Limits(0, 0)
        self.peer = identifier.peer[0]
        self.device = fabric.acquire(identifier)
        self.technology = self.device.technology.name
        self._held: list[Slots] = []
        try:
            self._make(role, settings)
        except BaseException:
            for slots in self._held:
                slots.close()
            fabric.release(self.device)
            raise
        identifier.on_event = self._on_event

    def _make(self, role: Role, settings: Settings) -> None:
        self._largest = settings.max_read_write_size
        receives = self._slots(settings.receives, settings.max_receive_size)
        sends = self._slots(SLOTS, settings.max_send_size)
        self.pair = QueuePair(self.device, receives, self)
        self._state = SmbDirect(role, settings, self._loop.time())
        self._sender = Sender(self.device, sends, self.pair, self._state)
        self._reader: RdmaMemory | None = None
        self.memory: ExposedMemory | None = None
        if role is Role.CLIENT:
            self.memory = ExposedMemory(self.device, self.pair)

    def _slots(self, count: int, size: int) -> Slots:
        slots = Slots(self.device, count, size)
        self._held.append(slots)
        return slots

    # -- setting up ------------------------------------------------------------------------------------------

    def prepare(self, depths: Depths) -> None:
        """Post the receives: from here on packets may come, even before the connection is established. Raises Lost."""
        self._depths = depths
        self._enter(verbs.QPS_INIT)
        self._state.posted_receives(self.pair.post_receives())

    def ready(self) -> None:
        """Let the queue pair send and receive. Raises Lost."""
        self._enter(verbs.QPS_RTR)
        self._enter(verbs.QPS_RTS)
        if self.memory is None:
            sinks = Sinks(self.device, self._fabric.arena, KEPT_REQUESTS * self._largest)
            self._reader = RdmaMemory(self.device, self.pair, sinks, self._depths.initiator, self._lose)
            self.remote = self._reader

    def reenter(self) -> None:
        """Enter INIT again: only after a CONNECT_RESPONSE does the connection manager know the access to grant."""
        self._enter(verbs.QPS_INIT)

    def _enter(self, state: int) -> None:
        self.pair.enter(state, self._identifier, self._depths, exposed=self.memory is not None)

    def start(self) -> None:
        """Begin to speak. The side that connected speaks first."""
        self._after(self._loop.time())

    # -- the contract ----------------------------------------------------------------------------------------

    async def receive(self) -> Message | None:
        while True:
            if self._arrived:
                length = len(self._arrived[0].data)
                block = await self._messages.take(length) if length > SMALL else None
                if self._arrived:
                    return self._deliver(block)
                if block is not None:  # closed meanwhile
                    block.release()
            if self._ended is not None:
                if self._ended.error is not None:
                    raise self._ended.error
                return None
            self._changed.clear()
            await self._changed.wait()

    def _deliver(self, block: Block | None) -> Message:
        received = self._arrived.popleft()
        view = memoryview(received.data)
        if block is not None:
            block.view[:] = view
            view = block.view
        self._state.delivered(received)
        self._after(self._loop.time())
        return Message(view, block)

    async def send(self, reply: Reply) -> None:
        if self._ended is not None:
            for block in reply.blocks:
                block.release()
            raise Lost(str(self._ended.error or "the connection is closed"))
        self._sender.submit(reply)
        self._after(self._loop.time())
        await self._sender.wait_room()
        if self._ended is not None:
            raise Lost(str(self._ended.error or "the connection is closed"))

    async def close(self) -> None:
        self._closing = True
        deadline = self._loop.time() + LINGER
        while self._ended is None and not self._sender.idle and self._loop.time() < deadline:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), deadline - self._loop.time())
            except TimeoutError:
                break
        self._arrived.clear()
        self._end(None)

    def trust(self, max_message: int) -> None:
        self._state.trust()
        self._after(self._loop.time())

    # -- what the queue pair tells (queue_pair.Owner) --------------------------------------------------------

    def on_packet(self, packet: memoryview, now: float) -> None:
        try:
            events = self._state.receive(packet, now)
        except Malformed as error:
            self._end(error)
            return
        self._state.posted_receives(1)  # it is posted again before `on_batch` promises it
        for event in events:
            self._take(event, now)

    def on_batch(self, now: float) -> None:
        if self._reader is not None:
            self._reader.pump()
        self._after(now)
        if self._closing:
            self._changed.set()

    def on_broken(self, why: str, closed: bool) -> None:
        self._end(None if closed else Lost(why))

    # -- protocol, time and the connection manager -----------------------------------------------------------

    def _take(self, event: ProtocolEvent, now: float) -> None:
        if isinstance(event, Received):
            self._arrived.append(event)
            self._changed.set()
        elif isinstance(event, Negotiated):
            agreed = event.agreement
            most = min(agreed.max_fragmented_send, agreed.max_fragmented_receive)
            self.limits = Limits(max_message=most, max_read_write=agreed.max_read_write)
            self.negotiated.set_result(None)
        elif isinstance(event, Refused):
            self._after(now)
            self._end(Lost(f"SMB Direct refused with status {event.status:#010x}"))
        elif isinstance(event, ProtocolLost):
            self._end(Lost(event.why))

    def _after(self, now: float) -> None:
        """Something changed: post what may go, and look when time matters next."""
        if self._ended is not None:
            return
        try:
            self._sender.pump(now)
        except Lost as failure:
            self._end(failure)
            return
        due = self._state.deadline()
        if due is not None and (self._timer is None or due < self._timer.when()):
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = self._loop.time()
        for event in self._state.tick(now):
            self._take(event, now)
        self._after(now)

    def _on_event(self, event: Event) -> None:
        if event.kind in (cm_abi.ESTABLISHED, cm_abi.CONNECT_RESPONSE):
            if not self.established.done():
                self.established.set_result(event)
        elif event.kind == cm_abi.DISCONNECTED or (event.kind == cm_abi.REJECTED and self.negotiated.done()):
            # a peer that ends before it has seen our side's confirmation rejects instead
            self.pair.poll()  # what came before it is still to be had
            self._end(None)
        elif event.kind == cm_abi.DEVICE_REMOVAL:
            self._fabric.removed(self.device)
            self._end(Lost(f"the device {self.device.name} was removed"))
        elif event.kind in cm_abi.FAILURES:
            self._end(Lost(str(event)))

    # -- the end ---------------------------------------------------------------------------------------------

    def _lose(self, why: str) -> None:
        self._end(Lost(why))

    def abandon(self, why: str) -> None:
        """Give the connection up before it was handed over; safe to call twice."""
        self._end(Lost(why))

    def _end(self, error: Malformed | Lost | None) -> None:
        """Stop the NIC, give everything back, tell everybody; only the first call counts."""
        if self._ended is not None:
            return
        self._ended = _End(error)
        if self._timer is not None:
            self._timer.cancel()
        if self.memory is not None:
            self.memory.close()
        self._identifier.disconnect()
        self.pair.close()
        self._sender.close()
        if self._reader is not None:
            self._reader.close()
        for slots in self._held:
            slots.close()
        self._identifier.destroy()
        self._fabric.release(self.device)
        for future in (self.negotiated, self.established):
            if not future.done():
                future.set_exception(error or Lost("the peer closed the connection"))
                future.exception()  # whoever waits still gets it; nobody has to
        self._changed.set()
