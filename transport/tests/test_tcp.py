"""TCP framing against a plain socket: what is cut out of the stream, what is refused, and what endings cost."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smbdirect.wire import Malformed
from transport.base import Lost, Reply
from transport.memory import SMALL, Arena
from transport.tcp import tcp_limits
from transport.tcp_connection import MAX_MESSAGE, SHARE, UNTRUSTED, TcpConnection
from transport.testing import pattern

Script = Callable[["Peer"], Awaitable[None]]


@dataclass
class Peer:
    """A connection under test and the plain socket at its other end."""

    connection: TcpConnection
    socket: socket.socket
    arena: Arena

    async def say(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def hear(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += await asyncio.get_running_loop().sock_recv(self.socket, count - len(data))
        return data

    async def expect(self, wanted: bytes) -> None:
        message = await self.connection.receive()
        assert message is not None
        assert bytes(message.view) == wanted
        message.release()


def framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload


@asynccontextmanager
async def peer(deadline: float = 60.0, limit: int = 64 << 20, trusted: bool = True) -> AsyncIterator[Peer]:
    arena = Arena(limit=limit, slab=1 << 20, poison=True)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        other = socket.create_connection(listening.getsockname())
        sock, _ = listening.accept()
    other.setblocking(False)
    connection = TcpConnection(sock, arena, tcp_limits(1 << 20), deadline)
    if trusted:
        connection.trust(MAX_MESSAGE)
    with other:
        yield Peer(connection, other, arena)
        await connection.close()
    assert arena.idle


def run(script: Script, **options: float | bool) -> None:
    async def main() -> None:
        async with asyncio.timeout(20), peer(**options) as other:  # type: ignore[arg-type]
            await script(other)

    asyncio.run(main())


# -- framing -------------------------------------------------------------------------------------------------------


def test_a_message_dribbled_byte_by_byte_arrives_whole() -> None:
    async def script(other: Peer) -> None:
        for byte in framed(b"hello") + framed(b"again"):
            receiving = asyncio.ensure_future(other.connection.receive())
            await other.say(bytes([byte]))
            for _ in range(6):
                await asyncio.sleep(0)
            if receiving.done():
                message = receiving.result()
                assert message is not None
                assert bytes(message.view) in (b"hello", b"again")
            else:
                receiving.cancel()
                await asyncio.gather(receiving, return_exceptions=True)

    run(script)


@given(st.lists(st.sampled_from([1, 5, 100, 4000, SMALL - 1, SMALL, SMALL + 1, 200_000]), max_size=12), st.data())
def test_messages_cut_anywhere_arrive_whole(sizes: list[int], data: st.DataObject) -> None:
    stream = b"".join(framed(pattern(size)) for size in sizes)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))

    async def script(other: Peer) -> None:
        async def say() -> None:
            for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
                await other.say(stream[start:end])
                await asyncio.sleep(0)

        saying = asyncio.ensure_future(say())
        for size in sizes:
            await other.expect(pattern(size))
        await saying

    run(script)


def test_many_small_requests_cost_one_read() -> None:
    async def script(other: Peer) -> None:
        reads = 0
        real = other.connection._socket

        class Counting:
            def recv_into(self, view: memoryview) -> int:
                nonlocal reads
                reads += 1
                return real.recv_into(view)

            def close(self) -> None:
                real.close()

        other.connection._socket = Counting()  # type: ignore[assignment]
        await other.say(framed(b"r" * 100) * 100)
        for _ in range(100):
            await other.expect(b"r" * 100)
        assert reads == 1

    run(script)


def test_a_keep_alive_is_skipped() -> None:
    async def script(other: Peer) -> None:
        await other.say(b"\x85\0\0\0" * 3 + framed(b"after") + b"\x85\0\0\0")
        await other.expect(b"after")

    run(script)


def test_a_session_request_is_answered_and_the_session_goes_on() -> None:
    async def script(other: Peer) -> None:
        await other.say(b"\x81\0\0\x44" + bytes(68) + framed(b"negotiate"))
        await other.expect(b"negotiate")
        assert await other.hear(4) == b"\x82\0\0\0"

    run(script)


@pytest.mark.parametrize("head", ["00000000", "01000005", "82000000", "81000201", "85010000", "ff534d42", "80000001"])
def test_another_packet_type_or_an_empty_message_is_malformed(head: str) -> None:
    async def script(other: Peer) -> None:
        await other.say(bytes.fromhex(head) + bytes(64))
        with pytest.raises(Malformed):
            await other.connection.receive()

    run(script)


@given(st.binary(max_size=300))
def test_any_bytes_are_messages_or_malformed_or_lost(data: bytes) -> None:
    async def script(other: Peer) -> None:
        await other.say(data)
        other.socket.close()
        try:
            while (message := await other.connection.receive()) is not None:
                message.release()
        except (Malformed, Lost):
            pass

    run(script)


# -- limits --------------------------------------------------------------------------------------------------------


def test_a_stranger_may_send_small_messages_only_and_a_large_one_costs_nothing() -> None:
    async def script(other: Peer) -> None:
        await other.say(framed(bytes(UNTRUSTED)))
        await other.expect(bytes(UNTRUSTED))
        await other.say((UNTRUSTED + 1).to_bytes(4, "big"))
        with pytest.raises(Malformed, match="allowed"):
            await other.connection.receive()
        assert other.arena.slabs == []

    run(script, trusted=False)


def test_trust_while_a_receive_waits_holds_for_the_next_message() -> None:
    async def script(other: Peer) -> None:
        receiving = asyncio.ensure_future(other.connection.receive())
        await asyncio.sleep(0)
        other.connection.trust(1 << 20)
        await other.say(framed(pattern(SMALL)) + framed(pattern(1 << 20)) + ((1 << 20) + 1).to_bytes(4, "big"))
        message = await receiving
        assert message is not None
        assert bytes(message.view) == pattern(SMALL)
        await other.expect(pattern(1 << 20))
        with pytest.raises(Malformed):
            await other.connection.receive()

    run(script)


def test_limits_fit_the_24_bit_length_with_all_heads() -> None:
    assert tcp_limits(1 << 20).max_read_write == 1 << 20
    assert tcp_limits((1 << 20) + 5).max_read_write == 1 << 20
    largest = tcp_limits(16 << 20).max_read_write
    assert largest == 255 * 65536
    assert largest + 52 + 64 + 48 <= MAX_MESSAGE


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


# -- sending -------------------------------------------------------------------------------------------------------


def test_a_reply_is_one_call() -> None:
    async def script(other: Peer) -> None:
        calls: list[int] = []
        real = other.connection._socket

        class Counting:
            def sendmsg(self, parts: list[bytes]) -> int:
                calls.append(len(parts))
                return real.sendmsg(parts)

            def close(self) -> None:
                real.close()

        other.connection._socket = Counting()  # type: ignore[assignment]
        await other.connection.send(Reply([b"head", b"data"]))
        assert calls == [3]
        assert await other.hear(12) == framed(b"headdata")

    run(script)


@pytest.mark.parametrize("most", [1, 3, 7])
def test_a_socket_that_takes_little_at_a_time_gets_every_byte_once(most: int) -> None:
    async def script(other: Peer) -> None:
        real = other.connection._socket

        class Stingy:
            """Takes `most` bytes in every second call, nothing in the others."""

            turn = 0

            def sendmsg(self, parts: list[memoryview]) -> int:
                self.turn += 1
                if self.turn % 2:
                    raise BlockingIOError
                return real.send(b"".join(bytes(part) for part in parts)[:most])

            def close(self) -> None:
                real.close()

        other.connection._socket = Stingy()  # type: ignore[assignment]
        first = other.connection.send(Reply([b"one", b"", b"message"]))
        second = other.connection.send(Reply([b"and", b"another"]))
        wanted = framed(b"onemessage") + framed(b"andanother")
        _, _, heard = await asyncio.gather(first, second, other.hear(len(wanted)))
        assert heard == wanted

    run(script)
