"""What clients ask in the model, in its own words, and what they are answered: `clients.py` puts both on the wire."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from server.messages.create import Disposition
from server.messages.create_contexts import LeaseState

if TYPE_CHECKING:
    from server.tests.model.state import Handle, Holder, Node

READ, HANDLE, WRITE = LeaseState.READ, LeaseState.HANDLE, LeaseState.WRITE
READ_DATA, WRITE_DATA, READ_ATTRIBUTES, DELETE = 0x1, 0x2, 0x80, 0x10000
DATA = READ_DATA | WRITE_DATA | DELETE
"""Rights that share modes and breaks are about; an open with none of them is a stat open."""
PERSISTENT = 3
OVERWRITES = (Disposition.SUPERSEDE, Disposition.OVERWRITE, Disposition.OVERWRITE_IF)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a CREATE asks to cache; without a `key` it is an oplock."""

    rights: int = 0
    key: int | None = None
    version: int = 1
    """Of a lease."""


NO_WISH = Wish()


@dataclass(slots=True)
class Seen:
    """An answer. `rights`, `leased`, `breaking`, `durable` and `file_id` are a CREATE's."""

    status: int
    data: bytes = b""
    rights: int = 0
    leased: bool = False
    breaking: bool = False
    durable: bool = False
    file_id: bytes = b""


@dataclass(frozen=True, slots=True)
class Heard:
    """A break notification; `name` is a lease's key or an oplock's file id. Those of oplocks do not tell `before`
    nor whether an answer is due."""

    peer: int
    name: int | bytes
    before: int | None
    after: int
    acknowledge: bool | None


@dataclass(slots=True, eq=False, kw_only=True)
class Ask:
    peer: int
    seen: Seen | None = None
    """The answer, once it has come."""
    waited: bool = False
    """Whether it was in the way of something, and what is done once has been done."""
    blocked: "Node | None" = field(default=None, repr=False)
    """The file whose holders it has waited for."""


@dataclass(slots=True, eq=False, kw_only=True)
class Create(Ask):
    name: str
    access: int
    share: int
    disposition: int
    delete_on_close: bool = False
    wish: Wish = NO_WISH
    durable: int = 0
    """The version of the durable handle that is asked for, or PERSISTENT; 0: none."""
    guid: int = 0


@dataclass(slots=True, eq=False, kw_only=True)
class OfHandle(Ask):
    """What is asked of one open."""

    handle: "Handle"


@dataclass(slots=True, eq=False, kw_only=True)
class Resume(OfHandle):
    """A durable open is asked for again."""


@dataclass(slots=True, eq=False, kw_only=True)
class Repeat(OfHandle):
    """The CREATE that made an open is sent again, as if its answer had been lost."""


@dataclass(slots=True, eq=False, kw_only=True)
class Harden(OfHandle):
    """An open is to be resilient."""


@dataclass(slots=True, eq=False, kw_only=True)
class Close(OfHandle):
    pass


@dataclass(slots=True, eq=False, kw_only=True)
class Read(OfHandle):
    offset: int
    length: int


@dataclass(slots=True, eq=False, kw_only=True)
class Write(OfHandle):
    offset: int
    data: bytes


@dataclass(slots=True, eq=False, kw_only=True)
class Resize(OfHandle):
    size: int


@dataclass(slots=True, eq=False, kw_only=True)
class Locking(OfHandle):
    offset: int
    length: int
    index: int
    number: int
    """With `index` its lock sequence, which no other has."""


@dataclass(slots=True, eq=False, kw_only=True)
class Lock(Locking):
    exclusive: bool
    patient: bool
    """Whether it waits for others to let go."""


@dataclass(slots=True, eq=False, kw_only=True)
class Unlock(Locking):
    pass


@dataclass(slots=True, eq=False, kw_only=True)
class LockAgain(OfHandle):
    """The last LOCK of an open that has been carried out is sent again, as if its answer had been lost."""

    lock: Locking


@dataclass(slots=True, eq=False, kw_only=True)
class Rename(OfHandle):
    name: str
    replace: bool


@dataclass(slots=True, eq=False, kw_only=True)
class Doom(OfHandle):
    """FileDispositionInformation."""

    delete: bool


@dataclass(slots=True, eq=False, kw_only=True)
class Acknowledge(Ask):
    """The answer to a break."""

    holder: "Holder"
    rights: int
