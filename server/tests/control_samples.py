"""What the tests of the control socket share: a server with one of each, and both ends of its socket."""

import asyncio
import ipaddress
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from server.config import Config
from server.connection import ServerConnection
from server.control import client, service
from server.control.protocol import socket_path
from server.interfaces import Interfaces
from server.lock import Locks, Range
from server.messages.header import Header
from server.messages.negotiate import Cipher, Dialect, SigningAlgorithm
from server.open import Mode, Open
from server.security.access import DELETE, FILE_READ_DATA, FILE_WRITE_DATA
from server.security.auth import Acceptor, Outcome
from server.security.sealing import Sealer
from server.server import Server
from server.session import Session
from server.shares import Shares
from server.status import NT, Status
from server.store.base import File, FileKey, Identity, Kind
from server.store.memory import MemoryStore
from server.tree import Tree
from server.work import Work
from transport.base import Limits
from transport.discovery import Interface
from transport.loopback import pair
from transport.memory import Arena
from transport.technology import ROCE

SINCE = 1_700_000_000.0
NIC = Interface("ib0", 4, (ipaddress.ip_address("192.0.2.7"),), 100 * 10**9, True, "mlx5_0", ROCE)


class Place:
    """A file that is somewhere; nothing else of a file is reported."""

    kind = Kind.FILE

    def __init__(self, *path: str, stream: str = "") -> None:
        self.names = path
        self.stream = stream

    def path(self) -> tuple[str, ...]:
        if not self.names:
            raise Status(NT.FILE_DELETED)
        return self.names


@contextmanager
def a_server() -> Iterator[Server]:
    """A server of which nothing listens; at the end its memory must be back."""
    interfaces = Interfaces.__new__(Interfaces)  # the machine's own are not looked up
    interfaces.current = [NIC]
    arena = Arena(1 << 20, 1 << 18)
    made = Server(Config(server_name="box"), Shares(lambda _: MemoryStore()), Acceptor([]), arena, interfaces)
    made.started = SINCE
    yield made
    assert arena.idle


def add_connection(server: Server, technology: str = "TCP", dialect: int = 0) -> ServerConnection:
    transport, _ = pair(server.arena, server.arena, Limits(1 << 20, 1 << 20))
    transport.technology, transport.peer = technology, "192.0.2.9"
    connection = ServerConnection(server, transport)
    connection._timer.cancel()
    connection.negotiated.dialect = dialect
    server.connections.add(connection)
    return connection


def add_session(server: Server, connection: ServerConnection, name: str = "alice") -> Session:
    session = server.new_session(connection)
    session.created = SINCE
    session.who = Identity(name, 1000, 1000, (), frozenset(), b"", b"")
    session.outcome = Outcome(name, "DOMAIN", bytes(16), bytes(16))
    session.dialect, session.cipher = Dialect.SMB311, Cipher.AES256_GCM
    session.signing = SigningAlgorithm.AES_GMAC
    session.protection.sealer = Sealer(Cipher.AES256_GCM, bytes(32), bytes(32))
    return session


def add_tree(session: Session, name: str) -> Tree:
    share = SimpleNamespace(name=name, pipes=False)
    tree = Tree(session.next_tree, session, cast(Any, share), 0x1F01FF, cast(Identity, session.who))
    session.trees[tree.id] = tree
    session.next_tree += 1
    return tree


def add_open(server: Server, tree: Tree, file: Place, access: int = FILE_READ_DATA, share: int = 7) -> Open:
    persistent, volatile = server.opens.new_ids(tree.session)
    shared = server.opens.shared_for(FileKey(1, volatile))
    opened = Open(volatile, persistent, tree.session, tree, Mode(access, share, 0), shared, cast(File, file))
    server.opens.add(opened)
    return opened


class Sessions:
    """One of each kind of thing a report tells of."""

    def __init__(self, server: Server) -> None:
        self.tcp = add_connection(server, "TCP", Dialect.SMB311)
        self.rdma = add_connection(server, "RoCE", Dialect.SMB311)
        add_connection(server)
        self.session = add_session(server, self.tcp)
        self.session.channels[self.rdma] = self.session.channels[self.tcp]
        self.tree = add_tree(self.session, "data")
        self.open = add_open(server, self.tree, Place("dir", "name"), FILE_READ_DATA | FILE_WRITE_DATA | DELETE, 5)
        locks = self.open.shared.locks = Locks()
        assert locks.take([Range(self.open, 0, 10, True), Range(self.open, 20, 5, True)])
        locks.queue([Range(self.open, 0, 1, True)])
        work = Work(self.tcp, Header(), memoryview(b""))
        self.tcp.pending.by_message[7] = self.tcp.pending.by_async[1] = work


class Calls:
    """What `reload` and `stop` did; `error` is what `reload` raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.made: list[str] = []
        self.stopped = asyncio.Event()
        self.error = error

    async def reload(self) -> None:
        self.made.append("reload")
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        self.made.append("stop")
        self.stopped.set()


def served(server: Server, state: Path, use: Callable[[Calls], Awaitable[Any]], error: Exception | None = None) -> Any:
    """What `use` returns while the control socket is there."""

    async def run() -> Any:
        calls = Calls(error)
        async with service.serve_control(server, socket_path(state), calls.reload, calls.stop):
            return await use(calls)

    return asyncio.run(run())


def control(server: Server, state: Path, calls: Calls, **times: float) -> service.Control:
    return service.Control(server, socket_path(state), calls.reload, calls.stop, **times)


def command(state: Path, *words: str) -> Callable[[Calls], Awaitable[int]]:
    return lambda _: asyncio.to_thread(client.main, ["--state", str(state), *words])


def raw(state: Path, sent: bytes, end: bool = True) -> Callable[[Calls], Awaitable[Any]]:
    """The answer to `sent` as it stands, None for none."""

    async def use(_: Calls) -> Any:
        reader, writer = await asyncio.open_unix_connection(str(socket_path(state)))
        try:
            writer.write(sent)
            if end:
                writer.write_eof()
            line = await reader.readline()
            return json.loads(line) if line else None
        finally:
            writer.transport.abort()

    return use
