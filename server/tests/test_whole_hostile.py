"""Anything at all, sent at each stage of a connection: the server answers, refuses or closes, and keeps nothing.

`whole` holds it to never logging a bug of its own and to giving all memory back.
"""

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.client import AnonymousLogin
from server.messages.base import HEADER_SIZE
from server.messages.header import PROTOCOL_ID, TRANSFORM_ID, Command, Flags, Header
from server.messages.session import SessionSetupRequest
from server.server import LOGINS_BEGUN
from server.status import NT
from server.tests.message_samples import REQUESTS
from server.tests.rough import ANONYMOUS, BODIES, STAGES, Line, rough
from server.tests.served import Whole, whole
from transport.memory import SMALL

AT_EACH_STAGE = pytest.mark.parametrize("stage", STAGES)
FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
"""Each example is a whole server's life."""

COMMANDS = [*range(19), 19, 0xFFFF]
MOST = 1 << 20
"""Bytes that no small message may make the server allocate."""
ECHO = b"\4\0\0\0"


def on_a_line(stage: str, test: Callable[[Whole, Line], Awaitable[None]]) -> None:
    async def use() -> None:
        async with whole() as here, rough(here, stage) as line:
            await test(here, line)

    asyncio.run(use())


@AT_EACH_STAGE
@FEW
@given(data=st.data())
def test_any_bytes_are_refused(stage: str, data: st.DataObject) -> None:
    noise = st.binary(max_size=300)
    begun = st.builds(bytes.__add__, st.sampled_from([PROTOCOL_ID, TRANSFORM_ID, b"\xffSMB"]), noise)
    messages = data.draw(st.lists(noise | begun, min_size=1, max_size=3))
    on_a_line(stage, lambda here, line: line.send(*messages))


@AT_EACH_STAGE
@FEW
@given(data=st.data())
def test_any_body_under_a_good_header_is_answered(stage: str, data: st.DataObject) -> None:
    drawn = data.draw(st.lists(st.tuples(st.sampled_from(COMMANDS), st.binary(max_size=120)), min_size=1, max_size=6))

    async def test(here: Whole, line: Line) -> None:
        for command, body in drawn:
            await line.send(line.head(command) + body)

    on_a_line(stage, test)


@AT_EACH_STAGE
@FEW
@given(data=st.data())
def test_requests_with_changed_bytes_are_answered_or_refused(stage: str, data: st.DataObject) -> None:
    picks = data.draw(st.lists(st.integers(0, len(REQUESTS) - 1), min_size=1, max_size=6))
    changes = data.draw(st.lists(st.tuples(st.integers(4, 300), st.integers(0, 255)), max_size=4))

    async def test(here: Whole, line: Line) -> None:
        for pick in picks:
            message = bytearray(line.request(pick))
            for at, value in changes:
                if at < len(message):
                    message[at] = value
            await line.send(bytes(message))

    on_a_line(stage, test)


@AT_EACH_STAGE
@FEW
@given(data=st.data())
def test_chains_with_any_next_command_are_answered_or_refused(stage: str, data: st.DataObject) -> None:
    lengths = [0, 1, 8, 63, 64, 68, 72, 80, 4096, 1 << 31, (1 << 32) - 8]
    steps = data.draw(st.lists(st.sampled_from(lengths), max_size=6))
    flags = data.draw(st.sampled_from([0, Flags.RELATED, Flags.SIGNED, Flags.ASYNC, Flags.RESPONSE, 0xFFFFFFFF]))
    commands = data.draw(st.lists(st.sampled_from(COMMANDS), min_size=6, max_size=6))

    async def test(here: Whole, line: Line) -> None:
        chain = b""
        for step, command in zip(steps, commands, strict=False):
            chain += line.head(command, next_command=step, flags=flags) + ECHO + bytes(4)
        await line.send(chain + line.head(Command.ECHO) + ECHO)

    on_a_line(stage, test)


@pytest.mark.parametrize("stage", ["negotiated", "logged on"])
def test_every_request_is_answered_or_refused_with_each_word_of_its_body_a_lie(stage: str) -> None:
    """The length that lies is among them: nothing is allocated for it."""

    async def lie(line: Line, number: int) -> None:
        for at in range(0, min(len(BODIES[number]), 64), 4):
            lying = bytearray(line.request(number))
            lying[HEADER_SIZE + at : HEADER_SIZE + at + 4] = b"\xf0\xff\xff\x7f"
            await line.send(bytes(lying))

    async def use() -> None:
        async with whole() as here:
            for number in range(len(REQUESTS)):
                async with rough(here, stage) as line:
                    tracemalloc.start()
                    await lie(line, number)
                    peak = tracemalloc.get_traced_memory()[1]
                    tracemalloc.stop()
                    assert peak < MOST, f"{type(REQUESTS[number]).__name__}: {peak} bytes"

    asyncio.run(use())


