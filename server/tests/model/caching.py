"""Who caches what in the reference: how oplocks and leases break, what clients must be told of it, how they answer.

MS-FSA 2.1.4.12; MS-SMB2 3.3.1.4, 3.3.4.6, 3.3.4.7, 3.3.5.22, 3.3.6.1, 3.3.6.5.
"""

from typing import NoReturn

from server.messages.directory import Change, NotifyAction
from server.status import NT
from server.tests.model.asks import HANDLE, READ, WRITE, Acknowledge, Ask, Heard, OfHandle, Seen
from server.tests.model.state import Handle, Holder, Node, others

ALL = READ | HANDLE | WRITE
OK = NT.SUCCESS
INVALID_DEVICE_STATE = 0xC0000184
"""MS-SMB2's word for an answer to no break; Windows says INVALID_OPLOCK_PROTOCOL."""


class Difference(AssertionError):
    """The server did what the specification does not allow."""


class Wait(Exception):
    """A request is not to be answered yet."""


class Caching:
    """`heard` are the notifications of this turn that no break has accounted for yet."""

    def __init__(self) -> None:
        self.names: dict[str, Node] = {}
        self.asks: list[Ask] = []
        self.heard: list[Heard] = []
        self.news: list[list[Change]] = []
        """What has happened to names in this turn."""
        self.leases: dict[tuple[int, int], Holder] = {}

    @property
    def handles(self) -> list[Handle]:
        """All opens there are, also those whose clients are away."""
        return [handle for node in self.names.values() for handle in node.handles]

    @property
    def holders(self) -> list[Holder]:
        return [holder for node in self.names.values() for holder in node.holders]

    # -- answers -----------
    def answered(self, ask: Ask, *statuses: int) -> Seen:
        """The answer of `ask`, which must have come and be one of `statuses`."""
        if self.dozes(ask):
            raise Wait
        if ask.seen is None:
            raise Difference(f"{ask} is not answered, and nothing is in its way")
        if ask.seen.status not in statuses:
            expected = " or ".join(f"{status:#x}" for status in statuses)
            raise Difference(f"{ask} is answered {ask.seen.status:#x}, and {expected} is expected")
        return ask.seen

    @staticmethod
    def dozes(ask: Ask) -> bool:
        """Whether it need not look again yet: somebody whom it has waited for has not answered."""
        return ask.seen is None and ask.blocked is not None and any(holder.breaking for holder in ask.blocked.holders)

    def block(self, ask: Ask, node: Node) -> NoReturn:
        """Let `ask` wait for who caches `node`, or still for whom it has waited before."""
        if not self.dozes(ask):
            ask.blocked = node
        raise Wait

    # -- breaks ---------------------------------------------------------------------------------------------
    def take(self, holder: Holder, lose: int, ask: Ask | None = None) -> None:
        """Begin to take `lose` from `holder`, for `ask` (MS-FSA 2.1.4.12, MS-SMB2 3.3.4.6, 3.3.4.7)."""
        kept = holder.left(lose)
        if ask is not None and self.dozes(ask) and self._word(holder) is None:
            return
        if holder.breaking and holder.key is not None:
            holder.required &= kept
        if holder.breaking or kept == holder.rights:
            return
        if not holder.reachable:
            self.give_up(holder)
            return
        self._hear(holder, {kept})
        if holder.rights == READ:
            self._lose(holder)
        else:
            holder.breaking, holder.told, holder.required = True, kept, kept

    def _hear(self, holder: Holder, allowed: set[int]) -> int:
        """What `holder` was told that it may keep, which must be one of `allowed`."""
        heard = self._word(holder)
        if heard is None:
            raise Difference(f"{holder} was not told that it may keep {allowed}")
        self.heard.remove(heard)
        due = holder.rights != READ
        if (
            heard.after not in allowed
            or heard.before not in (None, holder.rights)
            or heard.acknowledge not in (None, due)
        ):
            raise Difference(f"{holder} was told {heard}, and {allowed} is allowed")
        return heard.after

    def _word(self, holder: Holder) -> Heard | None:
        """The first that `holder` was told in this turn."""
        name = holder.key if holder.key is not None else holder.handles[0].file_id
        return next((each for each in self.heard if (each.peer, each.name) == (holder.peer, name)), None)

    def give_up(self, holder: Holder) -> None:
        """No answer will come: it caches nothing, and opens that lasted by it end (3.3.4.7, 3.3.6.5)."""
        holder.breaking = False
        self._lose(holder)

    def _lose(self, holder: Holder) -> None:
        holder.rights = 0
        self._without_handle(holder)
        if holder.key is None and holder in holder.node.holders:
            holder.node.holders.remove(holder)
            for handle in holder.handles:
                handle.holder = None

    def _without_handle(self, holder: Holder) -> None:
        """Opens without a client last only as long as they may be cached."""
        if not holder.rights & HANDLE:
            for handle in [handle for handle in holder.handles if handle.away and not handle.steadfast]:
                self.close_now(handle)

    def take_handles(self, node: Node, ask: OfHandle) -> None:
        """Nobody else is to keep `node` open for later; raises Wait until that is so."""
        for holder in others(node, ask.handle):
            if holder.key is not None and holder.rights & HANDLE:
                self.take(holder, HANDLE, ask)
        if any(holder.key is not None and holder.rights & HANDLE for holder in others(node, ask.handle)):
            self.block(ask, node)

    def take_reads(self, handle: Handle) -> None:
        """What others have read is no longer so; level II ends even by the open that has it."""
        mine = handle.holder
        if mine is not None and mine.rights & WRITE:
            return
        for holder in list(handle.node.holders):
            if holder is not mine or holder.key is None:
                self.take(holder, ALL)

    # -- closing ----------
    def close_now(self, handle: Handle) -> None:
        """What happens whoever closes it."""
        node, holder = handle.node, handle.holder
        handle.closed, handle.away = True, False
        node.handles.remove(handle)
        node.locks = [lock for lock in node.locks if lock.handle is not handle]
        if holder is not None:
            self._let_go(holder, handle)
        if handle.delete_on_close and not node.doomed:
            node.doomed = True
            for other in list(node.holders):
                if other.key is not None and (other is not holder or not holder.reachable):
                    self.take(other, HANDLE)
        if node.doomed and not node.handles and self.names.pop(node.name.casefold(), None) is not None:
            self.tell(node, [Change(NotifyAction.REMOVED, node.name)])

    def tell(self, node: Node, changes: list[Change]) -> None:
        """Who watches the names of files hears of it; of those of streams it is not asked."""
        if ":" not in node.name:
            self.news.append(changes)

    def _let_go(self, holder: Holder, handle: Handle) -> None:
        handle.holder = None
        holder.handles.remove(handle)
        if holder.handles:
            return
        holder.breaking = False
        if holder in holder.node.holders:
            holder.node.holders.remove(holder)
        if holder.key is not None:
            del self.leases[holder.peer, holder.key]

    # -- answers to breaks ----------------------------------------------------------------------------------
    def acknowledge(self, ask: Acknowledge) -> None:
        holder = ask.holder
        if holder.key is None:
            self._acknowledge_oplock(ask, holder)
        elif (holder.peer, holder.key) not in self.leases:
            self.answered(ask, NT.OBJECT_NAME_NOT_FOUND)
        elif not holder.breaking:
            self.answered(ask, NT.UNSUCCESSFUL)
        elif ask.rights & ~holder.told:
            self.answered(ask, NT.REQUEST_NOT_ACCEPTED)
        else:
            self.answered(ask, OK)
            self._acknowledge_lease(holder, ask.rights)

    def _acknowledge_oplock(self, ask: Acknowledge, holder: Holder) -> None:
        """3.3.5.22.1."""
        if not holder.handles or holder.handles[0].closed:
            self.answered(ask, NT.FILE_CLOSED)
        elif not holder.breaking:
            self.answered(ask, NT.INVALID_OPLOCK_PROTOCOL, INVALID_DEVICE_STATE)
        else:
            rights = holder.told & ask.rights
            if self.answered(ask, OK).rights != rights:
                raise Difference(f"{ask} ends with other rights than {rights}")
            holder.breaking, holder.rights = False, rights
            if not rights:
                self._lose(holder)

    def _acknowledge_lease(self, holder: Holder, rights: int) -> None:
        """3.3.5.22.2; what came meanwhile is told next, in one step or several."""
        holder.rights, holder.breaking = rights, False
        required = holder.required & rights
        if rights == required:
            self._without_handle(holder)
            return
        steps = {step for step in range(rights) if not step & ~rights and not required & ~step}
        after = self._hear(holder, steps)
        if rights == READ:
            self._lose(holder)
        else:
            holder.breaking, holder.told, holder.required = True, after, required


def renamed(old: str, new: str, replaced: bool) -> list[Change]:
    """What is told of a file that has got another name, from another file where one is `replaced`."""
    news = [Change(NotifyAction.REMOVED, new)] if replaced else []
    if old.rpartition("\\")[0] == new.rpartition("\\")[0]:
        pair = NotifyAction.RENAMED_OLD_NAME, NotifyAction.RENAMED_NEW_NAME
    else:
        pair = NotifyAction.REMOVED, NotifyAction.ADDED
    return [*news, Change(pair[0], old), Change(pair[1], new)]
