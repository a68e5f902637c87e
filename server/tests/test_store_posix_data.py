"""`PosixStore` alone: holes, sizes that are only promised, reads from the cache."""

import asyncio
import errno
import os
import threading
import tracemalloc
from pathlib import Path as Directory
from types import SimpleNamespace

import pytest

from server.status import NT, Status
from server.store import data, syscalls
from server.store.base import Make
from server.store.file import PosixFile
from server.store.posix import PosixStore

from .stores import (
    DELETE,
    READ,
    content,
    made,
    names,
    opened,
    posix_store,
    refused,
    scenario,
)


@pytest.fixture
def store(tmp_path: Directory) -> PosixStore:
    (tmp_path / "share").mkdir()
    return posix_store(tmp_path / "share")


@pytest.fixture
def root(store: PosixStore, tmp_path: Directory) -> Directory:
    return tmp_path / "share"


# -- data -------------------------------------------------------------------------------------------------------


@scenario
async def test_a_half_cached_file_is_read_whole(store: PosixStore, root: Directory) -> None:
    """RWF_NOWAIT answers short where the rest is not cached: that is not the end of the file."""
    size = 1 << 20
    file = await made(store, "a", data=os.urandom(size))
    await file.flush()
    whole = await content(file)
    descriptor = os.open(root / "a", os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
    os.pread(descriptor, 16384, 0)
    os.close(descriptor)
    buffer = bytearray(size)
    count = file.read_nowait(memoryview(buffer), 0)
    assert count in (None, size)
    assert await file.read_into(memoryview(buffer), 0) == size
    assert bytes(buffer) == whole
    assert file.read_nowait(memoryview(buffer), 0) == size
    assert file.read_nowait(memoryview(buffer), size - 10) == 10
    await file.close()


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="no tmpfs to try")
def test_in_memory_file_systems_are_read_at_once(tmp_path: Directory) -> None:
    shared = Directory("/dev/shm") / f"store-{os.getpid()}"
    shared.mkdir()
    try:

        async def whole() -> None:
            store = posix_store(shared)
            file = await made(store, "a", data=b"x" * 10)
            buffer = memoryview(bytearray(10))
            file.read_nowait(buffer, 0)  # the first may learn that RWF_NOWAIT is not known
            assert file.read_nowait(buffer, 0) == 10
            await file.unlink()
            await file.close()
            await store.close()

        asyncio.run(whole())
    finally:
        shared.rmdir()


@scenario
async def test_holes_are_made_where_the_file_is_sparse(store: PosixStore, root: Directory) -> None:
    file = await made(store, "a", data=b"x" * (1 << 20))
    await file.set_sparse(True)
    await file.zero(65536, 1 << 19)
    assert await file.allocated(0, 1 << 20) == [(0, 65536), (65536 + (1 << 19), (1 << 19) - 65536)]
    assert await file.allocated(0, 1 << 20, 1) == [(0, 65536)]
    assert await file.allocated(65536, 4096) == []
    await file.close()


@scenario
async def test_growing_writes_nothing(store: PosixStore, root: Directory) -> None:
    file = await made(store, "a")
    await file.set_size(1 << 40)
    found = await file.stat()
    assert (found.size, found.allocation < 1 << 20) == (1 << 40, True)
    assert await file.allocated(0, 1 << 40) == []
    await file.close()


