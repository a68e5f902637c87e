"""RDMA READs: the depth, the line, cancellation and loss, on a queue pair that only records."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from smbdirect.packets import BufferDescriptor
from smbdirect.wire import Malformed
from transport.base import Lost
from transport.memory import Arena, Block

pytest.importorskip("pyverbs.wr", reason="python3-pyverbs is not installed")

from transport.rdma import verbs
from transport.rdma.reading import RdmaMemory
from transport.rdma.sinks import Sinks

from .rdma_fakes import FakeDevice, FakePair

KEPT = 1 << 20
"""Bytes of sinks that a connection may keep idle."""


class Side:
    """A memory of `depth` over a pair that only records."""

    def __init__(self, depth: int = 4, places: int = 256) -> None:
        self.arena = Arena(slab=1 << 20, poison=True)
        self.device = FakeDevice()
        self.pair = FakePair(places)
        self.failures: list[str] = []
        sinks = Sinks(self.device, self.arena, KEPT)  # type: ignore[arg-type]
        self.memory = RdmaMemory(self.device, self.pair, sinks, depth, self.failures.append)  # type: ignore[arg-type]

    def under_way(self) -> int:
        return sum(len(each.requests) for each in self.pair.posted)

    def read(self, block: Block, pieces: int) -> "asyncio.Task[None]":
        length = block.length // pieces
        descriptors = [BufferDescriptor(n << 20, 7, length) for n in range(pieces)]
        return asyncio.ensure_future(self.memory.read(descriptors, block, length * pieces))


def run(test: Callable[[Side], Awaitable[None]], side: Side) -> None:
    async def inside() -> None:
        await test(side)
        assert side.arena.idle
        assert not side.device.regions

    asyncio.run(inside())


async def turns(count: int = 4) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_more_descriptors_than_the_depth_pipeline() -> None:
    async def test(side: Side) -> None:
        block = await side.arena.take(64 * 64)
        reading = side.read(block, 64)
        await turns()
        seen = []
        while not reading.done():
            seen.append(side.under_way())
            assert all(opcode == verbs.WR_RDMA_READ for opcode, _, _ in side.pair.posted[0].requests)
            side.pair.complete()
            side.memory.pump()
            await turns()
        assert max(seen) == 4
        assert seen[:-1] == [4] * (len(seen) - 1), "the other half is under way while one completes"
        await reading
        block.release()

    run(test, Side(depth=4))


@pytest.mark.parametrize("depth", [1, 2, 3, 16])
def test_reads_of_several_requests_share_the_depth(depth: int) -> None:
    async def test(side: Side) -> None:
        blocks = [await side.arena.take(640) for _ in range(5)]
        readings = [side.read(block, 9) for block in blocks]
        await turns()
        while side.pair.posted:
            assert side.under_way() <= depth
            side.pair.complete()
            side.memory.pump()
        await asyncio.gather(*readings)
        for block in blocks:
            block.release()

    run(test, Side(depth=depth))


def test_a_full_send_queue_holds_reads_back() -> None:
    async def test(side: Side) -> None:
        block = await side.arena.take(640)
        side.pair.places = 0
        reading = side.read(block, 2)
        await turns()
        assert not side.pair.posted
        side.pair.places = 1
        side.memory.pump()
        assert side.under_way() == 1
        side.pair.complete()
        side.memory.pump()
        side.pair.complete()
        await reading
        block.release()

    run(test, Side())


def test_a_cancelled_read_waits_for_what_is_posted_and_posts_no_more() -> None:
    async def test(side: Side) -> None:
        block = await side.arena.take(640)
        reading = side.read(block, 8)
        await turns()
        reading.cancel()
        await turns()
        reading.cancel()
        await turns()
        assert not reading.done(), "the NIC has not heard of it"
        side.pair.complete(2)
        side.memory.pump()
        assert not side.pair.posted
        with pytest.raises(asyncio.CancelledError):
            await reading
        block.release()

    run(test, Side(depth=4))


def test_a_read_cancelled_before_it_was_posted_ends_at_once() -> None:
    async def test(side: Side) -> None:
        first, second = await side.arena.take(640), await side.arena.take(640)
        one, other = side.read(first, 1), side.read(second, 1)
        await turns()
        other.cancel()
        await turns()
        assert other.cancelled()
        second.release()
        side.pair.complete()
        side.memory.pump()
        assert not side.pair.posted
        await one
        first.release()

    run(test, Side(depth=1))


def test_a_lost_connection_ends_posted_and_waiting_reads() -> None:
    async def test(side: Side) -> None:
        blocks = [await side.arena.take(640) for _ in range(3)]
        readings = [side.read(block, 4) for block in blocks]
        await turns()
        side.pair.destroy()
        side.memory.close()
        for result in await asyncio.gather(*readings, return_exceptions=True):
            assert isinstance(result, Lost)
        for block in blocks:
            block.release()
        with pytest.raises(Lost, match="gone"):
            await side.memory.read([BufferDescriptor(0, 1, 1)], blocks[0], 1)

    run(test, Side(depth=4))


def test_a_post_that_fails_is_told_and_the_read_ends_with_the_queue_pair() -> None:
    async def test(side: Side) -> None:
        block = await side.arena.take(640)
        side.pair.broken = True
        reading = side.read(block, 1)
        await turns()
        assert side.failures
        assert not reading.done()
        side.pair.destroy()
        side.memory.close()
        with pytest.raises(Lost):
            await reading
        block.release()

    side = Side()

    def failed(why: str) -> None:
        side.failures.append(why)
        side.memory._closed = True

    side.memory._failed = failed
    run(test, side)


def test_descriptors_that_hold_too_little_register_nothing() -> None:
    async def test(side: Side) -> None:
        block = await side.arena.take(640)
        with pytest.raises(Malformed):
            await side.memory.read([BufferDescriptor(0, 1, 10)], block, 11)
        await side.memory.read([], block, 0)
        block.release()

    run(test, Side())


def test_a_peer_that_lets_nobody_read_is_not_read() -> None:
    async def test(side: Side) -> None:
        block = await side.arena.take(640)
        with pytest.raises(Lost, match="lets nobody"):
            await side.memory.read([BufferDescriptor(0, 1, 10)], block, 10)
        block.release()

    run(test, Side(depth=0))
