"""The client's way to a connection: what the tests and benchmarks drive a server with."""

import asyncio

from smbdirect.connection import Role
from smbdirect.negotiate import Settings

from ..base import Lost
from ..memory import Arena
from ..technology import IWARP, ROCE
from . import cm_abi, depths
from .cm import Identifier
from .connection import RdmaConnection
from .fabric import Fabric


async def connect(arena: Arena, host: str, port: int | None, settings: Settings, limit: float) -> RdmaConnection:
    """See `transport.rdma.connect`."""
    fabric = Fabric(arena)
    identifier: Identifier | None = None
    connection: RdmaConnection | None = None
    try:
        async with asyncio.timeout(limit):
            identifier = await _resolve(fabric, host, port or ROCE.port)
            if port is None and fabric.technology(identifier).port != ROCE.port:
                identifier.destroy()
                identifier = await _resolve(fabric, host, IWARP.port)
            connection = RdmaConnection(fabric, arena, identifier, Role.CLIENT, settings)
            await _establish(connection, identifier)
            await connection.negotiated
            return connection
    except (OSError, TimeoutError) as error:
        if connection is not None:
            connection.abandon(str(error))
        raise Lost(f"cannot connect to {host}: {error or 'no answer'}") from None
    except BaseException:
        if connection is not None:
            connection.abandon("given up")
        raise
    finally:
        if connection is None and identifier is not None:
            identifier.destroy()
        fabric.leave()


async def _resolve(fabric: Fabric, host: str, port: int) -> Identifier:
    """An identifier that knows its way to the server."""
    identifier = fabric.identifier()
    try:
        identifier.resolve_address(host, port)
        await _expect(identifier, cm_abi.ADDR_RESOLVED)
        identifier.resolve_route()
        await _expect(identifier, cm_abi.ROUTE_RESOLVED)
    except BaseException:
        identifier.destroy()
        raise
    return identifier


async def _expect(identifier: Identifier, kind: int) -> None:
    event = await identifier.events.get()
    if event.kind != kind:
        raise Lost(str(event))


async def _establish(connection: RdmaConnection, identifier: Identifier) -> None:
    iwarp = connection.device.technology is IWARP
    attributes = connection.device.attributes
    settled = depths.connecting(iwarp, (attributes.max_qp_init_rd_atom, attributes.max_qp_rd_atom))
    connection.prepare(settled)
    identifier.connect(connection.pair.number, settled.responder, settled.initiator, settled.private_data)
    event = await connection.established
    if event.kind == cm_abi.CONNECT_RESPONSE:
        connection.reenter()
        connection.ready()
        identifier.establish()
    connection.start()
