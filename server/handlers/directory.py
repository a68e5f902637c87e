"""QUERY_DIRECTORY (MS-SMB2 3.3.5.18)."""

import asyncio

from smbdirect.wire import join_chain

from ..messages.directory import (
    QueryDirectoryFlags,
    QueryDirectoryRequest,
    QueryDirectoryResponse,
)
from ..messages.entries import FIXED_SIZES, DirectoryClass, pack_entry
from ..open import Open, Search
from ..security.access import FILE_LIST_DIRECTORY
from ..status import NT, Status
from ..store.base import Entry, Kind
from ..store.shortnames import other_name
from ..work import Work

BATCH = 128
"""Entries read from the store at a time: what a handle keeps of a directory, however large that is."""
ALIGNMENT = 8
SHORT_NAMED = frozenset({DirectoryClass.BOTH, DirectoryClass.ID_BOTH, DirectoryClass.ID_EXTD_BOTH})
"""The classes that tell 8.3 names."""


async def query(work: Work, request: QueryDirectoryRequest) -> QueryDirectoryResponse:
    opened = work.open
    assert opened is not None
    if request.info_class not in FIXED_SIZES:
        raise Status(NT.INVALID_INFO_CLASS, f"directory class {request.info_class}")
    if opened.file.kind is not Kind.DIRECTORY or opened.file.stream:
        raise Status(NT.INVALID_PARAMETER, "no directory")
    if not opened.mode.access & FILE_LIST_DIRECTORY:
        raise Status(NT.ACCESS_DENIED, "opened without the right to list")
    if request.output_length > work.connection.negotiated.max_transact:
        raise Status(NT.INVALID_PARAMETER, f"{request.output_length} bytes of answer")
    single = bool(request.flags & QueryDirectoryFlags.RETURN_SINGLE_ENTRY)
    if opened.listing is None:
        opened.listing = asyncio.Lock()
    async with opened.listing:
        search = await _search(opened, request)
        data = await _fill(search, request.info_class, request.output_length, single)
        if not data:
            raise Status(NT.NO_MORE_FILES if search.started else NT.NO_SUCH_FILE)
        search.started = True
    return QueryDirectoryResponse(data)


async def _search(opened: Open, request: QueryDirectoryRequest) -> Search:
    """The enumeration this request continues, begun anew where it asks for that."""
    flags = request.flags
    search = opened.search
    if search is not None and flags & (QueryDirectoryFlags.REOPEN | QueryDirectoryFlags.RESTART_SCANS):
        await search.cursor.close()
        opened.search = None
    pattern = request.pattern
    if search is not None and not (flags & QueryDirectoryFlags.REOPEN and pattern):
        pattern = search.pattern if not flags & QueryDirectoryFlags.RESTART_SCANS or not pattern else pattern
    if opened.search is None:
        if not pattern and search is None:
            raise Status(NT.OBJECT_NAME_INVALID, "no pattern")
        if opened.closed:
            raise Status(NT.FILE_CLOSED, "closed while it was to be listed anew")
        opened.search = Search(pattern, opened.file.entries(pattern, True))
    return opened.search


async def _fill(search: Search, info_class: int, room: int, single: bool) -> bytes:
    """As many entries as fit into `room` bytes; those read and not sent wait in the search."""
    packed: list[bytes] = []
    used = 0
    while not (single and packed):
        if not search.left:
            search.left = (await search.cursor.next(1 if single else BATCH))[::-1]
            if not search.left:
                break
        raw = _pack(info_class, search.left[-1])
        padded = used + -used % ALIGNMENT
        if padded + len(raw) > room:
            if not packed:
                raise Status(NT.INFO_LENGTH_MISMATCH if room < FIXED_SIZES[info_class] else NT.BUFFER_OVERFLOW)
            break
        search.left.pop()
        packed.append(raw)
        used = padded + len(raw)
    return join_chain(packed, ALIGNMENT)


def _pack(info_class: int, entry: Entry) -> bytes:
    stat = None if info_class == DirectoryClass.NAMES else entry.stat
    short_name = other_name(entry.name) if info_class in SHORT_NAMED else ""
    return pack_entry(info_class, entry.name, stat, short_name=short_name)
