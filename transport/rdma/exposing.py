"""Memory that a client lets its server read and write: what the tests and benchmarks drive the server with.

Where the device has memory windows of type 2 the token is a window's, bound by a request that goes out before the
message that names it, and the server's reply can invalidate it. Where it has none (siw) the token is the region's.
"""

import ctypes
from typing import Any

from pyverbs.mr import MW, MWBindInfo
from pyverbs.pyverbs_error import PyverbsError
from pyverbs.wr import SendWR

from smbdirect.packets import BufferDescriptor
from smbdirect.wire import Buffer

from ..base import Lost
from ..memory import Block
from . import verbs
from .device import Device
from .queue_pair import QueuePair

_ACCESS = verbs.ACCESS_LOCAL_WRITE | verbs.ACCESS_REMOTE_WRITE | verbs.ACCESS_REMOTE_READ


class ExposedMemory:
    """What one client connection exposes, by token."""

    def __init__(self, device: Device, pair: QueuePair) -> None:
        self._device = device
        self._pair = pair
        self._tokens: dict[int, list[Any]] = {}
        self._closed = False

    def register(self, memory: Block | Buffer) -> BufferDescriptor:
        """Let the peer reach all of `memory`; its owner stays the caller, who deregisters before releasing it.

        Raises Lost.
        """
        if self._closed:  # the device may be closed too: verbs would crash
            raise Lost("the connection is closed")
        address, length = (memory.address, memory.length) if isinstance(memory, Block) else _place(memory)
        windows = self._device.attributes.max_mw > 0
        region = self._device.register(address, length, _ACCESS | (verbs.ACCESS_MW_BIND if windows else 0))
        token, held = self._bind(region, address, length) if windows else (int(region.rkey), [region])
        self._tokens[token] = held
        return BufferDescriptor(offset=address, token=token, length=length)

    def deregister(self, token: int) -> None:
        """End the peer's access; harmless where the peer's `invalidate` has done it."""
        verbs.close(*self._tokens.pop(token, ()))

    def close(self) -> None:
        """End all access; to be called before the queue pair goes, which waits for its windows."""
        self._closed = True
        for token in list(self._tokens):
            self.deregister(token)

    def _bind(self, region: Any, address: int, length: int) -> tuple[int, list[Any]]:
        try:
            window = MW(self._device.domain, verbs.MW_TYPE_2)
        except PyverbsError as error:
            verbs.close(region)
            raise Lost(f"no memory window: {verbs.reason(error)}") from None
        bound = MWBindInfo(region, address, length, verbs.ACCESS_REMOTE_WRITE | verbs.ACCESS_REMOTE_READ)
        request = SendWR(opcode=verbs.WR_BIND_MW, send_flags=0)
        request.set_bind_wr(window, bound)
        token = int(request.rkey)
        self._pair.post([request], _bound)
        return token, [window, region]


def _bound(done: bool) -> None:
    """A bind has no memory to give back; one that fails takes the queue pair down."""


def _place(memory: Buffer) -> tuple[int, int]:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory)), len(memory)
