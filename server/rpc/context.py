"""What the RPC services are told about the server, the share list included: all they know, and all they may tell."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .ndr import Reader

DISK = 0x00000000
IPC = 0x00000003
SPECIAL = 0x80000000
"""Share types (MS-SRVS 2.2.2.4); SPECIAL is added to administrative ones, IPC$ among them."""

UNLIMITED = 0xFFFFFFFF
"""`Share.max_users` where there is no limit."""


class Share(NamedTuple):
    """One share as a listing shows it."""

    name: str
    type: int = DISK
    comment: str = ""
    path: str = ""
    """As a client is shown it; never a path of this machine where that is a secret."""
    max_users: int = UNLIMITED
    users: int = 0
    flags: int = 0
    """SHI1005_FLAGS (MS-SRVS 2.2.4.29), which are those of TREE_CONNECT."""


@dataclass(frozen=True, slots=True)
class Context:
    """Who asks, and what it may know."""

    shares: Sequence[Share]
    """Those visible to this user, in the order they are listed."""
    server_name: str
    workgroup: str = "WORKGROUP"
    comment: str = ""
    version: tuple[int, int] = (6, 1)
    user_name: str = ""
    users: int = 0
    """How many are logged on."""
    now: Callable[[], float] = field(default=time.time)


Operation = Callable[[Reader, Context], bytes]
"""One operation of a service: its request's stub in, its response's stub out. Raises Malformed."""