def test_without_holes_a_size_is_promised(tmp_path: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    async def whole() -> None:
        store = posix_store(tmp_path)
        monkeypatch.setattr(store.volumes, "sparse", lambda device, descriptor: False)
        file = await made(store, "a", data=b"abc")
        other = (await opened(store, "a")).file
        await file.set_size(1000)
        assert (tmp_path / "a").stat().st_size == 3
        assert (await other.stat()).size == 1000
        assert await content(other) == b"abc" + bytes(997)
        assert other.read_nowait(memoryview(bytearray(10)), 0) is None
        assert await other.read_into(memoryview(bytearray(10)), 1000) == 0
        await file.write([b"x" * 500], 3, False)
        await file.close()
        assert (tmp_path / "a").stat().st_size == 503
        await other.close()
        assert (tmp_path / "a").stat().st_size == 1000
        file = (await opened(store, "a")).file
        await file.set_size(2000)
        await file.set_size(10)
        await file.close()
        assert (tmp_path / "a").stat().st_size == 10
        await store.close()

    asyncio.run(whole())


def test_many_parts_and_short_writes_are_written_whole(tmp_path: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwritev
    monkeypatch.setattr(os, "pwritev", lambda fd, parts, offset: real(fd, [parts[0][:3]], offset))
    descriptor = os.open(tmp_path / "a", os.O_RDWR | os.O_CREAT)
    parts = [b"%04d" % number for number in range(1500)]
    assert data.write(descriptor, parts, 0, False) == 6000
    assert (tmp_path / "a").read_bytes() == b"".join(parts)
    os.close(descriptor)


@pytest.mark.parametrize(("source_offset", "offset"), [(0, 1000), (1000, 0), (0, 0)])
def test_a_copy_by_hand_reads_nothing_it_has_written(
    tmp_path: Directory, monkeypatch: pytest.MonkeyPatch, source_offset: int, offset: int
) -> None:
    def refuse(*arguments: object) -> int:
        raise OSError(errno.EXDEV, "across file systems")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    monkeypatch.setattr(data, "_COPY", 100)
    before = os.urandom(5000)
    (tmp_path / "a").write_bytes(before)
    descriptor = os.open(tmp_path / "a", os.O_RDWR)
    assert data.copy(descriptor, descriptor, source_offset, offset, 3000) == 3000
    os.close(descriptor)
    after = (tmp_path / "a").read_bytes()
    assert after[offset : offset + 3000] == before[source_offset : source_offset + 3000]


@scenario
async def test_a_clone_that_the_file_system_cannot_make_is_a_copy(store: PosixStore, root: Directory) -> None:
    payload = os.urandom(300_000)
    source, target = await made(store, "a", data=payload), await made(store, "b")
    await target.clone_from(source, 4096, 0, 262_144)
    assert await content(target) == payload[4096 : 4096 + 262_144]
    for each in (source, target):
        await each.close()


def test_a_rename_of_file_systems_without_noreplace_still_replaces_nothing(
    store: PosixStore, root: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.EINVAL, "flags")

    monkeypatch.setattr(syscalls, "rename_no_replace", refuse)

    async def whole() -> None:
        file = await made(store, "a")
        await file.rename(("b",), False)
        assert await names(store) == {"b"}
        await file.close()
        await store.close()

    asyncio.run(whole())


@scenario
async def test_streams_move_out_when_the_xattrs_are_full(store: PosixStore, root: Directory) -> None:
    """On ext4 all xattrs of a file share one block; elsewhere they just stay where they are."""
    payloads = {f"s{number}": bytes([number]) * 900 for number in range(8)}
    for name, payload in payloads.items():
        stream = (await opened(store, "a", stream=name, make=Make.IF_ABSENT)).file
        await stream.write([payload], 0, False)
        await stream.close()
    for name, payload in payloads.items():
        stream = (await opened(store, "a", stream=name)).file
        assert await content(stream) == payload
        await stream.close()


class _Entries:
    """What os.scandir gives, for a directory larger than any that a test makes."""

    def __init__(self, count: int) -> None:
        self._names = (SimpleNamespace(name=f"file{number:06}") for number in range(count))

    def __next__(self) -> SimpleNamespace:
        return next(self._names)

    def __iter__(self) -> "_Entries":
        return self

    def close(self) -> None:
        self._names.close()


@scenario
async def test_a_large_directory_is_walked_in_little_memory(
    store: PosixStore, root: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = (await opened(store, access=READ)).file
    monkeypatch.setattr(os, "scandir", lambda descriptor: _Entries(30_000))
    cursor = directory.entries("*7*", False)
    tracemalloc.start()
    seen = 0
    while batch := await cursor.next(500):
        seen += len(batch)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen == sum("7" in f"{number:06}" for number in range(30_000))
    assert peak < 500_000
    monkeypatch.undo()
    await cursor.close()
    await directory.close()


# -- closing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cancelled", [False, True])
@scenario
async def test_a_close_waits_for_the_calls_under_way(store: PosixStore, root: Directory, cancelled: bool) -> None:
    """Else the descriptor's number could be another file's by the time the thread reads."""
    await (await made(store, "a", data=b"right")).close()
    file = (await opened(store, "a", access=READ)).file
    assert isinstance(file, PosixFile)
    may_read = threading.Event()
    buffer = memoryview(bytearray(5))

    def read() -> int:
        may_read.wait(10)
        return data.read(file._for_reading(), buffer, 0)

    reading = asyncio.create_task(file._hop(None, read))
    await asyncio.sleep(0)
    closing = asyncio.create_task(file.close())
    for _ in range(3):
        await asyncio.sleep(0)
    if cancelled:
        closing.cancel()
    assert not closing.done()
    with refused(NT.FILE_CLOSED):
        await file.read_into(buffer, 0)
    may_read.set()
    assert await reading == 5
    assert bytes(buffer) == b"right"
    await asyncio.wait([closing])
    assert closing.cancelled() is cancelled
    assert file._descriptor == -1


@pytest.mark.parametrize("access", [DELETE, READ])
@pytest.mark.parametrize(("size", "waits"), [(4096, False), (2 << 20, True)])
def test_the_last_close_of_a_removed_file_frees_its_room_in_a_thread(
    tmp_path: Directory, monkeypatch: pytest.MonkeyPatch, access: int, size: int, waits: bool
) -> None:
    """512 MiB in memory take 80 ms."""
    closed_by = []

    class Watched(PosixFile):
        def abandon(self) -> None:
            closed_by.append(threading.current_thread())
            super().abandon()

    monkeypatch.setattr("server.store.posix.PosixFile", Watched)
    store = posix_store(tmp_path)

    async def whole() -> None:
        await (await made(store, "a", data=os.urandom(size))).close()
        closed_by.clear()
        file = (await opened(store, "a", access=access)).file
        await file.unlink()
        await file.close()
        await store.close()

    asyncio.run(whole())
    assert [thread is not threading.main_thread() for thread in closed_by] == [waits]


@scenario
async def test_a_closed_file_says_so_and_touches_nothing(store: PosixStore, root: Directory) -> None:
    file = await made(store, "a", data=b"x")
    directory = (await opened(store, access=READ)).file
    for each in (file, directory):
        await each.close()
        await each.close()
    assert file.read_nowait(memoryview(bytearray(1)), 0) is None
    with refused(NT.FILE_CLOSED):
        file.path()
    with refused(NT.FILE_CLOSED):
        directory.entries("*", False)
    with refused(NT.FILE_CLOSED):
        await file.stat()


@scenario
async def test_a_directory_is_read_by_one_call_at_a_time(store: PosixStore, root: Directory) -> None:
    wanted = {f"f{number}" for number in range(300)}
    for name in wanted:
        (root / name).touch()
    directory = (await opened(store, access=READ)).file
    cursor = directory.entries("*", True)
    batches = await asyncio.gather(*(cursor.next(20) for _ in range(20)))
    found = [entry.name for batch in batches for entry in batch]
    assert sorted(found) == sorted(wanted | {".", ".."})
    await asyncio.gather(cursor.close(), cursor.next(5), cursor.close())
    await directory.close()


@pytest.mark.parametrize("offset", [(1 << 63) - 1, 1 << 63, (1 << 64) - 1])
@scenario
async def test_an_offset_beyond_all_files_is_refused(store: PosixStore, root: Directory, offset: int) -> None:
    file = await made(store, "a", data=b"x")
    buffer = memoryview(bytearray(4))
    assert file.read_nowait(buffer, offset) in (None, 0)
    for attempt in (file.write([b"xy"], offset, False), file.set_size(offset), file.zero(offset, 5)):
        try:
            await attempt
        except Status as status:
            assert status.code in (NT.INVALID_PARAMETER, NT.DISK_FULL)  # noqa: PT017
    assert (await file.stat()).size in (1, (1 << 63) - 1)  # some file systems take the largest there is
    await file.close()
