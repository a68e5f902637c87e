"""QUERY_INFO (MS-SMB2 3.3.5.20): one row of a table for each class, with the access it needs and its least room."""

from ..messages.info import InfoType, QueryInfoRequest, QueryInfoResponse
from ..status import NT, Status
from ..work import Work
from . import info_file, info_security, info_volume


async def query(work: Work, request: QueryInfoRequest) -> QueryInfoResponse:
    opened = work.open
    assert opened is not None
    if request.output_length > work.connection.negotiated.max_transact:
        raise Status(NT.INVALID_PARAMETER, f"{request.output_length} bytes of answer")
    if request.info_type == InfoType.SECURITY:
        return QueryInfoResponse(await info_security.query(work, opened, request))
    if request.info_type == InfoType.QUOTA:
        raise Status(NT.NOT_SUPPORTED, "quotas are the file system's own here")
    if request.info_type not in (InfoType.FILE, InfoType.FILESYSTEM):
        raise Status(NT.INVALID_PARAMETER, f"information type {request.info_type}")
    table = info_file.TABLE if request.info_type == InfoType.FILE else info_volume.TABLE
    row = table.get(request.info_class)
    if row is None:
        raise Status(NT.INVALID_INFO_CLASS, f"class {request.info_class} of type {request.info_type}")
    if request.output_length < row.least:
        raise Status(NT.INFO_LENGTH_MISMATCH, f"{request.output_length} bytes for {row.least}")
    if row.access & ~opened.mode.access:
        raise Status(NT.ACCESS_DENIED, f"the open lacks {row.access & ~opened.mode.access:#x}")
    data = await row.answer(work, opened, request)
    if len(data) > request.output_length:
        if not row.cut:
            raise Status(NT.BUFFER_TOO_SMALL if request.info_type == InfoType.FILE else NT.BUFFER_OVERFLOW)
        data = data[: request.output_length]
        work.status = NT.BUFFER_OVERFLOW
    return QueryInfoResponse(data)
