"""Clients that do as they like, one server in the same process, and the reference beside it, compared after each step.

Time stands still but where a step lets it pass. Every server that ends must have nothing left (`served.Whole.end`).
"""

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from server.breaks import GRACE, TIMEOUT
from server.config import Share
from server.messages.create import Disposition
from server.messages.negotiate import Dialect
from server.store.memory import MemoryStore
from server.tests.model.asks import (
    DELETE,
    OVERWRITES,
    PERSISTENT,
    READ_DATA,
    WRITE_DATA,
    Acknowledge,
    Ask,
    Close,
    Create,
    Doom,
    Lock,
    Read,
    Rename,
    Resize,
    Resume,
    Unlock,
    Wish,
    Write,
)
from server.tests.model.caching import Difference
from server.tests.model.choices import AT_ONCE, FOREVER, NAMES, NUMBERS, OFFSETS, OPENS, PEERS, SELDOM, TURNS
from server.tests.model.clients import Peer
from server.tests.model.clock import Clock
from server.tests.model.memory_journal import MemoryJournal
from server.tests.model.reference import World
from server.tests.model.state import Handle
from server.tests.served import Whole, whole

T = TypeVar("T")
NOWHERE = Path("/nowhere")
"""Where nothing is written, as the journal is in memory."""


class Machine(RuleBasedStateMachine):
    share = Share("data")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.store = MemoryStore()
        self.world = World()
        self.peers = [Peer(number) for number in range(PEERS)]
        self.lost: list[Handle] = []
        """Durable opens whose clients have lost their connection, there still or not."""
        self.journal = MemoryJournal()
        self.guids = 0
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

    def teardown(self) -> None:
        try:
            if not self.failed:
                while len(self._leaving()) < len([peer for peer in self.peers if peer.present]):
                    self.time_out()
                self._restart(1)
                self.listing(0)
                self._end()
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()

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

    async def _stop(self) -> None:
        await self.here.server.stop([])
        await self.stack.aclose()

    # -- comparing ------------------------------------------------------------------------------------------
    async def _compare(self, clock: Clock | None = None, seconds: float = 0) -> None:
        """Let `seconds` pass by one of the clocks and the server do what it can; look at what clients have heard."""
        if clock is not None:
            clock.pass_by(seconds)
        for _ in range(3):
            await settle()
            if not self.clock.pass_by(GRACE):
                break
        self.world.heard += [heard for peer in self.peers for heard in peer.look()]

    def _settle(self, new: Ask | None = None) -> None:
        try:
            self.world.settle(new)
            there = {opened.file_id[:8] for opened in self.here.server.opens.by_volatile.values()}
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

    # -- opens ----------------------------------------------------------------------------------------------
    @precondition(_room)
    @rule(**OPENS)
    def open(self, **how: Any) -> None:
        self._open(**how)

    @precondition(_room)
    @rule(**OPENS)
    def open_more(self, **how: Any) -> None:
        """The same: half of what is done are opens."""
        self._open(**how)

    @precondition(_room)
    @rule(one=st.fixed_dictionaries(OPENS), other=st.fixed_dictionaries(OPENS), third=st.fixed_dictionaries(OPENS))
    def open_several(self, one: dict[str, Any], other: dict[str, Any], third: dict[str, Any]) -> None:
        for how in (one, other, third):
            if self._room():
                self._open(**how)

    def _open(
        self, number: int, name: str, access: int, share: int, disposition: int, delete: bool, oplock: int,
        lease: int | None, odd: int, first: bool, durable: int,
    ) -> None:  # fmt: skip
        peer = self._present(number)
        modern = peer.dialect >= Dialect.SMB300
        wish = Wish(oplock)
        if lease is not None:
            key = 1 + (NAMES.index(name) + odd) % len(NAMES)
            if not self._asked_for(peer.number, key):  # of several that wait any may be the first
                wish = Wish(lease, key, 2 if modern and not first else 1)
        if disposition in OVERWRITES:
            access |= WRITE_DATA
        if delete:
            access |= DELETE
        if durable == 2 and self.share.continuous_availability:
            durable = PERSISTENT
        self.guids += 1
        self._ask(Create(
            peer=peer.number, name=name, access=access, share=share, disposition=disposition, delete_on_close=delete,
            wish=wish, durable=durable if modern else min(durable, 1), guid=self.guids,
        ))  # fmt: skip

    @precondition(_idle)
    @rule(number=NUMBERS)
    def close(self, number: int) -> None:
        handle = self._handle(number)
        self._ask(Close(peer=handle.peer, handle=handle))

    # -- data, locks, names ---------------------------------------------------------------------------------
    @precondition(_idle)
    @rule(number=NUMBERS, offset=OFFSETS, length=st.integers(1, 12))
    def read(self, number: int, offset: int, length: int) -> None:
        handle = self._handle(number, READ_DATA)
        self._ask(Read(peer=handle.peer, handle=handle, offset=offset, length=length))

    @precondition(_idle)
    @rule(number=NUMBERS, offset=OFFSETS, data=st.binary(min_size=1, max_size=6))
    def write(self, number: int, offset: int, data: bytes) -> None:
        handle = self._handle(number, WRITE_DATA)
        self._ask(Write(peer=handle.peer, handle=handle, offset=offset, data=data))

    @precondition(_idle)
    @rule(number=NUMBERS, size=OFFSETS)
    def resize(self, number: int, size: int) -> None:
        handle = self._handle(number, WRITE_DATA)
        self._ask(Resize(peer=handle.peer, handle=handle, size=size))

    @precondition(_idle)
    @rule(number=NUMBERS, offset=OFFSETS, length=st.integers(1, 8), exclusive=st.booleans(), patient=st.booleans())
    def lock(self, number: int, offset: int, length: int, exclusive: bool, patient: bool) -> None:
        handle = self._handle(number)
        self._ask(
            Lock(peer=handle.peer, handle=handle, offset=offset, length=length, exclusive=exclusive, patient=patient)
        )

    @precondition(_idle)
    @rule(number=NUMBERS, lock=NUMBERS, off=st.sampled_from((0, 0, 0, 1)))
    def unlock(self, number: int, lock: int, off: int) -> None:
        handle = self._handle(number)
        mine = [each for each in handle.node.locks if each.handle is handle]
        offset, length = (mine[lock % len(mine)].offset, mine[lock % len(mine)].length) if mine else (0, 1)
        self._ask(Unlock(peer=handle.peer, handle=handle, offset=offset, length=length + off))

    @precondition(_idle)
    @rule(number=NUMBERS, name=st.sampled_from(NAMES), replace=st.booleans())
    def rename(self, number: int, name: str, replace: bool) -> None:
        handle = self._handle(number, DELETE)
        other = any(isinstance(ask, Rename) for ask in self.world.asks)  # of two that wait either may be the first
        if not other and not handle.node.doomed and handle.node.name != name:
            self._ask(Rename(peer=handle.peer, handle=handle, name=name, replace=replace))

    @precondition(_idle)
    @rule(number=NUMBERS, delete=st.booleans())
    def doom(self, number: int, delete: bool) -> None:
        handle = self._handle(number, DELETE)
        self._ask(Doom(peer=handle.peer, handle=handle, delete=delete))

    @precondition(lambda self: any(peer.present for peer in self.peers))
    @rule(number=NUMBERS)
    def listing(self, number: int) -> None:
        """What directories show."""
        peer = self._present(number)
        for prefix in ("", "d\\"):
            there = {prefix + name: size for name, size in self._run(_listed(peer, prefix[:-1])).items()}
            nodes = [node for node in self.world.names.values() if node.name.startswith(prefix)]
            known = {node.name: len(node.data) for node in nodes if prefix or "\\" not in node.name}
            if there != known:
                self.failed = True
                raise Difference(f"{there} is listed, and {known} is there")

    # -- breaks and time ------------------------------------------------------------------------------------
    @precondition(lambda self: bool(self._breaking()))
    @rule(number=NUMBERS, less=st.sampled_from((0, 0, 1, 2)))
    def acknowledge(self, number: int, less: int) -> None:
        """Answer a break as it was told, with nothing left, or with too much."""
        holder = self._breaking()[number % len(self._breaking())]
        rights = (holder.told, 0, holder.rights if holder.key is not None else holder.told)[less]
        self._ask(Acknowledge(peer=holder.peer, holder=holder, rights=rights))

    @precondition(lambda self: bool(self._breaking()))
    @rule()
    def time_out(self) -> None:
        self._run(self._compare(self.clock, TIMEOUT))
        self.world.time_out()
        self._settle()

    @precondition(lambda self: any(handle.away for handle in self.world.handles))
    @rule()
    def expire(self) -> None:
        self._run(self._compare(self.long_clock, FOREVER))
        self.world.expire()
        self._settle()

    # -- coming and going -----------------------------------------------------------------------------------
    @precondition(lambda self: bool(self._leaving()))
    @rule(number=NUMBERS, politely=st.booleans())
    def leave(self, number: int, politely: bool) -> None:
        """Lose the connection, or log off and on."""
        self._leave(self._leaving()[number % len(self._leaving())], politely)

    def _leave(self, peer: Peer, politely: bool) -> None:
        self.lost += [handle for handle in self.world.handles if handle.peer == peer.number and handle.durable]
        self._run(self._log_off(peer) if politely else peer.go(self.here))
        self._run(self._compare())
        self.world.leave(peer.number)
        self._settle()

    async def _log_off(self, peer: Peer) -> None:
        await peer.log_off()
        await peer.log_on()

    @precondition(lambda self: not all(peer.present for peer in self.peers))
    @rule(number=NUMBERS)
    def come_back(self, number: int) -> None:
        gone = [peer for peer in self.peers if not peer.present]
        self._run(gone[number % len(gone)].come(self.here))

    @precondition(lambda self: self._room() and bool(self._resumable()))
    @rule(number=NUMBERS)
    def resume(self, number: int) -> None:
        handle = self._resumable()[number % len(self._resumable())]
        self.lost.remove(handle)
        self._ask(Resume(peer=handle.peer, handle=handle))

    def _resumable(self) -> list[Handle]:
        return [handle for handle in self.lost if self.peers[handle.peer].present]

    @precondition(lambda self: len(self._leaving()) == PEERS)
    @rule(really=SELDOM)
    def restart(self, really: bool) -> None:
        """The server ends, and another begins on the same files."""
        if really:
            self._restart(PEERS)

    def _restart(self, peers: int) -> None:
        self.lost += [
            handle for handle in self.world.handles if handle.durable == PERSISTENT and handle not in self.lost
        ]
        self._end()
        self._run(self._begin(peers))
        self._settle()
        for node in [node for node in self.world.names.values() if not node.handles]:
            if self._run(_content(self.peers[0], node.name)) != node.data:
                raise Difference(f"{node} holds something else after a restart")


class Available(Machine):
    """On a share that is continuously available: what is asked to be persistent outlives the server."""

    share = Share("data", continuous_availability=True)


async def settle() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def _listed(peer: Peer, name: str) -> dict[str, int]:
    directory = await peer.tree.directory(name)
    entries = await directory.listing()
    await directory.close()
    return {entry.name: entry.size for entry in entries if entry.name not in (".", "..", "d")}


async def _content(peer: Peer, name: str) -> bytes:
    file = await peer.tree.create(name, access=READ_DATA)
    data = await file.read(0, 64) if file.created.size else b""
    await file.close()
    return data
