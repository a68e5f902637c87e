"""The contract's own suite, on every transport that needs no device."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from transport.base import Limits
from transport.loopback import pair
from transport.memory import Arena
from transport.tcp import connect, listen, tcp_limits
from transport.testing import CHECKS, REMOTE_CHECKS, MakePair, Pair, check_connection, run_check


@asynccontextmanager
async def loopback(server_arena: Arena, client_arena: Arena) -> AsyncIterator[Pair]:
    server, client = pair(server_arena, client_arena, Limits(4 << 20, 1 << 20))
    yield server, client, client.memory
    await server.close()
    await client.close()


def tcp(address: str) -> MakePair:
    @asynccontextmanager
    async def make(server_arena: Arena, client_arena: Arena) -> AsyncIterator[Pair]:
        limits = tcp_limits(1 << 20)
        listener = listen([(address, 0)], server_arena, limits)
        client, server = await asyncio.gather(connect(*listener.addresses[0], client_arena, limits), listener.accept())
        yield server, client, None
        for end in (server, client, listener):
            await end.close()

    return make


@pytest.mark.parametrize("name", [*CHECKS, *REMOTE_CHECKS])
def test_loopback(name: str) -> None:
    asyncio.run(run_check(name, loopback))


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_tcp(address: str, name: str) -> None:
    asyncio.run(run_check(name, tcp(address)))


def test_a_broken_transport_is_told_by_the_check_it_fails() -> None:
    @asynccontextmanager
    async def swapped(server_arena: Arena, client_arena: Arena) -> AsyncIterator[Pair]:
        async with loopback(server_arena, client_arena) as (server, client, memory):
            server.trust = lambda _: None  # type: ignore[method-assign, assignment]
            yield server, client, memory

    with pytest.raises(AssertionError, match=r"^every_size_arrives_whole: Malformed"):
        asyncio.run(check_connection(swapped))
