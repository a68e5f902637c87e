"""The server service (MS-SRVS), as far as clients need it to list shares and to look at one.

An information level is a table of what its structure holds; the structures of all levels are written by one function.
"""

import time
from collections.abc import Callable, Collection, Sequence

from smbdirect.wire import Malformed

from .context import Context, Operation, Share
from .ndr import Reader, Value, Writer, size_of
from .packets import syntax

INTERFACE = syntax("4b324fc8-1670-01d3-1278-5a47bf6ee188", 3)

SUCCESS = 0
ACCESS_DENIED = 5
INVALID_LEVEL = 124
MORE_DATA = 234
NET_NAME_NOT_FOUND = 2310
"""Win32 and network management errors (MS-ERREF 2.2)."""

PLATFORM_NT = 500
_SERVER_TYPE = 0x00000001 | 0x00000002 | 0x00000800 | 0x00001000 | 0x00008000
"""Workstation, server, Unix, NT, NT server (MS-SRVS 2.2.2.7)."""
_CACHING = 0x0030
"""Of a share's flags, those that level 501 shows (MS-SRVS 2.2.4.25)."""


def _share_1(share: Share) -> list[Value]:
    return [share.name, share.type, share.comment]


def _share_2(share: Share) -> list[Value]:
    return [*_share_1(share), 0, share.max_users, share.users, share.path, None]


SHARE_LEVELS: dict[int, Callable[[Share], Sequence[Value]]] = {
    0: lambda share: [share.name],
    1: _share_1,
    2: _share_2,
    501: lambda share: [*_share_1(share), share.flags & _CACHING],
    502: lambda share: [*_share_2(share), 0, None],
    1005: lambda share: [share.flags],
}
"""SHARE_INFO_0 ... (MS-SRVS 2.2.4.22 and on): the fields of each, in order."""
_ENUMERABLE = (0, 1, 2, 501, 502)
_STICKY = (0, 1, 2, 502)
_NOT_FOR_ANONYMOUS = (2, 502)
"""Levels that show what a listing need not: paths and who is connected."""


def _server_101(context: Context) -> list[Value]:
    return [PLATFORM_NT, context.server_name, *context.version, _SERVER_TYPE, context.comment]


SERVER_LEVELS: dict[int, Callable[[Context], Sequence[Value]]] = {
    100: lambda context: [PLATFORM_NT, context.server_name],
    101: _server_101,
    # users, disc (minutes), hidden, announce and anndelta (seconds, milliseconds), licenses, userpath
    102: lambda context: [*_server_101(context), context.users, 15, 0, 240, 3000, 0, "c:\\"],
}
"""SERVER_INFO_100 ... (MS-SRVS 2.2.4.40 and on)."""


def share_enum(call: Reader, context: Context) -> bytes:
    """NetrShareEnum (MS-SRVS 3.1.4.8)."""
    return _enumerate(call, context, _ENUMERABLE)


def share_enum_sticky(call: Reader, context: Context) -> bytes:
    """NetrShareEnumSticky (MS-SRVS 3.1.4.9): the shares that outlive a restart, which are all."""
    return _enumerate(call, context, _STICKY)


def _enumerate(call: Reader, context: Context, levels: Collection[int]) -> bytes:
    call.unique_string()
    level, tag = call.u32(), call.u32()
    if level != tag or level not in _ENUMERABLE:
        raise Malformed(f"shares asked for at level {level}, {tag}")
    if call.pointer():
        _skip_empty_container(call)
    most = call.u32()
    resumable = call.pointer()
    start = call.u32() if resumable else 0
    refused = _refused(level, levels, context)
    if refused:
        return _listing(level, None, 0, resumable, 0, refused)
    rows = [SHARE_LEVELS[level](share) for share in context.shares[start:]]
    fitting = _fitting(rows, most)
    done = fitting == len(rows)
    status, resume = (SUCCESS, 0) if done else (MORE_DATA, start + fitting)
    return _listing(level, rows[:fitting], len(rows), resumable, resume, status)


def _listing(
    level: int, rows: Sequence[Sequence[Value]] | None, total: int, resumable: bool, resume: int, status: int
) -> bytes:
    """The answer to an enumeration; `rows` None is a container that is not there."""
    answer = Writer()
    answer.u32(level, level)
    answer.pointer(rows is not None)
    if rows is not None:
        answer.u32(len(rows))
        answer.pointer()
        answer.u32(len(rows))
        answer.structures(rows)
    answer.u32(total)
    answer.pointer(resumable)
    if resumable:
        answer.u32(resume)
    answer.u32(status)
    return answer.getvalue()


def _skip_empty_container(call: Reader) -> None:
    """The container a client sends for the answer to be put in: no entries, no buffer."""
    entries = call.u32()
    if call.pointer():
        entries += call.u32()
    if entries:
        raise Malformed(f"a container with {entries} entries asks for shares")


def _fitting(rows: Sequence[Sequence[Value]], most: int) -> int:
    """How many of `rows` fit into `most` bytes; one at least, so that an enumeration gets on."""
    for index, row in enumerate(rows):
        most -= size_of(row)
        if most < 0:
            return max(index, 1)
    return len(rows)


def share_get_info(call: Reader, context: Context) -> bytes:
    """NetrShareGetInfo (MS-SRVS 3.1.4.10)."""
    call.unique_string()
    name = call.string().casefold()
    level = call.u32()
    share = next((share for share in context.shares if share.name.casefold() == name), None)
    refused = _refused(level, SHARE_LEVELS, context) or (0 if share else NET_NAME_NOT_FOUND)
    return info(level, None, refused) if refused or share is None else info(level, SHARE_LEVELS[level](share))


def _refused(level: int, levels: Collection[int], context: Context) -> int:
    """The error for shares asked for at `level`, or SUCCESS."""
    if level not in levels:
        return INVALID_LEVEL
    return ACCESS_DENIED if level in _NOT_FOR_ANONYMOUS and not context.user_name else SUCCESS


def server_get_info(call: Reader, context: Context) -> bytes:
    """NetrServerGetInfo (MS-SRVS 3.1.4.17)."""
    call.unique_string()
    level = call.u32()
    fields = SERVER_LEVELS.get(level)
    return info(level, None, INVALID_LEVEL) if fields is None else info(level, fields(context))


def info(level: int, row: Sequence[Value] | None, status: int = SUCCESS) -> bytes:
    """The union that a GetInfo answers: its level, a pointer to the structure or NULL, and the status."""
    answer = Writer()
    answer.u32(level)
    answer.pointer(row is not None)
    if row is not None:
        answer.structures([row])
    answer.u32(status)
    return answer.getvalue()


def remote_tod(call: Reader, context: Context) -> bytes:
    """NetrRemoteTOD (MS-SRVS 3.1.4.21): the time, in UTC."""
    now = context.now()
    utc = time.gmtime(now)
    since_start = int(now * 1000)
    answer = Writer()
    answer.pointer()
    answer.u32(int(now), since_start, utc.tm_hour, utc.tm_min, utc.tm_sec, int(now % 1 * 100), 0, 310)
    answer.u32(utc.tm_mday, utc.tm_mon, utc.tm_year, (utc.tm_wday + 1) % 7)
    answer.u32(SUCCESS)
    return answer.getvalue()


OPERATIONS: dict[int, Operation] = {
    15: share_enum,
    16: share_get_info,
    21: server_get_info,
    28: remote_tod,
    36: share_enum_sticky,
}
