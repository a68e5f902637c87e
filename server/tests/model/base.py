"""What the machine stands on: one server in the same process, clients that do as they like, and the reference beside
them, compared after each step.

Time stands still but where a step lets it pass. Every server that ends must have nothing left (`served.Whole.end`).
"""

import asyncio
import copy
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from hypothesis.stateful import RuleBasedStateMachine, initialize

from server.breaks import GRACE
from server.config import Share
from server.messages.create import Disposition
from server.store.memory import MemoryStore
from server.tests.model.asks import (
    PERSISTENT,
    READ_DATA,
    Ask,
    Create,
)
from server.tests.model.caching import Difference
from server.tests.model.choices import AT_ONCE, PEERS, TURNS
from server.tests.model.clients import Peer
from server.tests.model.clock import Clock
from server.tests.model.memory_journal import MemoryJournal
from server.tests.model.observer import Observer
from server.tests.model.reference import World
from server.tests.model.state import Handle
from server.tests.served import Whole, whole

T = TypeVar("T")
NOWHERE = Path("/nowhere")
"""Where nothing is written, as the journal is in memory."""


class Base(RuleBasedStateMachine):
    share = Share("data")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.store = MemoryStore()
        self.world = World()
        self.peers = [Peer(number) for number in range(PEERS)]
        self.observer = Observer()
        self.lost: list[Handle] = []
        """Durable opens whose clients have lost their connection, there still or not."""
        self.journal = MemoryJournal()
        self.guids = self.sequences = 0
        self.failed = False
        self.here: Whole
        self.stack: AsyncExitStack

    # -- the server -----------------------------------------------------------------------------------------
    @initialize()
    def begin(self) -> None:
        self._run(self._begin(first=True))

    async def _begin(self, peers: int = PEERS, first: bool = False) -> None:
        self.stack = AsyncExitStack()
        self.stack.enter_context(mock.patch("server.keeping.Journal", self.journal))
        self.here = await self.stack.enter_async_context(
            whole([self.share], make_store=lambda share: self.store, state=NOWHERE)
        )
        self.clock, self.long_clock = Clock(), Clock()
        self.here.server.opens.breaks.later = self.clock.later
        self.here.server.durables.later = self.long_clock.later
        await self.here.server.open_state(self.here.server.config)
        for peer in self.peers[:peers]:
            await peer.come(self.here)
        if first:
            await (await self.peers[0].tree.directory("d", Disposition.CREATE)).close()
            await (await self.peers[0].tree.create("e", disposition=Disposition.CREATE)).close()
        await self.observer.come(self.here)

    def _run(self, doing: Awaitable[T]) -> T:
        try:
            return self.loop.run_until_complete(doing)
        except BaseException:
            self.failed = True
            raise

    def _end(self) -> None:
        for peer in self.peers:
            if peer.present:
                self._leave(peer, politely=False)
        self._run(self._stop())
        self.world.end()
        self.world.news.clear()

    async def _stop(self) -> None:
        await self.observer.go(self.here)
        await self.here.server.stop([])
        await self.stack.aclose()

    def _leave(self, peer: Peer, politely: bool) -> None:
        mine = [handle for handle in self.world.handles if handle.peer == peer.number]
        self.lost += [handle for handle in mine if handle.durable or handle.resilient]
        self._run(self._log_off(peer) if politely else peer.go(self.here))
        self._run(self._compare())
        self.world.leave(peer.number)
        self._settle()

    async def _log_off(self, peer: Peer) -> None:
        await peer.log_off()
        await peer.log_on()

    def _restart(self, peers: int) -> None:
        self._lose_persistent()
        self._end()
        self._go_on(peers)

    def _kill(self) -> None:
        """What the server has on disk at this moment is all that the next one finds."""
        self._lose_persistent()
        store, journal = copy.deepcopy((self.store, self.journal))
        self.world.die()
        for peer in self.peers:
            if peer.present:
                self._run(peer.go(self.here))
        self._run(self._stop())
        self.world.news.clear()
        self.store, self.journal = store, journal
        self._go_on(PEERS)

    def _lose_persistent(self) -> None:
        kept = [handle for handle in self.world.handles if handle.durable == PERSISTENT]
        self.lost += [handle for handle in kept if handle not in self.lost]

    def _go_on(self, peers: int) -> None:
        """With another server on the same files."""
        self._run(self._begin(peers))
        self._settle()
        for node in [node for node in self.world.names.values() if not node.handles]:
            if self._run(_content(self.peers[0], node.name)) != node.data:
                raise Difference(f"{node} holds something else after a restart")

    # -- comparing ------------------------------------------------------------------------------------------
    async def _compare(self, clock: Clock | None = None, seconds: float = 0) -> None:
        """Let `seconds` pass by one of the clocks and the server do what it can; look at what clients have heard."""
        if clock is not None:
            clock.pass_by(seconds)
        for _ in range(4):
            await settle()
            if not (await self.observer.look() or self.clock.pass_by(GRACE)):
                break
        self.world.heard += [heard for peer in self.peers for heard in peer.look()]

    def _settle(self, new: Ask | None = None) -> None:
        try:
            self.world.settle(new)
            self.observer.compare(self.world.news)
            self.world.news.clear()
            there = {opened.file_id[:8] for opened in self.here.server.opens.by_volatile.values()}
            there -= self.observer.opens
            known = {handle.file_id[:8]: handle for handle in self.world.handles}
            if there != known.keys():
                lost = [known[each] for each in known.keys() - there]
                raise Difference(f"the server has closed {lost}, and kept {len(there - known.keys())} more")
        except BaseException:
            self.failed = True
            raise

    def _ask(self, ask: Ask) -> None:
        self._run(self.peers[ask.peer].post(ask))
        self._run(self._compare())
        self._settle(ask)

    # -- choosing -------------------------------------------------------------------------------------------
    def _present(self, number: int) -> Peer:
        present = [peer for peer in self.peers if peer.present]
        return present[number % len(present)]

    def _usable(self) -> list[Handle]:
        """Opens whose clients are there and ask nothing of them now."""
        busy = {id(getattr(ask, "handle", None)) for ask in self.world.asks}
        return [handle for handle in self.world.handles if not handle.away and id(handle) not in busy]

    def _handle(self, number: int, right: int = 0) -> Handle:
        """One that has `right`, or now and then any."""
        usable = self._usable()
        fit = [handle for handle in usable if handle.access & right]
        usable = fit if fit and number < 7 else usable
        return usable[number % len(usable)]

    def _room(self) -> bool:
        return len(self.world.asks) < AT_ONCE and any(peer.present for peer in self.peers)

    def _idle(self) -> bool:
        return self._room() and bool(self._usable())

    def _breaking(self) -> list[Any]:
        return [holder for holder in self.world.holders if holder.breaking and holder.reachable]

    def _leaving(self) -> list[Peer]:
        """Who may go: a CREATE with a GUID goes on without its client, which the reference does not follow."""
        held = {ask.peer for ask in self.world.asks if isinstance(ask, Create) and ask.durable >= 2}
        return [peer for peer in self.peers if peer.present and peer.number not in held]

    def _asked_for(self, peer: int, key: int) -> bool:
        """Whether a CREATE is under way that asks for this lease."""
        creates = [ask for ask in self.world.asks if isinstance(ask, Create)]
        return any((ask.peer, ask.wish.key) == (peer, key) for ask in creates)


async def settle() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def _content(peer: Peer, name: str) -> bytes:
    file = await peer.tree.create(name, access=READ_DATA)
    data = await file.read(0, 64) if file.created.size else b""
    await file.close()
    return data
