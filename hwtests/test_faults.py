"""Peers that die, lie or fall silent, memory and devices that fail: everything comes back, and the others go on."""

import asyncio
import gc
import os
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from smbdirect.negotiate import Settings
from smbdirect.packets import BufferDescriptor, DataTransfer
from smbdirect.wire import Malformed
from transport.base import Lost, Reply
from transport.check_base import expect, filled
from transport.discovery import Interface
from transport.memory import Arena
from transport.rdma import cm_abi, connect, work
from transport.rdma.cm import Event
from transport.rdma.connection import RdmaConnection
from transport.rdma.device import Device
from transport.rdma.slots import Slots

from .pairs import OTHER_PORTS, PORTS, accepted, client_of, ends, listening, port_of
from .resources import held

MIB = 1 << 20
ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """After each test the kernel counts what it counted before."""
    before = held()
    yield
    gc.collect()
    assert held() == before


@asynccontextmanager
async def deaf(client: RdmaConnection) -> AsyncIterator[None]:
    """A client that does not hear: it neither answers nor grants."""
    client.on_packet = lambda packet, now: None  # type: ignore[method-assign]
    yield


async def last_words(end: RdmaConnection) -> str:
    """Why the connection was lost."""
    try:
        while await asyncio.wait_for(end.receive(), 10) is not None:
            continue
    except Lost as failure:
        return str(failure)
    return ""


async def ended(end: RdmaConnection) -> bool:
    """Whether the connection has ended, closed or lost."""
    try:
        return await asyncio.wait_for(end.receive(), 10) is None
    except Lost:
        return True


def inject(client: RdmaConnection, packet: bytes) -> Slots:
    """Send bytes as they are, past the protocol."""
    slots = Slots(client.device, 1, len(packet))
    slots.views[0][:] = packet
    span = work.Span(slots.addresses[0], len(packet), slots.lkey)
    client.pair.post([work.send([span])], lambda done: None)
    return slots


@pytest.mark.parametrize(
    ("packet", "says"),
    [
        (b"\xff" * 100, "."),
        (b"", "."),
        (b"x" * 19, "20 needed"),
        (DataTransfer(credits_requested=0).pack(), "CreditsRequested is zero"),
        (DataTransfer(10, 0, 0, 0, 0, 24, 5000).pack(), "5000 bytes at DataOffset 24"),
    ],
)
def test_garbage_after_the_negotiation_ends_the_connection(interface: Interface, packet: bytes, says: str) -> None:
    async def run() -> None:
        async with ends(interface) as both:
            slots = inject(both.client, packet or b"x")
            with pytest.raises(Malformed, match=says):
                await asyncio.wait_for(both.server.receive(), 5)
            assert await asyncio.wait_for(both.client.receive(), 5) is None
            slots.close()

    asyncio.run(run())


def test_a_packet_larger_than_a_receive_costs_its_sender_the_connection(interface: Interface) -> None:
    async def run() -> None:
        async with ends(interface) as both:
            slots = inject(both.client, bytes(4000))
            assert await ended(both.server)
            slots.close()

    asyncio.run(run())


def test_a_peer_that_never_answers_a_keepalive_is_lost(interface: Interface) -> None:
    async def run() -> None:
        async with ends(interface, Settings(keepalive_interval=0.2, keepalive_timeout=0.2)) as both, deaf(both.client):
            with pytest.raises(Lost, match="keepalive"):
                await asyncio.wait_for(both.server.receive(), 5)

    asyncio.run(run())


def test_a_peer_that_answers_keepalives_stays(interface: Interface) -> None:
    async def run() -> None:
        async with ends(interface, Settings(keepalive_interval=0.1, keepalive_timeout=2)) as both:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(both.server.receive(), 0.5)
            await both.client.send(Reply([b"still here"]))
            await expect(both.server, b"still here")

    asyncio.run(run())


def test_a_peer_that_grants_no_credits_is_lost_and_the_blocks_come_back(interface: Interface) -> None:
    async def run() -> None:
        async with ends(interface, Settings(credit_timeout=0.3)) as both, deaf(both.client):
            for _ in range(3):
                block = await filled(both.server_arena, 150_000)
                await both.server.send(Reply([block.view], [block]))
            with pytest.raises(Lost, match="no credits"):
                await asyncio.wait_for(both.server.receive(), 5)

    asyncio.run(run())


def test_a_peer_that_never_negotiates_holds_up_nobody(interface: Interface) -> None:
    async def run() -> None:
        arena = Arena()
        async with listening(interface, arena, Settings(negotiate_timeout=0.5)) as listener:
            silent = [
                asyncio.create_task(connect(arena, str(interface.addresses[0]), port_of(interface))) for _ in range(3)
            ]
            original = RdmaConnection.start
            RdmaConnection.start = lambda self: None if self.memory else original(self)  # type: ignore[method-assign]
            try:
                await asyncio.sleep(0.3)
            finally:
                RdmaConnection.start = original  # type: ignore[method-assign]
            client = await client_of(interface, arena)
            server = await accepted(listener)
            await client.close()
            await server.close()
            for result in await asyncio.gather(*silent, return_exceptions=True):
                assert isinstance(result, Lost)

    asyncio.run(run())


