"""What a share stores, as the command core sees it: `Store`, an open `File`, and the values they exchange.

A store knows names (matched without case, kept with it, and found by their 8.3 form too), data, named streams,
attributes, times, extended attributes and security descriptors. It does not know share modes, byte-range locks or
delete-on-close: those are the core's and live in the event loop. Every call that may touch a disk is `async` and
runs as the `Identity` the file was opened with; errors are `Status` (an OSError becomes one by
`status.from_os_error`). Times are FILETIMEs: 100 ns since 1601-01-01 UTC. Sizes and offsets are bytes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from smbdirect.wire import Buffer

from .shape import Shape

if TYPE_CHECKING:
    from .following import Follower, Heard
    from .kernel_leases import KernelLease

Path = tuple[str, ...]
"""Names under the share's root, () being the root itself. Never "", ".", "..", nor a name with a separator."""


Credentials = tuple[int, int, tuple[int, ...]]
"""Of a Unix account: user, group, supplementary groups."""


class FileKey(NamedTuple):
    """What two opens of the same stream of the same file share; `stream` is folded in case, "" for the data."""

    device: int
    inode: int
    stream: str = ""


class Kind(Enum):
    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    OTHER = "other"
    """A device, FIFO or socket: it can be listed, queried, renamed and deleted, and never opened for data."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a file operation runs as: a Unix account, and the SIDs (binary, MS-DTYP 2.4.2) access is judged by."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    sids: frozenset[bytes]
    """The user's own SID, its groups', and the well-known ones that hold (Everyone, Authenticated Users ...)."""
    owner: bytes
    """The SID that owns what this identity makes; `group` its primary group's."""
    group: bytes
    privileged: bool = False
    """May take ownership, back up and restore (root, and members of the configured admin list)."""

    @property
    def credentials(self) -> Credentials:
        return self.uid, self.gid, self.groups


@dataclass(slots=True)
class Stat:
    """A file as queries and directory listings see it. For a named stream, `size` and `allocation` are its own."""

    device: int
    inode: int
    kind: Kind
    mode: int
    uid: int
    gid: int
    links: int
    size: int
    allocation: int
    created: int
    accessed: int
    modified: int
    changed: int
    attributes: int
    """FILE_ATTRIBUTE_* (MS-FSCC 2.6) as sent: DIRECTORY, REPARSE_POINT, SPARSE_FILE from the file itself, READONLY,
    HIDDEN, SYSTEM, ARCHIVE ... as stored; NORMAL where no other holds."""
    ea_size: int = 0
    reparse_tag: int = 0


class Ea(NamedTuple):
    """An extended attribute (MS-FSCC 2.4.16): its name as given, its value, and the NEED_EA flag's byte."""

    name: bytes
    value: bytes
    flags: int = 0


class Stream(NamedTuple):
    """A data stream: `name` without colons or type, "" for the unnamed one of a file."""

    name: str
    size: int
    allocation: int


class Make(Enum):
    """What `Store.open` does where the name is absent, and where it is there."""

    NEVER = "open only"
    IF_ABSENT = "make it where absent, else open it"
    ALWAYS = "make it; OBJECT_NAME_COLLISION where it is there"


@dataclass(slots=True)
class New:
    """What a file or stream is given when it is made."""

    directory: bool = False
    attributes: int = 0
    """FILE_ATTRIBUTE_* the client asked for (READONLY, HIDDEN, SYSTEM, ARCHIVE ... are kept)."""
    descriptor: bytes | None = None
    """A self-relative security descriptor; None: inherited from the parent, else made from the mode."""
    eas: Sequence[Ea] = ()
    allocation: int = 0
    reparse: bytes | None = None
    mark: bytes = b""
    """What is kept with a file that is made, from before it has its name on; see `File.mark`."""


@dataclass(slots=True)
class Wanted:
    """What CREATE asks of the store."""

    path: Path
    stream: str = ""
    access: int = 0
    """The access mask, generic rights mapped and MAXIMUM_ALLOWED left in: data rights decide how the descriptor is
    opened (MAXIMUM_ALLOWED: as much as the system grants)."""
    make: Make = Make.NEVER
    new: New = field(default_factory=New)
    delete_on_close: bool = False


class Entry(NamedTuple):
    """A name in a directory. `stat` is None where only names were asked for."""

    name: str
    stat: Stat | None


class Cursor(ABC):
    """A walk through a directory, in constant memory. Names that cannot be sent in UTF-16 are not listed."""

    @abstractmethod
    async def next(self, most: int) -> list[Entry]:
        """The next entries that match, at most `most`; [] once there are no more. "." and ".." come first."""

    @abstractmethod
    async def close(self) -> None: ...


