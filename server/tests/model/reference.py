"""The reference: files, opens, locks and caching as MS-FSA and MS-SMB2 describe them, in the plainest words there are.

It is told what clients asked and looks at what they heard: `World.settle` goes through the requests that are under way
and says for each what its answer must be, or that it must wait. Where the specification leaves a choice it accepts any
of the allowed answers and goes on from what the server chose; anything else is a `Difference`.

MS-FSA 2.1.4.10 (locks), 2.1.4.12 (breaks), 2.1.5.1.2 (opens), 2.1.5.15 (renames, deletion), 2.1.5.18 (grants);
MS-SMB2 3.3.1.4, 3.3.4.6, 3.3.4.7, 3.3.5.9, 3.3.5.22, 3.3.7.1.
"""

from collections.abc import Callable, Iterable
from typing import Any

from server.messages.create import Disposition
from server.messages.directory import Change, NotifyAction
from server.status import NT
from server.tests.model.asks import (
    DATA,
    DELETE,
    HANDLE,
    NO_WISH,
    OVERWRITES,
    PERSISTENT,
    READ_DATA,
    WRITE,
    WRITE_DATA,
    Acknowledge,
    Ask,
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
    Resume,
    Seen,
    Unlock,
    Write,
)
from server.tests.model.caching import ALL, OK, Caching, Difference, Wait, renamed
from server.tests.model.state import (
    Handle,
    Holder,
    Node,
    Range,
    grants,
    io_conflict,
    lock_conflict,
    note,
    others,
    use,
    violates,
    went,
)


