"""Byte-range locks of clients and of local processes: each side finds the other's."""

import asyncio
import fcntl
import os
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.client import File, Tree
from server.config import Share
from server.handlers import lock_local
from server.messages.create import Disposition, ShareAccess
from server.messages.file import LockElement, LockFlags, LockRequest, LockResponse
from server.security.access import FILE_READ_DATA, FILE_WRITE_DATA
from server.status import NT, Status
from server.store.posix import PosixStore
from server.store.range_locks import END, Held, RangeLocks
from server.store.volume import Volumes
from server.tests.local_processes import on_disk
from server.tests.served import Whole
from server.tests.stores import options

NOW = LockFlags.FAIL_IMMEDIATELY
EXCLUSIVE, SHARED = LockFlags.EXCLUSIVE | NOW, LockFlags.SHARED | NOW
FLOCK = struct.Struct("hhqqi0q")
ALL = ShareAccess.READ | ShareAccess.WRITE | ShareAccess.DELETE
PATIENCE = 10.0
"""Seconds of a processor, where squares or cubes of thousands take minutes."""
KINDS = {fcntl.F_RDLCK: "r", fcntl.F_WRLCK: "w", fcntl.F_UNLCK: "-"}


class Program:
    """A local program that has the file open, and locks by descriptions of its own (which are as good as processes)."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR)

    def lock(self, begin: int, length: int, kind: int = fcntl.F_WRLCK) -> None:
        fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, FLOCK.pack(kind, 0, begin, length, 0))

    def finds(self, length: int) -> str:
        """What stands at each byte: nothing, a shared or an exclusive lock."""
        return "".join(self._at(byte) for byte in range(length))

    def _at(self, byte: int) -> str:
        for kind in (fcntl.F_RDLCK, fcntl.F_WRLCK):
            probe = FLOCK.pack(kind, 0, byte, 1, 0)
            found = FLOCK.unpack(fcntl.fcntl(self._descriptor, fcntl.F_OFD_GETLK, probe))
            if found[0] != fcntl.F_UNLCK:
                return KINDS[found[0]]
        return "-"

    def close(self) -> None:
        os.close(self._descriptor)


@asynccontextmanager
async def program(path: Path) -> AsyncIterator[Program]:
    made = Program(path)
    try:
        yield made
    finally:
        made.close()


async def opened(tree: Tree, access: int = FILE_READ_DATA | FILE_WRITE_DATA) -> File:
    return await tree.create("file", access, disposition=Disposition.OPEN_IF, share=ALL)


async def refused(file: File, offset: int, length: int, flags: int = EXCLUSIVE) -> None:
    with pytest.raises(Status) as status:
        await file.lock(offset, length, flags)
    assert status.value.code == NT.LOCK_NOT_GRANTED


@pytest.mark.parametrize("far", [False, True], ids=["here", "on another machine"])
def test_local_programs_find_what_clients_have_locked_and_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, far: bool
) -> None:
    if far:
        monkeypatch.setattr(Volumes, "locks_at_once", lambda *volume: False)

    async def test(here: Whole, directory: Path) -> None:
        file, other = await opened(await here.tree()), await opened(await here.tree())
        async with program(directory / "file") as local:
            await file.lock(1, 4, EXCLUSIVE)
            await file.lock(3, 4, SHARED)
            await other.lock(6, 3, SHARED)
            assert local.finds(10) == "-wwwwrrrr-"
            await file.unlock(1, 4)
            assert local.finds(10) == "---rrrrrr-", "what is locked twice was let go at once"
            await file.lock(3, 4, SHARED)
            await file.unlock(3, 4)
            assert local.finds(10) == "---rrrrrr-"
            await file.close()
            assert local.finds(10) == "------rrr-"
            await other.close()
            assert local.finds(10) == "-" * 10

    on_disk(tmp_path, test)


def test_a_local_lock_refuses_clients_and_leaves_nothing_of_what_they_asked_for(tmp_path: Path) -> None:
    async def test(here: Whole, directory: Path) -> None:
        tree = await here.tree()
        file, other = await opened(tree), await opened(await here.tree())
        async with program(directory / "file") as local:
            local.lock(5, 1)
            await refused(file, 4, 4)
            await refused(file, 5, 1, SHARED)
            elements = [LockElement(0, 2, EXCLUSIVE), LockElement(5, 2, EXCLUSIVE)]
            with pytest.raises(Status):
                await tree.call(LockRequest(file.id, elements), LockResponse)
            await other.lock(0, 5, EXCLUSIVE)
            local.lock(5, 1, fcntl.F_RDLCK)
            await file.lock(5, 1, SHARED)
            await refused(other, 5, 1)

    on_disk(tmp_path, test)


def test_a_lock_that_waits_for_a_local_program_is_granted_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(here: Whole, directory: Path) -> None:
        file, other = await opened(await here.tree()), await opened(await here.tree())
        asked = asyncio.Event()
        pause = lock_local.pause

        async def pausing(*arguments: Any) -> None:
            asked.set()
            await pause(*arguments)

        monkeypatch.setattr(lock_local, "pause", pausing)
        async with program(directory / "file") as local:
            local.lock(0, 10)
            waiting = asyncio.ensure_future(file.lock(0, 5, LockFlags.EXCLUSIVE))
            await asked.wait()
            assert not waiting.done()
            await other.lock(20, 1, EXCLUSIVE)
            local.lock(0, 10, fcntl.F_UNLCK)
            await asyncio.wait_for(waiting, 10)
            assert local.finds(6) == "wwwww-"

    on_disk(tmp_path, test)


def test_a_lock_that_waits_for_a_local_program_ends_with_its_open(tmp_path: Path) -> None:
    async def test(here: Whole, directory: Path) -> None:
        file = await opened(await here.tree())
        async with program(directory / "file") as local:
            local.lock(0, 10)
            call = await file.tree.post(LockRequest(file.id, [LockElement(0, 5, LockFlags.EXCLUSIVE)]))
            await call.interim.wait()
            await file.close()
            with pytest.raises(Status) as status:
                await call.result(LockResponse)
            assert status.value.code == NT.RANGE_NOT_LOCKED

    on_disk(tmp_path, test)


def test_locks_stay_when_the_file_is_opened_for_more_and_for_less(tmp_path: Path) -> None:
    async def test(here: Whole, directory: Path) -> None:
        tree = await here.tree()
        (directory / "file").write_bytes(b"data")
        (directory / "file").chmod(0o666)
        reader = await opened(tree, FILE_READ_DATA)
        await reader.lock(0, 2, EXCLUSIVE)
        await reader.lock(2, 2, SHARED)
        async with program(directory / "file") as local:
            assert local.finds(5) == "rrrr-", "who only reads cannot lock others out of reading"
            writer = await opened(tree, FILE_WRITE_DATA)
            assert local.finds(5) == "wwrr-"
            await writer.close()
            assert local.finds(5) == "rrrr-"
            await reader.close()
            writer = await opened(tree, FILE_WRITE_DATA)
            await writer.lock(0, 3, SHARED)
            assert local.finds(5) == "www--"
            reader = await opened(tree, FILE_READ_DATA)
            assert local.finds(5) == "rrr--"

    on_disk(tmp_path, test)


def test_locks_that_the_kernel_has_no_numbers_for_are_between_clients_alone(tmp_path: Path) -> None:
    async def test(here: Whole, directory: Path) -> None:
        file, other = await opened(await here.tree()), await opened(await here.tree())
        async with program(directory / "file") as local:
            for offset, length in ((1 << 63, 5), ((1 << 64) - 1, 1), (0, 0), (7, 0)):
                await file.lock(offset, length, EXCLUSIVE)
            assert local.finds(10) == "-" * 10
            await refused(other, 1 << 63, 1)
            await file.lock(END - 2, 3, EXCLUSIVE)
            with pytest.raises(BlockingIOError):
                local.lock(END - 1, 1)
            await file.unlock(END - 2, 3)
            local.lock(END - 1, 1)

    on_disk(tmp_path, test)


def test_a_share_may_keep_locks_between_clients(tmp_path: Path) -> None:
    async def test(here: Whole, directory: Path) -> None:
        file = await opened(await here.tree())
        async with program(directory / "file") as local:
            local.lock(0, 10)
            await file.lock(0, 10, EXCLUSIVE)

    def store(share: Share) -> PosixStore:
        return PosixStore(str(share.path), options(posix_locking=False))

    on_disk(tmp_path, test, make_store=store)


ranges = st.tuples(st.integers(0, 11), st.integers(1, 12), st.booleans()).map(lambda r: (r[0], r[0] + r[1], r[2]))


@given(st.lists(st.tuples(st.booleans(), ranges), max_size=12))
def test_at_each_byte_stands_the_strongest_lock_held_there(tmp_path_factory: Any, steps: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "ranges"
    path.touch()
    mine, local = os.open(path, os.O_RDWR), Program(path)
    try:
        locks = RangeLocks(mine, os.O_RDWR)
        held: list[Held] = []
        for release, wanted in steps:
            if release and held:
                locks.release([held.pop(wanted[0] % len(held))])
            else:
                assert locks.take(wanted)
                held.append(wanted)
            expected = ""
            for byte in range(24):
                kinds = [exclusive for begin, end, exclusive in held if begin <= byte < end]
                expected += "w" if any(kinds) else "r" if kinds else "-"
            assert local.finds(24) == expected
    finally:
        local.close()
        os.close(mine)


@pytest.mark.parametrize("inwards", [False, True])
def test_thousands_of_locks_one_inside_the_other_are_no_work_for_long(tmp_path: Path, inwards: bool) -> None:
    """Each is looked at once for each call, and the system is asked where something changes."""
    path = tmp_path / "file"
    path.touch()
    mine, again = os.open(path, os.O_RDWR), os.open(path, os.O_RDWR)
    locks = RangeLocks(mine, os.O_RDWR)
    nested = [(at, 10000 - at, False) for at in range(2000)]
    before = time.process_time()
    for wanted in nested if inwards else reversed(nested[:1000]):
        assert locks.take(wanted)
    with locks.moving(again, os.O_RDWR):
        os.dup2(again, mine)
    locks.release(nested[:1000])
    assert time.process_time() - before < PATIENCE
    os.close(mine)
    os.close(again)
