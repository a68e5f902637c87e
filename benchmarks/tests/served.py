"""The whole server and a client of it in one process: loopback between them, a share in memory, no port, no root."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from benchmarks.client import Client, NtlmLogin, Session, Settings, Tree
from server.config import Config, Share
from server.interfaces import Interfaces
from server.security.auth import Acceptor
from server.security.ntlm import Names, Ntlm
from server.security.users import User, Users, nt_hash
from server.server import Server
from server.shares import Shares
from server.store.memory import MemoryStore
from transport.base import Limits
from transport.loopback import ExposedMemory, pair
from transport.memory import Arena

USER, PASSWORD = "root", "secret"
LIMITS = Limits(max_message=16 << 20, max_read_write=8 << 20)


@dataclass
class Served:
    """A client's connection to a server, and what lies on both sides of it."""

    client: Client
    memory: ExposedMemory
    arena: Arena
    """The client's."""

    async def login(self) -> Session:
        return await Session.login(self.client, NtlmLogin(USER, PASSWORD))

    async def tree(self) -> Tree:
        return await (await self.login()).connect(r"\\server\data")


@asynccontextmanager
async def served(settings: Settings | None = None, **config: object) -> AsyncIterator[Served]:
    """A server and a client that has negotiated `settings`; in the end both have given all memory back."""
    ours, theirs = Arena(slab=32 << 20), Arena(slab=32 << 20)
    shares = Shares(lambda share: MemoryStore())
    configured = Config(shares=(Share("data"),), **config)  # type: ignore[arg-type]
    await shares.load(configured)
    acceptor = Acceptor([Ntlm(Users([User(USER, nt_hash(PASSWORD))]), Names("SERVER", "GROUP"))])
    server = Server(configured, shares, acceptor, theirs, Interfaces())
    far, near = pair(theirs, ours, LIMITS)
    serving = asyncio.ensure_future(server.serve(far))
    client = await Client.negotiate(near, settings or Settings())
    try:
        yield Served(client, near.memory, ours)
    finally:
        await client.close()
        await serving
        await server.stop([])
        await shares.close()
    assert ours.idle, "the client kept memory"
    assert theirs.idle, "the server kept memory"
