"""RDMA READs: the peer's memory into blocks, never more under way than the negotiated depth.

All reads of a connection share one line, so a request with more descriptors than the depth pipelines. A read's block
is the NIC's until its last posted piece has completed or the queue pair is gone, whatever became of who asked.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from smbdirect.packets import BufferDescriptor

from ..base import Lost, RemoteMemory
from ..memory import Block
from . import work
from .device import Device
from .plan import Piece, plan
from .queue_pair import QueuePair
from .sinks import Sinks


class _Read(asyncio.Future[bool]):
    """One call of `read`: pieces to post, and how many are with the NIC. Its result says whether all came."""

    def __init__(self, pieces: Sequence[Piece], lkey: int) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self.pieces = deque(pieces)
        self.lkey = lkey
        self.posted = 0

    def settle(self, whole: bool) -> None:
        """Say so where nothing of it is posted or to be posted any more."""
        if not self.pieces and not self.posted and not self.done():
            self.set_result(whole)

    def give_up(self) -> None:
        """Post nothing more of it."""
        self.pieces.clear()
        self.settle(False)

    def cancel(self, msg: Any | None = None) -> bool:
        """Whoever waits is cancelled only once the completions have come: the NIC does not hear of it."""
        self.give_up()
        return False


class RdmaMemory(RemoteMemory):
    """The peer's memory over one queue pair; `failed` is told why, where posting fails."""

    def __init__(
        self, device: Device, pair: QueuePair, sinks: Sinks, depth: int, failed: Callable[[str], None]
    ) -> None:
        self._device = device
        self._pair = pair
        self._sinks = sinks
        self.keep = sinks.keep
        self._most = depth
        self._free = depth
        self._batch = max(1, depth // 2)  # half the depth completes while the other half is under way
        self._failed = failed
        self._line: deque[_Read] = deque()
        self._reads: set[_Read] = set()
        self._closed = False

    async def read(self, remote: Sequence[BufferDescriptor], into: Block, length: int) -> None:
        pieces = plan(remote, into, 0, length, self._device.attributes.max_message)
        if self._closed or not self._most:
            raise Lost("the connection is gone" if self._closed else "the peer lets nobody read its memory")
        if not pieces:
            return
        lkey, give_back = self._sinks.key(into)
        read = _Read(pieces, lkey)
        self._reads.add(read)
        self._line.append(read)
        try:
            self.pump()
            whole = await read
        finally:
            self._reads.discard(read)
            give_back()
        if not whole:
            raise Lost("the connection was lost in the middle of an RDMA READ")

    def pump(self) -> None:
        """Post what the depth and the send queue have room for."""
        while not self._closed and self._line and self._free and self._pair.places:
            first = self._line[0]
            if not first.pieces:
                self._line.popleft()
                continue
            self._post(first, min(self._batch, self._free, self._pair.places, len(first.pieces)))

    def _post(self, read: _Read, count: int) -> None:
        requests = [work.read(read.pieces.popleft(), read.lkey) for _ in range(count)]
        read.posted += count
        self._free -= count
        try:
            self._pair.post(requests, lambda done: self._completed(read, count, done))
        except Lost as failure:
            self._failed(str(failure))

    def _completed(self, read: _Read, count: int, done: bool) -> None:
        read.posted -= count
        self._free += count
        if not done:
            read.pieces.clear()
        read.settle(done)

    def close(self) -> None:
        """The queue pair is gone, and with it every READ: whoever waits for one that was not posted is told."""
        self._closed = True
        self._sinks.close()
        self._line.clear()
        for read in self._reads:
            read.give_up()
