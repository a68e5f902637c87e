"""The whole server and clients of it in one process: loopback between them, shares in memory, no port, no root.

`whole` gives the server, to which connections, raw or negotiated, are made; `served` one negotiated client. When
either ends, the server must have given everything back: memory, opens, locks, sessions, tasks; and it must not have
logged a bug of its own.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.client import Client, Login, NtlmLogin, Session, Settings, Tree
from server.config import Config, Share
from server.interfaces import Interfaces
from server.security.auth import Acceptor
from server.security.ntlm import Names, Ntlm
from server.security.users import User, Users, nt_hash
from server.server import Server
from server.shares import Shares
from server.store import kernel_leases
from server.store.base import Store
from server.store.memory import MemoryStore
from transport.base import Limits
from transport.loopback import ExposedMemory, LoopbackConnection, pair
from transport.memory import Arena

USER, PASSWORD = "root", "secret"
SHARE = r"\\server\data"
LIMITS = Limits(max_message=16 << 20, max_read_write=8 << 20)
PATIENCE = 10.0
"""Seconds that a thread may take for what it is doing."""
TURNS = 60
"""Turns of the loop after which what the server does by itself has been done."""


def login(user: str = USER, password: str = PASSWORD) -> NtlmLogin:
    return NtlmLogin(user, password)


def pattern(length: int) -> bytes:
    """Bytes in which every word of eight holds its own offset."""
    return b"".join(at.to_bytes(8, "little") for at in range(0, length + 7, 8))[:length]


async def settle() -> None:
    """Let everything that is ready to run do so."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


@contextmanager
def no_bug_logged() -> Iterator[list[str]]:
    """The block must not make the server log an error: those are its own bugs. Gives the warnings."""
    warnings: list[str] = []
    bugs: list[str] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            (bugs if record.levelno >= logging.ERROR else warnings).append(self.format(record))

    handler, logger = Listening(logging.WARNING), logging.getLogger("smbdirect")
    logger.addHandler(handler)
    try:
        yield warnings
    finally:
        logger.removeHandler(handler)
    assert not bugs, bugs[0]


@dataclass
class Whole:
    """A server, and the connections made to it."""

    server: Server
    payload: Arena
    """The server's, for what it reads and writes; `messages` for large messages that arrive."""
    messages: Arena
    clients_arena: Arena
    limits: Limits
    serving: "list[asyncio.Future[None]]" = field(default_factory=list)
    near: list[LoopbackConnection] = field(default_factory=list)
    far: list[LoopbackConnection] = field(default_factory=list)
    """The server's ends, as `near` are the clients'."""
    clients: list[Client] = field(default_factory=list)

    def connect(self, peer: str = "loopback", remote_memory: bool = True) -> LoopbackConnection:
        """A new connection, which the server serves; the client's end of it."""
        far, near = pair(self.messages, self.clients_arena, self.limits, remote_memory)
        far.peer = peer
        self.serving.append(asyncio.ensure_future(self.server.serve(far)))
        self.near.append(near)
        self.far.append(far)
        return near

    async def client(self, settings: Settings | None = None) -> Client:
        """A client on a connection of its own."""
        client = await Client.negotiate(self.connect(), settings or Settings())
        self.clients.append(client)
        return client

    async def session(self, settings: Settings | None = None, how: Login | None = None) -> Session:
        """Somebody who has logged on over a connection of its own."""
        return await Session.login(await self.client(settings), how or login())

    async def tree(self, settings: Settings | None = None) -> Tree:
        return await (await self.session(settings)).connect(SHARE)

    async def end(self) -> None:
        """Close all connections, stop the server, and hold it to having kept nothing."""
        for client in self.clients:
            await client.close()
        for connection in self.near:
            await connection.close()
        await asyncio.gather(*self.serving)
        await self.server.durables.end()
        self.assert_nothing_kept()
        await self.server.stop([])
        await self.server.shares.close()
        await settle()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:  # which may wait for a thread that nobody can stop
            _, others = await asyncio.wait(others, timeout=PATIENCE)
        assert not others, f"tasks left: {others}"
        assert self.clients_arena.idle, "a client kept memory"

    def assert_nothing_kept(self) -> None:
        """Nobody is connected: nothing may be held for anybody."""
        server = self.server
        assert not server.connections, "a connection was kept"
        assert not server.sessions, "a session was kept"
        assert not server.opens.by_volatile, "an open was kept"
        assert not server.opens.handles.eligible, "the name of an open was kept"
        assert not server.opens.handles.instances, "an application's open was kept"
        assert not server.opens.handles.under_way, "a CREATE is still under way"
        assert not server.opens.shared, "a file's state was kept"
        assert not len(server.keeping), "a persistent open was kept"
        assert not server.opens.breaks.leases.by_key, "a lease was kept"
        assert not kernel_leases.held(), "a kernel lease was kept"
        assert not server.opens.changes.watches.count, "a watch was kept"
        assert not server.opens.changes.local.count, "the kernel is still asked for changes"
        assert self.payload.idle, "the server kept memory for payload"
        assert self.messages.idle, "the server kept memory for messages"


@asynccontextmanager
async def whole(
    shares: Sequence[Share] = (Share("data"),),
    make_store: Callable[[Share], Store] | None = None,
    users: Sequence[str] = (USER,),
    unknown_is_guest: bool = False,
    limits: Limits = LIMITS,
    **config: Any,
) -> AsyncIterator[Whole]:
    """A server with these shares, whose users' password is PASSWORD."""
    configured = Config(shares=tuple(shares), **config)
    served_shares = Shares(make_store or (lambda share: MemoryStore()))
    await served_shares.load(configured)
    known = Users([User(name, nt_hash(PASSWORD)) for name in users])
    acceptor = Acceptor([Ntlm(known, Names("SERVER", "GROUP"), unknown_is_guest=unknown_is_guest)])
    payload, messages, ours = (Arena(slab=16 << 20, poison=True) for _ in range(3))
    server = Server(configured, served_shares, acceptor, payload, Interfaces())
    made = Whole(server, payload, messages, ours, limits)
    with no_bug_logged():
        try:
            yield made
        except BaseException:
            for connection in made.near:
                await connection.close()
            raise
        await made.end()


def on_a_server(test: Callable[[Whole], Awaitable[None]], **options: Any) -> None:
    """Run `test` with a server of its own; `options` are those of `whole`."""

    async def use() -> None:
        async with whole(**options) as here:
            await test(here)

    asyncio.run(use())


@dataclass
class Served:
    """One client's connection to a server, and what lies on both sides of it."""

    whole: Whole
    client: Client

    @property
    def near(self) -> LoopbackConnection:
        return self.whole.near[0]

    @property
    def far(self) -> LoopbackConnection:
        return self.whole.far[0]

    @property
    def server(self) -> Server:
        return self.whole.server

    @property
    def memory(self) -> ExposedMemory:
        return self.near.memory

    @property
    def arena(self) -> Arena:
        """The client's."""
        return self.whole.clients_arena

    async def login(self) -> Session:
        return await Session.login(self.client, login())

    async def tree(self) -> Tree:
        return await (await self.login()).connect(SHARE)


@asynccontextmanager
async def served(settings: Settings | None = None, **options: Any) -> AsyncIterator[Served]:
    """A server and a client that has negotiated `settings`; `options` are those of `whole`."""
    async with whole(**options) as made:
        yield Served(made, await made.client(settings))
