"""Sinks of RDMA READs on iWARP: registered once, their connection's alone, and nobody else's while they are."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from smbdirect.packets import BufferDescriptor
from transport.base import Lost
from transport.memory import PAGE, Arena, Block, Share
from transport.technology import ROCE

pytest.importorskip("pyverbs.wr", reason="python3-pyverbs is not installed")

from transport.rdma.reading import RdmaMemory
from transport.rdma.sinks import Sinks

from .rdma_fakes import FakeDevice, FakePair

SLAB = 1 << 20
LENGTH = 100_000
LOCAL_AND_REMOTE = 3
"""IBV_ACCESS_LOCAL_WRITE and IBV_ACCESS_REMOTE_WRITE."""


class Side:
    """One connection's remote memory; `arena` and `device` are shared with those of others."""

    def __init__(self, arena: Arena, device: FakeDevice, limit: int = SLAB) -> None:
        self.arena = arena
        self.device = device
        self.pair = FakePair()
        sinks = Sinks(device, arena, limit)  # type: ignore[arg-type]
        self.memory = RdmaMemory(device, self.pair, sinks, 4, [].append)  # type: ignore[arg-type]

    async def take(self, length: int = LENGTH, share: Share | None = None) -> Block:
        return await self.arena.take(length, share, self.memory.keep)

    def read(self, block: Block, length: int = LENGTH) -> "asyncio.Task[None]":
        return asyncio.ensure_future(self.memory.read([BufferDescriptor(0, 7, length)], block, length))

    async def transfer(self, length: int = LENGTH) -> int:
        """A request from its block's taking to its release; where the block lay."""
        block = await self.take(length)
        reading = self.read(block, length)
        await turns()
        self.pair.complete()
        await reading
        block.release()
        return block.address

    def registered(self, address: int) -> bool:
        return any(region.address == address for region in self.device.regions)

    def lose(self) -> None:
        """The queue pair is destroyed: then nothing is registered any more."""
        self.pair.destroy()
        self.memory.close()


async def turns() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


def with_sides(test: Callable[[Side, Side], Awaitable[None]], limit: int = SLAB, slabs: int = 8) -> None:
    """Run `test` with two connections over one device; whatever it left of them is closed afterwards."""

    async def inside() -> None:
        arena, device = Arena(slabs * SLAB, SLAB, poison=True), FakeDevice()
        one, other = Side(arena, device, limit), Side(arena, device, limit)
        await test(one, other)
        one.lose()
        other.lose()
        assert not device.regions
        assert arena.idle

    asyncio.run(inside())


def test_a_sink_is_registered_once_for_all_requests_of_its_connection() -> None:
    async def test(side: Side, _: Side) -> None:
        places = {await side.transfer(length) for length in (LENGTH, LENGTH, 65537, 1 << 17)}
        (region,) = side.device.regions
        assert places == {region.address}
        assert (region.length, region.access) == (1 << 17, LOCAL_AND_REMOTE)

    with_sides(test)


def test_no_sink_is_given_to_another_connection_or_to_a_reply() -> None:
    async def test(side: Side, other: Side) -> None:
        mine = await side.transfer()
        assert await other.transfer() != mine
        block = await side.arena.take(LENGTH)
        assert not side.registered(block.address)
        block.release()
        assert await side.transfer() == mine

    with_sides(test)


def test_memory_wanted_by_others_is_deregistered_before_they_get_it() -> None:
    async def test(side: Side, _: Side) -> None:
        address = await side.transfer()
        assert side.registered(address)
        block = side.arena.take_nowait(SLAB - 2 * PAGE)
        assert block is not None
        assert block.address <= address < block.address + block.length
        assert not side.device.regions
        block.view[:] = b"p" * block.length
        block.release()
        await side.transfer()
        assert len(side.device.regions) == 1, "what was given up is registered anew"

    with_sides(test, slabs=1)


def test_whoever_waits_gets_what_is_released_to_a_keep() -> None:
    async def test(side: Side, _: Side) -> None:
        whole = 512 << 10
        block = await side.take(whole)
        waiting = asyncio.ensure_future(side.arena.take(whole))
        await turns()
        assert not waiting.done()
        block.release()
        (await waiting).release()

    with_sides(test, slabs=1)


def test_no_more_lies_idle_than_the_limit_and_the_oldest_goes_first() -> None:
    async def test(side: Side, _: Side) -> None:
        blocks = [await side.take() for _ in range(4)]
        readings = [side.read(block) for block in blocks]
        await turns()
        side.pair.complete(4)
        await asyncio.gather(*readings)
        assert len(side.device.regions) == 4
        for block in blocks:
            block.release()
        assert [each.address for each in side.device.regions] == [each.address for each in blocks[2:]]
        assert side.arena.kept <= 300 << 10

    with_sides(test, limit=300 << 10)


def test_all_connections_together_keep_a_part_of_the_arena() -> None:
    async def test(side: Side, other: Side) -> None:
        for end in (side, other, side):
            blocks = [await end.take(SLAB // 2) for _ in range(4)]
            for block in blocks:
                block.release()
            assert side.arena.kept <= side.arena.limit // 4

    with_sides(test, limit=8 * SLAB)


def test_what_lies_idle_is_not_counted_in_the_share() -> None:
    async def test(side: Side, _: Side) -> None:
        share = Share(1 << 17)
        block = await side.take(share=share)
        assert side.arena.take_nowait(LENGTH, share, side.memory.keep) is None
        block.release()
        assert share.used == 0
        again = await side.take(share=share)
        assert share.used == 1 << 17
        again.release()

    with_sides(test)


def test_a_peer_that_dies_mid_read_leaves_nothing_registered_and_nothing_kept() -> None:
    async def test(side: Side, _: Side) -> None:
        await side.transfer()
        block = await side.take()
        reading = side.read(block)
        await turns()
        side.lose()
        assert not side.device.regions
        with pytest.raises(Lost):
            await reading
        assert not side.arena.idle, "the request still has its block"
        block.release()
        assert side.arena.idle

    with_sides(test)


def test_a_connection_that_ends_while_a_thread_reads_the_block_has_it_deregistered_at_once() -> None:
    async def test(side: Side, other: Side) -> None:
        block = await side.take()
        reading = side.read(block)
        await turns()
        side.pair.complete()
        await reading
        block.view[:] = b"p" * block.length
        side.lose()
        assert not side.device.regions
        await other.transfer()
        assert block.view == b"p" * block.length, "the thread still has it"
        block.release()
        assert side.memory.keep is not None
        assert side.memory.keep.idle == 0

    with_sides(test)


def test_a_sink_whose_read_was_cancelled_is_kept_only_after_its_completions() -> None:
    async def test(side: Side, _: Side) -> None:
        block = await side.take()
        reading = side.read(block)
        await turns()
        reading.cancel()
        await turns()
        assert not reading.done()
        beside = await side.take()
        assert beside.address != block.address, "the NIC may still fill it"
        beside.release()
        side.pair.complete()
        with pytest.raises(asyncio.CancelledError):
            await reading
        block.release()
        assert await side.transfer() == block.address

    with_sides(test)


def test_where_the_peer_needs_no_access_nothing_is_kept() -> None:
    arena = Arena(SLAB, SLAB)
    side = Side(arena, FakeDevice(technology=ROCE))
    assert side.memory.keep is None
