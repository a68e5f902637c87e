"""SMB Direct over InfiniBand, RoCE and iWARP.

Only what is below this package knows pyverbs and librdmacm, and only once `listen` or `connect` is called: `probe`
says in one line why they cannot be.
"""

import errno
import importlib
import logging
import os
import resource
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING

from smbdirect.negotiate import Settings

from ..base import Listener
from ..memory import Arena
from ..technology import IWARP, ROCE

if TYPE_CHECKING:
    from .connection import RdmaConnection

log = logging.getLogger(__name__)

ANY = ("0.0.0.0", "::")
CAP_IPC_LOCK = 14
PINNED = 128 << 20
"""Bytes that the first slab and the first connections pin."""
HEADS = 4096
"""More than the headers and contexts that go before a WRITE's payload take."""
CM_DEVICE = "/dev/infiniband/rdma_cm"


def probe() -> str | None:
    """What keeps this process from RDMA, in one line; None where nothing does."""
    return next(filter(None, (check() for check in (_module, _library, _device, _access, _memory))), None)


def settings(io_size: int) -> Settings:
    """What a server with an `io_size`, in bytes, tells its peers (MS-SMBD 3.1.1.1); all else is what Windows says.

    A whole WRITE of that size may come in fragments: the Linux client sends it so when the payload is sealed.
    """
    return Settings(max_read_write_size=io_size, max_fragmented_size=io_size + HEADS)


def listen(
    arena: Arena,
    settings: Settings,
    addresses: Sequence[str] = ANY,
    ports: tuple[int, int] = (ROCE.port, IWARP.port),
    refused: Callable[[str], None] = lambda line: None,
    messages: Arena | None = None,
) -> Listener:
    """Listen on each of `addresses`: `ports[0]` for InfiniBand and RoCE, `ports[1]` for iWARP.

    Payload lies in blocks of `arena`, which every device registers; large messages arrive in blocks of `messages`,
    which needs to be another where handlers wait for `arena` while they hold a message. `refused` is told, in one
    line each, what could not be had. Raises Lost where nothing could.
    """
    _load()
    from .listener import RdmaListener

    return RdmaListener(arena, messages or arena, settings, addresses, ports, refused)


async def connect(
    arena: Arena, host: str, port: int | None = None, settings: Settings | None = None, limit: float = 10.0
) -> "RdmaConnection":
    """A negotiated connection with the server at the numeric address `host`, within `limit` seconds.

    Without a `port` the technology of the device on the way decides. Raises Lost and Malformed.
    """
    _load()
    from .client import connect

    return await connect(arena, host, port, settings or Settings(), limit)


def _load() -> None:
    """Import pyverbs; its own import gives the root logger a handler and a level, which are taken back.

    Each of its objects, and there are some for every packet, asks `logging` for a logger: half of what it costs.
    From here on they all get the same one without asking.
    """
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    importlib.import_module("pyverbs.device")
    base = importlib.import_module("pyverbs.base")
    root.setLevel(level)
    root.handlers[:] = handlers
    base.logging = SimpleNamespace(getLogger=lambda name: log)  # type: ignore[attr-defined]


def _module() -> str | None:
    try:
        _load()
    except ImportError as error:
        missing = "the module pyverbs is missing: install python3-pyverbs; a venv needs --system-site-packages"
        return missing if isinstance(error, ModuleNotFoundError) else f"pyverbs cannot be loaded: {error}"
    return None


def _library() -> str | None:
    from . import cm_abi

    try:
        cm_abi.library()
        cm_abi.verbs_library()
    except OSError as error:
        return f"a library is missing: {error}; install librdmacm1"
    return None


def _device() -> str | None:
    from pyverbs.device import get_device_list
    from pyverbs.pyverbs_error import PyverbsError

    try:
        found = bool(get_device_list())
    except PyverbsError:
        found = False
    return None if found else "the system has no RDMA device"


def _access() -> str | None:
    try:
        os.close(os.open(CM_DEVICE, os.O_RDWR))
    except OSError as error:
        hint = "; load the module rdma_ucm" if error.errno == errno.ENOENT else ""
        return f"{CM_DEVICE}: {error.strerror}{hint}"
    return None


def _memory() -> str | None:
    limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if limit == resource.RLIM_INFINITY or limit >= PINNED or _may_lock():
        return None
    return f"only {limit >> 10} KiB of memory may be locked (RLIMIT_MEMLOCK): set LimitMEMLOCK=infinity or ulimit -l"


def _may_lock() -> bool:
    """Whether this process has CAP_IPC_LOCK."""
    with open("/proc/self/status", encoding="ascii") as status:
        effective = next(line for line in status if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> CAP_IPC_LOCK & 1)
