"""A TCP connection under test and the plain socket at its other end."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from transport.memory import Arena
from transport.tcp import tcp_limits
from transport.tcp_connection import MAX_MESSAGE, TcpConnection

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
