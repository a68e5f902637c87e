"""The workstation service (MS-WKST): who this computer is, which Windows asks before it lists shares."""

from collections.abc import Callable, Sequence

from .context import Context, Operation
from .ndr import Reader, Value
from .packets import syntax
from .srvsvc import INVALID_LEVEL, PLATFORM_NT, info

INTERFACE = syntax("6bffd098-a112-3610-9833-46c3f87e345a", 1)


def _workstation_100(context: Context) -> list[Value]:
    return [PLATFORM_NT, context.server_name, context.workgroup, *context.version]


LEVELS: dict[int, Callable[[Context], Sequence[Value]]] = {
    100: _workstation_100,
    101: lambda context: [*_workstation_100(context), ""],
    102: lambda context: [*_workstation_100(context), "", context.users],
}
"""WKSTA_INFO_100 ... (MS-WKST 2.2.5.1 and on): the fields of each, in order."""


def workstation_get_info(call: Reader, context: Context) -> bytes:
    """NetrWkstaGetInfo (MS-WKST 3.2.4.1)."""
    call.unique_string()
    level = call.u32()
    fields = LEVELS.get(level)
    return info(level, None, INVALID_LEVEL) if fields is None else info(level, fields(context))


OPERATIONS: dict[int, Operation] = {0: workstation_get_info}
