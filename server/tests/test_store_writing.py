"""Writes that the kernel's workers do: nothing is lost, reordered or given back too early, and what they do not do a
thread does."""

import asyncio
import errno
import os
import random
from collections.abc import Iterator
from pathlib import Path as Directory

import pytest

from server.store import threads as identity_threads
from server.store.base import Credentials, File
from server.store.loan import Loan
from server.store.posix import PosixStore
from server.store.threads import IdentityThreads
from server.store.writing_ring import WritingRing
from smbdirect.wire import Buffer

from .stores import ALICE, BOB, NEEDS_ROOT, content, made, posix_store, scenario


def _ring_or_none() -> bool:
    try:
        WritingRing().close()
    except OSError:
        return False
    return True


pytestmark = pytest.mark.skipif(not _ring_or_none(), reason="no io_uring here")
PAGE = 4096


class Short(WritingRing):
    """One whose kernel writes `least` bytes of a part and no more, or fails with `-least`."""

    least = 1

    def write(self, credentials: Credentials | None, descriptor: int, part: Buffer, offset: int) -> Loan | None:
        if self.least < 0:
            loan = Loan()
            loan.set_result(self.least)
            return loan
        return super().write(credentials, descriptor, memoryview(part)[: self.least], offset)


@pytest.fixture
def root(tmp_path: Directory) -> Directory:
    (tmp_path / "share").mkdir()
    return tmp_path / "share"


@pytest.fixture
def store(root: Directory) -> PosixStore:
    return posix_store(root)


@pytest.fixture
def ring() -> Iterator[WritingRing]:
    made = WritingRing()
    yield made
    made.close()


