"""Where the RDMA READs of one connection put what they fetch.

Nearly everywhere that is any block, under the key of its slab. On iWARP the sink of a READ must grant the peer remote
write, and its name travels to the peer (RFC 5040 2.3), who may use it for as long as it stands. There a block is
registered by itself, and since that costs as much as moving its bytes, once: it is the connection's (`keep`) until
other requests need the memory or the queue pair is gone, and is deregistered before it is anybody else's. What the
peer can overwrite is what it sent itself; nothing the server has judged ever lies there, for the payload of a channel
is neither signed nor sealed. The peer of another connection would have to guess the name: all connections of a device
share one protection domain, for the slabs are registered once. A block that was not taken with `keep` is registered for
the one transfer.
"""

from collections.abc import Callable
from typing import Any

from ..kept import Keep
from ..memory import Arena, Block
from . import verbs
from .device import Device

_ACCESS = verbs.ACCESS_LOCAL_WRITE | verbs.ACCESS_REMOTE_WRITE


class Sinks:
    """One connection's. At most `limit` bytes of them lie idle."""

    def __init__(self, device: Device, arena: Arena, limit: int) -> None:
        self.keep = Keep(limit, self._forget) if device.technology.sink_needs_remote_write else None
        """What blocks for READs are to be taken with; None where any block will do."""
        self._device = device
        self._arena = arena
        self._regions: dict[int, Any] = {}

    def key(self, block: Block) -> tuple[int, Callable[[], None]]:
        """The local key under which READs may fill `block`, and what to call when they are done. Raises Lost."""
        if self.keep is None:
            return self._device.lkey(block.slab), _nothing
        if block.keep is not self.keep:
            passing = self._device.register(block.address, block.length, _ACCESS)
            return int(passing.lkey), lambda: verbs.close(passing)
        region = self._regions.get(block.address)
        if region is None:
            region = self._regions[block.address] = self._device.register(block.address, block.length, _ACCESS)
        return int(region.lkey), _nothing

    def close(self) -> None:
        """The queue pair is gone: deregister all, held by a request or not, and keep nothing. Safe to call twice."""
        regions, self._regions = self._regions, {}
        verbs.close(*regions.values())
        if self.keep is not None:
            self._arena.end(self.keep)

    def _forget(self, address: int) -> None:
        """The block's memory is about to be somebody else's."""
        region = self._regions.pop(address, None)
        if region is not None:
            verbs.close(region)


def _nothing() -> None:
    """Nothing to give back."""
