"""Checks that hold for every connection: order, sizes, and where the blocks are at every ending."""

import asyncio

from smbdirect.wire import Buffer

from .base import Connection, Lost, Reply
from .check_base import (
    LARGE,
    Check,
    Ends,
    assert_lost,
    expect,
    filled,
    pattern,
    receive_or_lost,
    same,
    settled,
)
from .memory import SMALL, Arena

CHECKS: list[Check] = []


def _check(function: Check) -> Check:
    CHECKS.append(function)
    return function


@_check
async def messages_come_in_order(ends: Ends) -> None:
    for source, target, _, _ in ends.directions():
        for first in range(0, 300, 10):
            for number in range(first, first + 10):
                await source.send(Reply([number.to_bytes(4, "little"), bytes(number % 7 * 100)]))
            for number in range(first, first + 10):
                await expect(target, number.to_bytes(4, "little") + bytes(number % 7 * 100))


@_check
async def every_size_arrives_whole(ends: Ends) -> None:
    sizes = [1, 2, 3, 7, 8, 64, 1023, 1024, 1365, 4095, 4096, 4097, SMALL - 4, SMALL - 1, SMALL, SMALL + 1, SMALL + 4]
    for source, target, _, _ in ends.directions():
        limit = min(source.limits.max_message, target.limits.max_message)
        for size in (*sizes, 3 * SMALL + 1, LARGE + 5, limit):
            if size <= limit:
                payload = pattern(size)
                await asyncio.gather(source.send(Reply([payload])), expect(target, payload))


@_check
async def a_reply_of_many_parts_is_one_message(ends: Ends) -> None:
    for source, target, arena, _ in ends.directions():
        length = min(LARGE, source.limits.max_message // 4)
        blocks = [await filled(arena, length), await filled(arena, length // 2, length)]
        parts: list[Buffer] = [b"head", b"", blocks[0].view, bytearray(b"between"), blocks[1].view[:1000]]
        step = max(1, (length // 2 - 1000) // 3000)
        parts += [blocks[1].view[at : at + step] for at in range(1000, 1000 + 3000 * step, step)]
        wanted = b"".join(bytes(part) for part in parts)
        await asyncio.gather(source.send(Reply(parts, blocks)), expect(target, wanted))


@_check
async def blocks_come_back_when_sent(ends: Ends) -> None:
    for source, target, arena, other_arena in ends.directions():
        for size in (100, SMALL + 100):
            block = await filled(arena, size)
            await asyncio.gather(source.send(Reply([block.view], [block])), expect(target, pattern(size)))
            await settled(arena)
            await settled(other_arena)


@_check
async def concurrent_sends_do_not_interleave(ends: Ends) -> None:
    for source, target, arena, _ in ends.directions():
        size = min(300_000, target.limits.max_message)

        async def send(number: int, source: Connection = source, arena: Arena = arena, size: int = size) -> None:
            length = size if number % 3 == 0 else 200 + number
            block = await arena.take(length)
            block.view[:] = bytes([number]) * length
            await source.send(Reply([block.view[:100], block.view[100:]], [block]))

        sends = asyncio.gather(*(send(number) for number in range(24)))
        seen = []
        for _ in range(24):
            message = await target.receive()
            assert message is not None
            seen.append(message.view[0])
            same(message.view, bytes([seen[-1]]) * len(message.view))
            message.release()
        await sends
        assert seen == list(range(24)), f"sent in order of calls, received {seen}"


# -- endings -------------------------------------------------------------------------------------------------------


@_check
async def send_after_close_is_lost_and_releases(ends: Ends) -> None:
    for source, _, arena, _ in ends.directions():
        await source.close()
        block = await filled(arena, 1000)
        await assert_lost(source.send(Reply([block.view], [block])), "a send after close")
        assert arena.idle, "the failed send kept its block"


@_check
async def receive_ends_with_none_when_the_peer_closes(ends: Ends) -> None:
    receiving = asyncio.ensure_future(ends.server.receive())
    await asyncio.sleep(0)
    await ends.client.close()
    assert await receiving is None
    assert await ends.server.receive() is None, "and again"


@_check
async def close_ends_a_receive_under_way(ends: Ends) -> None:
    for end in (ends.server, ends.client):
        receiving = asyncio.ensure_future(end.receive())
        await asyncio.sleep(0)
        await end.close()
        assert await receiving is None
        assert await end.receive() is None, "a receive after close"


@_check
async def close_twice_is_close(ends: Ends) -> None:
    for end in (ends.server, ends.client, ends.server):
        await end.close()
        await end.close()


@_check
async def a_peer_that_dies_with_replies_under_way_costs_no_block(ends: Ends) -> None:
    async def send() -> None:
        for _ in range(8):
            block = await filled(ends.server_arena, min(LARGE, ends.server.limits.max_message))
            await ends.server.send(Reply([block.view], [block]))

    sends = [asyncio.ensure_future(send()) for _ in range(4)]
    for _ in range(5):
        await asyncio.sleep(0)
    await ends.client.close()
    receiving = asyncio.ensure_future(receive_or_lost(ends.server))
    for result in await asyncio.gather(*sends, return_exceptions=True):
        assert result is None or isinstance(result, Lost), repr(result)
    assert await receiving is None
    await ends.server.close()
    await settled(ends.server_arena)


@_check
async def a_cancelled_send_gives_its_blocks_back(ends: Ends) -> None:
    async def send() -> None:
        for _ in range(64):
            block = await filled(ends.server_arena, min(LARGE, ends.server.limits.max_message))
            await ends.server.send(Reply([block.view], [block]))

    sending = asyncio.ensure_future(send())
    for _ in range(10):
        await asyncio.sleep(0)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await ends.server.close()
    await settled(ends.server_arena)


@_check
async def a_cancelled_receive_loses_no_message(ends: Ends) -> None:
    receiving = asyncio.ensure_future(ends.server.receive())
    await asyncio.sleep(0)
    receiving.cancel()
    await asyncio.gather(receiving, return_exceptions=True)
    await ends.client.send(Reply([b"after"]))
    await expect(ends.server, b"after")
