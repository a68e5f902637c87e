"""FSCTLs on the whole server: what each refuses and what it tells beside a refusal."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from benchmarks.client import Tree
from benchmarks.client.tree import READ_ATTRIBUTES
from server.messages.create import Disposition
from server.messages.file import LockFlags
from server.messages.fsctl import (
    CopyChunk,
    CopyChunkRequest,
    CopyChunkResponse,
    DuplicateExtents,
    Range,
    Region,
    RegionQuestion,
    ResumeKey,
)
from server.messages.ioctl import Fsctl, IoctlRequest, IoctlResponse
from server.security.access import FILE_EXECUTE, FILE_WRITE_DATA
from server.status import NT, Status
from server.tests.served import pattern, served

ALLOCATED = Fsctl.QUERY_ALLOCATED_RANGES


def with_tree(use: Callable[[Tree], Awaitable[None]]) -> None:
    async def run() -> None:
        async with served() as here:
            await use(await here.tree())

    asyncio.run(run())


@pytest.mark.parametrize(
    "code",
    [
        Fsctl.QUERY_NETWORK_INTERFACE_INFO, Fsctl.DFS_GET_REFERRALS, Fsctl.DFS_GET_REFERRALS_EX, Fsctl.PIPE_WAIT,
        Fsctl.VALIDATE_NEGOTIATE_INFO,
    ],
)  # fmt: skip
def test_an_fsctl_that_is_about_no_file_takes_no_file_id(code: int) -> None:
    async def use(tree: Tree) -> None:
        with pytest.raises(Status) as refused:
            await tree.call(IoctlRequest(code, bytes(15) + b"\x7f", max_output=65536), IoctlResponse)
        assert refused.value.code == NT.INVALID_PARAMETER

    with_tree(use)


def test_all_of_a_file_that_is_not_sparse_is_allocated_though_it_was_zeroed() -> None:
    async def use(tree: Tree) -> None:
        file = await tree.create("file", disposition=Disposition.CREATE)
        await file.write(0, pattern(8192))
        await file.ioctl(Fsctl.SET_ZERO_DATA, Range(0, 8192).pack())
        assert await file.ioctl(ALLOCATED, Range(100, 1 << 40).pack()) == Range(100, 8092).pack()
        assert await file.ioctl(ALLOCATED, Range(8192, 5).pack()) == b""

    with_tree(use)


def test_regions_before_the_beginning_or_of_less_than_nothing_are_refused() -> None:
    async def use(tree: Tree) -> None:
        file = await tree.create("file", disposition=Disposition.CREATE)
        await file.write(0, pattern(100))
        for offset, length in ((-1, 10), (10, -1), (-(1 << 63), 1 << 62)):
            with pytest.raises(Status) as refused:
                await file.ioctl(Fsctl.QUERY_FILE_REGIONS, RegionQuestion(offset, length, 1).pack())
            assert refused.value.code == NT.INVALID_PARAMETER
        found = await file.ioctl(Fsctl.QUERY_FILE_REGIONS, RegionQuestion(50, (1 << 63) - 1, 1).pack())
        assert found.endswith(Region(50, 50, 1).pack())

    with_tree(use)


def test_compression_can_be_said_to_be_off_and_cannot_be_had() -> None:
    async def use(tree: Tree) -> None:
        file = await tree.create("file", disposition=Disposition.CREATE)
        await file.ioctl(Fsctl.SET_COMPRESSION, b"\0\0")
        assert await file.ioctl(Fsctl.GET_COMPRESSION) == b"\0\0"
        for wanted, code in ((b"\1\0", NT.NOT_SUPPORTED), (b"\0", NT.INVALID_PARAMETER)):
            with pytest.raises(Status) as refused:
                await file.ioctl(Fsctl.SET_COMPRESSION, wanted)
            assert refused.value.code == code
        reader = await tree.create("file", READ_ATTRIBUTES)
        with pytest.raises(Status) as refused:
            await reader.ioctl(Fsctl.SET_COMPRESSION, b"\0\0")
        assert refused.value.code == NT.ACCESS_DENIED

    with_tree(use)


async def key_of(tree: Tree, name: str, access: int) -> bytes:
    file = await tree.create(name, access)
    return ResumeKey.parse(await file.ioctl(Fsctl.SRV_REQUEST_RESUME_KEY)).key


def test_a_copy_that_meets_a_lock_tells_how_far_it_came() -> None:
    async def use(tree: Tree) -> None:
        source = await tree.create("source", disposition=Disposition.CREATE)
        await source.write(0, pattern(8192))
        target = await tree.create("target", disposition=Disposition.CREATE)
        key = await key_of(tree, "source", 1)
        for locked, written in ((4096, 1), (0, 0)):
            await source.lock(locked, 10, LockFlags.EXCLUSIVE | LockFlags.FAIL_IMMEDIATELY)
            wanted = CopyChunkRequest(key, [CopyChunk(0, 0, 4096), CopyChunk(4096, 4096, 4096)])
            call = await tree.post(IoctlRequest(Fsctl.SRV_COPYCHUNK, target.id, wanted.pack(), max_output=12))
            answer = (await call.answer()).keep()
            assert answer.status == NT.FILE_LOCK_CONFLICT
            counts = CopyChunkResponse(written, 0, 4096 * written)
            assert bytes(answer.read(IoctlResponse).output) == counts.pack()

    with_tree(use)


@pytest.mark.parametrize("which", ["source", "target"])
def test_a_copy_of_a_whole_file_heeds_locks_too(which: str) -> None:
    async def use(tree: Tree) -> None:
        await (await tree.create("source", disposition=Disposition.CREATE)).write(0, b"12345678")
        target = await tree.create("target", disposition=Disposition.CREATE)
        await (await tree.create(which)).lock(7, 1)
        wanted = CopyChunkRequest(await key_of(tree, "source", 1), [])
        call = await tree.post(IoctlRequest(Fsctl.SRV_COPYCHUNK, target.id, wanted.pack(), max_output=12))
        assert (await call.answer()).keep().status == NT.FILE_LOCK_CONFLICT
        with pytest.raises(Status, match="END_OF_FILE"):
            await target.read(0, 4)

    with_tree(use)


def test_a_source_that_may_be_executed_may_be_copied() -> None:
    async def use(tree: Tree) -> None:
        await (await tree.create("source", disposition=Disposition.CREATE)).write(0, b"12345678")
        target = await tree.create("target", disposition=Disposition.CREATE)
        for access, code in ((FILE_EXECUTE, NT.SUCCESS), (FILE_WRITE_DATA, NT.ACCESS_DENIED)):
            wanted = CopyChunkRequest(await key_of(tree, "source", access), [CopyChunk(0, 0, 8)]).pack()
            call = await tree.post(IoctlRequest(Fsctl.SRV_COPYCHUNK, target.id, wanted, max_output=12))
            assert (await call.answer()).keep().status == code
        assert await target.read(0, 9) == b"12345678"

    with_tree(use)


def test_a_clone_leaves_the_targets_end_and_heeds_no_locks() -> None:
    async def use(tree: Tree) -> None:
        source = await tree.create("source", disposition=Disposition.CREATE)
        await source.write(0, pattern(8192))
        target = await tree.create("target", disposition=Disposition.CREATE)
        await target.write(0, bytes(6000))
        for file in (source, target):
            await file.lock(0, 8192, LockFlags.EXCLUSIVE | LockFlags.FAIL_IMMEDIATELY)
        for offset in (0, 4096):
            wanted = DuplicateExtents(source.id, 4096, offset, 4096)
            await target.ioctl(Fsctl.DUPLICATE_EXTENTS_TO_FILE, wanted.pack())
        half = pattern(8192)[4096:]
        assert await target.read(0, 8192) == half + half[: 6000 - 4096]

    with_tree(use)


def test_a_clone_is_refused_that_windows_refuses() -> None:
    async def use(tree: Tree) -> None:
        source = await tree.create("source", disposition=Disposition.CREATE)
        await source.write(0, pattern(8192))
        await source.ioctl(Fsctl.SET_SPARSE)
        target = await tree.create("target", disposition=Disposition.CREATE)
        for file, wanted, code in (
            (target, DuplicateExtents(source.id, 0, 0, 4096), NT.NOT_SUPPORTED),
            (source, DuplicateExtents(source.id, 0, 4096, 4097), NT.NOT_SUPPORTED),
            (source, DuplicateExtents(source.id, 0, 2048, 4096), NT.NOT_SUPPORTED),
            (source, DuplicateExtents(bytes(16), 0, 4096, 4096), NT.INVALID_HANDLE),
            (source, DuplicateExtents(source.id, 0, 4096, 4096), NT.SUCCESS),
        ):
            call = await tree.post(IoctlRequest(Fsctl.DUPLICATE_EXTENTS_TO_FILE, file.id, wanted.pack()))
            assert (await call.answer()).keep().status == code
        assert await source.read(0, 8192) == pattern(4096) * 2

    with_tree(use)
