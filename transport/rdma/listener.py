"""Where RDMA connections come from on the server.

SMB Direct lives on port 445 of InfiniBand and RoCE and on port 5445 of iWARP (MS-SMBD 2.1), and rdma_cm knows no
listener for one kind of device: each port listens on all, and what comes over the other kind is rejected. There is
one exception. A listener on an address that an iWARP device without a port mapper (siw) could serve, the wildcard or
the loopback among them, takes its port from TCP too, so where there is an iWARP device, port 445 listens on the
addresses of the others alone, and follows them as they change.

A connection is negotiated before `accept` hands it over, each in a task of its own with a time limit, so one slow
peer holds up nobody.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from ipaddress import ip_address

from smbdirect.connection import Role
from smbdirect.negotiate import Settings
from smbdirect.wire import Malformed

from ..base import Listener, Lost
from ..discovery import Interface, interfaces
from ..memory import Arena
from ..netlink import IpAddress
from ..technology import IWARP
from . import cm_abi, depths
from .cm import Event, Identifier
from .connection import RdmaConnection
from .fabric import Fabric

log = logging.getLogger(__name__)

GREETING = 10.0
"""Seconds from a request for a connection to the end of the negotiation."""
LOOK = 5.0
"""Seconds between two looks at the interfaces."""
GREETINGS = 256
GREETINGS_OF_ONE = 64
"""Connections that may be in their greeting at a time, in all and from one address; the next are rejected."""
ANY = {"0.0.0.0": 4, "::": 6}
"""The wildcard of each version of IP."""


class RdmaListener(Listener):
    """The listening identifiers and the peers that are greeting us. Raises Lost where no address can be had."""

    def __init__(
        self,
        arena: Arena,
        messages: Arena,
        settings: Settings,
        hosts: Sequence[str],
        ports: tuple[int, int],
        refused: Callable[[str], None],
    ) -> None:
        self._fabric = Fabric(arena)
        self._messages = messages
        self._settings = settings
        self._hosts = hosts
        self._ports = ports
        self._listening: dict[tuple[str, int], Identifier] = {}
        self._refuse = refused
        self._refused: set[tuple[str, int]] = set()
        self._ready: asyncio.Queue[RdmaConnection | None] = asyncio.Queue()
        self._greetings: dict[asyncio.Task[None], str] = {}
        self._closed = False
        self._listen(interfaces())
        if not self._listening:
            self._fabric.leave()
            raise Lost("no address for RDMA could be had")
        self._follower = asyncio.create_task(self._follow())

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """(address, port) of each listening identifier."""
        return list(self._listening)

    async def accept(self) -> RdmaConnection:
        while not self._closed:
            connection = await self._ready.get()
            if connection is not None:
                return connection
        self._ready.put_nowait(None)  # for whoever else waits
        raise Lost("the listener is closed")

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for task in (self._follower, *self._greetings):
            task.cancel()
        await asyncio.gather(self._follower, *self._greetings, return_exceptions=True)
        for identifier in self._listening.values():
            identifier.destroy()
        while not self._ready.empty():
            waiting = self._ready.get_nowait()
            if waiting is not None:
                await waiting.close()
        self._ready.put_nowait(None)
        self._fabric.leave()

    # -- listening -------------------------------------------------------------------------------------------

    def _listen(self, found: Sequence[Interface]) -> None:
        """Listen where we should and do not yet; leave the addresses that are gone."""
        addresses = wanted(found, self._hosts, self._ports)
        for address in set(self._listening) - addresses:
            self._listening.pop(address).destroy()
        for address in sorted(addresses - set(self._listening)):
            self._listen_at(*address)

    def _listen_at(self, host: str, port: int) -> None:
        identifier = self._fabric.identifier()
        try:
            identifier.bind(host, port)
            identifier.listen(lambda child, event: self._on_request(child, event, port))
            identifier.on_event = lambda event: self._on_event(event, (host, port))
            self._listening[host, port] = identifier
            self._refused.discard((host, port))
        except OSError as error:
            identifier.destroy()
            if (host, port) not in self._refused:
                self._refused.add((host, port))
                self._refuse(f"cannot listen for RDMA on {host} port {port}: {os.strerror(error.errno or 0)}")

    def _on_event(self, event: Event, address: tuple[str, int]) -> None:
        """A device goes away only when the identifiers bound to it are gone."""
        if event.kind == cm_abi.DEVICE_REMOVAL and address in self._listening:
            self._listening.pop(address).destroy()

    async def _follow(self) -> None:
        """Look again every now and then: no event tells of a verbs device that was added."""
        while True:
            await asyncio.sleep(LOOK)
            try:
                self._listen(await asyncio.to_thread(interfaces))
            except OSError as error:
                log.warning("RDMA: the interfaces cannot be listed: %s", error)

    # -- greeting --------------------------------------------------------------------------------------------

    def _on_request(self, child: Identifier, event: Event, port: int) -> None:
        peer = child.peer[0]
        same = sum(1 for other in self._greetings.values() if other == peer)
        if self._closed or len(self._greetings) >= GREETINGS or same >= GREETINGS_OF_ONE:
            _reject(child)
            return
        task = asyncio.create_task(self._greet(child, event, port))
        self._greetings[task] = peer
        task.add_done_callback(self._greetings.pop)

    async def _greet(self, child: Identifier, event: Event, port: int) -> None:
        peer = child.peer[0]
        try:
            self._check(child, port)
            connection = RdmaConnection(self._fabric, self._messages, child, Role.SERVER, self._settings)
        except Lost as failure:
            log.info("RDMA: %s was rejected: %s", peer, failure)
            _reject(child)
            return
        try:
            _admit(connection, child, event)
            async with asyncio.timeout(GREETING):
                await connection.negotiated
            self._ready.put_nowait(connection)
        except (Lost, Malformed, OSError) as failure:
            log.info("RDMA: %s did not get through: %s", peer, str(failure) or "too slow")
            connection.abandon(str(failure))
        except BaseException:
            connection.abandon("the listener is closed")
            raise

    def _check(self, child: Identifier, port: int) -> None:
        """Raise Lost where a kind of device comes in on the other kind's port."""
        technology = self._fabric.technology(child)
        if port != self._ports[technology is IWARP]:
            raise Lost(f"{technology.name} on port {port}")


