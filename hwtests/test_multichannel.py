"""One session over TCP and every kind of RDMA device there is, at once: what is moved comes out the same although one
of its connections ends in the middle."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from benchmarks.client import Bulk, Client, File, Session, SessionChannel, Settings, dialler, ways, widen
from server.interfaces import Interfaces
from server.messages.create import Disposition
from server.tests.served import LIMITS, SHARE, Whole, login, pattern, whole
from transport import rdma, tcp
from transport.discovery import Interface

from .conftest import reachable
from .pairs import PORTS, address_of

TCP_PORT = 4452
MIB = 1 << 20
DATA = pattern(24 * MIB)
PATIENCE = 20.0
"""Seconds for what takes far less."""
TURNS = 1_000_000
"""Of the loop, in which a connection gets something to do."""

Test = Callable[[Whole, Session, File], Awaitable[None]]


def first_of_each_kind() -> list[Interface]:
    return [interface for interface in reachable() if address_of(interface)]


@asynccontextmanager
async def listening(here: Whole) -> AsyncIterator[None]:
    """The server is reached over TCP and RDMA at the first address of each kind of device, and says so."""
    addresses = [address for interface in first_of_each_kind() if (address := address_of(interface))]
    here.server.interfaces = Interfaces(addresses)
    over_tcp = tcp.listen([(address, TCP_PORT) for address in addresses], here.messages, LIMITS)
    over_rdma = rdma.listen(here.payload, rdma.settings(8 * MIB), addresses, PORTS, messages=here.messages)
    for listener in (over_tcp, over_rdma):
        here.server.keep(here.server.listen(listener))
    try:
        yield
    finally:
        await over_tcp.close()
        await over_rdma.close()


async def gone(here: Whole) -> None:
    """The server has seen that every client has left."""
    if here.server._serving:
        await asyncio.wait(here.server._serving, timeout=PATIENCE)
    assert not here.server.connections


def spread(test: Test) -> None:
    """Run `test` with a session over TCP and one connection of every kind of RDMA, and an open file."""

    async def use() -> None:
        async with whole() as here, listening(here):
            address = address_of(first_of_each_kind()[0])
            assert address is not None
            connection = await tcp.connect(address, TCP_PORT, here.clients_arena, LIMITS)
            session = await Session.login(await Client.negotiate(connection, Settings()), login())
            try:
                tree = await session.connect(SHARE)
                over_rdma = [way for way in await ways(tree) if way.rdma]
                await widen(session, over_rdma, dialler(here.clients_arena, LIMITS, TCP_PORT, PORTS), login, 8)
                await test(here, session, await tree.create("file", disposition=Disposition.CREATE))
            finally:
                await session.channels.close()
            await gone(here)

    asyncio.run(use())


def of_kind(session: Session, kind: str) -> SessionChannel:
    """The session's channel over a connection of this technology."""
    (found,) = (each for each in session.channels.alive if each.client.connection.technology == kind)
    return found


async def at_work(channel: SessionChannel) -> None:
    """`channel` has something under way."""
    for _ in range(TURNS):
        if channel.client.under_way:
            return
        await asyncio.sleep(0)
    pytest.fail("it gets nothing to do")


def test_a_session_uses_every_kind_of_connection_at_once() -> None:
    async def test(here: Whole, session: Session, file: File) -> None:
        kinds = {channel.client.connection.technology for channel in session.channels.alive}
        assert kinds == {"TCP", *(each.technology.name for each in first_of_each_kind() if each.technology)}
        bulk, before = Bulk(file, here.clients_arena), [each.client.posted for each in session.channels.alive]
        await bulk.write(0, DATA)
        assert await bulk.read(0, len(DATA)) == DATA
        moved = [each.client.posted - was for each, was in zip(session.channels.alive, before, strict=True)]
        assert min(moved) >= 2, moved

    spread(test)


@pytest.mark.parametrize("piece", [MIB // 2, 8 * MIB], ids=["many pieces", "8 MiB"])
@pytest.mark.parametrize("way", ["write", "read"])
def test_what_is_moved_comes_out_the_same_though_a_connection_ends(interface: Interface, way: str, piece: int) -> None:
    assert interface.technology is not None
    cut_and_compare(interface.technology.name, way, piece)


@pytest.mark.parametrize("piece", [MIB // 2, 8 * MIB], ids=["many pieces", "8 MiB"])
@pytest.mark.parametrize("way", ["write", "read"])
def test_what_is_moved_comes_out_the_same_though_tcp_ends(way: str, piece: int) -> None:
    cut_and_compare("TCP", way, piece)


def cut_and_compare(kind: str, way: str, piece: int) -> None:
    """A connection of this technology ends while a file is written or read over it and all the others."""

    async def test(here: Whole, session: Session, file: File) -> None:
        bulk = Bulk(file, here.clients_arena, piece, at_once=2)
        if way == "read":
            await bulk.write(0, DATA)
        dying = of_kind(session, kind)
        moving = asyncio.ensure_future(bulk.write(0, DATA) if way == "write" else bulk.read(0, len(DATA)))
        await at_work(dying)
        await dying.client.connection.close()
        got = await moving
        assert session.channels.first is not dying  # looks: the last answer may have come while the connection closed
        assert session.channels.sequence == 1
        assert (await bulk.read(0, len(DATA)) if got is None else got) == DATA

    spread(test)
