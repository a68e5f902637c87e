"""Which open a request is about."""

from .messages.header import Flags
from .status import NT, Status
from .work import Work


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
