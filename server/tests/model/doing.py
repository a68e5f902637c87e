"""What clients ask of files: opens, data, locks, names; and their answers to breaks."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from server.messages.negotiate import Dialect
from server.tests.model.asks import (
    DELETE,
    OVERWRITES,
    PERSISTENT,
    READ_DATA,
    WRITE_DATA,
    Acknowledge,
    Close,
    Create,
    Doom,
    Harden,
    Lock,
    LockAgain,
    Read,
    Rename,
    Repeat,
    Resize,
    Unlock,
    Wish,
    Write,
)
from server.tests.model.base import Base
from server.tests.model.caching import Difference
from server.tests.model.choices import NAMES, NUMBERS, OFFSETS, OPENS, SELDOM, STREAM
from server.tests.model.clients import Peer

ROOM, IDLE = precondition(Base._room), precondition(Base._idle)


class Doing(Base):
    # -- opens ----------------------------------------------------------------------------------------------
    @ROOM
    @rule(**OPENS)
    def open(self, **how: Any) -> None:
        self._open(**how)

    @ROOM
    @rule(**OPENS)
    def open_more(self, **how: Any) -> None:
        """The same: half of what is done are opens."""
        self._open(**how)

    @ROOM
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
            key = 1 + ((*NAMES, STREAM).index(name) + odd) % (len(NAMES) + 1)
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

    @IDLE
    @rule(number=NUMBERS)
    def repeat(self, number: int) -> None:
        """A CREATE that has a GUID is sent once more."""
        fit = [handle for handle in self._usable() if handle.repeatable]
        if fit:
            handle = fit[number % len(fit)]
            self._ask(Repeat(peer=handle.peer, handle=handle))

    @IDLE
    @rule(number=NUMBERS, really=SELDOM)
    def harden(self, number: int, really: bool) -> None:
        if really:
            handle = self._handle(number)
            self._ask(Harden(peer=handle.peer, handle=handle))

    @IDLE
    @rule(number=NUMBERS)
    def close(self, number: int) -> None:
        handle = self._handle(number)
        self._ask(Close(peer=handle.peer, handle=handle))

    # -- data, locks, names ---------------------------------------------------------------------------------
    @IDLE
    @rule(number=NUMBERS, offset=OFFSETS, length=st.integers(1, 12))
    def read(self, number: int, offset: int, length: int) -> None:
        handle = self._handle(number, READ_DATA)
        self._ask(Read(peer=handle.peer, handle=handle, offset=offset, length=length))

    @IDLE
    @rule(number=NUMBERS, offset=OFFSETS, data=st.binary(min_size=1, max_size=6))
    def write(self, number: int, offset: int, data: bytes) -> None:
        handle = self._handle(number, WRITE_DATA)
        self._ask(Write(peer=handle.peer, handle=handle, offset=offset, data=data))

    @IDLE
    @rule(number=NUMBERS, size=OFFSETS)
    def resize(self, number: int, size: int) -> None:
        handle = self._handle(number, WRITE_DATA)
        self._ask(Resize(peer=handle.peer, handle=handle, size=size))

    @IDLE
    @rule(number=NUMBERS, offset=OFFSETS, length=st.integers(1, 8), exclusive=st.booleans(), patient=st.booleans())
    def lock(self, number: int, offset: int, length: int, exclusive: bool, patient: bool) -> None:
        handle = self._handle(number)
        index, sequence = self._sequence()
        self._ask(Lock(
            peer=handle.peer, handle=handle, offset=offset, length=length, exclusive=exclusive, patient=patient,
            index=index, number=sequence,
        ))  # fmt: skip

    def _sequence(self) -> tuple[int, int]:
        self.sequences += 1
        return 1 + self.sequences % 64, self.sequences // 64 % 16

    @IDLE
    @rule(number=NUMBERS)
    def lock_again(self, number: int) -> None:
        fit = [handle for handle in self._usable() if handle.locked is not None]
        if fit:
            handle = fit[number % len(fit)]
            assert handle.locked is not None
            self._ask(LockAgain(peer=handle.peer, handle=handle, lock=handle.locked))

    @IDLE
    @rule(number=NUMBERS, lock=NUMBERS, off=st.sampled_from((0, 0, 0, 1)))
    def unlock(self, number: int, lock: int, off: int) -> None:
        handle = self._handle(number)
        mine = [each for each in handle.node.locks if each.handle is handle]
        offset, length = (mine[lock % len(mine)].offset, mine[lock % len(mine)].length) if mine else (0, 1)
        index, sequence = self._sequence()
        self._ask(Unlock(
            peer=handle.peer, handle=handle, offset=offset, length=length + off, index=index, number=sequence
        ))  # fmt: skip

    @IDLE
    @rule(number=NUMBERS, name=st.sampled_from(NAMES), replace=st.booleans())
    def rename(self, number: int, name: str, replace: bool) -> None:
        handle = self._handle(number, DELETE)
        other = any(isinstance(ask, Rename) for ask in self.world.asks)  # of two that wait either may be the first
        if not other and not handle.node.doomed and handle.node.name not in (name, STREAM):
            self._ask(Rename(peer=handle.peer, handle=handle, name=name, replace=replace))

    @IDLE
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
            nodes = [node for node in self.world.names.values() if node.name.startswith(prefix) and node.name != STREAM]
            known = {node.name: len(node.data) for node in nodes if prefix or "\\" not in node.name}
            if there != known:
                self.failed = True
                raise Difference(f"{there} is listed, and {known} is there")

    # -- answers to breaks ------------------------------------------------------------------------------------
    @precondition(lambda self: bool(self._breaking()))
    @rule(number=NUMBERS, less=st.sampled_from((0, 0, 1, 2)))
    def acknowledge(self, number: int, less: int) -> None:
        """Answer a break as it was told, with nothing left, or with too much."""
        holder = self._breaking()[number % len(self._breaking())]
        rights = (holder.told, 0, holder.rights if holder.key is not None else holder.told)[less]
        self._ask(Acknowledge(peer=holder.peer, holder=holder, rights=rights))


async def _listed(peer: Peer, name: str) -> dict[str, int]:
    directory = await peer.tree.directory(name)
    entries = await directory.listing()
    await directory.close()
    return {entry.name: entry.size for entry in entries if entry.name not in (".", "..", "d", "e")}
