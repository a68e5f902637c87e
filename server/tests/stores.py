"""What the tests of the stores share: stores of each kind, identities, and scenarios that run on a loop."""

import asyncio
import functools
import os
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path as Directory
from typing import Any

import pytest

from server.security import sids
from server.status import Status
from server.store.base import Entry, File, Found, Identity, Make, New, Store, Wanted
from server.store.memory import MemoryStore
from server.store.namecache import NameCache
from server.store.options import Options
from server.store.posix import PosixStore
from server.store.resolve import Resolver
from server.store.threads import IdentityThreads

READ, WRITE, BOTH = 0x1, 0x2, 0x3
MAXIMUM = 0x02000000
DELETE = 0x00010000


def identity(uid: int, *groups: int, privileged: bool = False) -> Identity:
    """A Unix user, member of a group of its own number."""
    mine = (uid, *groups)
    held = frozenset({sids.EVERYONE, sids.of_uid(uid), *map(sids.of_gid, mine)})
    return Identity(f"user{uid}", uid, uid, mine, held, sids.of_uid(uid), sids.of_gid(uid), privileged)


ROOT = os.geteuid() == 0
ALICE = identity(54001) if ROOT else identity(os.geteuid())
BOB = identity(54002)
NEEDS_ROOT = pytest.mark.skipif(not ROOT, reason="only root can act as other users")

_threads = functools.cache(lambda: IdentityThreads(4))
"""One pool for all tests: threads are daemons and end with the process."""


def options(**settings: Any) -> Options:
    return Options(threads=_threads(), **settings)


def posix_store(directory: Directory, **settings: Any) -> PosixStore:
    """A share in `directory` that belongs to ALICE."""
    directory.chmod(0o755)
    for above in list(directory.parents)[:3]:  # pytest's own are for the user who runs it
        if above.name.startswith(("pytest-", "test_")):
            above.chmod(above.stat().st_mode | 0o111)
    if ROOT:
        os.chown(directory, ALICE.uid, ALICE.gid)
    return PosixStore(str(directory), options(**settings))


def walking_store(directory: Directory) -> PosixStore:
    """A share on a kernel without openat2."""
    store = posix_store(directory)
    store.resolver.close()
    store.resolver = Resolver(str(directory), NameCache(), openat2=False)
    return store


class AtOnceStore(PosixStore):
    """Opens without a thread what can be opened so, and knows files as soon as it has seen them."""

    def __init__(self, root: str, options: Options) -> None:
        super().__init__(root, options)
        self.known.clock = lambda: time.time_ns() + 10**10

    async def open(self, who: Identity, wanted: Wanted) -> Found:
        return self.open_nowait(who, wanted) or await super().open(who, wanted)


def at_once_store(directory: Directory) -> AtOnceStore:
    posix_store(directory).resolver.close()
    if not _tells_changes_apart(directory):
        pytest.skip("the kernel's clock of file times is too coarse to know files as soon as they are made")
    return AtOnceStore(str(directory), options())


def _tells_changes_apart(directory: Directory) -> bool:
    """Whether two changes right after each other have two times, as from Linux 6.13 on."""
    times = set()
    for mode in (0o711, 0o755) * 4:
        directory.chmod(mode)
        times.add(directory.stat().st_ctime_ns)
    return len(times) == 8


MAKERS: dict[str, Callable[[Directory], Store]] = {
    "memory": lambda directory: MemoryStore(),
    "posix": posix_store,
    "without openat2": walking_store,
    "at once": at_once_store,
}


@contextmanager
def refused(code: int) -> Iterator[None]:
    """The block must raise this status."""
    with pytest.raises(Status) as caught:
        yield
    assert caught.value.code == code, str(caught.value)


def scenario(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that runs on a loop of its own, with the store closed behind it."""

    @functools.wraps(test)
    def run(store: Store, **others: Any) -> None:
        async def whole() -> None:
            await test(store, **others)
            await store.close()

        asyncio.run(whole())

    return run


async def opened(
    store: Store, *path: str, access: int = BOTH, stream: str = "", who: Identity = ALICE, make: Make = Make.NEVER
) -> Found:
    return await store.open(who, Wanted(path, stream, access, make))


async def made(store: Store, *path: str, data: bytes = b"", stream: str = "", who: Identity = ALICE) -> File:
    """A new file, or stream of one, with this content, left open."""
    found = await store.open(who, Wanted(path, stream, BOTH | DELETE, Make.ALWAYS))
    if data:
        await found.file.write([data], 0, False)
    return found.file


async def made_directory(store: Store, *path: str, who: Identity = ALICE) -> File:
    new = New(directory=True)
    return (await store.open(who, Wanted(path, access=READ, make=Make.ALWAYS, new=new))).file


async def content(file: File) -> bytes:
    """All of a file's data."""
    buffer = bytearray((await file.stat()).size)
    count = await file.read_into(memoryview(buffer), 0)
    return bytes(buffer[:count])


async def listed(store: Store, *path: str, pattern: str = "*", stats: bool = False, most: int = 3) -> list[Entry]:
    """What a directory's cursor gives, but "." and ".."."""
    directory = (await store.open(ALICE, Wanted(path, access=READ))).file
    cursor = directory.entries(pattern, stats)
    found: list[Entry] = []
    while batch := await cursor.next(most):
        assert len(batch) <= most
        found += batch
    await cursor.close()
    await directory.close()
    return [entry for entry in found if entry.name not in (".", "..")]


async def names(store: Store, *path: str, pattern: str = "*") -> set[str]:
    return {entry.name for entry in await listed(store, *path, pattern=pattern)}
