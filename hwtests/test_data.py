"""What the conformance suite does not ask: posts counted, and the extremes of descriptors, credits and packets."""

import asyncio
from dataclasses import replace
from itertools import accumulate, pairwise

import pytest

from smbdirect.negotiate import Settings
from smbdirect.packets import BufferDescriptor
from smbdirect.wire import Buffer
from transport.base import Place, Reply
from transport.check_base import expect, filled, pattern, same
from transport.discovery import Interface
from transport.memory import Block

from .pairs import Ends, address_of, ends

MIB = 1 << 20


def cut(whole: BufferDescriptor, count: int) -> list[BufferDescriptor]:
    """`whole` as `count` descriptors of uneven sizes."""
    weights = [1 + 7 * n % 11 for n in range(count)]
    edges = [whole.length * at // sum(weights) for at in accumulate(weights, initial=0)]
    return [BufferDescriptor(whole.offset + start, whole.token, end - start) for start, end in pairwise(edges)]


async def channel_read(both: Ends, block: Block, target: Block, count: int) -> int:
    """Place `block` in the client's `target` through `count` descriptors; returns how many posts it took."""
    whole = both.memory.register(target)
    reply = Reply([b"read"], [block], [Place(cut(whole, count), block, 0, block.length)], whole.token)
    before = both.server.pair.posts
    await both.server.send(reply)
    posts = both.server.pair.posts - before
    await expect(both.client, b"read")
    both.memory.deregister(whole.token)
    return posts


@pytest.mark.parametrize("count", [1, 2, 3, 16, 31])
def test_a_channel_read_is_one_post(interface: Interface, count: int) -> None:
    async def run() -> None:
        async with ends(interface) as both:
            block, target = await filled(both.server_arena, MIB), await both.client_arena.take(MIB)
            assert await channel_read(both, block, target, count) == 1
            same(target.view, pattern(MIB))
            target.release()

    asyncio.run(run())


@pytest.mark.parametrize(("length", "count"), [(1, 1), (4097, 3), (MIB, 64), (8 * MIB, 1), (8 * MIB, 16)])
def test_what_is_written_over_the_channel_comes_back(interface: Interface, length: int, count: int) -> None:
    async def run() -> None:
        async with ends(interface) as both:
            source = await filled(both.client_arena, length)
            whole = both.memory.register(source)
            block = await both.server_arena.take(length)
            assert both.server.remote is not None
            await both.server.remote.read(cut(whole, count), block, length)
            both.memory.deregister(whole.token)
            source.view[:] = bytes(length)
            await channel_read(both, block, source, count)
            same(source.view, pattern(length))
            source.release()

    asyncio.run(run())


@pytest.mark.parametrize("credits", [2, 3])
def test_the_fewest_credits_carry_the_largest_message_both_ways(interface: Interface, credits: int) -> None:
    async def run() -> None:
        few = Settings(receive_credit_max=credits, send_credit_target=credits)
        async with ends(interface, few, few) as both:
            for source, target in ((both.server, both.client), (both.client, both.server)):
                payload = pattern(source.limits.max_message)
                await asyncio.gather(source.send(Reply([payload])), expect(target, payload))

    asyncio.run(run())


def test_large_packets_are_gathered_from_where_the_payload_lies(interface: Interface) -> None:
    async def run() -> None:
        large = Settings(max_send_size=65536, max_receive_size=65536, max_fragmented_size=4 * MIB)
        async with ends(interface, large, large) as both:
            payload = await filled(both.server_arena, 500_000)
            parts: list[Buffer] = [
                b"head",
                payload.view[:100],
                payload.view[100:300_000],
                b"middle",
                payload.view[300_000:],
            ]
            wanted = b"".join(bytes(part) for part in parts)
            await asyncio.gather(both.server.send(Reply(parts, [payload])), expect(both.client, wanted))

    asyncio.run(run())


def test_ipv6_carries_the_same(interface: Interface) -> None:
    address = address_of(interface, 6)
    if address is None:
        pytest.skip(f"{interface.name} has no global IPv6 address")
    only = replace(interface, addresses=tuple(each for each in interface.addresses if each.version == 6))

    async def run() -> None:
        async with ends(only) as both:
            assert both.server.peer == address
            await both.client.send(Reply([b"over IPv6"]))
            await expect(both.server, b"over IPv6")

    asyncio.run(run())
