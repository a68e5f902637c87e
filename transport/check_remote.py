"""Checks of remote memory: what `RemoteMemory.read`, `Reply.places` and `Reply.invalidate` promise."""

import asyncio
import contextlib
from collections.abc import Sequence

from smbdirect.packets import BufferDescriptor
from smbdirect.wire import Malformed

from .base import Lost, Place, Reply
from .check_base import LARGE, Check, Ends, assert_lost, expect, filled, pattern, receive_or_lost, same, settled

CHECKS: list[Check] = []

SIZES = (1, 4095, 8, 100_000, 3, 4096, 65537, 24)


def _check(function: Check) -> Check:
    CHECKS.append(function)
    return function


def uneven(descriptor: BufferDescriptor, sizes: Sequence[int]) -> list[BufferDescriptor]:
    """`descriptor` cut into pieces of `sizes` in turn, the last being what is left."""
    pieces, done, turn = [], 0, 0
    while done < descriptor.length:
        length = min(sizes[turn % len(sizes)], descriptor.length - done)
        pieces.append(BufferDescriptor(descriptor.offset + done, descriptor.token, length))
        done += length
        turn += 1
    return pieces


@_check
async def read_fetches_through_many_uneven_descriptors(ends: Ends) -> None:
    source = await filled(ends.client_arena, LARGE)
    whole = ends.exposed().register(source)
    into = await ends.server_arena.take(LARGE)
    for descriptors in ([whole], uneven(whole, SIZES), uneven(whole, (16384,))):
        into.view[:] = bytes(LARGE)
        await ends.remote().read(descriptors, into, LARGE)
        same(into.view, pattern(LARGE))
    into.view[:] = bytes(LARGE)
    await ends.remote().read(uneven(whole, SIZES), into, 70_001)
    same(into.view, pattern(70_001) + bytes(LARGE - 70_001))
    into.release()
    ends.exposed().deregister(whole.token)
    source.release()


