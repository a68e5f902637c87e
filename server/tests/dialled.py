"""The project's own client over TCP, connected to a server that is a process of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from benchmarks.client import Client, NtlmLogin, Session, Settings, Tree
from server.testing import PASSWORD, Running, names
from transport import tcp
from transport.memory import Arena

LIMITS = tcp.tcp_limits(8 << 20)


@asynccontextmanager
async def dialled(server: Running, settings: Settings | None = None) -> AsyncIterator[Client]:
    """A negotiated client of `server`."""
    connection = await tcp.connect("127.0.0.1", server.port, Arena(), LIMITS)
    client = await Client.negotiate(connection, settings or Settings())
    try:
        yield client
    finally:
        await client.close()


async def tree_of(client: Client, name: str = "", share: str = "data") -> Tree:
    """`share` as the user `name` (else the first that the server knows)."""
    session = await Session.login(client, NtlmLogin(name or names()[0], PASSWORD))
    return await session.connect(rf"\\server\{share}")


def with_tree(server: Running, test: Callable[[Tree], Awaitable[None]]) -> None:
    """Run `test` on the server's first share."""

    async def use() -> None:
        async with dialled(server) as client:
            await test(await tree_of(client))

    asyncio.run(use())
