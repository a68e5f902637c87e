"""What all connections of one listener, or of one client, share: the event channel and the devices.

It stands as long as anybody uses it: a listener that closes leaves its connections alone.
"""

from ..base import Lost
from ..memory import Arena
from ..technology import Technology
from .cm import EventChannel, Identifier
from .device import Device, Devices


class Fabric:
    """An event channel and the devices opened for it. Raises Lost where rdma_cm cannot be had."""

    def __init__(self, arena: Arena) -> None:
        try:
            self._channel = EventChannel()
        except OSError as error:
            raise Lost(f"rdma_cm cannot be had: {error.strerror}") from None
        self.arena = arena
        """Where payload lies."""
        self._devices = Devices(arena)
        self._users = 1

    def identifier(self) -> Identifier:
        """A new identifier. Raises OSError."""
        return self._channel.identifier()

    def technology(self, identifier: Identifier) -> Technology:
        """By what kind of device a connection comes. Raises Lost."""
        return self._device(identifier).technology

    def acquire(self, identifier: Identifier) -> Device:
        """The device of a connection that begins. Raises Lost."""
        device = self._device(identifier)
        device.users += 1
        self._users += 1
        return device

    def release(self, device: Device) -> None:
        """The connection is over, its queue pair and identifier gone."""
        self._devices.release(device)
        self.leave()

    def removed(self, device: Device) -> None:
        """The hardware of a connection is gone."""
        self._devices.remove(device)

    def leave(self) -> None:
        """Who made this uses it no more; the last one out closes it."""
        self._users -= 1
        if self._users == 0:
            self._devices.close()
            self._channel.close()

    def _device(self, identifier: Identifier) -> Device:
        name = identifier.device_name
        if name is None:
            raise Lost("the connection has no device")
        return self._devices.find(name, identifier.port_num)