def test_the_other_kinds_port_rejects(interface: Interface) -> None:
    async def run() -> None:
        arena = Arena()
        wrong = PORTS[1 - PORTS.index(port_of(interface))]
        async with listening(interface, arena):
            with pytest.raises(Lost, match=r"rejected|closed|refused"):
                await connect(arena, str(interface.addresses[0]), wrong)

    asyncio.run(run())


def test_nobody_listening_is_a_connection_lost(interface: Interface) -> None:
    async def run() -> None:
        with pytest.raises(Lost):
            await connect(Arena(), str(interface.addresses[0]), 4999)

    asyncio.run(run())


def test_connections_outlive_their_listener(interface: Interface) -> None:
    async def run() -> None:
        async with ends(interface) as both:
            await both.listener.close()
            with pytest.raises(Lost, match="closed"):
                await both.listener.accept()
            await both.client.send(Reply([b"after"]))
            await expect(both.server, b"after")

    asyncio.run(run())


def test_memory_is_not_exposed_over_a_connection_that_is_closed(interface: Interface) -> None:
    async def run() -> None:
        async with ends(interface) as both:
            block = await both.client_arena.take(MIB)
            await both.client.close()
            with pytest.raises(Lost):
                both.memory.register(block)
            block.release()

    asyncio.run(run())


def test_a_registration_that_fails_costs_one_connection(interface: Interface, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Device, address: int, length: int, access: int) -> Any:
        raise Lost(f"{self.name} could not register {length} bytes: Cannot allocate memory")

    async def run() -> None:
        async with ends(interface) as both:
            with monkeypatch.context() as patch:
                patch.setattr(Device, "register", refuse)
                with pytest.raises(Lost):
                    await client_of(interface, both.client_arena)
            await both.client.send(Reply([b"unharmed"]))
            await expect(both.server, b"unharmed")

    asyncio.run(run())


CLIENT = """
    import asyncio, sys
    from transport.memory import Arena
    from transport.rdma import connect
    from transport.base import Reply

    async def main():
        arena = Arena(slab=16 << 20)
        connection = await connect(arena, sys.argv[1], int(sys.argv[2]))
        block = await arena.take(8 << 20)
        await connection.send(Reply([connection.memory.register(block).pack()]))
        await connection.receive()

    asyncio.run(main())
"""


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_client_killed_in_the_middle_of_a_write_leaves_nothing(interface: Interface, after: int) -> None:
    async def run() -> None:
        arena = Arena(slab=16 << 20, poison=True)
        async with listening(interface, arena) as listener:
            where = (str(interface.addresses[0]), str(port_of(interface)))
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", textwrap.dedent(CLIENT), *where), cwd=ROOT
            )
            server = await accepted(listener, 30)
            message = await server.receive()
            assert message is not None
            whole = BufferDescriptor.unpack_from(message.view)
            pieces = [BufferDescriptor(whole.offset + at, whole.token, 65536) for at in range(0, 8 * MIB, 65536)]
            blocks = [await arena.take(8 * MIB) for _ in range(2)]
            assert server.remote is not None
            reads = [asyncio.ensure_future(server.remote.read(pieces, block, 8 * MIB)) for block in blocks]
            for _ in range(after):
                await asyncio.sleep(0.002)
            process.kill()
            results = await asyncio.wait_for(asyncio.gather(*reads, return_exceptions=True), 30)
            await process.wait()
            assert all(result is None or isinstance(result, Lost) for result in results)
            for block in blocks:
                block.release()
            assert await ended(server)
            await server.close()
        assert arena.idle

    asyncio.run(run())


def test_hundreds_of_connections_made_and_lost_keep_nothing(interface: Interface) -> None:
    async def run() -> None:
        arena = Arena()
        async with listening(interface, arena) as listener:
            keeper, kept = await asyncio.gather(client_of(interface, arena), accepted(listener))
            before = held()
            files = len(os.listdir("/proc/self/fd"))
            for turn in range(25):
                pairs = [await asyncio.gather(client_of(interface, arena), accepted(listener)) for _ in range(8)]
                for client, server in pairs:
                    first, second = (client, server) if turn % 2 else (server, client)
                    await first.close()
                    await second.close()
            gc.collect()
            assert held() == before
            assert len(os.listdir("/proc/self/fd")) == files
            await keeper.close()
            await kept.close()

    asyncio.run(run())


def test_a_device_that_goes_away_takes_only_its_connections(interface: Interface) -> None:
    """What the connection manager says is said by the test: the kernel waits for soft-RoCE's users without a word."""

    async def run() -> None:
        async with ends(interface) as staying, ends(interface, ports=OTHER_PORTS) as going:
            block = await filled(going.server_arena, 100_000)
            await going.server.send(Reply([block.view], [block]))
            for end in (going.server, going.client):
                end._identifier.on_event(Event(cm_abi.DEVICE_REMOVAL))
            for end in (going.server, going.client):
                assert f"{interface.device} was removed" in await last_words(end)
            again = await connect(going.client_arena, str(interface.addresses[0]), port_of(interface, OTHER_PORTS))
            server = await accepted(going.listener)
            await again.close()
            await server.close()
            await staying.client.send(Reply([b"unharmed"]))
            await expect(staying.server, b"unharmed")

    asyncio.run(run())