@pytest.mark.parametrize("stage", ["negotiated", ANONYMOUS])
@pytest.mark.parametrize("first", [SMALL - 1, SMALL, SMALL + 1, 1 << 20])
def test_a_stranger_may_send_small_messages_alone(first: int, stage: str) -> None:
    async def test(here: Whole, line: Line) -> None:
        await line.send(line.head(Command.ECHO) + ECHO + bytes(first - HEADER_SIZE - len(ECHO)))
        assert line.ended == (first > SMALL)
        assert here.messages.mapped == 0, "nothing was taken for it"

    on_a_line(stage, test)


def test_a_large_message_is_taken_once_somebody_has_logged_on() -> None:
    async def test(here: Whole, line: Line) -> None:
        await line.send(line.head(Command.ECHO) + ECHO + bytes(1 << 20))
        assert not line.ended
        assert len(line.heard) == 1

    on_a_line("logged on", test)


def test_a_chain_of_cancels_is_carried_out_and_answered_by_nothing() -> None:
    async def test(here: Whole, line: Line) -> None:
        cancel = Header(command=Command.CANCEL, next_command=72, message_id=1, session_id=line.session).pack()
        await line.send((cancel + ECHO + bytes(4)) * 20_000 + line.head(Command.ECHO) + ECHO)
        assert len(line.heard) == 1

    on_a_line("logged on", test)


def test_a_chain_longer_than_the_credits_ends_the_connection() -> None:
    async def test(here: Whole, line: Line) -> None:
        echoes = [line.head(Command.ECHO, next_command=72) + ECHO + bytes(4) for _ in range(10_000)]
        await line.send(b"".join(echoes) + line.head(Command.ECHO) + ECHO)
        assert line.ended

    on_a_line("logged on", test)


def test_a_sealed_message_cut_short_or_changed_ends_the_connection() -> None:
    async def use() -> None:
        async with whole() as here:
            for at in range(0, 220, 9):
                for change in (
                    lambda good, at: good[:at],
                    lambda good, at: good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1 :],
                ):
                    async with rough(here, "sealed") as line:
                        good = line.seal(line.head(Command.ECHO) + ECHO + bytes(150))
                        await line.send(change(good, at))
                        assert line.ended or at in (36, 45), at

    asyncio.run(use())


def test_what_was_sealed_may_not_hold_a_sealed_message() -> None:
    async def test(here: Whole, line: Line) -> None:
        line.seals = False
        await line.send(line.seal(line.seal(line.head(Command.ECHO) + ECHO)))
        assert line.ended

    on_a_line("sealed", test)


@pytest.mark.parametrize("command", [command for command in range(1, 19) if command != Command.CANCEL])
def test_nothing_may_come_before_negotiate(command: int) -> None:
    async def test(here: Whole, line: Line) -> None:
        number = next(at for at, request in enumerate(REQUESTS) if command == request.COMMAND)
        await line.send(line.request(number))
        assert line.ended
        assert not line.heard

    on_a_line("before negotiate", test)


@AT_EACH_STAGE
def test_an_unknown_command_is_refused(stage: str) -> None:
    async def test(here: Whole, line: Line) -> None:
        await line.send(line.head(77) + ECHO)
        if stage == "logged on":
            assert Header.unpack_from(memoryview(line.heard[0])).status == NT.INVALID_PARAMETER

    on_a_line(stage, test)


def test_logins_begun_and_left_keep_no_more_than_a_few_sessions() -> None:
    async def test(here: Whole, line: Line) -> None:
        begin = b"".join(SessionSetupRequest(token=AnonymousLogin.NEGOTIATE).parts())
        for _ in range(30):
            await line.send(line.head(Command.SESSION_SETUP) + begin)
        assert len(here.server.sessions) == LOGINS_BEGUN
        assert Header.unpack_from(memoryview(line.heard[-1])).status == NT.INSUFFICIENT_RESOURCES

    on_a_line("negotiated", test)
