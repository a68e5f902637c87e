"""Where else a server can be reached, as it says itself, and further channels for a session there (MS-SMB2 3.2.4.20.10,
3.2.5.14.11)."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from server.messages.fsctl import INTERFACE_RDMA_CAPABLE, INTERFACE_RSS_CAPABLE, unpack_interfaces
from server.messages.ioctl import Fsctl
from transport import rdma, tcp
from transport.base import Connection, Limits, Lost
from transport.memory import Arena
from transport.technology import TCP

from .channel import Exposed
from .client import Client
from .login import Login
from .multichannel import SessionChannel
from .session import Session
from .tree import Tree

Dial = Callable[["Way"], Awaitable[tuple[Connection, Exposed | None]]]
"""A connection there, and where memory can be exposed on it."""


@dataclass(frozen=True, slots=True)
class Way:
    """One address of a server; `speed` in bits per second."""

    host: str
    rdma: bool
    rss: bool
    speed: int


async def ways(tree: Tree) -> list[Way]:
    """Where the server says it can be reached: RDMA before TCP, then the fastest first."""
    told = unpack_interfaces(memoryview(await tree.ioctl(Fsctl.QUERY_NETWORK_INTERFACE_INFO)))
    found = [
        Way(
            str(each.address),
            bool(each.capability & INTERFACE_RDMA_CAPABLE),
            bool(each.capability & INTERFACE_RSS_CAPABLE),
            each.link_speed,
        )
        for each in told
    ]
    return sorted(found, key=attrgetter("rdma", "speed"), reverse=True)


def dialler(arena: Arena, limits: Limits, port: int = TCP.port, rdma_ports: Sequence[int | None] = (None,)) -> Dial:
    """Connects for real: over TCP to `port`, over RDMA to that of `rdma_ports` where somebody listens (None: the
    technology's own)."""

    async def dial(way: Way) -> tuple[Connection, Exposed | None]:
        if not way.rdma:
            return await tcp.connect(way.host, port, arena, limits), None
        failure = Lost(f"no port for {way.host}")
        for each in rdma_ports:
            try:
                connection = await rdma.connect(arena, way.host, each)
                return connection, connection.memory
            except Lost as error:
                failure = error
        raise failure

    return dial


async def widen(
    session: Session, ways: Sequence[Way], dial: Dial, login: Callable[[], Login], most: int
) -> list[SessionChannel]:
    """Bind a connection to each of `ways` until the session has `most`; those that cannot be had are passed over.

    Raises Status where the server refuses one.
    """
    made: list[SessionChannel] = []
    for way in ways:
        if len(session.channels.alive) >= most:
            break
        try:
            connection, memory = await dial(way)
            client = await Client.negotiate(connection, session.client.settings)
        except Lost:
            continue
        try:
            made.append(await session.bind(client, login(), memory))
        except BaseException:
            await client.close()
            raise
    return made
