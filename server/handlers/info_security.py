"""Security descriptors through QUERY_INFO and SET_INFO (MS-SMB2 3.3.5.20.3, 3.3.5.21.3)."""

from ..messages.directory import CompletionFilter
from ..messages.info import QueryInfoRequest, SecurityInformation, SetInfoRequest
from ..open import Open
from ..security.access import READ_CONTROL, SYSTEM_SECURITY, WRITE_DAC, WRITE_OWNER, check_owner
from ..security.acl import parse
from ..security.descriptors import select
from ..status import NT, Status
from ..times import other_change
from ..work import Work

READABLE = (
    SecurityInformation.OWNER | SecurityInformation.GROUP | SecurityInformation.DACL | SecurityInformation.SACL
    | SecurityInformation.LABEL | SecurityInformation.ATTRIBUTE | SecurityInformation.SCOPE
)  # fmt: skip
OWNER_OR_GROUP = SecurityInformation.OWNER | SecurityInformation.GROUP


async def query(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    """The parts of the descriptor that were asked for; BUFFER_TOO_SMALL tells the size in its error data."""
    parts = request.additional & READABLE
    needs = READ_CONTROL if parts & ~SecurityInformation.SACL else 0
    needs |= SYSTEM_SECURITY if parts & SecurityInformation.SACL else 0
    if needs & ~opened.mode.access:
        raise Status(NT.ACCESS_DENIED, f"the open lacks {needs & ~opened.mode.access:#x}")
    data = select(await opened.file.descriptor(), parts)
    if len(data) > request.output_length:
        raise Status(NT.BUFFER_TOO_SMALL, f"{len(data)} bytes", len(data).to_bytes(4, "little"))
    return data


async def change(work: Work, opened: Open, request: SetInfoRequest) -> None:
    parts = request.additional & READABLE
    needs = WRITE_OWNER if parts & OWNER_OR_GROUP else 0
    needs |= WRITE_DAC if parts & SecurityInformation.DACL else 0
    needs |= SYSTEM_SECURITY if parts & SecurityInformation.SACL else 0
    if needs & ~opened.mode.access:
        raise Status(NT.ACCESS_DENIED, f"the open lacks {needs & ~opened.mode.access:#x}")
    given = parse(request.data)
    if parts & SecurityInformation.OWNER and given.owner:
        check_owner(given.owner, opened.file.who)
    await other_change(opened, lambda: opened.file.set_descriptor(request.data, parts))
    work.connection.server.opens.changes.modified(opened, CompletionFilter.SECURITY)
