"""Two ends over one RDMA device: as the conformance suite wants them, and as the other tests here do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

from smbdirect.negotiate import Settings
from transport.base import Listener
from transport.discovery import Interface
from transport.memory import Arena
from transport.rdma import connect, listen
from transport.rdma.connection import RdmaConnection
from transport.rdma.exposing import ExposedMemory
from transport.testing import MakePair, Pair

PORTS = (4450, 4451)
OTHER_PORTS = (4460, 4461)
"""For InfiniBand and RoCE, and for iWARP: not the real ones, whoever may use them here."""


@dataclass
class Ends:
    """A listener and one connection over it, and their arenas."""

    listener: Listener
    server: RdmaConnection
    client: RdmaConnection
    server_arena: Arena
    client_arena: Arena

    @property
    def memory(self) -> ExposedMemory:
        assert self.client.memory is not None
        return self.client.memory


def port_of(interface: Interface, ports: tuple[int, int] = PORTS) -> int:
    return ports[interface.technology is not None and interface.technology.name == "iWARP"]


def address_of(interface: Interface, version: int = 4) -> str | None:
    """The interface's first address of that version of IP."""
    return next((str(address) for address in interface.addresses if address.version == version), None)


async def accepted(listener: Listener, limit: float = 5.0) -> RdmaConnection:
    """The next connection, within `limit` seconds."""
    async with asyncio.timeout(limit):
        return cast(RdmaConnection, await listener.accept())


@asynccontextmanager
async def listening(
    interface: Interface, arena: Arena, settings: Settings | None = None, ports: tuple[int, int] = PORTS
) -> AsyncIterator[Listener]:
    """A listener on the interface's first address."""
    listener = listen(arena, settings or Settings(), [str(interface.addresses[0])], ports)
    try:
        yield listener
    finally:
        await listener.close()


async def client_of(interface: Interface, arena: Arena) -> RdmaConnection:
    """A client of the listener there."""
    return await connect(arena, str(interface.addresses[0]), port_of(interface))


@asynccontextmanager
async def ends(
    interface: Interface,
    settings: Settings | None = None,
    client_settings: Settings | None = None,
    ports: tuple[int, int] = PORTS,
) -> AsyncIterator[Ends]:
    """A listener and a connection, logged on; afterwards all is given back, or an assertion says what is not."""
    arenas = Arena(slab=16 << 20, poison=True), Arena(slab=16 << 20, poison=True)
    async with listening(interface, arenas[0], settings, ports) as listener:
        client = await connect(
            arenas[1], str(interface.addresses[0]), port_of(interface, ports), client_settings or Settings()
        )
        server = await accepted(listener)
        server.trust(server.limits.max_message)
        try:
            yield Ends(listener, server, client, *arenas)
        finally:
            await client.close()
            await server.close()
    for arena in arenas:
        assert arena.idle
        arena.close()


def maker(interface: Interface, settings: Settings | None = None) -> MakePair:
    """A `make_pair` over `interface`, whose server end settles with `settings`."""

    @asynccontextmanager
    async def make(server_arena: Arena, client_arena: Arena) -> AsyncIterator[Pair]:
        async with listening(interface, server_arena, settings) as listener:
            client = await client_of(interface, client_arena)
            server = await accepted(listener)
            try:
                yield server, client, client.memory
            finally:
                await server.close()
                await client.close()

    return make
