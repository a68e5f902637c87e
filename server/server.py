"""The server: what all connections share, who may connect, and how it starts, reloads and stops."""

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from smbdirect.wire import Malformed
from transport.base import Connection, Listener, Lost
from transport.memory import Arena
from transport.memory import Share as ArenaShare

from .breaks import later
from .config import Config
from .connection import ServerConnection
from .durable import Durables
from .interfaces import Interfaces
from .journal import NAME
from .keeping import Keeping
from .messages.header import Command, Header
from .messages.negotiate import Dialect, NegotiateRequest, smb1_dialects
from .opens import Opens
from .restore import restore
from .security.auth import Acceptor, Outcome
from .security.identity import Identities
from .session import Channel, Session
from .shares import Shares
from .status import NT, Status
from .store.base import Identity
from .tree import Share, Tree

if TYPE_CHECKING:
    from .open import Open
    from .work import Work

log = logging.getLogger("smbdirect.server")

SHARES_OF_A_CONNECTION = 4
"""How many of its largest requests one connection may have in memory at a time."""


LOGINS_BEGUN = 16
"""How many logins a peer may have begun before one succeeds."""
PATIENCE = 30.0
"""Seconds that what is in flight has to finish when the server stops: longer than a failed login is kept waiting."""
MOST_ORPHANS = 64
"""Requests that may go on without their connections."""
SESSIONS = 4096
"""How many sessions one connection may have after that."""


