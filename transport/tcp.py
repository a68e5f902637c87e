"""Where TCP connections come from: `listen` for the server, `connect` for the client, and what they may carry."""

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Sequence

from .base import Limits, Listener, Lost
from .memory import Arena
from .tcp_connection import MAX_MESSAGE, TcpConnection

HEADS = 52 + 64 + 48
"""TRANSFORM_HEADER, SMB2 header and the fixed part of a WRITE request, the longest that goes before data."""
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
BACKLOG = 128


def tcp_limits(io_size: int) -> Limits:
    """Limits for an `io_size`: what it allows in whole 64 KiB, within the 24-bit length and sealed too."""
    return Limits(MAX_MESSAGE, min(io_size, MAX_MESSAGE - HEADS) // 65536 * 65536)


class TcpListener(Listener):
    """Sockets that listen; made by `listen`."""

    def __init__(self, sockets: list[socket.socket], arena: Arena, limits: Limits, pause: float) -> None:
        self.addresses = [(str(name[0]), int(name[1])) for name in (sock.getsockname() for sock in sockets)]
        """(address, port) of each socket, as bound."""
        self._sockets = sockets
        self._arena = arena
        self._limits = limits
        self._pause = pause
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._closed = False

    async def accept(self) -> TcpConnection:
        while not self._closed:
            self._wake.clear()
            exhausted = False
            for listening in self._sockets:
                try:
                    return self._connection(listening.accept()[0])
                except OSError as error:  # nobody there, or gone again before we came
                    exhausted |= error.errno in EXHAUSTED
            # out of descriptors the sockets stay readable: look again only after a pause
            await self._wait_later() if exhausted else await self._wait_readable()
        raise Lost("the listener is closed")

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._wake.set()
            for listening in self._sockets:
                self._loop.remove_reader(listening.fileno())
                listening.close()

    def _connection(self, sock: socket.socket) -> TcpConnection:
        try:
            return TcpConnection(sock, self._arena, self._limits)
        except OSError:
            sock.close()
            raise

    async def _wait_readable(self) -> None:
        for listening in self._sockets:
            self._loop.add_reader(listening.fileno(), self._wake.set)
        try:
            await self._wake.wait()
        finally:
            if not self._closed:
                for listening in self._sockets:
                    self._loop.remove_reader(listening.fileno())

    async def _wait_later(self) -> None:
        timer = self._loop.call_later(self._pause, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()


def listen(
    addresses: Sequence[tuple[str, int]],
    arena: Arena,
    limits: Limits,
    refused: Callable[[str], None] = lambda line: None,
    pause: float = 0.5,
) -> TcpListener:
    """Listen on each (IPv4 or IPv6 address, port). `refused` is told, in one line each, what could not be had.

    `pause` is how many seconds to wait for file descriptors when there are none left. Raises Lost when no
    address could be had.
    """
    sockets = []
    for address, port in addresses:
        try:
            sockets.append(_listening(address, port))
        except OSError as error:
            refused(f"cannot listen on {address} port {port}: {os.strerror(error.errno or 0)}")
    if not sockets:
        raise Lost("none of the addresses could be had")
    return TcpListener(sockets, arena, limits, pause)


def _listening(address: str, port: int) -> socket.socket:
    family, _, _, _, name = socket.getaddrinfo(
        address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST | socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(name)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


async def connect(host: str, port: int, arena: Arena, limits: Limits) -> TcpConnection:
    """A connection with the server at `host`, whose addresses are tried in turn. Raises Lost."""
    loop = asyncio.get_running_loop()
    problem: OSError = OSError(f"no address of {host}")
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        found, problem = [], error
    for family, kind, protocol, _, name in found:
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, name)
            return TcpConnection(sock, arena, limits)
        except OSError as error:
            problem = error
            sock.close()
        except BaseException:
            sock.close()
            raise
    raise Lost(f"cannot connect to {host} port {port}: {problem}")