class World(Caching):
    # -- one turn -------------------------------------------------------------------------------------------
    def settle(self, new: Ask | None = None) -> None:
        """Do all that can be done now, first `new`, and compare. Raises Difference."""
        if new is not None:
            self.asks.append(new)
            self._attempt(new)
        while sum(self._attempt(ask) for ask in list(self.asks)):
            pass
        for ask in self.asks:
            if ask.seen is not None:
                raise Difference(f"{ask} is answered, and was to wait")
        if self.heard:
            raise Difference(f"told without a reason: {self.heard}")

    def _attempt(self, ask: Ask) -> bool:
        """Carry `ask` out where nothing is in the way; whether it was."""
        if ask not in self.asks:
            return False
        use(ask)
        try:
            RULES[type(ask)](self, ask)
        except Wait:
            ask.waited = True
            return False
        self.asks.remove(ask)
        return True

    # -- opens ----------------------------------------------------------------------------------------------
    def create(self, ask: Create) -> None:
        node = self.names.get(ask.name.casefold())
        if self.dozes(ask) and (node is not ask.blocked or node is None or node.doomed):
            raise Wait
        lease = self.leases.get((ask.peer, ask.wish.key)) if ask.wish.key is not None else None
        if lease is not None and lease.node is not node:
            if not ask.waited:
                self.answered(ask, NT.INVALID_PARAMETER)
                return
            lease, ask.wish = None, NO_WISH  # it has become another file's meanwhile
        if node is None and ask.disposition in (Disposition.OPEN, Disposition.OVERWRITE):
            self.answered(ask, NT.OBJECT_NAME_NOT_FOUND)
        elif node is None and ask.seen is not None and ask.seen.status == NT.DELETE_PENDING and went(ask):
            self.answered(ask, NT.DELETE_PENDING)
        elif node is None:
            node = self.names[ask.name.casefold()] = Node(ask.name)
            self.tell(node, [Change(NotifyAction.ADDED, node.name)])
            self._opened(ask, node, lease)
        elif node.doomed or ask.disposition == Disposition.CREATE or _reserved(ask, node, lease):
            refusals = [NT.DELETE_PENDING] * node.doomed
            refusals += [NT.FILE_NOT_AVAILABLE] * _reserved(ask, node, lease)
            refusals += [NT.OBJECT_NAME_COLLISION] * (ask.disposition == Disposition.CREATE)
            self.answered(ask, *refusals)
        else:
            self._enter(ask, node, lease)

    def _enter(self, ask: Create, node: Node, lease: Holder | None) -> None:
        """Open what is there. Opens without clients may end by that, and `node` with them or soon."""
        refused = self._clear(ask, node, lease)
        if self.names.get(ask.name.casefold()) is not node:
            self.create(ask)
        elif refused or node.doomed:
            self.answered(ask, *[NT.SHARING_VIOLATION] * refused, *[NT.DELETE_PENDING] * node.doomed)
        else:
            if ask.disposition in OVERWRITES:
                node.data.clear()
            self._opened(ask, node, lease)

    def _clear(self, ask: Create, node: Node, lease: Holder | None) -> bool:
        """Break what is in the way of an open; whether share modes refuse it all the same. Raises Wait."""
        if not ask.access & DATA:
            return violates(node, ask.access, ask.share)
        before = None
        while before != (refused := violates(node, ask.access, ask.share)):
            before = refused
            overwrites = ask.disposition in OVERWRITES and not refused
            lose = HANDLE if refused else ALL if overwrites else WRITE
            foreign = [holder for holder in node.holders if holder is not lease]
            for holder in foreign:
                self.take(holder, lose, ask)
        waited = [holder for holder in foreign if holder.breaking]
        urgent = HANDLE if refused else WRITE  # nobody needs to wait for who has only read
        if any(holder.rights & urgent for holder in waited) or (waited and ask.seen is None):
            self.block(ask, node)
        return refused

    def _opened(self, ask: Create, node: Node, lease: Holder | None) -> None:
        seen = self.answered(ask, OK)
        handle = Handle(
            ask.peer, node, ask.access, ask.share, ask.delete_on_close, seen.file_id, guid=ask.guid, wish=ask.wish
        )
        allowed = grants(node, lease, ask.wish)
        if lease is not None:
            more = not lease.breaking and not lease.rights & ~ask.wish.rights and ask.wish.rights in allowed
            allowed = ({ask.wish.rights} if more else set()) | (
                {lease.rights} if not more or len(allowed) > 1 else set()
            )
        if seen.rights not in allowed:
            raise Difference(f"{ask} is granted {seen.rights}, and {allowed} is allowed")
        self._hold(handle, ask, seen, lease)
        node.handles.append(handle)

    def _hold(self, handle: Handle, ask: Create, seen: Seen, lease: Holder | None) -> None:
        """Note what `handle` caches from now on, and that it is durable where it is."""
        if lease is None and (seen.rights or seen.leased):
            handle.holder = Holder(handle.node, ask.peer, seen.rights, ask.wish.key)
            handle.node.holders.append(handle.holder)
            if ask.wish.key is not None:
                self.leases[ask.peer, ask.wish.key] = handle.holder
        elif lease is not None:
            lease.rights = seen.rights
            handle.holder = lease
        if handle.holder is not None:
            handle.holder.handles.append(handle)
        durable = bool(ask.durable and handle.holder and handle.holder.rights & ask.wish.rights & HANDLE)
        durable = durable or ask.durable == PERSISTENT
        breaking = handle.holder is not None and handle.holder.breaking
        if (seen.durable, seen.breaking) != (durable, breaking):
            raise Difference(f"{ask} is durable or breaking where it is not, or the other way round: {seen}")
        handle.durable = ask.durable if durable else 0

    def resume(self, ask: Resume) -> None:
        """3.3.5.9.7, 3.3.5.9.12."""
        handle = ask.handle
        if not handle.away:
            self.answered(ask, NT.OBJECT_NAME_NOT_FOUND)
            return
        seen = self.answered(ask, OK)
        had = handle.holder.rights if handle.holder is not None else 0
        if seen.rights != had:
            raise Difference(f"{ask} is granted {seen.rights}, and it had {had}")
        handle.away, handle.file_id = False, seen.file_id

    def repeat(self, ask: Repeat) -> None:
        """3.3.5.9.10: what it was answered, and nothing is opened once more."""
        handle, seen = ask.handle, self.answered(ask, OK)
        if seen.file_id != handle.file_id:
            raise Difference(f"{ask} gives another open: {seen}")
        if handle.holder is not None and handle.holder.key is not None and seen.rights != handle.holder.rights:
            raise Difference(f"{ask} is granted {seen.rights}, and it has {handle.holder.rights}")

    def harden(self, ask: Harden) -> None:
        """3.3.5.15.9."""
        self.answered(ask, OK)
        ask.handle.resilient = True
        if ask.handle.durable != PERSISTENT:
            ask.handle.durable = 0

    def close(self, ask: Close) -> None:
        if ask.handle.delete_on_close and not ask.handle.node.doomed:
            self.take_handles(ask.handle.node, ask)
        self.answered(ask, OK)
        self.close_now(ask.handle)

    # -- data and locks -------------------------------------------------------------------------------------
    def read(self, ask: Read) -> None:
        handle, data = ask.handle, ask.handle.node.data
        if not handle.access & READ_DATA:
            self.answered(ask, NT.ACCESS_DENIED)
        elif io_conflict(handle, ask.offset, ask.length, writes=False):
            self.answered(ask, NT.FILE_LOCK_CONFLICT)
        elif ask.offset >= len(data):
            self.answered(ask, NT.END_OF_FILE)
        elif self.answered(ask, OK).data != data[ask.offset : ask.offset + ask.length]:
            raise Difference(f"{ask} reads what nobody has written")

    def write(self, ask: Write) -> None:
        handle, data, end = ask.handle, ask.handle.node.data, ask.offset + len(ask.data)
        if not handle.access & WRITE_DATA:
            self.answered(ask, NT.ACCESS_DENIED)
        elif io_conflict(handle, ask.offset, len(ask.data), writes=True):
            self.answered(ask, NT.FILE_LOCK_CONFLICT)
        else:
            self.answered(ask, OK)
            data.extend(bytes(max(0, ask.offset - len(data))))
            data[ask.offset : end] = ask.data
            self.take_reads(handle)

    def resize(self, ask: Resize) -> None:
        data = ask.handle.node.data
        if not ask.handle.access & WRITE_DATA:
            self.answered(ask, NT.ACCESS_DENIED)
            return
        self.answered(ask, OK)
        data[ask.size :] = bytes(max(0, ask.size - len(data)))
        self.take_reads(ask.handle)

    def lock(self, ask: Lock) -> None:
        wanted = Range(ask.handle, ask.offset, ask.length, ask.exclusive)
        if not ask.waited:
            self.take_reads(ask.handle)
        if not lock_conflict(ask.handle.node, wanted):
            self.answered(ask, OK)
            ask.handle.node.locks.append(wanted)
            note(ask)
        elif ask.patient:
            raise Wait
        else:
            self.answered(ask, NT.LOCK_NOT_GRANTED)

    def unlock(self, ask: Unlock) -> None:
        locks = ask.handle.node.locks
        for exclusive in (True, False):
            held = Range(ask.handle, ask.offset, ask.length, exclusive)
            if held in locks:
                self.answered(ask, OK)
                locks.remove(held)
                note(ask)
                return
        self.answered(ask, NT.RANGE_NOT_LOCKED)

    def lock_again(self, ask: LockAgain) -> None:
        """3.3.5.14: it is not carried out twice."""
        self.answered(ask, OK)

    # -- names ----------------------------------------------------------------------------------------------
    def rename(self, ask: Rename) -> None:
        """MS-FSA 2.1.5.15.11."""
        handle, node = ask.handle, ask.handle.node
        if not handle.access & DELETE:
            self.answered(ask, NT.ACCESS_DENIED)
            return
        for holder in [] if ask.waited else others(node, handle):
            if holder.key is not None:
                self.take(holder, HANDLE)
        there = self.names.get(ask.name.casefold())
        if there is not None and there is not node:
            if not ask.replace:
                self.answered(ask, NT.OBJECT_NAME_COLLISION)
                return
            once_more = ask.seen is not None and ask.waited and there.handles  # what came meanwhile may just refuse it
            if not once_more:
                self.take_handles(there, ask)
            if there.handles:
                self.answered(ask, NT.ACCESS_DENIED)
                return
        self.take_handles(node, ask)
        self.answered(ask, OK)
        del self.names[node.name.casefold()]
        self.tell(node, renamed(node.name, ask.name, there is not None and there is not node))
        node.name = ask.name
        self.names[ask.name.casefold()] = node

    def doom(self, ask: Doom) -> None:
        """MS-FSA 2.1.5.15.3."""
        node = ask.handle.node
        if not ask.handle.access & DELETE:
            self.answered(ask, NT.ACCESS_DENIED)
            return
        if ask.delete:
            self.take_handles(node, ask)
        self.answered(ask, OK)
        node.doomed = ask.delete

    # -- what is not asked ----------------------------------------------------------------------------------
    def time_out(self) -> None:
        """Whoever was to answer a break has not."""
        for holder in [holder for holder in self.holders if holder.breaking]:
            self.give_up(holder)

    def expire(self) -> None:
        """Nobody has come back in time."""
        for handle in [handle for handle in self.handles if handle.away]:
            if not handle.closed:
                self.close_now(handle)

    def leave(self, peer: int) -> None:
        """The session of `peer` has ended (3.3.5.6, 3.3.7.1)."""
        self.asks = [ask for ask in self.asks if ask.peer != peer]
        mine = [handle for handle in self.handles if handle.peer == peer and not handle.away]
        lasting = [handle for handle in mine if handle.lasts]
        for handle in mine:  # nobody is told any more
            handle.away = True
        self._close_all([handle for handle in mine if handle not in lasting])
        for holder in self.holders:
            if holder.breaking and not holder.reachable:
                self.give_up(holder)

    def _close_all(self, handles: Iterable[Handle]) -> None:
        for handle in handles:
            if not handle.closed:
                self.close_now(handle)

    def end(self) -> None:
        """The server ends, all of its clients gone; only files and persistent opens outlive that."""
        for node in list(self.names.values()):
            for handle in list(node.handles):
                if handle.durable != PERSISTENT and not handle.closed:
                    self.close_now(handle)

    def die(self) -> None:
        """The server is killed: what nobody could do at that moment is not done."""
        self.asks.clear()
        self.heard.clear()
        for node in list(self.names.values()):
            node.doomed = node.doomed and any(handle.durable == PERSISTENT for handle in node.handles)
            for handle in list(node.handles):
                if handle.durable == PERSISTENT:
                    handle.away = True
                else:
                    handle.closed, handle.away, handle.delete_on_close = True, False, False
                    self.close_now(handle)
        for holder in [holder for holder in self.holders if holder.breaking]:
            holder.breaking, holder.rights = False, holder.required
            if not holder.rights:
                self.give_up(holder)


def _reserved(ask: Create, node: Node, lease: Holder | None) -> bool:
    """Whether a persistent open without a client keeps everybody else away (3.3.5.9)."""
    kept = (handle for handle in node.handles if handle.durable == PERSISTENT and handle.away)
    return bool(ask.access & DATA) and any(lease is None or handle.holder is not lease for handle in kept)


RULES: dict[type[Ask], Callable[[World, Any], None]] = {
    Create: World.create,
    Resume: World.resume,
    Repeat: World.repeat,
    Harden: World.harden,
    Close: World.close,
    Read: World.read,
    Write: World.write,
    Resize: World.resize,
    Lock: World.lock,
    Unlock: World.unlock,
    LockAgain: World.lock_again,
    Rename: World.rename,
    Doom: World.doom,
    Acknowledge: World.acknowledge,
}
