"""Two ends over one RDMA device, as the conformance suite wants them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from smbdirect.negotiate import Settings
from transport.discovery import Interface
from transport.memory import Arena
from transport.rdma import connect, listen
from transport.rdma.connection import RdmaConnection
from transport.testing import MakePair, Pair

PORTS = (4450, 4451)
"""For InfiniBand and RoCE, and for iWARP: not the real ones, whoever may use them here."""


def port_of(interface: Interface) -> int:
    return PORTS[interface.technology is not None and interface.technology.name == "iWARP"]


def maker(interface: Interface, settings: Settings | None = None) -> MakePair:
    """A `make_pair` over `interface`, whose server end settles with `settings`."""

    @asynccontextmanager
    async def make(server_arena: Arena, client_arena: Arena) -> AsyncIterator[Pair]:
        ours = settings or Settings()
        listener = listen(server_arena, ours, [str(interface.addresses[0])], PORTS)
        client: RdmaConnection | None = None
        try:
            client = await connect(client_arena, str(interface.addresses[0]), port_of(interface))
            async with asyncio.timeout(5):
                server = await listener.accept()
            yield server, client, client.memory
            await server.close()
        finally:
            if client is not None:
                await client.close()
            await listener.close()

    return make
