"""What the checks of `transport.testing` share: the two ends, the pattern, and asserts that say what differs."""

import asyncio
import contextlib
from array import array
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from smbdirect.packets import BufferDescriptor
from smbdirect.wire import Buffer

from .base import Connection, Lost, Message, RemoteMemory
from .memory import SMALL, Arena, Block

LARGE = 1 << 20
"""Payload of the checks that need "much"; each end's `max_message` is tried once."""


class ClientMemory(Protocol):
    """How a client lets the server reach memory of its own."""

    def register(self, memory: Block) -> BufferDescriptor:
        """Let the peer read and write all of `memory`."""

    def deregister(self, token: int) -> None:
        """End the peer's access, if the peer has not done so by `invalidate`."""


@dataclass(slots=True)
class Ends:
    """What a check works with."""

    server: Connection
    client: Connection
    memory: ClientMemory | None
    server_arena: Arena
    client_arena: Arena

    def exposed(self) -> ClientMemory:
        assert self.memory is not None
        return self.memory

    def remote(self) -> RemoteMemory:
        assert self.server.remote is not None
        return self.server.remote

    def directions(self) -> list[tuple[Connection, Connection, Arena, Arena]]:
        """(from, to, from's arena, to's arena), both ways."""
        return [
            (self.server, self.client, self.server_arena, self.client_arena),
            (self.client, self.server, self.client_arena, self.server_arena),
        ]


Check = Callable[[Ends], Awaitable[None]]


def pattern(length: int, seed: int = 0) -> bytes:
    """`length` bytes in which each 8-byte word holds its own offset, plus `seed`."""
    return array("Q", range(seed, seed + length + 8, 8)).tobytes()[:length]


async def settled(arena: Arena) -> None:
    """Wait until no block is out: a completion may come after the peer's message."""
    while not arena.idle:  # noqa: ASYNC110 - an arena has no event for it
        await asyncio.sleep(0.001)


async def expect(end: Connection, wanted: Buffer) -> None:
    message = await end.receive()
    assert message is not None, "the connection ended before the message came"
    same(message.view, wanted)
    _check_shape(message)
    message.release()
    message.release()


def _check_shape(message: Message) -> None:
    """`Message`: writable, and in a block when it is larger than SMALL; a transport may mean a little more by that."""
    assert not message.view.readonly, "a message must be writable, it is unsealed in place"
    length, in_a_block = len(message.view), message.block is not None
    allowed = {False} if length <= SMALL else {True} if length > 2 * SMALL else {False, True}
    assert in_a_block in allowed, f"{length} bytes, in a block: {in_a_block}"
    if message.block is not None:
        assert message.block.length == len(message.view)


def same(got: Buffer, wanted: Buffer) -> None:
    assert len(got) == len(wanted), f"{len(got)} bytes came, {len(wanted)} were sent"
    if bytes(got) != bytes(wanted):
        at = next(i for i in range(len(wanted)) if got[i] != wanted[i])
        raise AssertionError(f"byte {at} of {len(wanted)} is {got[at]:#x}, sent was {wanted[at]:#x}")


async def filled(arena: Arena, length: int, seed: int = 0) -> Block:
    block = await arena.take(length)
    block.view[:] = pattern(length, seed)
    return block


async def assert_lost(awaitable: Awaitable[object], what: str) -> None:
    try:
        await awaitable
    except Lost:
        return
    raise AssertionError(f"{what} should be Lost")


async def receive_or_lost(end: Connection) -> Message | None:
    with contextlib.suppress(Lost):
        return await end.receive()
    return None
