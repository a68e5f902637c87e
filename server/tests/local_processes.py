"""What the tests of local processes and clients at the same files share: a server on the disk, and such processes."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from benchmarks.client import Tree
from server.config import Share
from server.messages.oplock import LeaseNotification
from server.store import kernel_leases
from server.store.base import Store
from server.store.descriptions import DESCRIPTIONS
from server.store.posix import PosixStore
from server.tests.served import Whole, whole
from server.tests.stores import options
from server.tests.test_oplock_whole import told

PATIENCE = 10


def on_disk(
    directory: Path,
    test: Callable[[Whole, Path], Awaitable[None]],
    oplocks: str = "yes",
    make_store: Callable[[Share], Store] = lambda share: PosixStore(str(share.path), options()),
) -> None:
    """The server serves `directory`; at the end no lease of the kernel's and no descriptor is left."""

    async def use() -> None:
        async with whole((Share("data", directory, kernel_oplocks=oplocks),), make_store) as here:
            await test(here, directory)
        assert not kernel_leases.held(), "a kernel lease was kept"
        assert not len(DESCRIPTIONS), "an open file was kept"

    options()  # whose threads, and what they have open, are there for all tests
    before = set(os.listdir("/proc/self/fd"))
    asyncio.run(use())
    assert set(os.listdir("/proc/self/fd")) == before, "a descriptor was left open"


class Local:
    """Another process of this machine that does something to a file, and has said so when it has."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def through(self) -> None:
        """Until it has got what it asked for."""
        assert self._process.stdout is not None
        assert await asyncio.wait_for(self._process.stdout.readline(), PATIENCE) == b"through\n"

    async def waits(self) -> None:
        """It is where it cannot go on: in the kernel, for our lease."""
        async with asyncio.timeout(PATIENCE):
            while "break_lease" not in _where(self._process.pid):
                assert self._process.returncode is None, "it has gone through"
                await asyncio.sleep(0)


def _where(process: int) -> str:
    """What the kernel says of where a process waits. The lab's says it in full only, as kernels do to root alone."""
    said = Path(f"/proc/{process}/wchan").read_text()
    with suppress(OSError):
        said += Path(f"/proc/{process}/stack").read_text()
    return said


@asynccontextmanager
async def local(path: Path, doing: str) -> AsyncIterator[Local]:
    """A process that does `doing` to the file at `path` (a Python expression), and has it open until the end."""
    script = f"import os, sys\npath = sys.argv[1]\nkept = {doing}\nprint('through', flush=True)\nsys.stdin.read()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(path), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield Local(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


READ_IT, WRITE_IT, CUT_IT = "open(path)", "open(path, 'r+')", "os.truncate(path, 1)"


async def lease_break(tree: Tree, state: int) -> LeaseNotification:
    """The client is told to keep no more than `state` of its lease."""
    notice = await told(tree)
    assert isinstance(notice, LeaseNotification)
    assert notice.new_state == state
    return notice