class File(ABC):
    """An open file, directory or named stream. Calls run as the identity that opened it, unless they say more."""

    key: FileKey
    kind: Kind
    stream: str
    """The stream's name as stored, "" for the file itself."""
    who: Identity

    @abstractmethod
    def path(self) -> Path:
        """Where the file is now, as stored on disk (it may have been renamed, by us or by others); never blocks.

        Raises Status(FILE_DELETED) where no name is left."""

    @abstractmethod
    async def identity(self) -> bytes:
        """What tells the file from all that were or will be here, also after a restart; for `Store.locate`."""

    @abstractmethod
    async def mark(self, mark: bytes) -> None:
        """Keep `mark` with the file, whoever opens it, instead of what was kept so; b"": nothing any more."""

    @abstractmethod
    async def marked(self) -> bytes:
        """The mark, or b""; also where the file system keeps none."""

    @abstractmethod
    async def stat(self) -> Stat: ...

    # -- data -----------------------------------------------------------------------------------------------
    @abstractmethod
    def read_nowait(self, into: memoryview, offset: int) -> int | None:
        """Fill `into` from the cache without waiting: its whole length, or less at end of file; None otherwise."""

    @abstractmethod
    async def read_into(self, into: memoryview, offset: int) -> int:
        """Fill `into` from `offset`; the count of bytes, less than its length only at end of file.

        When the caller is cancelled this still waits for the thread: `into` is lent until it returns."""

    @abstractmethod
    async def write(self, parts: Sequence[Buffer], offset: int, through: bool) -> int:
        """Write all of `parts` at `offset`; with `through`, return after fdatasync. Lent as in `read_into`."""

    @abstractmethod
    async def flush(self) -> None:
        """Return once data and the metadata needed to read it are on stable storage (fdatasync, in a thread)."""

    @abstractmethod
    async def set_size(self, size: int) -> None:
        """Set the end of file; growing never writes zeros."""

    @abstractmethod
    async def set_allocation(self, size: int) -> None:
        """Reserve (or cut to) `size` bytes without moving the end of file beyond what a cut needs."""

    @abstractmethod
    async def set_sparse(self, sparse: bool) -> None: ...

    @abstractmethod
    async def zero(self, offset: int, length: int) -> None:
        """FSCTL_SET_ZERO_DATA: a hole where the file is sparse and the file system has them, else zeros; the size
        stays."""

    @abstractmethod
    async def allocated(self, offset: int, length: int, most: int = 65536) -> list[tuple[int, int]]:
        """(offset, length) of the first ranges that hold data, `most` of them, clipped to the question, in order."""

    @abstractmethod
    async def trim(self, ranges: Sequence[tuple[int, int]]) -> None: ...

    @abstractmethod
    async def copy_from(self, source: "File", source_offset: int, offset: int, length: int) -> int:
        """Copy through copy_file_range (else by reading and writing); the count of bytes copied."""

    @abstractmethod
    async def clone_from(self, source: "File", source_offset: int, offset: int, length: int) -> None:
        """Share the blocks (FICLONERANGE; INVALID_PARAMETER for ranges that are no whole ones), else copy them."""

    # -- metadata -------------------------------------------------------------------------------------------
    @abstractmethod
    async def set_basic(
        self,
        created: int | None = None,
        accessed: int | None = None,
        modified: int | None = None,
        changed: int | None = None,
        attributes: int | None = None,
    ) -> None:
        """Set times and attributes; None leaves one as it is."""

    @abstractmethod
    async def overwrite(self, new: New, supersede: bool) -> Stat:
        """Cut to nothing with `new`'s attributes and EAs, named streams and old EAs gone (MS-FSA 2.1.5.1.2.1)."""

    @abstractmethod
    async def descriptor(self) -> bytes:
        """The self-relative security descriptor: stored, else made from owner and mode."""

    @abstractmethod
    async def set_descriptor(self, descriptor: bytes, parts: int) -> None:
        """Replace the parts that `parts` (OWNER/GROUP/DACL/SACL_SECURITY_INFORMATION) names."""

    @abstractmethod
    async def eas(self) -> list[Ea]: ...

    @abstractmethod
    async def set_eas(self, eas: Sequence[Ea]) -> None:
        """Set each; an empty value removes it. Names are matched without case."""

    @abstractmethod
    async def streams(self) -> list[Stream]:
        """All data streams, the unnamed one first (directories have none)."""

    @abstractmethod
    async def reparse(self) -> bytes:
        """The reparse data buffer (MS-FSCC 2.1.2); raises Status(NOT_A_REPARSE_POINT)."""

    @abstractmethod
    async def set_reparse(self, data: bytes) -> None:
        """Make this file a reparse point; IO_REPARSE_TAG_SYMLINK becomes a symbolic link on disk. Another tag is kept
        with the file. The open stays usable."""

    @abstractmethod
    async def delete_reparse(self, tag: int) -> None: ...

    # -- names ----------------------------------------------------------------------------------------------
    @abstractmethod
    async def rename(self, target: Path, replace: bool) -> None:
        """Move to `target`, with `replace` over what is there (never over a directory).

        Raises OBJECT_NAME_COLLISION, OBJECT_PATH_NOT_FOUND, ACCESS_DENIED, NOT_SAME_DEVICE."""

    @abstractmethod
    async def rename_stream(self, target: str, replace: bool) -> None: ...

    @abstractmethod
    async def link(self, target: Path, replace: bool) -> None: ...

    @abstractmethod
    async def unlink(self) -> None:
        """Remove the name this file was opened by (a named stream: the stream). DIRECTORY_NOT_EMPTY where so."""

    @abstractmethod
    async def is_empty(self) -> bool:
        """Whether a directory has no entries."""

    @abstractmethod
    def entries(self, pattern: str, stats: bool) -> Cursor:
        """A walk over this directory's entries whose names match `pattern` (MS-FSA 2.1.4.4 wildcards)."""

    @abstractmethod
    async def lock_range(self, offset: int, length: int, exclusive: bool) -> bool:
        """Keep other processes' locks out of a range that clients have left to this open; False where they have one.
        The close lets go of it."""

    @abstractmethod
    async def unlock_range(self, offset: int, length: int) -> None:
        """Let go of a lock on exactly this range, an exclusive one first."""

    def kernel_lease(self) -> "KernelLease | None":
        """What keeps other processes from its data; None where nothing can, or there is nothing to keep them from."""
        return None

    @abstractmethod
    async def close(self) -> None: ...