@pytest.fixture
def full() -> Iterator[tuple[int, int]]:
    """A pipe that takes nothing more; its ends for reading and writing."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, bytes(PAGE))
    except BlockingIOError:
        os.set_blocking(writing, True)
    yield reading, writing
    os.close(reading)
    os.close(writing)


def drain(reading: int, count: int) -> bytes:
    """The last `count` bytes of what is in the pipe and comes yet."""
    got = b""
    while not got.endswith(b"end"):
        got = (got + os.read(reading, 1 << 20))[-count:]
    return got


async def write(file: File, offset: int, data: bytes) -> int:
    return await file.write([memoryview(bytearray(data))], offset, False)


@scenario
async def test_what_is_written_at_once_is_all_there_at_its_place(store: PosixStore) -> None:
    file = await made(store, "a")
    parts = [random.randbytes(random.choice([1, 511, PAGE, 70_000, 200_000])) for _ in range(300)]
    places = [sum(map(len, parts[:number])) for number in range(len(parts))]
    await asyncio.gather(*map(write, [file] * len(parts), places, parts))
    assert await content(file) == b"".join(parts)
    await file.close()


@scenario
async def test_nothing_overtakes_a_write_that_was_answered(store: PosixStore) -> None:
    file = await made(store, "a")
    buffer = memoryview(bytearray(100))
    for number in range(50):
        data = bytes([number]) * 100
        assert await write(file, 0, data) == 100
        assert (file.read_nowait(buffer, 0) or await file.read_into(buffer, 0)) == 100
        assert buffer == data
        assert await write(file, 100, data) == 100
        await file.set_size(100)
        assert await content(file) == data
    await file.close()


@scenario
async def test_a_close_waits_for_writes_under_way(store: PosixStore, root: Directory) -> None:
    for _ in range(20):
        file = await made(store, "a")
        writes = [asyncio.create_task(write(file, number << 20, bytes([number]) * (1 << 20))) for number in range(8)]
        await asyncio.sleep(0)
        await file.close()
        assert [task.result() for task in writes] == [1 << 20] * 8
        assert (root / "a").read_bytes() == b"".join(bytes([number]) * (1 << 20) for number in range(8))
        (root / "a").unlink()


@pytest.mark.parametrize("least", [1, 1000, -errno.EAGAIN, -errno.ENOSPC, -errno.EINVAL])
def test_what_the_kernel_leaves_a_thread_writes(store: PosixStore, monkeypatch: pytest.MonkeyPatch, least: int) -> None:
    monkeypatch.setattr(Short, "least", least)

    ring = Short()
    monkeypatch.setattr(store.threads, "_writing", ring)

    async def whole() -> None:
        file = await made(store, "a")
        data = os.urandom(5000)
        assert await write(file, 7, data) == 5000
        assert await content(file) == bytes(7) + data
        await file.close()

    asyncio.run(whole())
    ring.close()


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_buffer_is_the_kernels_until_it_has_written(
    ring: WritingRing, full: tuple[int, int], cancelled: bool
) -> None:
    buffer = bytearray(b"whole to the end")

    async def use() -> int:
        loan = ring.write(None, full[1], buffer, 0)
        assert loan is not None
        return int(await loan)

    async def whole() -> None:
        task = asyncio.create_task(use())
        await asyncio.sleep(0)
        if cancelled:
            task.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not task.done()
        with pytest.raises(BufferError):
            buffer.clear()
        assert drain(full[0], len(buffer)) == buffer
        await asyncio.wait([task])
        assert task.cancelled() if cancelled else task.result() == len(buffer)
        buffer.clear()

    asyncio.run(whole())


def test_a_ring_that_is_full_leaves_the_rest_to_threads(ring: WritingRing, full: tuple[int, int]) -> None:
    async def whole() -> None:
        taken = []
        while (loan := ring.write(None, full[1], bytearray(b"x"), 0)) is not None:
            taken.append(loan)
        assert len(taken) > 16
        assert ring.write(None, full[1], bytearray(b"x"), 0) is None
        reading = full[0]
        while not all(loan.done() for loan in taken):
            os.read(reading, 1 << 20)
            await asyncio.sleep(0.001)
        assert [loan.result() for loan in taken] == [1] * len(taken)

    asyncio.run(whole())


def test_a_ring_lets_what_is_under_way_end_before_it_is_closed(tmp_path: Directory) -> None:
    ring = WritingRing()
    descriptor = os.open(tmp_path / "a", os.O_RDWR | os.O_CREAT)

    async def whole() -> list[Loan | None]:
        loans = [ring.write(None, descriptor, bytearray(1 << 20), number << 20) for number in range(16)]
        ring.close()
        return loans

    assert [loan is not None and loan.result() for loan in asyncio.run(whole())] == [1 << 20] * 16
    os.close(descriptor)


def test_one_loop_after_another_hears_of_its_writes(ring: WritingRing, tmp_path: Directory) -> None:
    descriptor = os.open(tmp_path / "a", os.O_RDWR | os.O_CREAT)

    async def whole() -> int:
        loan = ring.write(None, descriptor, bytearray(300_000), 0)
        assert loan is not None
        return int(await loan)

    assert [asyncio.run(whole()) for _ in range(3)] == [300_000] * 3
    os.close(descriptor)


def test_what_only_reads_or_is_nowhere_is_left_to_threads(ring: WritingRing, tmp_path: Directory) -> None:
    async def whole() -> None:
        assert ring.write(None, 0, b"cannot be written to", 0) is None
        assert ring.write(None, 0, bytearray(), 0) is None
        assert ring.write(None, 0, bytearray(1), 0xFFFF_FFFF_FFFF_FFFF) is None
        assert ring.write((54321, 1, ()), 0, bytearray(1), 0) is None

    asyncio.run(whole())


@NEEDS_ROOT
def test_it_is_the_accounts_write_and_not_the_services(ring: WritingRing, tmp_path: Directory) -> None:
    """A write takes the set-user-id bit away, but for who has CAP_FSETID."""
    path = tmp_path / "a"
    pool = IdentityThreads(1)

    async def whole() -> None:
        await pool.run(ALICE, pool.introduce)
        for who, left in ((ALICE, 0o777), (BOB, 0o4777)):
            path.write_bytes(b"a program")
            path.chmod(0o4777)
            descriptor = os.open(path, os.O_RDWR)
            loan = pool.write_nowait(who, descriptor, bytearray(b"b"), 0)
            assert (loan is None) is (who is BOB), "nobody has acted as BOB yet"
            assert loan is None or await loan == 1
            assert path.stat().st_mode & 0o7777 == left
            os.close(descriptor)

    asyncio.run(whole())
    pool.close()


def test_without_io_uring_threads_write(monkeypatch: pytest.MonkeyPatch, root: Directory) -> None:
    def none() -> WritingRing:
        raise PermissionError

    monkeypatch.setattr(identity_threads, "WritingRing", none)
    pool = IdentityThreads(1)
    assert pool.write_nowait(ALICE, 0, bytearray(1), 0) is None
    pool.close()