@_check
async def reads_run_at_the_same_time(ends: Ends) -> None:
    sources = [await filled(ends.client_arena, LARGE // 8, number << 32) for number in range(16)]
    named = [ends.exposed().register(source) for source in sources]
    blocks = [await ends.server_arena.take(LARGE // 8) for _ in sources]
    pairs = zip(named, blocks, strict=True)
    await asyncio.gather(*(ends.remote().read(uneven(one, SIZES), block, LARGE // 8) for one, block in pairs))
    for number, block in enumerate(blocks):
        same(block.view, pattern(LARGE // 8, number << 32))
    for block in (*blocks, *sources):
        block.release()


@_check
async def blocks_taken_to_be_read_into_come_back_and_are_filled_again(ends: Ends) -> None:
    keep = ends.remote().keep
    for turn, length in enumerate((LARGE, LARGE, LARGE // 2 + 1, LARGE)):
        source = await filled(ends.client_arena, length, turn << 40)
        whole = ends.exposed().register(source)
        blocks = [await ends.server_arena.take(length, keep=keep) for _ in range(3)]
        await asyncio.gather(*(ends.remote().read(uneven(whole, SIZES), block, length) for block in blocks))
        for block in blocks:
            same(block.view[:length], pattern(length, turn << 40))
            block.release()
        ends.exposed().deregister(whole.token)
        source.release()


@_check
async def places_are_filled_before_the_message_is_seen(ends: Ends) -> None:
    target = await ends.client_arena.take(LARGE)
    whole = ends.exposed().register(target)
    for turn, sizes in enumerate((SIZES, (LARGE,), (999, 7), SIZES)):
        target.view[:] = bytes(LARGE)
        block = await filled(ends.server_arena, LARGE, turn << 40)
        count = LARGE - 4096 - turn
        wanted = pattern(LARGE, turn << 40)[4096 : 4096 + count] + bytes(LARGE - count)

        async def see(wanted: bytes = wanted) -> None:
            await expect(ends.client, b"filled")
            same(target.view, wanted)

        reply = Reply([b"filled"], [block], [Place(uneven(whole, sizes), block, 4096, count)])
        await asyncio.gather(ends.server.send(reply), see())
    ends.exposed().deregister(whole.token)
    target.release()


@_check
async def one_reply_fills_several_places(ends: Ends) -> None:
    targets = [await ends.client_arena.take(size) for size in (5000, 70_000, 8)]
    blocks = [await filled(ends.server_arena, target.length, number << 40) for number, target in enumerate(targets)]
    places = [
        Place([ends.exposed().register(target)], block, 0, block.length)
        for target, block in zip(targets, blocks, strict=True)
    ]
    await ends.server.send(Reply([b"three", b" places"], blocks, places))
    await expect(ends.client, b"three places")
    for number, target in enumerate(targets):
        same(target.view, pattern(target.length, number << 40))
        target.release()


@_check
async def an_invalidated_token_is_dead(ends: Ends) -> None:
    target = await filled(ends.client_arena, 4096)
    whole = ends.exposed().register(target)
    into = await ends.server_arena.take(4096)
    await ends.remote().read([whole], into, 4096)
    await ends.server.send(Reply([b"invalidated"], invalidate=whole.token))
    await expect(ends.client, b"invalidated")
    ends.exposed().deregister(whole.token)
    await assert_lost(ends.remote().read([whole], into, 4096), "a read under a dead token")
    into.release()
    target.release()


@_check
async def a_place_outside_what_is_registered_is_lost(ends: Ends) -> None:
    target = await filled(ends.client_arena, 4096)
    whole = ends.exposed().register(target)
    beyond = BufferDescriptor(whole.offset + 4096 * 16, whole.token, 4096)
    block = await filled(ends.server_arena, 4096)
    with contextlib.suppress(Lost):
        await ends.server.send(Reply([b"never seen"], [block], [Place([beyond], block, 0, 4096)]))
    assert await receive_or_lost(ends.client) is None, "the message was seen though its place failed"
    while await receive_or_lost(ends.server) is not None:
        pass
    await assert_lost(ends.server.send(Reply([b"no more"])), "a send after a failed place")
    await settled(ends.server_arena)
    same(target.view, pattern(4096))
    target.release()


@_check
async def descriptors_that_hold_too_little_are_malformed(ends: Ends) -> None:
    source = await filled(ends.client_arena, 4096)
    whole = ends.exposed().register(source)
    into = await ends.server_arena.take(8192)
    empty = BufferDescriptor(whole.offset, whole.token, 0)
    for descriptors, length in (([whole], 4097), ([], 1), ([whole, empty], 4096), ([empty, whole], 8)):
        try:
            await ends.remote().read(descriptors, into, length)
        except Malformed:
            continue
        raise AssertionError(f"{length} bytes of {descriptors} should be Malformed")
    await ends.remote().read([whole], into, 4096)
    same(into.view[:4096], pattern(4096))
    into.release()
    source.release()


@_check
async def nothing_comes_after_a_read_was_cancelled(ends: Ends) -> None:
    source = await filled(ends.client_arena, LARGE)
    whole = ends.exposed().register(source)
    for steps in range(8):
        into = await ends.server_arena.take(LARGE, keep=ends.remote().keep if steps % 2 else None)
        reading = asyncio.ensure_future(ends.remote().read(uneven(whole, SIZES), into, LARGE))
        for _ in range(steps):
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        into.release()  # poisons it; the next take and the end of the check see what is written later
        again = await ends.server_arena.take(LARGE)
        again.release()
    source.release()


@_check
async def nothing_comes_after_the_peer_died_inside_a_read(ends: Ends) -> None:
    source = await filled(ends.client_arena, LARGE)
    whole = ends.exposed().register(source)
    into = await ends.server_arena.take(LARGE, keep=ends.remote().keep)
    reading = asyncio.ensure_future(ends.remote().read(uneven(whole, SIZES), into, LARGE))
    await asyncio.sleep(0)
    await ends.client.close()
    (result,) = await asyncio.gather(reading, return_exceptions=True)
    assert result is None or isinstance(result, Lost), repr(result)
    into.release()
    await ends.server.close()
    (await ends.server_arena.take(LARGE)).release()
    source.release()
