"""A reliable queue pair with its completion queue in the running loop.

Receives live in slots that are posted again as soon as they are read. Everything else goes out in chains of one kind
(READs, or what is sent) of which only the last request is signalled: it speaks for those before it, and until it has
come every request of the chain counts as a taken place in the queue. Chains are told apart by number, not by order:
siw completes a SEND before the READ that was posted earlier. Whoever posts a chain is told exactly once that its
memory is free again: at that completion, or after the queue pair was destroyed. The latter is a stop nothing
outlives, so a failed connection needs no further completions.

On iWARP every request is signalled: siw sends unsignalled ones out of the caller's pages and calls them complete
when TCP has merely queued those pages, so a block given back too early changes what the peer gets.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pyverbs.cq import CQ, CompChannel
from pyverbs.pyverbs_error import PyverbsError
from pyverbs.qp import QP, QPAttr, QPCap, QPInitAttr

from ..base import Lost
from ..technology import IWARP
from . import verbs, work
from .cm import Identifier
from .depths import Depths
from .device import Device
from .slots import Slots

SENDS = 256
"""Places in the send queue, as far as the device has them."""
SGES = 8
"""Elements that one SEND gathers, as far as the device can."""
NOT_READY_RETRIES = 6
"""How often a request is repeated that the peer was not ready for, after a time that the peer says, 0.7 s at most. No
SEND should need it, for SMB Direct's credits stand for receives; but READs are answered so too when memory is short:
soft-RoCE does it without a buffer for the next packet (read_reply in Linux's rxe_resp.c)."""
BATCH = 64
ROUNDS = 4
"""Batches of completions taken before other connections get their turn."""
SEND_KIND = 1 << 62
"""Set in the wr_id of everything but receives: a failed completion tells nothing else. Below it stands the slot."""

Done = Callable[[bool], None]
"""Called once when a chain's memory is free again; whether the work was done."""


class Owner(Protocol):
    """Who is told what arrives."""

    def on_packet(self, packet: memoryview, now: float) -> None:
        """A packet came; its slot is posted again afterwards."""

    def on_batch(self, now: float) -> None:
        """All completions at hand were told: time to send."""

    def on_broken(self, why: str, closed: bool) -> None:
        """The queue pair has failed, or was `closed` by the peer; `close` it."""


@dataclass(slots=True)
class _Flight:
    """A chain under way: its places, and the completions that are still to come."""

    requests: int
    completions: int
    done: Done


class QueuePair:
    """One queue pair. Raises Lost where the device cannot make it."""

    def __init__(self, device: Device, receives: Slots, owner: Owner) -> None:
        attributes = device.attributes
        self._device = device
        self._receives = receives
        self._owner = owner
        self._flights: dict[int, _Flight] = {}
        self._number = SEND_KIND
        self._loop = asyncio.get_running_loop()
        self._open = True
        self.places = min(SENDS, attributes.max_qp_wr, attributes.max_cqe - receives.count)
        """Requests that can be posted now."""
        self._signal_all = device.technology is IWARP
        self.sges = min(SGES, attributes.max_sge)
        self.posts = 0
        """Calls of post_send so far, for tests that count them."""
        try:
            self._make(receives.count)
        except PyverbsError as error:
            raise Lost(f"{device.name} has no queue pair left: {verbs.reason(error)}") from None
        self._requests = [
            work.receive(slot, work.Span(address, receives.size, receives.lkey))
            for slot, address in enumerate(receives.addresses)
        ]
        self._loop.add_reader(self._fd, self._on_event)

    def _make(self, receives: int) -> None:
        context = self._device.context
        self._channel, self._fd = verbs.with_descriptor(lambda: CompChannel(context))
        vector = self._device.next_vector()
        self._cq = CQ(context, self.places + receives, None, self._channel, vector)
        self._cq.req_notify()
        cap = QPCap(
            max_send_wr=self.places,
            max_recv_wr=receives,
            max_send_sge=self.sges,
            max_recv_sge=1,
            max_inline_data=0,
        )
        wanted = QPInitAttr(qp_type=verbs.QPT_RC, scq=self._cq, rcq=self._cq, cap=cap, sq_sig_all=self._signal_all)
        self._qp = QP(self._device.domain, wanted)
        self.number = int(self._qp.qp_num)

    # -- states ----------------------------------------------------------------------------------------------

    def enter(self, state: int, identifier: Identifier, depths: Depths, exposed: bool) -> None:
        """Walk to `state`. Only an `exposed` queue pair lets the peer read and write. Raises Lost."""
        try:
            attributes, mask = identifier.qp_attributes(state)
            attributes.max_rd_atomic = depths.initiator
            attributes.max_dest_rd_atomic = depths.responder
            attributes.rnr_retry = NOT_READY_RETRIES
            if not exposed and not self._device.technology.sink_needs_remote_write:
                attributes.qp_access_flags = 0
            if mask:
                self._qp.modify(verbs.qp_attributes(attributes, mask), mask)
        except (PyverbsError, OSError) as error:
            raise Lost(f"the queue pair could not be set up: {verbs.reason(error)}") from None

    def post_receives(self) -> int:
        """Post all receives, before the connection can carry anything; returns how many. Raises Lost."""
        try:
            for request in self._requests:
                self._qp.post_recv(request)
        except PyverbsError as error:
            raise Lost(f"a receive could not be posted: {verbs.reason(error)}") from None
        return len(self._requests)

    # -- sending ---------------------------------------------------------------------------------------------

    def post(self, requests: Sequence[Any], done: Done) -> None:
        """Post `requests`, at most `places` of them, as one chain. Raises Lost; `done` is called in any case."""
        self.places -= len(requests)
        self._number += 1
        self._flights[self._number] = _Flight(len(requests), len(requests) if self._signal_all else 1, done)
        self.posts += 1
        try:
            self._qp.post_send(work.chain(requests, self._number))
        except PyverbsError as error:
            raise Lost(f"post_send: {verbs.reason(error)}") from None
        finally:
            for request in requests:
                request.close()

    @property
    def idle(self) -> bool:
        """Whether nothing that was posted is still under way."""
        return not self._flights

    # -- completions -----------------------------------------------------------------------------------------

    def _on_event(self) -> None:
        try:
            self._channel.get_cq_event(self._cq)
        except PyverbsError:
            return  # nothing there after all
        self._cq.ack_events(1)
        self.poll()

    def poll(self) -> None:
        """Take what has completed, and look again once those who were told have had their turn: what they posted may
        be done by then. Only when nothing is left is the device to say when there is something again."""
        if not self._open:
            return
        if not self._take_all():
            self._cq.req_notify()
            if not self._take_all():  # what came just before that is not told
                return
        self._loop.call_soon(self.poll)

    def _take_all(self) -> bool:
        """Take what has completed, within limits; returns whether there was anything."""
        for done in range(ROUNDS):
            count, completions = self._cq.poll(BATCH)
            if not count:
                return done > 0
            now = self._loop.time()
            for completion in completions:
                if not self._take(completion, now):
                    return True
            self._owner.on_batch(now)
            if count < BATCH or not self._open:
                break
        return True

    def _take(self, completion: Any, now: float) -> bool:
        """One completion; returns whether the queue pair still stands."""
        status = completion.status
        if status != verbs.WC_SUCCESS:
            self._owner.on_broken(verbs.completion_text(status), status == verbs.WC_FLUSHED)
        elif completion.wr_id & SEND_KIND:
            self._completed(completion.wr_id)
        else:
            self._received(completion.wr_id, completion.byte_len, now)
        return self._open

    def _completed(self, number: int) -> None:
        flight = self._flights[number]
        flight.completions -= 1
        if flight.completions == 0:
            del self._flights[number]
            self.places += flight.requests
            flight.done(True)

    def _received(self, slot: int, length: int, now: float) -> None:
        self._owner.on_packet(self._receives.views[slot][:length], now)
        if self._open:
            try:
                self._qp.post_recv(self._requests[slot])
            except PyverbsError as error:
                self._owner.on_broken(f"a receive could not be posted: {verbs.reason(error)}", False)

    # -- the end ---------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Destroy it; then every chain still under way is told that its memory is free. Safe to call twice."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._fd)
        with contextlib.suppress(PyverbsError):  # flush what is posted: librdmacm does not for queue pairs of ours
            self._qp.modify(QPAttr(qp_state=verbs.QPS_ERR), verbs.QP_STATE)
        verbs.close(self._qp, self._cq, self._channel, *self._requests)
        flights, self._flights = self._flights, {}
        for flight in flights.values():
            flight.done(False)