class Server:
    def __init__(
        self, config: Config, shares: Shares, acceptor: Acceptor, arena: Arena, interfaces: Interfaces
    ) -> None:
        self.config = config
        self.shares = shares
        self.acceptor = acceptor
        self.arena = arena
        self.interfaces = interfaces
        self.identities = Identities(config.guest_account, config.admin_users)
        self.guid = os.urandom(16)
        self.started = time.time()
        self.opens = Opens()
        self.durables = Durables(self.opens, self._end_kept)
        self.opens.breaks.uncached = self.durables.uncached
        self.opens.given_up = self.durables.give_up
        self.keeping = Keeping()
        self.opens.handles.gone, self.opens.breaks.recached = self.keeping.gone, self.keeping.recached
        self.sessions: dict[int, Session] = {}
        self.connections: set[ServerConnection] = set()
        self._by_address: Counter[str] = Counter()
        self._serving: set[asyncio.Task[None]] = set()
        self._orphans: dict[asyncio.Task[None], Work] = {}
        """Requests that go on without their connection."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.later = later

    def now(self) -> float:
        """Wall clock, seconds since 1970."""
        return time.time()

    def arena_share(self) -> ArenaShare:
        """One connection's part of the arena."""
        return ArenaShare(SHARES_OF_A_CONNECTION * self.config.io_size)

    async def identity_of(self, outcome: Outcome) -> Identity:
        """Whom a login acts as; raises LOGON_FAILURE where it can act as no one."""
        if outcome.anonymous:
            await self.identities.look_up("", guest=True)
            return self.identities.anonymous()
        return await self.identities.look_up(outcome.name, outcome.guest)

    # -- connections ----------------------------------------------------------------------------------------
    async def listen(self, listener: Listener) -> None:
        """Serve whoever comes by `listener`, until it is closed."""
        while True:
            try:
                transport = await listener.accept()
            except Lost:
                return
            task = asyncio.get_running_loop().create_task(self.serve(transport))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

    def keep(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run `coroutine` beside everything else; `stop` cancels it."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def adopt(self, task: asyncio.Task[None], work: "Work") -> bool:
        """Let `task`, which does `work`, go on until its session ends; False where there are enough such."""
        if len(self._orphans) >= MOST_ORPHANS:
            return False
        self._orphans[task] = work
        task.add_done_callback(lambda task: self._orphans.pop(task, None))
        return True

    async def serve(self, transport: Connection) -> None:
        """Serve one connection to its end; one too many is closed at once."""
        peer = transport.peer
        if self._stopping or not self._has_room(peer):
            await transport.close()
            return
        self._by_address[peer] += 1
        connection = ServerConnection(self, transport)
        self.connections.add(connection)
        try:
            await connection.serve()
        finally:
            self.connections.discard(connection)
            self._by_address[peer] -= 1
            if not self._by_address[peer]:
                del self._by_address[peer]

    def _has_room(self, peer: str) -> bool:
        if len(self.connections) >= self.config.max_connections:
            log.warning("%s refused: %d connections already", peer, len(self.connections))
            return False
        if self._by_address[peer] >= self.config.max_connections_per_address:
            log.warning("%s refused: it has %d connections already", peer, self._by_address[peer])
            return False
        return True

    def multi_protocol(self, packet: memoryview) -> memoryview:
        """The SMB2 NEGOTIATE that an SMB1 multi-protocol negotiate stands for (3.3.5.3)."""
        names = smb1_dialects(packet)
        if "SMB 2.???" in names and self.config.max_protocol > Dialect.SMB202:
            dialect = Dialect.WILDCARD
        elif "SMB 2.002" in names or "SMB 2.???" in names:
            dialect = Dialect.SMB202
        else:
            raise Malformed(f"SMB1 alone is not served; it offered {names}")
        body = b"".join(NegotiateRequest([dialect]).parts())
        return memoryview(Header(command=Command.NEGOTIATE, credits=1).pack() + body)

    # -- sessions -------------------------------------------------------------------------------------------
    def new_session(self, connection: ServerConnection) -> Session:
        """A session that has not logged on yet; its id is random, not 0, and of 32 bits: all that some clients keep."""
        most = SESSIONS if connection.trusted else LOGINS_BEGUN
        if len(connection.sessions) >= most:
            raise Status(NT.INSUFFICIENT_RESOURCES, f"{most} sessions on one connection")
        identifier = 0
        while identifier in (0, 0xFFFFFFFF) or identifier in self.sessions:
            identifier = int.from_bytes(os.urandom(4), "little")
        session = Session(identifier, time.time())
        session.channels[connection] = Channel(connection)
        self.sessions[identifier] = connection.sessions[identifier] = session
        return session

    def forget(self, session: Session) -> None:
        """Drop a session from the tables; what it holds is closed by `end_session`."""
        self.sessions.pop(session.id, None)
        for connection in session.channels:
            connection.sessions.pop(session.id, None)
            connection.setups.pop(session.id, None)

    async def end_session(self, session: Session, but: "Work | None" = None, keep: bool = False) -> None:
        """Close everything the session has open; `but` is the request that asks for it.

        `keep`: not what its client may come back for (3.3.5.5.3, 3.3.5.6, 3.3.7.1).
        """
        self.forget(session)
        for work in self._orphans.values():
            if work.session is session:
                work.cancel(NT.USER_SESSION_DELETED)
        trees, session.trees = list(session.trees.values()), {}
        opens, session.opens = list(session.opens.values()), {}
        if keep:
            ended = session.remnant()
            opens = [opened for opened in opens if not self._keep(opened, ended, but)]
        await self.close_opens(opens, but)
        for tree in trees:
            await self.shares.leave(tree.share)

    def _keep(self, opened: "Open", ended: Session, but: "Work | None") -> bool:
        """Whether `opened` is kept for its client, whose session has `ended`; what waits on it ends all the same."""
        if self._stopping and (opened.handle is None or not opened.handle.persistent):
            return False
        if not self.keeps(opened.tree.share) or not self.durables.keep(opened):
            return False
        self.opens.end_waits(opened, but)
        opened.session, opened.tree = ended, replace(opened.tree, session=ended)
        self.opens.changes.rest(opened)
        if opened.caching is not None:
            self.opens.breaks.left(opened.caching)
        return True

    def keeps(self, share: Share) -> bool:
        """Whether opens of `share` may outlive their connections."""
        return self.config.durable_handles and share.config is not None and share.config.durable_handles

    async def end_tree(self, tree: Tree, but: "Work | None" = None) -> None:
        """Close everything open through `tree`, and the tree."""
        if tree.session.trees.pop(tree.id, None) is None:
            return
        await self.close_opens([opened for opened in tree.session.opens.values() if opened.tree is tree], but)
        await self.shares.leave(tree.share)

    async def close_opens(self, ending: "Sequence[Open]", but: "Work | None" = None) -> None:
        """Close each of `ending`, whether or not its client is there; what cannot be done is logged."""
        for opened in ending:  # before any lock is let go, which one of them may wait for
            self.opens.end_waits(opened, but)
        for opened in ending:
            if opened.away:
                self.durables.give_up(opened)
                await self.durables.settle()
            else:
                await self._close(opened, but)

    async def _close(self, opened: "Open", but: "Work | None") -> None:
        try:
            await self.opens.close(opened, but)
            await self.keeping.settle(opened)  # the file may be one that is to be deleted now
        except (Status, OSError) as error:
            log.warning("closing %s: %s", opened.tree.share.name, error)

    async def leave(self, session: Session, connection: ServerConnection) -> None:
        """`connection` is gone: the session loses that channel, and ends with its last."""
        connection.sessions.pop(session.id, None)
        session.channels.pop(connection, None)
        if not session.channels:
            await self.end_session(session, keep=True)

    async def _end_kept(self, opened: "Open") -> None:
        """Nobody comes back for `opened`."""
        await self._close(opened, None)
        share = opened.tree.share
        share.kept -= 1
        await self.shares.leave(share, 0)

    async def load_shares(self, config: Config) -> None:
        """Take over the shares of `config`. What is kept of those that are gone nobody comes back for."""
        await self.shares.load(config)
        for opened in list(self.durables.away.values()):
            if opened.tree.share.retired or not self.keeps(opened.tree.share):
                self.durables.give_up(opened)

    async def open_state(self, config: Config) -> None:
        """Keep persistent opens where there are or may be any, and give back those of the server's last life: before
        anybody is served. Raises ConfigError."""
        path = config.state_directory / NAME
        wanted = any(share.continuous_availability for share in config.shares)
        if self.keeping.on or not (wanted or path.exists()):
            return
        journal = await self.keeping.use(path, self.guid)
        self.guid = journal.guid
        if journal.lost:
            log.warning("%d persistent opens are lost: %s", journal.lost, journal.why)
        await restore(self, journal.rows)
        journal.rows.clear()

    # -- ending ---------------------------------------------------------------------------------------------
    async def stop(self, listeners: Sequence[Listener]) -> None:
        """Take no one new, let what is in flight finish, then close everything (SIGTERM)."""
        self._stopping = True
        for listener in listeners:
            await listener.close()
        patience = self.later(PATIENCE, self._cut)
        await asyncio.gather(*(connection.drain() for connection in list(self.connections)))
        if self._serving:
            await asyncio.wait(self._serving)
        if self._orphans:
            await asyncio.wait(self._orphans)
        patience.cancel()
        await self.durables.end(persistent=False)
        await self.keeping.end()
        await self.durables.end()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.opens.breaks.local.close()

    def _cut(self) -> None:
        """Who has not finished by now does not: a client that takes no answers, a file that cannot be had."""
        log.warning("%d connections are cut off", len(self.connections))
        for connection in self.connections:
            self.keep(connection.cut())
        for task, work in list(self._orphans.items()):
            work.cancel()
            task.cancel()
