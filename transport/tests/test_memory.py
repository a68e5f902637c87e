"""Arenas, shares and blocks: who waits, in which order, and that nothing is lost."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.kept import Keep
from transport.memory import HEADROOM, PAGE, TAILROOM, Arena, Block, Share, Slab

SLAB = 64 * PAGE


def arena(slabs: int = 1) -> Arena:
    return Arena(limit=slabs * SLAB, slab=SLAB, poison=True)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(coroutine)


def taken(memory: Arena, length: int, share: Share | None = None) -> Block:
    block = memory.take_nowait(length, share)
    assert block is not None
    return block


def test_a_block_starts_on_a_page_and_has_room_around_it() -> None:
    memory = arena()
    block = taken(memory, 5000)
    assert block.address % PAGE == 0
    assert len(block.view) == block.length == 5000
    block.view[:] = b"p" * 5000
    around = block.around(HEADROOM, TAILROOM)
    assert len(around) == HEADROOM + 5000 + TAILROOM
    assert around[HEADROOM:-TAILROOM] == block.view
    around[:HEADROOM] = b"h" * HEADROOM
    around[-TAILROOM:] = b"t" * TAILROOM
    assert block.view == b"p" * 5000
    assert (memory.blocks, memory.mapped, memory.used) == (1, SLAB, 3 * PAGE)
    block.release()
    assert (memory.blocks, memory.mapped, memory.used) == (0, SLAB, 0)
    assert memory.idle


def test_room_beyond_the_block_is_our_bug() -> None:
    block = taken(arena(), 1)
    for before, after in ((HEADROOM + 1, 0), (0, TAILROOM + 1)):
        with pytest.raises(AssertionError):
            block.around(before, after)


def test_neighbours_do_not_overlap_with_all_their_room() -> None:
    memory = arena()
    blocks = [taken(memory, length) for length in (1, PAGE - TAILROOM, PAGE, PAGE + 1, 3)]
    for number, block in enumerate(blocks):
        block.around(HEADROOM, TAILROOM)[:] = bytes([number]) * (HEADROOM + block.length + TAILROOM)
    for number, block in enumerate(blocks):
        assert set(block.around(HEADROOM, TAILROOM)) == {number}


def test_a_block_released_twice_is_our_bug() -> None:
    block = taken(arena(), 1)
    block.release()
    with pytest.raises(AssertionError, match="released twice"):
        block.release()


def test_a_view_kept_past_release_reads_poison() -> None:
    memory = arena()
    block = taken(memory, 100)
    view = block.view
    view[:] = bytes(100)
    block.release()
    assert view == b"\xdb" * 100


def test_a_write_after_release_is_found_when_the_memory_is_taken_again() -> None:
    memory = arena()
    block = taken(memory, 100)
    view = block.view
    block.release()
    view[50] = 0
    with pytest.raises(AssertionError, match="written after"):
        memory.take_nowait(100)


def test_slabs_come_when_needed_and_are_told_before_their_first_block() -> None:
    memory, seen, later = arena(3), list[Slab](), list[Slab]()
    stop = memory.on_slab(seen.append)
    assert seen == []
    first = taken(memory, SLAB - 2 * PAGE)
    assert seen == [first.slab]
    memory.on_slab(later.append)
    assert later == seen
    stop()
    second = taken(memory, SLAB - 2 * PAGE)
    assert seen == [first.slab]
    assert later == [first.slab, second.slab]
    assert second.slab.index == 1
    assert second.slab.address <= second.address < second.slab.address + second.slab.size


def test_a_request_larger_than_a_slab_gets_one_of_its_own() -> None:
    memory = arena(4)
    block = taken(memory, 2 * SLAB)
    assert block.slab.size >= 2 * SLAB
    block.release()
    assert memory.idle


def test_more_than_the_limit_waits_until_nothing_else_is_out_and_is_then_had() -> None:
    async def main() -> None:
        memory = arena()
        small = taken(memory, 1)
        waiting = asyncio.ensure_future(memory.take(4 * SLAB))
        await settle()
        assert not waiting.done()
        small.release()
        (await waiting).release()
        assert memory.idle

    run(main())


def test_several_at_once_get_all_or_wait_holding_nothing() -> None:
    async def main() -> None:
        memory = arena()
        half = SLAB // 2
        held = taken(memory, half)
        waiting = asyncio.ensure_future(memory.take_all([half // 2, half]))
        await settle()
        assert not waiting.done()
        assert memory.used == (half // PAGE + 2) * PAGE
        held.release()
        for block in await waiting:
            block.release()
        assert memory.idle
        assert await memory.take_all([]) == []

    run(main())


def test_first_come_first_served_though_a_later_one_would_fit() -> None:
    async def main() -> None:
        memory = arena()
        held = taken(memory, SLAB // 2)
        large = asyncio.ensure_future(memory.take(SLAB * 3 // 4))
        await settle()
        small = asyncio.ensure_future(memory.take(1))
        await settle()
        assert not small.done()
        assert memory.take_nowait(1) is None
        held.release()
        (await large).release()
        (await small).release()

    run(main())


def test_a_share_used_up_waits_in_its_own_line() -> None:
    async def main() -> None:
        memory, share = arena(), Share(10 * PAGE)
        first = taken(memory, 8 * PAGE, share)
        second = asyncio.ensure_future(memory.take(4 * PAGE, share))
        await settle()
        assert not second.done()
        assert memory.take_nowait(1, share) is None, "behind the one that waits"
        other = taken(memory, 4 * PAGE)
        assert not second.done()
        first.release()
        (await second).release()
        other.release()
        assert share.used == 0
        assert memory.idle

    run(main())


def test_one_request_larger_than_its_share_is_let_through_alone() -> None:
    async def main() -> None:
        memory, share = arena(), Share(PAGE)
        large = taken(memory, 8 * PAGE, share)
        waiting = asyncio.ensure_future(memory.take(8 * PAGE, share))
        await settle()
        assert not waiting.done()
        large.release()
        (await waiting).release()

    run(main())


def test_a_waiter_cancelled_in_either_line_is_passed_over() -> None:
    async def main() -> None:
        memory, share = arena(), Share(SLAB // 2)
        held = taken(memory, SLAB // 2, share)
        waiting = [
            asyncio.ensure_future(memory.take(length, part))
            for length, part in ((PAGE, share), (SLAB * 3 // 4, None), (SLAB // 4, None), (PAGE, share))
        ]
        await settle()
        waiting[0].cancel()
        waiting[1].cancel()
        await settle()
        (await waiting[2]).release()
        held.release()
        (await waiting[3]).release()
        assert share.used == 0
        assert memory.idle

    run(main())


def test_a_waiter_cancelled_after_its_grant_gives_the_block_back() -> None:
    async def main() -> None:
        memory, share = arena(), Share(SLAB)
        held = taken(memory, SLAB // 2)
        waiting = asyncio.ensure_future(memory.take(SLAB // 2, share))
        await settle()
        held.release()  # grants; the waiter has not run yet
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert waiting.cancelled()
        assert memory.idle
        assert share.used == 0

    run(main())


def test_a_waiter_cancelled_while_its_share_is_counted_returns_the_share() -> None:
    async def main() -> None:
        memory, share = arena(), Share(SLAB)
        held = taken(memory, SLAB * 3 // 4)
        waiting = [asyncio.ensure_future(memory.take(SLAB // 2, share)) for _ in range(3)]
        await settle()
        waiting[0].cancel()
        await settle()
        held.release()
        (await waiting[1]).release()
        (await waiting[2]).release()
        assert share.used == 0

    run(main())


def test_a_closed_arena_takes_back_what_is_still_out() -> None:
    memory = arena()
    block = taken(memory, 100)
    memory.close()
    block.view[:] = bytes(100)
    block.release()
    assert memory.idle


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 2 * SLAB)), max_size=40))
def test_whatever_is_taken_waited_for_and_cancelled_the_arena_ends_idle(steps: list[tuple[int, int]]) -> None:
    async def main() -> None:
        memory, shares = Arena(limit=2 * SLAB, slab=SLAB), [Share(SLAB // 2), Share(SLAB)]
        tasks: list[asyncio.Task[list[Block]]] = []
        known: set[int] = set()
        keep = Keep(SLAB, known.discard)

        async def again(length: int, share: Share | None) -> list[Block]:
            block = await memory.take(length, share, keep)
            known.add(block.address)
            return [block]

        for action, number in steps:
            if action == 0 and number % 2:
                tasks.append(asyncio.create_task(again(number, (*shares, None)[number % 3])))
            elif action < 2:
                lengths = [number, number % 5000 + 1][: action + 1]
                share = (*shares, None)[number % 3]
                tasks.append(asyncio.create_task(memory.take_all(lengths, share)))
            elif tasks:
                task = tasks.pop(number % len(tasks))
                if task.done():
                    for block in task.result():
                        block.release()
                else:
                    task.cancel()
            if action == 3:
                await asyncio.sleep(0)
        while tasks:
            done = next((task for task in tasks if task.done()), None)
            if done is None:
                await asyncio.sleep(0)
                continue
            tasks.remove(done)
            for block in done.result():
                block.release()
        await asyncio.sleep(0)
        assert memory.kept == keep.idle
        memory.end(keep)
        assert memory.idle
        assert not known, "memory went to others before its keep forgot it"
        assert [share.used for share in shares] == [0, 0]

    run(main())
