"""Breaks: telling clients what they may not cache any more, and waiting until they have answered.

A notification goes over a channel of a session that has the file open; where one fails, or nothing at all comes over
it any more, the next is tried. An answer that is due and does not come within `TIMEOUT` is taken as given: the holder
caches nothing then. So is one that could not be asked for. Whoever waits for a file's holders is woken by every answer
and every close, and looks again. All of it runs in the event loop.

MS-SMB2 3.3.2.1, 3.3.4.6, 3.3.4.7, 3.3.6.1; MS-FSA 2.1.4.12.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from smbdirect.wire import Buffer
from transport.base import Lost, Reply

from .changes import place_of
from .granting import breaks_for_change
from .lease import Lease, Leases
from .local_leases import LocalLeases
from .messages.header import Command, Flags, Header
from .messages.oplock import ACK_REQUIRED, LeaseNotification, OplockBreak, OplockBreakResponse
from .oplock import HANDLE, READ, Holder, Notice, Oplock, Timer, level_of
from .session import Session
from .status import NT, Status
from .step import step

if TYPE_CHECKING:
    from .connection import ServerConnection
    from .open import Open, Shared
    from .store.base import Path
    from .work import Work

log = logging.getLogger("smbdirect.breaks")

TIMEOUT = 35.0
"""Seconds a client has to acknowledge (Windows' figure)."""
GRACE = 0.05
"""Seconds that a change of data waits at most for those who are to forget what they have read: it needs no answer of
theirs, but who has been answered may tell others to look, and they should not find what was there before."""
UNSOLICITED = 0xFFFFFFFFFFFFFFFF
"""The message id of what answers no request."""
RETRY = 3.0
"""Seconds after which a break is told over another channel too, where its own has been silent since."""
ROUNDS = 64
"""How often a client may take HANDLE again from under one request before that gives up."""

Way = tuple[Session, "ServerConnection"]
"""A connection that reaches a client, and the session it does so in."""
Later = Callable[..., Timer]
"""`loop.call_later`: seconds, a function, its arguments."""


def later(delay: float, callback: Callable[..., None], *arguments: Any) -> Timer:
    return asyncio.get_running_loop().call_later(delay, callback, *arguments)


class Breaks:
    def __init__(self, later: Later = later) -> None:
        self.leases = Leases()
        self.local = LocalLeases(self)
        self.later = later
        self.uncached: Callable[[Open], None] = lambda opened: None
        """Told of each open that its client may not keep for later any more."""
        self.recached: Callable[[Holder], None] = lambda holder: None
        """Told of each holder that may not cache what it did."""
        self._tasks: set[asyncio.Task[None]] = set()

    # -- beginning and ending -------------------------------------------------------------------------------
    def begin(self, holder: Holder, rights: int) -> None:
        """Take all but `rights` from `holder`, and tell it where it has to hear of that."""
        if holder not in holder.shared.holders:
            return
        notice = holder.break_to(rights)
        if notice is not None:
            self.recached(holder)
            self.tell(holder, notice)

    def tell(self, holder: Holder, notice: Notice) -> None:
        """Send `notice`; from now on the time runs where an answer is due."""
        self._stop_timer(holder)
        if notice.acknowledge:
            holder.timer = self.later(TIMEOUT, self._expire, holder)
        else:
            self._rest(holder)
            holder.shared.review()
        self._run(self._send(holder, notice, list(_ways(holder))))

    def _run(self, sending: Coroutine[Any, Any, None]) -> None:
        task = step(sending)
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def answered(self, holder: Holder, next_step: Notice | None = None) -> None:
        """`holder` has acknowledged: who waits looks again, and the next step is told once the answer is out."""
        if not holder.breaking:
            self._stop_timer(holder)
            self._let_go(holder)
        self.recached(holder)
        self._rest(holder)
        if next_step is not None:
            asyncio.get_running_loop().call_soon(self.tell, holder, next_step)
        holder.shared.wake()

    def _expire(self, holder: Holder) -> None:
        log.info("a break was not acknowledged within %d s", TIMEOUT)
        self.give_up(holder)

    def give_up(self, holder: Holder) -> None:
        """No answer will come: `holder` caches nothing."""
        self._stop_timer(holder)
        holder.expire()
        self.recached(holder)
        self._let_go(holder)
        self._rest(holder)
        holder.shared.wake()

    def _let_go(self, holder: Holder) -> None:
        """A break is over."""
        if not holder.rights & HANDLE:
            for opened in list(holder.opens()):
                self.uncached(opened)

    def left(self, holder: Holder) -> None:
        """A client of `holder` is gone, but not its opens: an answer that nobody else can give is not waited for."""
        if holder.breaking and next(_ways(holder), None) is None:
            self.give_up(holder)

    @staticmethod
    def _stop_timer(holder: Holder) -> None:
        for timer in (holder.timer, holder.retry):
            if timer is not None:
                timer.cancel()
        holder.timer = holder.retry = None

    @staticmethod
    def _rest(holder: Holder) -> None:
        """An oplock broken to none is none; a lease stays, and may grow again."""
        if isinstance(holder, Oplock) and not holder.rights and holder.opened is not None:
            holder.opened.caching = None
            if holder in holder.shared.holders:
                holder.shared.holders.remove(holder)

    def release(self, opened: "Open") -> None:
        """`opened` is closed: its oplock ends, and its lease with the last of its opens. Wakes nobody yet."""
        holder, opened.caching = opened.caching, None
        if holder is None:
            return
        if isinstance(holder, Lease):
            holder.members.remove(opened)
            if holder.members:
                self.left(holder)
                return
            self.leases.remove(holder)
        self._stop_timer(holder)
        holder.breaking = False
        holder.shared.holders.remove(holder)

    # -- what breaks ----------------------------------------------------------------------------------------
    def data_changed(self, opened: "Open") -> list[Holder]:
        """`opened` has changed data: nobody else may keep what it has read; its directory hears of it at the close.

        Returns who has been told, for `settle`.
        """
        opened.modified = True
        return self.take_reads(opened)

    def take_reads(self, opened: "Open") -> list[Holder]:
        """`opened` locks data, or has changed it: nobody else may keep what it has read. Returns who has been told."""
        if not opened.shared.holders:
            return []
        told = breaks_for_change(opened.shared, opened)
        for holder in told:
            self.begin(holder, 0)
        return told

    def data_cut(self, opened: "Open") -> None:
        """The CREATE of `opened` has cut the data: who has come to cache it in the meantime caches the old."""
        for holder in list(opened.shared.holders):
            if holder.rights & READ and holder is not opened.caching:
                self.begin(holder, 0)

    def place(self, opened: "Open") -> "Path | None":
        """Where the directory is that `opened` shows in; None where nobody caches any, or no name is left."""
        if not self.leases.on_directories:
            return None
        try:
            path = opened.file.path()
        except Status:
            return None
        return place_of(opened.tree, path[:-1]) if path else None

    def directory_changed(self, place: "Path | None", *by: bytes | None) -> None:
        """An entry of the directory has changed: leases on it end, but one that all of `by` name as their parent's.

        Who caches it hears of that after the answer to who has changed it.
        """
        if place is None:
            return
        for lease in self.leases.at(place):
            if any(key != lease.key[1] for key in by):
                asyncio.get_running_loop().call_soon(self.begin, lease, 0)

    def parent_changed(self, opened: "Open") -> None:
        """What `opened` has done shows in the directory it is in."""
        self.directory_changed(self.place(opened), opened.parent_key)

    # -- waiting --------------------------------------------------------------------------------------------
    async def wait(self, work: "Work", shared: "Shared", quietly: bool = False) -> None:
        """Until something about the holders or opens of `shared` has changed. Raises Status where called off."""
        future = asyncio.get_running_loop().create_future()
        shared.waiting.append(future)
        try:
            await work.wait(future, anywhere=True, quietly=quietly)
        finally:
            if future in shared.waiting:
                shared.waiting.remove(future)

    async def settle(self, work: "Work", told: "Sequence[Holder]") -> None:
        """Until all of `told` have answered, or `GRACE` is over; the client hears nothing of this wait."""
        due = [holder for holder in told if holder.breaking]
        if not due:
            return
        shared = due[0].shared
        over: list[bool] = []
        timer = self.later(GRACE, _end, over, shared)
        try:
            while not over and any(holder.breaking for holder in due):
                await self.wait(work, shared, quietly=True)
        except Status:  # called off; what was waited for is done all the same
            pass
        finally:
            timer.cancel()

    def ask_handles(self, shared: "Shared", mine: Holder | None) -> bool:
        """Break the leases that keep opens of `shared` for later, but `mine` where its client is there; whether any
        such is left."""
        held = [other for other in shared.holders if _keeps_open(other) and (other is not mine or not _reachable(mine))]
        for holder in held:
            self.begin(holder, holder.rights & ~HANDLE)
        return shared.ending > 0 or any(map(_keeps_open, held))

    async def take_handles(self, work: "Work", shared: "Shared", opened: "Open") -> None:
        """Until no lease but that of `opened` keeps opens of `shared` for later: before a rename or a deletion.

        The client hears nothing of the wait (no interim response), as with Windows and Samba. Raises Status, also
        where `opened` is closed meanwhile.
        """
        for _ in range(ROUNDS):
            if not self.ask_handles(shared, opened.caching):
                return
            await self.wait(work, shared, quietly=True)
            if opened.closed:
                raise Status(NT.FILE_CLOSED, "closed while it waited")
        raise Status(NT.SHARING_VIOLATION, "its opens are cached again and again")

    # -- sending --------------------------------------------------------------------------------------------
    async def _send(self, holder: Holder, notice: Notice, ways: "list[Way]", told: bool = False) -> None:
        """Tell `holder` over the first of `ways` that works; `told`: it has been, over one that has gone silent."""
        while ways:
            session, connection = ways.pop(0)
            heard = connection.heard
            try:
                await connection.transport.send(Reply(_packed(holder, notice, session)))
            except Lost as error:
                log.debug("%s: no break over this channel: %s", connection.transport.peer, error)
                continue
            if holder.breaking and ways:
                holder.retry = self.later(RETRY, self._retry, holder, notice, ways, connection, heard)
            return
        if notice.acknowledge and holder.breaking and not told:
            self.give_up(holder)

    def _retry(
        self, holder: Holder, notice: Notice, ways: "list[Way]", connection: "ServerConnection", heard: int
    ) -> None:
        """No answer yet: try the next way, unless the client is there and only takes its time."""
        holder.retry = None
        if connection.heard == heard:
            log.info("%s: silent since a break was sent; told over another channel", connection.transport.peer)
            self._run(self._send(holder, notice, ways, told=True))


def _end(over: list[bool], shared: "Shared") -> None:
    over.append(True)
    shared.wake()


def _reachable(holder: Holder) -> bool:
    return next(_ways(holder), None) is not None


def _keeps_open(holder: Holder) -> bool:
    return isinstance(holder, Lease) and bool(holder.rights & HANDLE)


def _ways(holder: Holder) -> "Iterator[Way]":
    """Where the client can be told: over a channel of the open's session; of a lease over any of its connections,
    the oldest first, and of those only the ones that the same user has a session on (3.3.4.6, 3.3.4.7)."""
    sessions = dict.fromkeys(opened.session for opened in holder.opens() if not opened.away)
    own = [(session, connection) for session in sessions for connection in session.channels]
    if not isinstance(holder, Lease) or not own:
        yield from own
        return
    users = {session.user for session in sessions}
    for connection in sorted(own[0][1].server.connections, key=lambda connection: connection.since):
        if connection.negotiated.client_guid == holder.key[0]:
            for session in connection.sessions.values():
                if session.valid and session.user in users:
                    yield session, connection
                    break


def _packed(holder: Holder, notice: Notice, session: Session) -> list[Buffer]:
    """The notification: never signed, sealed where the session is (3.3.4.1.1, 3.3.4.1.4, 3.3.4.6, 3.3.4.7)."""
    header = Header(command=Command.OPLOCK_BREAK, flags=Flags.RESPONSE, message_id=UNSOLICITED)
    body: OplockBreak | LeaseNotification
    if isinstance(holder, Lease):
        body = LeaseNotification(
            epoch=holder.epoch if holder.version > 1 else 0, flags=ACK_REQUIRED if notice.acknowledge else 0,
            key=holder.key[1], current_state=notice.before, new_state=notice.after,
        )  # fmt: skip
    else:
        header.session_id = session.id
        body = OplockBreak(oplock_level=level_of(notice.after & READ), file_id=holder.opens()[0].file_id)
    parts = [header.pack(), *OplockBreakResponse(body).parts()]
    protection = session.protection
    if protection.encryption_required and protection.sealer is not None:
        return protection.sealer.seal(parts, session.id)
    return parts
