"""Registered memory of one connection: equal slots that packets are received into or put together in.

These are the transport's own and never an arena's: receives stay posted as long as the connection lives.
"""

import ctypes
import mmap
from typing import TYPE_CHECKING, Any

from . import verbs

if TYPE_CHECKING:
    from .device import Device

ALIGN = 64
"""Slots begin on cache lines, in bytes."""


class Slots:
    """`count` slots of `size` bytes; `views[i]` is slot i. Raises Lost where they cannot be registered."""

    def __init__(self, device: "Device", count: int, size: int) -> None:
        self.size = size
        self.count = count
        stride = -(-size // ALIGN) * ALIGN
        self._mapping = mmap.mmap(-1, count * stride, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._mapping))
        self._region: Any = device.register(start, count * stride, verbs.ACCESS_LOCAL_WRITE)
        self.lkey = int(self._region.lkey)
        whole = memoryview(self._mapping)
        self.views = [whole[at : at + size] for at in range(0, count * stride, stride)]
        self.addresses = [start + at for at in range(0, count * stride, stride)]

    def close(self) -> None:
        """Give the registration back; the queue pair that used it is gone. Safe to call twice."""
        if self._region is not None:
            verbs.close(self._region)
            self._region = None
