"""What a TCP connection's endings cost: deadlines, memory that must be waited for, peers that go away."""

import asyncio
import socket

import pytest

from transport.base import Lost, Reply
from transport.tcp_connection import SHARE
from transport.testing import pattern

from .tcp_peer import Peer, framed, run

# -- deadlines -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [b"\0", b"\0\0\0\x10half", (1 << 20).to_bytes(4, "big") + bytes(70_000)])
def test_a_message_that_stops_arriving_loses_its_connection_and_block(start: bytes) -> None:
    async def script(other: Peer) -> None:
        await other.say(start)
        with pytest.raises(Lost, match="stopped arriving"):
            await other.connection.receive()
        with pytest.raises(Lost):
            await other.connection.send(Reply([b"x"]))

    run(script, deadline=0.01)


def test_silence_between_messages_is_no_fault() -> None:
    async def script(other: Peer) -> None:
        for byte in framed(b"slow"):  # sets the limit, and the last byte lifts it
            await other.say(bytes([byte]))
        await other.expect(b"slow")
        receiving = asyncio.ensure_future(other.connection.receive())
        await asyncio.wait([receiving], timeout=0.04)
        assert not receiving.done()
        await other.say(framed(b"here"))
        message = await receiving
        assert message is not None

    run(script, deadline=0.01)


def test_a_peer_that_stops_receiving_is_lost_and_the_blocks_come_back() -> None:
    async def script(other: Peer) -> None:
        async def send_for_ever() -> None:
            while True:
                block = await other.arena.take(4 << 20)
                block.view[:100] = bytes(100)
                await other.connection.send(Reply([block.view], [block]))

        with pytest.raises(Lost, match="stopped receiving"):
            await send_for_ever()
        assert other.arena.idle

    run(script, deadline=0.02)


# -- memory that must be waited for --------------------------------------------------------------------------------


def test_waiting_for_memory_is_not_the_peers_fault() -> None:
    async def script(other: Peer) -> None:
        held = await other.arena.take(900_000)
        await other.say(framed(pattern(500_000)))
        receiving = asyncio.ensure_future(other.connection.receive())
        await asyncio.wait([receiving], timeout=0.05)
        assert not receiving.done()
        held.release()
        message = await receiving
        assert message is not None
        assert bytes(message.view) == pattern(500_000)
        message.release()

    run(script, deadline=0.03, limit=1 << 20)


@pytest.mark.parametrize("closing", [True, False])
def test_a_connection_that_ends_while_it_waits_for_memory_ends_at_once(closing: bool) -> None:
    async def script(other: Peer) -> None:
        held = await other.arena.take(900_000)
        await other.say((500_000).to_bytes(4, "big"))
        receiving = asyncio.ensure_future(other.connection.receive())
        for _ in range(8):
            await asyncio.sleep(0)
        if closing:
            await other.connection.close()
            assert await receiving is None
        else:
            other.connection._lose("the network is gone")
            with pytest.raises(Lost, match="network"):
                await receiving
        held.release()

    run(script, limit=1 << 20)


def test_a_receive_cancelled_inside_a_large_message_loses_the_connection_and_no_block() -> None:
    async def script(other: Peer) -> None:
        await other.say((1 << 20).to_bytes(4, "big") + bytes(100_000))
        receiving = asyncio.ensure_future(other.connection.receive())
        while not other.arena.used:  # noqa: ASYNC110 - the block is taken in the course of receiving
            await asyncio.sleep(0)
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        assert other.arena.idle
        with pytest.raises(Lost):
            await other.connection.receive()

    run(script)


def test_a_connection_has_a_share_so_that_unread_messages_hold_it_back() -> None:
    async def script(other: Peer) -> None:
        assert other.connection._share.limit == SHARE
        other.connection._share.limit = 1 << 20
        saying = asyncio.ensure_future(other.say(framed(pattern(900_000)) * 2))
        first = await other.connection.receive()
        receiving = asyncio.ensure_future(other.connection.receive())
        await asyncio.wait([receiving], timeout=0.02)
        assert first is not None
        assert not receiving.done()
        first.release()
        second = await receiving
        assert second is not None
        second.release()
        await saying

    run(script)


# -- endings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [b"\0", framed(b"hello")[:-1], (1 << 20).to_bytes(4, "big") + bytes(70_000)])
def test_a_peer_that_closes_inside_a_message_is_lost(start: bytes) -> None:
    async def script(other: Peer) -> None:
        await other.say(start)
        other.socket.close()
        with pytest.raises(Lost, match="inside a message"):
            await other.connection.receive()

    run(script)


def test_what_came_before_the_peer_closed_is_still_received() -> None:
    async def script(other: Peer) -> None:
        await other.say(framed(b"last words"))
        other.socket.close()
        await other.expect(b"last words")
        assert await other.connection.receive() is None
        assert await other.connection.receive() is None

    run(script)


def test_a_reset_is_lost_for_receive_and_for_every_waiting_send() -> None:
    async def script(other: Peer) -> None:
        async def send() -> None:
            for _ in range(20):
                block = await other.arena.take(1 << 20)
                block.view[:] = pattern(1 << 20)
                await other.connection.send(Reply([block.view], [block]))

        sends = [asyncio.ensure_future(send()) for _ in range(2)]
        for _ in range(4):
            await asyncio.sleep(0)
        other.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        other.socket.close()
        with pytest.raises(Lost):
            await other.connection.receive()
        results = await asyncio.gather(*sends, return_exceptions=True)
        assert [type(result) for result in results] == [Lost, Lost]
        assert other.arena.idle

    run(script)
