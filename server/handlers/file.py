"""CLOSE, FLUSH and ECHO (MS-SMB2 3.3.5.10, .11, .15)."""

from ..messages.file import (
    CLOSE_POSTQUERY_ATTRIB,
    CloseRequest,
    CloseResponse,
    EchoRequest,
    EchoResponse,
    FlushRequest,
    FlushResponse,
)
from ..security.access import FILE_APPEND_DATA, FILE_WRITE_DATA
from ..status import NT, Status
from ..store.base import Kind
from ..work import Work


async def close(work: Work, request: CloseRequest) -> CloseResponse:
    opened, opens = work.open, work.connection.server.opens
    assert opened is not None
    if opened.mode.delete_on_close and not opened.shared.delete_pending:
        await opens.breaks.take_handles(work, opened.shared, opened)
    response = CloseResponse()
    if request.flags & CLOSE_POSTQUERY_ATTRIB and opened.pipe is None:
        stat = await opened.file.stat()
        response = CloseResponse(
            CLOSE_POSTQUERY_ATTRIB, stat.created, stat.accessed, stat.modified, stat.changed,
            stat.allocation, stat.size, stat.attributes,
        )  # fmt: skip
    await opens.close(opened)
    return response


async def flush(work: Work, request: FlushRequest) -> FlushResponse:
    opened = work.open
    assert opened is not None
    if opened.pipe is not None:
        return FlushResponse()
    if opened.file.kind is not Kind.DIRECTORY and not opened.mode.access & (FILE_WRITE_DATA | FILE_APPEND_DATA):
        raise Status(NT.ACCESS_DENIED, "opened without write access")
    await opened.file.flush()
    work.connection.server.opens.changes.rest(opened)
    return FlushResponse()


async def echo(work: Work, request: EchoRequest) -> EchoResponse:
    return EchoResponse()
