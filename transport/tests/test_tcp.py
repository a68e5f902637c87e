"""TCP framing against a plain socket: what is cut out of the stream, what is refused, and how replies leave."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smbdirect.wire import Malformed
from transport.base import Lost, Place, Reply
from transport.memory import SMALL
from transport.outgoing import MOST_GATHERED, SMALL_ANSWER
from transport.tcp import tcp_limits
from transport.tcp_connection import AHEAD, COPIED, ENOUGH, MAX_MESSAGE, UNTRUSTED
from transport.testing import pattern

from .tcp_peer import Peer, framed, run

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


def test_the_end_of_a_large_message_and_a_small_one_behind_it_are_not_waited_for() -> None:
    """While a large message arrives the socket wakes for much at a time: not for its last bytes, nor ever after."""

    async def script(other: Peer) -> None:
        large = framed(pattern(2 * ENOUGH + 3))
        receiving = asyncio.ensure_future(other.connection.receive())
        for start in range(0, len(large), ENOUGH // 2):
            await other.say(large[start : start + ENOUGH // 2])
        message = await receiving
        assert message is not None
        assert bytes(message.view) == pattern(2 * ENOUGH + 3)
        message.release()
        receiving = asyncio.ensure_future(other.connection.receive())
        await asyncio.sleep(0)
        await other.say(framed(b"x"))
        message = await receiving
        assert message is not None
        assert bytes(message.view) == b"x"

    run(script)


def test_writes_of_64_kib_are_read_ahead_and_take_no_block() -> None:
    """Sealed ones too; behind a larger message so much is not read ahead, for all of it would be copied."""
    size = COPIED - 4

    async def script(other: Peer) -> None:
        reads: list[int] = []
        receive = other.connection._recv_into

        def count(view: memoryview) -> int | None:
            got = receive(view)
            reads.append(len(view))
            return got

        other.connection._recv_into = count  # type: ignore[method-assign]
        saying = asyncio.ensure_future(other.say((framed(pattern(size)) + framed(pattern(3 * SMALL))) * 2))
        for _ in range(2):
            message = await other.connection.receive()
            assert message is not None
            assert bytes(message.view) == pattern(size)
            assert message.block is None
            await other.expect(pattern(3 * SMALL))
            reads.clear()
        receiving = asyncio.ensure_future(other.connection.receive())
        await saying
        await other.say(framed(b"x"))
        message = await receiving
        assert message is not None
        assert reads[0] == SMALL

    run(script)


def test_a_connection_that_waits_keeps_no_buffer() -> None:
    """260 KiB each would be much for a thousand that are idle."""

    async def script(other: Peer) -> None:
        for _ in range(2):
            await other.say(framed(b"one") + framed(pattern(COPIED)) + framed(b"last")[:5])
            await other.expect(b"one")
            await other.expect(pattern(COPIED))
            receiving = asyncio.ensure_future(other.connection.receive())
            await asyncio.sleep(0)
            assert len(other.connection._buffer) == AHEAD
            await other.say(b"ast")
            message = await receiving
            assert message is not None
            assert bytes(message.view) == b"last"
            receiving = asyncio.ensure_future(other.connection.receive())
            await asyncio.sleep(0)
            assert not other.connection._buffer
            await other.say(framed(b"more"))
            message = await receiving
            assert message is not None
            assert bytes(message.view) == b"more"

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


def test_a_second_session_request_is_malformed_so_that_answers_cannot_pile_up() -> None:
    async def script(other: Peer) -> None:
        await other.say(b"\x81\0\0\0" * 2)
        with pytest.raises(Malformed, match="second"):
            await other.connection.receive()

    run(script)


def test_a_peer_that_never_stops_sending_gets_its_turn_and_no_more() -> None:
    async def script(other: Peer) -> None:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        saying = asyncio.ensure_future(other.say(b"\x85\0\0\0" * 100_000 + framed(b"end")))
        counting = asyncio.ensure_future(count())
        await other.expect(b"end")
        assert turns >= 400_000 // AHEAD
        counting.cancel()
        await asyncio.gather(saying, counting, return_exceptions=True)

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


@pytest.mark.parametrize(
    ("requests", "size", "calls"),
    [(1, 10, 1), (3, 10, 1), (MOST_GATHERED + 1, 10, 1), (MOST_GATHERED + 2, 10, 2), (3, SMALL_ANSWER + 1, 3)],
)
def test_small_answers_to_requests_that_were_read_together_leave_together(requests: int, size: int, calls: int) -> None:
    async def script(other: Peer) -> None:
        real, sent = other.connection._socket, list[int]()

        class Counting:
            def recv_into(self, view: memoryview) -> int:
                return real.recv_into(view)

            def sendmsg(self, parts: list[bytes]) -> int:
                sent.append(real.sendmsg(parts))
                return sent[-1]

            def close(self) -> None:
                real.close()

        other.connection._socket = Counting()  # type: ignore[assignment]
        await other.say(framed(b"request") * requests)
        answers = [bytes([number]) * size for number in range(requests)]
        for answer in answers:
            await other.expect(b"request")
            await other.connection.send(Reply([answer[:5], answer[5:]]))
        assert len(sent) == calls, "or an answer waits for a request that has not come"
        assert await other.hear(requests * (4 + size)) == b"".join(map(framed, answers))

    run(script)


def test_an_answer_waits_for_no_further_request_to_be_taken() -> None:
    async def script(other: Peer) -> None:
        await other.say(framed(b"one") + framed(b"other"))
        await other.expect(b"one")
        await other.connection.send(Reply([b"answer"]))
        assert await other.hear(10) == framed(b"answer")
        await other.expect(b"other")

    run(script)


def test_answers_leave_before_a_message_is_waited_for_and_before_the_end() -> None:
    async def script(other: Peer) -> None:
        await other.say(framed(b"one") + framed(b"other") + framed(b"last"))
        await other.expect(b"one")
        await other.connection.send(Reply([b"1"]))
        await other.expect(b"other")
        receiving = other.connection.receive()
        await receiving
        await other.connection.close()
        assert await other.hear(5) == framed(b"1")

    run(script)


def test_a_reply_that_tcp_cannot_carry_is_our_bug_and_keeps_no_block() -> None:
    async def script(other: Peer) -> None:
        for size, places in ((MAX_MESSAGE + 1, False), (1, True)):
            block = await other.arena.take(size)
            reply = Reply([block.view], [block], [Place([], block, 0, 0)] if places else [])
            with pytest.raises(AssertionError):
                await other.connection.send(reply)
            assert other.arena.idle

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
