"""The whole server as one target: messages on a connection at some stage; whatever they are, no bug is logged.

An input is a byte for the stage and then messages, each behind its length in two bytes. An SMB2 message gets the
session, tree and message id of its connection, so that it is the rest of it that is hunted with. Connections are
used for many inputs and then left; the server must have given everything back by then.
"""

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

from server.messages.base import HEADER_SIZE
from server.messages.header import PROTOCOL_ID
from server.tests.message_samples import FILE_ID, REQUESTS
from server.tests.rough import BODIES, STAGES, Line, rough
from server.tests.served import Whole, whole

INPUTS = 200
"""Inputs on one connection."""


class Bug(AssertionError):
    """The server logged a bug of its own."""


class Listening(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.bugs: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.bugs.append(self.format(record))


class Hunt:
    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        self.listening = Listening()
        logging.getLogger("smbdirect").addHandler(self.listening)
        self.lines: dict[str, tuple[Line, AsyncExitStack, int]] = {}
        self.here: Whole = self.run(self.stack.enter_async_context(whole()))

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    async def line(self, stage: str) -> Line:
        """A connection at `stage`, perhaps used before."""
        line, stack, used = self.lines.pop(stage, (None, None, 0))
        if line is None or stack is None or line.ended or used >= INPUTS:
            if stack is not None:
                await stack.aclose()
                if not self.lines:
                    await self._clear()
            stack = AsyncExitStack()
            line, used = await stack.enter_async_context(rough(self.here, stage)), 0
        self.lines[stage] = line, stack, used + 1
        return line

    async def _clear(self) -> None:
        """Nobody is connected."""
        await asyncio.gather(*self.here.serving)
        self.here.assert_nothing_kept()
        for ended in (self.here.serving, self.here.near, self.here.far):
            ended.clear()

    async def send(self, data: bytes) -> None:
        line = await self.line(STAGES[data[0] % len(STAGES)])
        for message in cut(data[1:]):
            await line.send(addressed(line, message))
        line.heard.clear()


def cut(data: bytes) -> list[bytes]:
    """The messages of an input."""
    found = []
    while len(data) > 2:
        end = 2 + int.from_bytes(data[:2], "little")
        found.append(data[2:end])
        data = data[end:]
    return found


def addressed(line: Line, message: bytes) -> bytes:
    """`message` with what this connection must say for it to be looked at."""
    if message[:4] != PROTOCOL_ID or len(message) < HEADER_SIZE:
        return message
    right = line.head(0)
    message = message[:24] + right[24:32] + message[32:36] + right[36:48] + message[48:]
    return message.replace(FILE_ID, line.file)


_hunt: Hunt | None = None


def one_input(data: bytes) -> None:
    """Send an input; raises Bug."""
    global _hunt
    if _hunt is None:
        _hunt = Hunt()
    if data:
        _hunt.run(_hunt.send(data))
    if _hunt.listening.bugs:
        raise Bug(_hunt.listening.bugs.pop())


def _seeds() -> list[bytes]:
    line = Line.__new__(Line)
    line.session = line.tree = line.next = 0
    seeds = []
    for stage in range(len(STAGES)):
        for request, body in zip(REQUESTS, BODIES, strict=True):
            message = line.head(request.COMMAND) + body
            seeds.append(bytes((stage,)) + len(message).to_bytes(2, "little") + message)
    return seeds


SEEDS = _seeds()