@dataclass(slots=True)
class Found:
    """What `Store.open` answers. `descriptor` is the security descriptor of the base file, self-relative."""

    file: File
    stat: Stat
    made: bool
    descriptor: bytes
    file_made: bool = False
    """Whether the file itself was made; `made` is about the stream where one was asked for."""
    parent: bytes = b""
    """The parent directory's descriptor (DELETE and READ_ATTRIBUTES may come from it), b"" for the root."""
    before: int | None = None
    """The `CreateAction` that a CREATE, which is now repeated, carried out before the server was killed."""


class Store(ABC):
    """One share's tree."""

    shared_with_others = False
    """Whether other processes of this machine have its files too."""

    @property
    def location(self) -> Path:
        """Where the tree is on this machine, in names from its root on: what stores that overlap have in common."""
        return (f"store {id(self)}",)

    def watch(self, heard: "Heard", lost: Callable[[], None]) -> "Follower | None":
        """Hear what other processes change; `lost` is called when some of it could not be kept up with. None where
        nothing can be heard."""
        return None

    @abstractmethod
    async def open(self, who: Identity, wanted: Wanted) -> Found:
        """Find or make the file or stream, in as few thread hops as can be, and open it.

        Raises Status: OBJECT_NAME_NOT_FOUND (last name absent), OBJECT_PATH_NOT_FOUND (one before it absent or no
        directory), OBJECT_NAME_COLLISION, OBJECT_NAME_INVALID, ACCESS_DENIED (the system refuses, or the parent's
        descriptor refuses making it), STOPPED_ON_SYMLINK (a symlink before the last name; `data` holds the Symbolic
        Link Error Response of MS-SMB2 2.2.2.2.1), DISK_FULL ... A symlink as last name is opened itself. The
        descriptor's own refusal on a file that is there is the caller's to judge (`Found.descriptor`).
        """

    def open_nowait(self, who: Identity, wanted: Wanted) -> Found | None:
        """`open` without waiting for anything, where that can be; None where it must be tried the other way."""
        return None

    @abstractmethod
    async def lookup(self, who: Identity, path: Path, stream: str = "") -> Stat | None:
        """What is there, or None. Raises OBJECT_PATH_NOT_FOUND where a directory on the way is absent."""

    @abstractmethod
    async def locate(self, identity: bytes, path: Path) -> Path:
        """Where the file with this identity is, `path` being where it was. Raises Status where that cannot be told."""

    @abstractmethod
    async def shape(self, who: Identity) -> Shape: ...

    @abstractmethod
    async def close(self) -> None: ...
