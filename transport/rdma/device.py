"""Verbs devices: what each can do, one protection domain per device, the arena's slabs registered there once.

A device is opened when the first connection arrives over it and shared by all its connections; when the device goes
away it is closed with the last of them. The server's slabs are registered for local access alone; what must grant
more is in `sinks`.
"""

import asyncio
import ctypes
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from pyverbs.device import Context, get_device_list
from pyverbs.mr import MR
from pyverbs.pd import PD
from pyverbs.pyverbs_error import PyverbsError

from smbdirect.wire import Buffer

from ..base import Lost
from ..memory import Arena, Slab
from ..technology import Technology, technology_of
from . import verbs
from .work import Span

log = logging.getLogger(__name__)


LARGEST_MESSAGE = 1 << 30
"""Bytes of one request where a port does not say."""


class Attributes(NamedTuple):
    """What a device says of itself: counts, and bytes for `max_message`."""

    max_qp_wr: int
    max_sge: int
    max_cqe: int
    max_qp_rd_atom: int
    max_qp_init_rd_atom: int
    max_mw: int
    max_message: int


class Device:
    """One opened device."""

    def __init__(self, name: str, arena: Arena, port: int, on_gone: "Callable[[Device], None]") -> None:
        self.name = name
        self._on_gone = on_gone
        self.users = 0
        """Connections over it now."""
        self.gone = False
        self._vector = 0
        self._slabs: list[Slab] = []
        self._regions: dict[int, Any] = {}
        self.context, self._fd = verbs.with_descriptor(lambda: Context(name=name))
        self.domain = PD(self.context)
        self.technology, self.attributes = _describe(self.context, name, port)
        self._unwatch = arena.on_slab(self._register_slab)
        asyncio.get_running_loop().add_reader(self._fd, self._on_event)

    def register(self, address: int, length: int, access: int) -> Any:
        """A memory region over memory of ours. Raises Lost where the device or the memory limit refuses it."""
        try:
            return MR(self.domain, length, access, address=address)
        except PyverbsError as error:
            raise Lost(f"{self.name} could not register {length} bytes: {verbs.reason(error)}") from None

    def lkey(self, slab: Slab) -> int:
        """The local key of a slab; one that could not be registered when it was mapped is tried again. Raises Lost."""
        region = self._regions.get(slab.address)
        if region is None:
            region = self._regions[slab.address] = self.register(slab.address, slab.size, verbs.ACCESS_LOCAL_WRITE)
        return int(region.lkey)

    def span_of(self, piece: Buffer) -> Span | None:
        """Where `piece` lies in the arena, as a SEND can name it; None where it does not."""
        if not isinstance(piece, memoryview) or piece.readonly:
            return None
        address = ctypes.addressof(ctypes.c_char.from_buffer(piece))
        for slab in self._slabs:
            if slab.address <= address and address + len(piece) <= slab.address + slab.size:
                return Span(address, len(piece), self.lkey(slab))
        return None

    def next_vector(self) -> int:
        """The completion vector of the next queue pair: they take turns."""
        self._vector = (self._vector + 1) % max(1, self.context.num_comp_vectors)
        return self._vector

    def close(self) -> None:
        """Give the registrations and the device back; no queue pair of it is left. Safe to call twice."""
        self._unwatch()
        self._unwatch = _nothing
        asyncio.get_running_loop().remove_reader(self._fd)
        verbs.close(*self._regions.values(), self.domain, self.context)
        self._regions.clear()

    def _on_event(self) -> None:
        """The device says something; all but its end is somebody else's matter."""
        try:
            event = self.context.get_async_event()
            event.ack()
        except PyverbsError:
            return
        if int(event.event_type) == verbs.EVENT_DEVICE_FATAL:
            self._on_gone(self)

    def _register_slab(self, slab: Slab) -> None:
        self._slabs.append(slab)
        try:
            self.lkey(slab)
        except Lost as failure:
            log.error("RDMA: %s; connections that need this memory will be lost", failure)


class Devices:
    """The devices in use, by name and port: what a port is connected to decides its technology."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._open: dict[tuple[str, int], Device] = {}

    def find(self, name: str, port: int) -> Device:
        """The device `name`, opened if it is not. Its `users` are counted by whoever makes connections. Raises Lost."""
        device = self._open.get((name, port))
        if device is None:
            try:
                device = self._open[name, port] = Device(name, self._arena, port, self.remove)
            except PyverbsError as error:
                raise Lost(f"the device {name} could not be opened: {verbs.reason(error)}") from None
        return device

    def release(self, device: Device) -> None:
        """One connection fewer."""
        device.users -= 1
        if device.gone and device.users == 0:
            device.close()

    def remove(self, device: Device) -> None:
        """The hardware is gone: later connections open what then has its name."""
        if not device.gone:
            device.gone = True
            log.warning("RDMA: the device %s was removed", device.name)
            self._open = {key: each for key, each in self._open.items() if each is not device}
            if device.users == 0:
                device.close()

    def close(self) -> None:
        """Close them all; no connection is left."""
        for device in self._open.values():
            device.close()
        self._open.clear()


def _describe(context: Any, name: str, port: int) -> tuple[Technology, Attributes]:
    device, link = context.query_device(), context.query_port(port)
    listed = {entry.name.decode(): entry for entry in get_device_list()}
    technology = technology_of(int(listed[name].transport_type), int(link.link_layer))
    return technology, Attributes(
        device.max_qp_wr,
        device.max_sge,
        device.max_cqe,
        device.max_qp_rd_atom,
        device.max_qp_init_rd_atom,
        device.max_mw,
        link.max_msg_sz or LARGEST_MESSAGE,
    )


def _nothing() -> None:
    """Nothing to give back."""
