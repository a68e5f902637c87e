"""The project's own client on the whole server: READ and WRITE of 1 byte to 16 MiB through 1 to 64 uneven descriptors,
with the fewest credits and the smallest fragmented size too."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from benchmarks.client import Client, File, Session, Settings, Windows
from server.messages.create import Disposition
from server.messages.read_write import Channel
from server.tests.served import SHARE, Whole, login, pattern, whole
from smbdirect.negotiate import Settings as SmbDirect
from smbdirect.packets import SMALLEST_FRAGMENTED
from transport import rdma
from transport.check_base import same
from transport.discovery import Interface
from transport.rdma.connection import RdmaConnection

from .pairs import PORTS, port_of

MIB = 1 << 20
IO_SIZE = 16 * MIB
SMALL = [(1, 1), (3, 2), (4097, 3), (MIB, 16), (MIB + 1, 31), (2 * MIB, 64)]
SHAPES = {Channel.RDMA_V1: [*SMALL, (16 * MIB, 1), (16 * MIB, 64)], Channel.RDMA_V1_INVALIDATE: SMALL}
"""(bytes, descriptors) through each channel."""
NARROW = SmbDirect(
    receive_credit_max=2, send_credit_target=2, max_fragmented_size=SMALLEST_FRAGMENTED, max_read_write_size=IO_SIZE
)
"""The least that MS-SMBD lets a side have."""


def uneven(length: int, count: int) -> list[int]:
    """`length` in `count` parts, no two neighbours alike."""
    parts = [max(1, length * (1 + 7 * at % 11) // (7 * count)) for at in range(count - 1)]
    return [*parts, length - sum(parts)]


@asynccontextmanager
async def opened(interface: Interface, settings: SmbDirect) -> AsyncIterator[tuple[Whole, RdmaConnection, File]]:
    """A server of this interface, a connection with it, and a new file."""
    address = str(interface.addresses[0])
    async with whole(io_size=IO_SIZE) as here:
        listener = rdma.listen(here.payload, settings, [address], PORTS, messages=here.messages)
        here.server.keep(here.server.listen(listener))
        connection = await rdma.connect(here.clients_arena, address, port_of(interface), settings)
        client = await Client.negotiate(connection, Settings())
        tree = await (await Session.login(client, login())).connect(SHARE)
        try:
            yield here, connection, await tree.create("file", disposition=Disposition.CREATE)
        finally:
            await client.close()
            if here.server._serving:
                await asyncio.wait(here.server._serving, timeout=20)
            await listener.close()


async def moved(here: Whole, connection: RdmaConnection, file: File, length: int, count: int, channel: int) -> None:
    """WRITE and READ so much through so many descriptors."""
    assert connection.memory is not None
    data, parts = pattern(length), uneven(length, count)
    assert min(parts) > 0 and len(parts) == count and sum(parts) == length
    windows = await Windows.open(connection.memory, here.clients_arena, parts)
    windows.fill(data)
    assert await file.write_placed(0, length, windows.descriptors, channel) == length
    windows.close()
    windows = await Windows.open(connection.memory, here.clients_arena, parts)
    windows.fill(bytes(length))
    assert await file.read_placed(0, length, windows.descriptors, channel) == length
    same(windows.bytes(), data)
    windows.close()


@pytest.mark.parametrize("channel", SHAPES, ids=["V1", "V1_INVALIDATE"])
def test_any_number_of_descriptors_carries_any_length(interface: Interface, channel: int) -> None:
    async def run() -> None:
        async with opened(interface, rdma.settings(IO_SIZE)) as (here, connection, file):
            for length, count in SHAPES[channel]:
                await moved(here, connection, file, length, count, channel)

    asyncio.run(run())


def test_the_fewest_credits_and_the_smallest_fragments_carry_the_same(interface: Interface) -> None:
    async def run() -> None:
        async with opened(interface, NARROW) as (here, connection, file):
            assert connection.limits.max_message == SMALLEST_FRAGMENTED
            for length, count in ((1, 1), (MIB, 31), (16 * MIB, 64)):
                await moved(here, connection, file, length, count, Channel.RDMA_V1)
            data = pattern(100_000)
            assert await file.write(0, data) == len(data)
            assert await file.read(0, len(data)) == data
            longer = await file.read(0, 8 * MIB)  # a READ of more than fits gets what fits
            assert 0 < len(longer) < SMALLEST_FRAGMENTED
            assert longer[: len(data)] == data[: len(longer)]

    asyncio.run(run())
