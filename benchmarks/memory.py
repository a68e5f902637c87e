"""What a server keeps in memory: at rest, for each connection that does nothing, and for each open file."""

import asyncio
import time
from contextlib import AsyncExitStack, ExitStack
from functools import partial

from server.messages.create import Disposition
from server.testing import PASSWORD, Ours, Running, Samba, names
from transport.memory import Arena
from transport.tcp import connect, tcp_limits

from . import processes
from .beside import Servers, attempt, start
from .client import Client, NtlmLogin, Session, Settings, Tree
from .grid import Grid
from .peers import OURS, SAMBA
from .pump import ACCESS

CONNECTIONS = 64
OPENS = 2000
PAUSE = 0.5
"""Seconds in which a server comes to rest."""
AT_REST, CONNECTION, OPEN = PLACES = ("at rest", "per idle connection", "per open")
WORK = "memory"


class Memory:
    """Each turn with a fresh server of each kind."""

    def __init__(self) -> None:
        self.grid = Grid(
            WORK.capitalize(), "KiB", "what is kept", "loopback-memory.svg", (WORK,), PLACES, digits=1,
            larger_is_better=False, bars=True, logarithmic=True,
            note=f"All processes of a server just started, what they share counted once; what each of {CONNECTIONS}"
            f" connections adds that has logged on and connected to a share; what each of {OPENS} opens on one adds.",
        )  # fmt: skip
        self.grids = [self.grid]

    def take(self, servers: Servers, turn: int, seconds: float) -> None:
        kinds = ((OURS, Ours), (SAMBA, Samba))
        for who, kind in kinds if turn % 2 == 0 else kinds[::-1]:
            with ExitStack() as stack:
                server = start(kind(under=servers.under), stack)
                if server is not None:
                    attempt(f"memory, {who}", partial(self._measure, who, server))

    def _measure(self, who: str, server: Running) -> None:
        for place, figure in zip(PLACES, asyncio.run(figures(server)), strict=True):
            self.grid.add(WORK, who, place, figure / 1024)


async def figures(server: Running) -> tuple[float, float, float]:
    """Bytes, in the order of PLACES."""
    rest = _settled(server)
    async with AsyncExitStack() as stack:
        trees = [await _connected(server, stack) for _ in range(CONNECTIONS)]
        with_connections = _settled(server)
        for number in range(OPENS):
            await trees[0].create(f"open {number}", ACCESS, Disposition.CREATE)
        with_opens = _settled(server)
    return rest, (with_connections - rest) / CONNECTIONS, (with_opens - with_connections) / OPENS


async def _connected(server: Running, stack: AsyncExitStack) -> Tree:
    """The share, over a connection of its own, as a client of its own."""
    connection = await connect("127.0.0.1", server.port, Arena(), tcp_limits(8 << 20))
    client = await Client.negotiate(connection, Settings())
    stack.push_async_callback(client.close)
    session = await Session.login(client, NtlmLogin(names()[0], PASSWORD))
    return await session.connect(r"\\127.0.0.1\data")


def _settled(server: Running) -> int:
    time.sleep(PAUSE)
    return processes.memory(server)
