"""Which open a request is about, and whether it comes too late to change anything there."""

from .messages.header import Command, Flags
from .messages.negotiate import Dialect
from .open import Open
from .status import NT, Status
from .work import Work

CHANGING = frozenset({Command.WRITE, Command.SET_INFO, Command.IOCTL})
"""What is refused when its channel sequence number is stale (MS-SMB2 3.3.5.2.10)."""


def find_open(work: Work, file_id: bytes) -> None:
    """Resolve `file_id` to `work.open`; a related request is about the file of the one before, whatever its own
    FileId says (MS-SMB2 3.3.5.2.7.2)."""
    related = work.related
    assert related is not None and work.session is not None
    if work.header.flags & Flags.RELATED:
        if related.failed:
            raise Status(related.failed, "the CREATE it builds on failed")
        file_id = related.file_id or file_id
    found = work.session.opens.get(int.from_bytes(file_id[8:], "little"))
    if found is None or found.tree is not work.tree or found.file_id != file_id:
        raise Status(NT.FILE_CLOSED, f"no open {file_id.hex()}")
    related.file_id = file_id
    work.open = found
    if found.unused:
        work.connection.server.opens.handles.used(found)
    _count(work, found)


def _count(work: Work, opened: Open) -> None:
    """Count the request among those of its channel sequence number; `Work.end` counts it out. Before 3.0 there is one
    channel, none of its requests comes late, and what the header says in that place is not looked at."""
    number, replay = opened.sequence.number, False
    if work.connection.negotiated.dialect >= Dialect.SMB300:
        number, replay = work.header.channel_sequence, bool(work.header.flags & Flags.REPLAY)
    work.turn = opened.sequence.begin(number, replay)
    if work.turn is None and work.header.command in CHANGING:
        raise Status(NT.FILE_NOT_AVAILABLE, f"channel sequence {number}, the open is at {opened.sequence}")
