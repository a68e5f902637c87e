"""Writes that threads make: one thread for a file at a time, each write with its own outcome."""

import asyncio
import errno
import os
import threading
import tracemalloc
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path as Directory
from typing import Any

import pytest

from server.status import NT, Status
from server.store import data
from server.store.threads import IdentityThreads
from server.store.writer import Writer

from .stores import ALICE

PLAIN, THROUGH = False, True


class Gate:
    """`data.write_all` that waits until `go`, and tells of each call how many writes it makes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        self.calls: list[tuple[int, bool]] = []
        self.under_way = self.most = self.syncs = 0
        self._write_all = data.write_all
        monkeypatch.setattr(data, "write_all", self._wait)
        monkeypatch.setattr(os, "fdatasync", self._sync)

    def _wait(self, descriptor: int, writes: Sequence[data.Write], through: bool) -> list[int | Exception]:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        assert self.go.wait(20)
        self.calls.append((len(writes), through))
        try:
            return self._write_all(descriptor, writes, through)
        finally:
            self.under_way -= 1

    def _sync(self, descriptor: int) -> None:
        self.syncs += 1


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


@pytest.fixture
def threads() -> Iterator[IdentityThreads]:
    pool = IdentityThreads(4)
    yield pool
    pool.close()


@pytest.fixture
def path(tmp_path: Directory) -> Directory:
    return tmp_path / "file"


@pytest.fixture
def descriptor(path: Directory) -> Iterator[int]:
    made = os.open(path, os.O_RDWR | os.O_CREAT)
    yield made
    os.close(made)


async def come(gate: Gate, asked: Sequence[Coroutine[Any, Any, int]]) -> list[int | BaseException]:
    """What comes of writes asked for one after the other while the first is being made."""
    tasks = [asyncio.create_task(each) for each in asked]
    await asyncio.sleep(0)
    gate.go.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_what_comes_while_one_writes_goes_together_in_the_next_hop(
    threads: IdentityThreads, descriptor: int, path: Directory, gate: Gate
) -> None:
    parts = [bytes([number]) * 100 for number in range(9)]

    async def whole() -> None:
        writer = Writer(threads, ALICE)
        asked = [writer.write(descriptor, [part], 100 * number, PLAIN) for number, part in enumerate(parts)]
        assert await come(gate, asked) == [100] * 9

    asyncio.run(whole())
    assert (gate.calls, gate.most, gate.syncs) == ([(1, PLAIN), (8, PLAIN)], 1, 0)
    assert path.read_bytes() == b"".join(parts)


def test_writes_to_two_files_are_made_at_the_same_time(
    threads: IdentityThreads, descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2, timeout=20)
    write_all = data.write_all

    def meet(descriptor: int, writes: Sequence[data.Write], through: bool) -> list[int | Exception]:
        both.wait()
        return write_all(descriptor, writes, through)

    monkeypatch.setattr(data, "write_all", meet)

    async def whole() -> None:
        asked = [Writer(threads, ALICE).write(descriptor, [b"x"], number, PLAIN) for number in range(2)]
        assert await asyncio.gather(*asked) == [1, 1]

    asyncio.run(whole())


def test_writes_through_to_the_disk_share_a_sync_that_plain_ones_do_not_wait_for(
    threads: IdentityThreads, descriptor: int, gate: Gate
) -> None:
    async def whole() -> None:
        writer = Writer(threads, ALICE)
        kinds = [THROUGH, THROUGH, THROUGH, PLAIN, THROUGH]
        asked = [writer.write(descriptor, [b"x"], number, through) for number, through in enumerate(kinds)]
        assert await come(gate, asked) == [1] * 5

    asyncio.run(whole())
    assert (gate.calls, gate.syncs) == ([(1, THROUGH), (2, THROUGH), (1, PLAIN), (1, THROUGH)], 3)


def test_large_writes_go_alone(threads: IdentityThreads, descriptor: int, gate: Gate) -> None:
    async def whole() -> None:
        writer = Writer(threads, ALICE)
        asked = [writer.write(descriptor, [bytes(900_000)], 900_000 * number, PLAIN) for number in range(4)]
        assert await come(gate, asked) == [900_000] * 4

    asyncio.run(whole())
    assert gate.calls == [(1, PLAIN)] * 4


def test_each_write_has_its_own_status(threads: IdentityThreads, descriptor: int, path: Directory, gate: Gate) -> None:
    async def whole() -> None:
        writer = Writer(threads, ALICE)
        asked = [writer.write(descriptor, [b"12345"], offset, PLAIN) for offset in (0, 5, 1 << 63, (1 << 63) - 5, 10)]
        came = await come(gate, asked)
        assert [each for each in came if isinstance(each, int)] == [5, 5, 5]
        assert [isinstance(each, Status) for each in came] == [False, False, True, True, False]

    asyncio.run(whole())
    assert path.read_bytes() == b"12345" * 3


def test_a_sync_that_fails_refuses_all_that_it_was_for(
    threads: IdentityThreads, descriptor: int, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(os, "fdatasync", fail)

    async def whole() -> None:
        writer = Writer(threads, ALICE)
        asked = [writer.write(descriptor, [b"x"], number, number < 4) for number in range(6)]
        came = await come(gate, asked)
        assert [each.code for each in came if isinstance(each, Status)] == [NT.DISK_FULL] * 4
        assert came[4:] == [1, 1]

    asyncio.run(whole())


def test_a_cancelled_caller_waits_for_its_write_and_the_next_goes_on(
    threads: IdentityThreads, descriptor: int, path: Directory, gate: Gate
) -> None:
    async def whole() -> None:
        writer = Writer(threads, ALICE)
        tasks = [asyncio.create_task(writer.write(descriptor, [b"x"], number, PLAIN)) for number in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[1].cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)
        gate.go.set()
        await asyncio.wait(tasks)
        assert [task.cancelled() for task in tasks] == [True, True, False]

    asyncio.run(whole())
    assert path.read_bytes() == b"xxx"


def test_a_file_that_is_never_written_costs_next_to_nothing(threads: IdentityThreads) -> None:
    tracemalloc.start()
    try:
        writers = [Writer(threads, ALICE) for _ in range(100)]
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used / len(writers) < 200
