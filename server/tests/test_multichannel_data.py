"""Large transfers over several channels at once, inline and through the client's memory, one of which dies; and where
more channels are found."""

import asyncio
from collections.abc import Sequence

import pytest

from benchmarks.client import Bulk, File, Session, Windows, ways, widen
from server.tests.channels import further, kill, on_a_session, quiet
from server.tests.served import Whole, login, pattern, settle
from server.tests.test_whole_faults import Gate, GatedStore
from smbdirect.packets import BufferDescriptor
from transport.base import Connection, Lost
from transport.loopback import ExposedMemory, LoopbackConnection, LoopbackMemory
from transport.memory import Block

LARGE = 8 << 20


class SlowMemory(LoopbackMemory):
    """The peer's memory, of which something is fetched when the gate opens."""

    def __init__(self, connection: LoopbackConnection, exposed: ExposedMemory, gate: Gate) -> None:
        super().__init__(connection, exposed)
        self.gate = gate

    async def read(self, remote: Sequence[BufferDescriptor], into: Block, length: int) -> None:
        await self.gate.go_through()
        await super().read(remote, into, length)


def slow_memory(here: Whole, store: GatedStore) -> None:
    """What is fetched from a client's memory passes the store's gate."""
    for far, near in zip(here.far, here.near, strict=True):
        if far.remote is not None:
            far.remote = SlowMemory(far, near.memory, store.gate)


@pytest.mark.parametrize("dying", ["inline", "memory"])
@pytest.mark.parametrize("way", ["write", "read"])
def test_eight_mebibytes_arrive_though_a_channel_dies_in_the_middle(dying: str, way: str) -> None:
    store = GatedStore()

    async def test(here: Whole, session: Session, file: File) -> None:
        await further(here, session, remote=True)
        channels = {"inline": session.channels.alive[0], "memory": session.channels.alive[1]}
        slow_memory(here, store)
        data = pattern(LARGE)
        bulk = Bulk(file, here.clients_arena, piece=LARGE // 16)
        if way == "read":
            await bulk.write(0, data)
        store.gate.shut()
        moving = asyncio.ensure_future(bulk.write(0, data) if way == "write" else bulk.read(0, LARGE))
        await store.gate.entered.wait()
        await settle()
        assert all(channel.client.under_way for channel in channels.values()), "not both at work"
        kill(channels[dying])
        await settle()
        store.gate.opened.set()
        got = await moving
        assert session.channels.sequence == 1
        assert (await bulk.read(0, LARGE) if got is None else got) == data
        assert quiet(here)

    on_a_session(test, make_store=lambda share: store)


@pytest.mark.parametrize("way", ["write", "read"])
@pytest.mark.parametrize("dying", [False, True], ids=["inline dies", "memory dies"])
def test_one_request_of_eight_mebibytes_is_repeated_over_the_other_kind_of_channel(way: str, dying: bool) -> None:
    store = GatedStore()

    async def test(here: Whole, session: Session, file: File) -> None:
        first, second = session.channels.first, await further(here, session, remote=True)
        slow_memory(here, store)
        data = pattern(LARGE)
        await file.write(0, data if way == "read" else b"")
        session.channels.alive.remove(first if dying else second)
        store.gate.shut()
        bulk = Bulk(file, here.clients_arena, piece=LARGE)
        moving = asyncio.ensure_future(bulk.write(0, data) if way == "write" else bulk.read(0, LARGE))
        await store.gate.entered.wait()
        session.channels.alive.append(first if dying else second)
        kill(second if dying else first)
        await settle()
        assert not moving.done()
        store.gate.opened.set()
        got = await moving
        assert (await bulk.read(0, LARGE) if got is None else got) == data
        assert quiet(here)

    on_a_session(test, make_store=lambda share: store)


def test_memory_exposed_on_one_channel_is_out_of_reach_over_another() -> None:
    async def test(here: Whole, session: Session, file: File) -> None:
        second, third = await further(here, session, remote=True), await further(here, session, remote=True)
        assert second.memory is not None
        windows = await Windows.open(second.memory, here.clients_arena, [100_000])
        windows.fill(pattern(100_000))
        assert await file.write_placed(0, 100_000, windows.descriptors, over=second) == 100_000
        with pytest.raises(Lost):
            await file.write_placed(0, 100_000, windows.descriptors, over=third)
        windows.close()
        assert await file.read(0, 100_000) == pattern(100_000)

    on_a_session(test)


# -- finding more -----------------------------------------------------------------------------------------------------
def test_a_session_spreads_over_the_addresses_that_the_server_tells() -> None:
    async def test(here: Whole, session: Session, file: File) -> None:
        told = await ways(file.tree)
        assert told, "the server tells of no address"

        async def dial(way: object) -> tuple[Connection, None]:
            if len(dialled) % 2:
                dialled.append(way)
                raise Lost("nobody there")
            dialled.append(way)
            return here.connect(remote_memory=False), None

        dialled: list[object] = []
        made = await widen(session, (told * 8)[:8], dial, login, 4)
        here.clients += [channel.client for channel in made]
        assert (len(made), len(dialled)) == (3, 5)
        for _ in range(8):
            await file.flush()
        assert all(channel.client.posted > 3 for channel in made)

    on_a_session(test)
