"""The project's own client as a load: connections to one share, each with requests in flight, for some seconds."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise

from server.messages.create import Disposition
from server.messages.read_write import ReadResponse
from smbdirect.negotiate import CLIENT_SETTINGS
from smbdirect.packets import BufferDescriptor
from transport import rdma
from transport.memory import Arena
from transport.rdma.connection import RdmaConnection
from transport.tcp import connect, tcp_limits

from .client import Client, File, NtlmLogin, Session, Settings, Windows, split

CREDITS = 8192
"""Asked for, so that no request waits for one."""
Transfer = Callable[[File, int], Awaitable[int]]
"""Moves one block at an offset of the file; how many bytes."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is done: `direction` is "read" or "write", `depth` counts requests in flight on each connection."""

    direction: str
    size: int
    descriptors: int = 1
    depth: int = 8


@asynccontextmanager
async def opened(address: str, over_rdma: bool, arena: Arena, user: str, password: str) -> AsyncIterator[File]:
    """The file `load` of the share `data`, open on a connection of its own."""
    limits = tcp_limits(16 << 20)
    made = rdma.connect(arena, address, settings=CLIENT_SETTINGS) if over_rdma else connect(address, 445, arena, limits)
    client = await Client.negotiate(await made, Settings(credits=CREDITS))
    try:
        session = await Session.login(client, NtlmLogin(user, password))
        tree = await session.connect(rf"\\{address}\data")
        file = await tree.create("load", disposition=Disposition.OPEN_IF)
        yield file
        await file.close()
    finally:
        await client.close()


async def measure(files: Sequence[File], arena: Arena, load: Load, seconds: float) -> float:
    """MB/s over all connections, each request at a place of its own in the file. Raises Lost, Status."""
    async with AsyncExitStack() as stack:
        workers = [
            (file, number, await stack.enter_async_context(_transfer(file, arena, load)))
            for number, file in enumerate(list(files) * load.depth)
        ]
        begun = time.perf_counter()
        moved = await asyncio.gather(*(_repeat(*worker, load.size, begun + seconds) for worker in workers))
        return sum(moved) / (time.perf_counter() - begun) / 1e6


async def _repeat(file: File, number: int, transfer: Transfer, size: int, end: float) -> int:
    moved = 0
    while time.perf_counter() < end:
        moved += await transfer(file, number * size)
    return moved


@asynccontextmanager
async def _transfer(file: File, arena: Arena, load: Load) -> AsyncIterator[Transfer]:
    """How one request of `load` is made, with the memory it needs."""
    connection = file.tree.client.connection
    if not isinstance(connection, RdmaConnection):
        data = bytes(load.size)
        yield _inline(load.size) if load.direction == "read" else lambda file, at: file.write(at, data)
        return
    assert connection.memory is not None
    windows = await Windows.open(connection.memory, arena, [load.size])
    places = cut(windows.descriptors[0], load.descriptors)
    try:
        if load.direction == "read":
            yield lambda file, at: file.read_placed(at, load.size, places)
        else:
            yield lambda file, at: file.write_placed(at, load.size, places)
    finally:
        windows.close()


def _inline(size: int) -> Transfer:
    async def read(file: File, at: int) -> int:
        answer = await file.read_answer(at, size)
        count = len(answer.read(ReadResponse).data)
        answer.release()
        return count

    return read


def cut(whole: BufferDescriptor, count: int) -> list[BufferDescriptor]:
    """`whole` as `count` descriptors of nearly equal length."""
    edges = [whole.length * at // count for at in range(count + 1)]
    return split(whole, [end - start for start, end in pairwise(edges)])
