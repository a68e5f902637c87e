"""Listening and connecting."""

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable

import pytest

from transport.base import Lost
from transport.memory import Arena
from transport.tcp import TcpListener, connect, listen, tcp_limits

LIMITS = tcp_limits(1 << 20)


def run(script: Callable[[TcpListener], Awaitable[None]], pause: float = 60.0) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            listener = listen([("127.0.0.1", 0), ("::1", 0)], Arena(), LIMITS, pause=pause)
            await script(listener)
            await listener.close()

    asyncio.run(main())


async def visit(listener: TcpListener, which: int) -> str:
    accepting = asyncio.ensure_future(listener.accept())
    client = await connect(*listener.addresses[which], Arena(), LIMITS)
    server = await accepting
    await client.close()
    await server.close()
    return server.peer


def test_it_listens_on_ipv4_and_ipv6_and_says_where() -> None:
    async def script(listener: TcpListener) -> None:
        assert [address for address, _ in listener.addresses] == ["127.0.0.1", "::1"]
        assert all(port for _, port in listener.addresses)
        assert await visit(listener, 0) == "127.0.0.1"
        assert await visit(listener, 1) == "::1"

    run(script)


def test_an_address_that_cannot_be_had_is_said_and_the_others_serve() -> None:
    async def main() -> None:
        lines: list[str] = []
        listener = listen([("192.0.2.77", 0), ("127.0.0.1", 0)], Arena(), LIMITS, lines.append)
        assert len(listener.addresses) == 1
        assert len(lines) == 1
        assert "192.0.2.77" in lines[0]
        await listener.close()
        with pytest.raises(Lost):
            listen([("192.0.2.77", 0)], Arena(), LIMITS, lines.append)

    asyncio.run(main())


def test_an_ipv6_any_address_leaves_ipv4_to_its_own_socket() -> None:
    async def main() -> None:
        first = listen([("::", 0)], Arena(), LIMITS)
        second = listen([("0.0.0.0", first.addresses[0][1])], Arena(), LIMITS)
        await first.close()
        await second.close()

    asyncio.run(main())


def test_accept_ends_when_the_listener_closes_and_made_connections_stay() -> None:
    async def script(listener: TcpListener) -> None:
        client, server = await asyncio.gather(connect(*listener.addresses[0], Arena(), LIMITS), listener.accept())
        accepting = asyncio.ensure_future(listener.accept())
        await asyncio.sleep(0)
        await listener.close()
        await listener.close()
        with pytest.raises(Lost):
            await accepting
        receiving = asyncio.ensure_future(server.receive())
        await client.close()
        assert await receiving is None
        await server.close()

    run(script)


def test_a_cancelled_accept_loses_no_connection() -> None:
    async def script(listener: TcpListener) -> None:
        accepting = asyncio.ensure_future(listener.accept())
        await asyncio.sleep(0)
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)
        await visit(listener, 0)

    run(script)


class NoDescriptors:
    """A listening socket that fails as one does when the process has no descriptor left."""

    def __init__(self, real: socket.socket, failures: int) -> None:
        self.real = real
        self.failures = failures
        self.calls = 0

    def accept(self) -> tuple[socket.socket, object]:
        self.calls += 1
        if self.calls <= self.failures:
            raise OSError(errno.EMFILE, "too many open files")
        return self.real.accept()

    def fileno(self) -> int:
        return self.real.fileno()

    def close(self) -> None:
        self.real.close()


def test_without_descriptors_it_pauses_and_then_goes_on() -> None:
    async def script(listener: TcpListener) -> None:
        broken = NoDescriptors(listener._sockets[0], failures=3)
        listener._sockets[0] = broken  # type: ignore[call-overload]
        await visit(listener, 0)
        assert broken.calls == 4, "one look after each pause, not a busy loop"

    run(script, pause=0.002)


def test_nobody_there_is_lost() -> None:
    async def main() -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            with pytest.raises(Lost, match="cannot connect"):
                await connect("127.0.0.1", unused.getsockname()[1], Arena(), LIMITS)

    asyncio.run(main())


def test_a_name_nobody_knows_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "name or service not known")

    async def main() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
        with pytest.raises(Lost, match="not known"):
            await connect("nobody", 445, Arena(), LIMITS)

    asyncio.run(main())
