"""Opens: `Open` (MS-SMB2 3.3.1.10) and, for each file that is open, what its opens share (`Shared`)."""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from .channel_sequence import ChannelSequence
from .messages.header import Command
from .status import NT, Status
from .store.base import Cursor, File, FileKey

if TYPE_CHECKING:
    from .durable import Handle
    from .local_leases import DirectoryGuard, Guard
    from .lock import Locks
    from .notify import Watch
    from .oplock import Holder
    from .rpc.pipe import Pipe
    from .session import Session
    from .tree import Tree
    from .work import Work


@dataclass(slots=True)
class Search:
    """A directory open's enumeration: the walk, and entries read from it that did not fit the last answer."""

    pattern: str
    cursor: Cursor
    left: list[Any] = field(default_factory=list)
    started: bool = False
    """Whether any entry has been answered: then the end is NO_MORE_FILES, before it NO_SUCH_FILE."""


@dataclass(slots=True)
class Mode:
    """What CREATE settled for good."""

    access: int
    """Granted access mask (MS-SMB2 2.2.13.1), specific rights only."""
    share: int
    options: int
    write_through: bool = False
    delete_on_close: bool = False


class Locking(NamedTuple):
    """A LOCK under way, for its repetition over another channel to find."""

    number: int
    """Its LockSequenceNumber."""
    work: "Work"
    ended: "asyncio.Future[None]"


@dataclass(slots=True, eq=False)
class Open:
    """An open file, directory, stream or pipe. `persistent` and `volatile` make its FileId; never 0."""

    volatile: int
    persistent: int
    """Random: it is all that some reconnects name."""
    session: "Session"
    tree: "Tree"
    mode: Mode
    shared: "Shared"
    store_file: File | None = None
    pipe: "Pipe | None" = None
    """A named pipe of IPC$, in place of a file."""
    position: int = 0
    """CurrentByteOffset (FilePositionInformation)."""
    held_times: int = 0
    """Those of `times.MODIFIED` and `times.CHANGED` that changes through this open do not move."""
    search: Search | None = None
    listing: asyncio.Lock | None = None
    """Held by the one QUERY_DIRECTORY that moves `search` on: a client may send several at once. From the first on."""
    waiting: "set[Work]" = field(default_factory=set)
    """Pending requests (locks, notifies) that end with it."""
    sequence: ChannelSequence = field(default_factory=ChannelSequence)
    lock_sequences: dict[int, int] = field(default_factory=dict)
    """The numbers of the LOCKs carried out last, by their index (LockSequenceArray)."""
    locking: "dict[int, Locking]" = field(default_factory=dict)
    """LOCKs under way, by their index."""
    closed: bool = False
    user: str = ""
    """Whom it counts for while it is open, whoever its session is by then."""
    handle: "Handle | None" = None
    """What is known of it beyond its connection, where its client asked for that."""
    away: bool = False
    """Its client is gone and may come back: `session` and `tree` are those it had, and have ended."""
    unused: bool = False
    """Whether its CREATE may still be repeated (IsReplayEligible)."""
    caching: "Holder | None" = None
    """Its oplock, or the lease it shares with others."""
    parent_key: bytes | None = None
    """The key of the lease its client says it has on the directory: what this open does there is no news to that."""
    modified: bool = False
    """Whether it has changed data, which shows in the directory once it is closed."""
    watch: "Watch | None" = None
    """A directory's, from the first CHANGE_NOTIFY on."""
    untold: int = 0
    """Filters (`CompletionFilter`) that are to hear of what it has done, at the latest when it is closed."""
    told_until: float = 0.0
    """Loop time before which its writes are not told again."""

    @property
    def file(self) -> File:
        """The open file; raises INVALID_DEVICE_REQUEST on a pipe."""
        if self.store_file is None:
            raise Status(NT.INVALID_DEVICE_REQUEST, "a pipe is no file")
        return self.store_file

    def ends_with(self, work: "Work") -> int:
        """The status a pending request gets when this open is closed: a notify's clean end, a lock's refusal."""
        return NT.NOTIFY_CLEANUP if work.header.command == Command.CHANGE_NOTIFY else NT.RANGE_NOT_LOCKED

    @property
    def file_id(self) -> bytes:
        return self.persistent.to_bytes(8, "little") + self.volatile.to_bytes(8, "little")


@dataclass(slots=True, eq=False)
class Shared:
    """What all opens of one stream of one file share; it lives while any open does."""

    key: FileKey
    opens: list[Open] = field(default_factory=list)
    locks: "Locks | None" = None
    delete_pending: bool = False
    """SetInfo(Disposition) or the close of a DELETE_ON_CLOSE open: new opens get DELETE_PENDING, the last close
    removes the name."""
    archived: bool = False
    """Whether the file is known to have ARCHIVE."""
    last: Open | None = None
    """The last open of a file to be deleted, closed while named streams of it are open: it goes with them."""
    deleter: bytes | None = None
    """The `parent_key` of the open that made the deletion pending."""
    guard: "Guard | DirectoryGuard | None" = None
    """What keeps local processes from what its holders cache, from the first on."""
    holders: "list[Holder]" = field(default_factory=list)
    """Who caches it: every oplock and every lease once, also one that has been broken to nothing."""
    ending: int = 0
    """Opens without a client that are just being closed, and new ones that are being made persistent: whoever finds the
    file waits for that."""
    waiting: "list[asyncio.Future[None]]" = field(default_factory=list)
    """Who waits for holders to answer or opens to close."""

    def review(self) -> None:
        """Somebody may cache less than before: local processes that wait for that go on."""
        if self.guard is not None:
            self.guard.review()

    def wake(self) -> None:
        """Something has changed: whoever waits looks again."""
        self.review()
        if not self.waiting:
            return
        waiting, self.waiting = self.waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)