def _admit(connection: RdmaConnection, child: Identifier, event: Event) -> None:
    """Answer the request. Raises Lost and OSError."""
    attributes = connection.device.attributes
    settled = depths.accepting(
        connection.device.technology is IWARP,
        event.initiator_depth,
        event.responder_resources,
        event.private_data,
        (attributes.max_qp_init_rd_atom, attributes.max_qp_rd_atom),
    )
    connection.prepare(settled)
    connection.ready()
    child.accept(connection.pair.number, settled.responder, settled.initiator, settled.private_data)
    connection.start()


def wanted(found: Sequence[Interface], hosts: Sequence[str], ports: tuple[int, int]) -> set[tuple[str, int]]:
    """The addresses and ports to listen on for `hosts` on a machine with the interfaces `found`."""
    port, iwarp_port = ports
    others = [interface for interface in found if interface.technology not in (None, IWARP)]
    mixed = any(interface.technology is IWARP for interface in found)
    made = {(host, iwarp_port) for host in hosts}
    for host in hosts:
        if mixed:
            made |= {(str(each), port) for nic in others for each in nic.addresses if _covers(host, each)}
        else:
            made.add((host, port))
    return made


def _covers(host: str, address: IpAddress) -> bool:
    """Whether who listens on `host` is reached by `address`."""
    return ANY[host] == address.version if host in ANY else ip_address(host) == address


def _reject(child: Identifier) -> None:
    try:
        child.reject()
    except OSError as error:
        log.debug("RDMA: a peer was gone before it was rejected: %s", error)
    child.destroy()
