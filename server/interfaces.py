"""The network interfaces clients are told of, kept up to date while links come and go.

Clients connect to every address they are told of, so these are only the addresses that the server listens on, and
no RDMA where it does not listen for it. Loopback addresses are told where they are listened on by name: who comes by
them is on this machine.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Sequence
from dataclasses import replace

from transport.discovery import UNKNOWN_SPEED, Interface, interfaces, watch

log = logging.getLogger("smbdirect.interfaces")

ANY = ("0.0.0.0", "::")
LOOPBACK_INDEX = 1
"""Of every Linux network namespace."""


class Interfaces:
    """What `transport.discovery` finds of the addresses `listening` (all of an IP version: its wildcard)."""

    def __init__(self, listening: Sequence[str] = (), rdma: bool = True) -> None:
        self._listening = frozenset(ipaddress.ip_address(address) for address in listening or ANY)
        self._rdma = rdma
        self.current: list[Interface] = self._offered(interfaces())

    async def follow(self) -> None:
        """Keep `current` current; runs until it is cancelled."""
        async for _ in watch():
            try:
                found = self._offered(await asyncio.to_thread(interfaces))  # a driver may take long to say its speed
            except OSError as error:
                log.warning("the interfaces cannot be listed: %s", error)
                continue
            if found != self.current:
                self.current = found
                log.info("interfaces: %s", ", ".join(interface.name for interface in found) or "none")

    def _offered(self, found: Sequence[Interface]) -> list[Interface]:
        own = tuple(sorted((address for address in self._listening if address.is_loopback), key=str))
        loopback = Interface("lo", LOOPBACK_INDEX, own, UNKNOWN_SPEED, rss=False)
        return [each for each in (loopback, *map(self._part_of, found)) if each.addresses]

    def _part_of(self, interface: Interface) -> Interface:
        """`interface` without what nobody listens on."""
        wild = {address.version for address in self._listening if address.is_unspecified}
        addresses = tuple(
            address for address in interface.addresses if address.version in wild or address in self._listening
        )
        if self._rdma:
            return replace(interface, addresses=addresses)
        return replace(interface, addresses=addresses, device=None, technology=None)
