"""The contract's own suite, on every transport that needs no device."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from transport.base import Limits, Reply
from transport.loopback import LoopbackConnection, LoopbackMemory, pair
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


# -- the suite itself: each break below is one thing done wrong, and is told by the check it fails -----------------


def never_trusts(server: LoopbackConnection) -> None:
    server.trust = lambda _: None  # type: ignore[method-assign, assignment]


def swaps_descriptors(server: LoopbackConnection) -> None:
    assert server.remote is not None
    right = server.remote.read
    server.remote.read = lambda remote, into, length: right(remote[::-1], into, length)  # type: ignore[method-assign]


def keeps_a_block(server: LoopbackConnection) -> None:
    right = server.send

    async def send(reply: Reply) -> None:
        await right(Reply(reply.parts, reply.blocks[1:], reply.places, reply.invalidate))

    server.send = send  # type: ignore[method-assign]


def releases_before_it_sends(server: LoopbackConnection) -> None:
    right = server.send

    async def send(reply: Reply) -> None:
        for block in reply.blocks:
            block.release()
        await right(Reply(reply.parts))

    server.send = send  # type: ignore[method-assign]


def fills_places_late(server: LoopbackConnection) -> None:
    right = server.send

    async def send(reply: Reply) -> None:
        places, reply.places = reply.places, ()
        await right(reply)
        await asyncio.sleep(0)
        assert isinstance(server.remote, LoopbackMemory)
        for place in places:
            server.remote.write(place)

    server.send = send  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("spoil", "check", "said", "patience"),
    [
        (never_trusts, "every_size_arrives_whole", "Malformed", 30.0),
        (swaps_descriptors, "read_fetches_through_many_uneven_descriptors", "AssertionError: byte 0 of", 30.0),
        (keeps_a_block, "a_reply_of_many_parts_is_one_message", "not done after", 0.3),
        (releases_before_it_sends, "a_reply_of_many_parts_is_one_message", "AssertionError: byte 4 of", 30.0),
        (fills_places_late, "places_are_filled_before_the_message_is_seen", "AssertionError: byte 1 of", 30.0),
    ],
)
def test_a_broken_transport_is_told_by_the_check_it_fails(
    spoil: Callable[[LoopbackConnection], None],
    check: str,
    said: str,
    patience: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @asynccontextmanager
    async def broken(server_arena: Arena, client_arena: Arena) -> AsyncIterator[Pair]:
        async with loopback(server_arena, client_arena) as (server, client, memory):
            assert isinstance(server, LoopbackConnection)
            spoil(server)
            yield server, client, memory

    monkeypatch.setattr("transport.testing.PATIENCE", patience)
    with pytest.raises(AssertionError, match=f"^{check}: .*{said}"):
        asyncio.run(run_check(check, broken))


def test_the_whole_suite_says_what_it_ran() -> None:
    assert asyncio.run(check_connection(loopback)) == [*CHECKS, *REMOTE_CHECKS]
    assert asyncio.run(check_connection(tcp("127.0.0.1"))) == [*CHECKS]
