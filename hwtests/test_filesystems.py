"""The store on real file systems: its contract on those that have everything, what two of them share when they clone,
and what is made of those that have neither holes nor extended attributes.

Each is made on a loop device and mounted for its tests. One that the kernel cannot mount, or whose mkfs is not
installed, is skipped with what was said.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from server.security.descriptors import from_mode
from server.status import NT
from server.store.base import Ea, File, Make, New, Wanted
from server.store.posix import PosixStore
from server.testing import missing
from server.tests.stores import ALICE, content, made, made_directory, names, opened, posix_store, refused

ROOT = Path(__file__).parents[1]
MEMORY = "/dev/shm"
DISK = 320 << 20
"""Bytes; XFS takes no less than 300 MiB."""
OPTIONS = {"vfat": f"uid={ALICE.uid},gid={ALICE.gid},utf8=1", "exfat": f"uid={ALICE.uid},gid={ALICE.gid}"}
KEPT = ("contract", "data", "metadata", "posix", "posix_data", "streams")
CONTRACT = [f"server/tests/test_store_{name}.py" for name in KEPT]
BARE = ("contract", "data")
LACKING = (
    "stream", "link", "surrogate", "allocation", "attributes", "given", "of_the_old", "asked_for", "may_not_delete",
)  # fmt: skip
"""Words in the names of tests of what FAT's children have not: streams, links, attributes and room kept with a file,
names of other than UTF-16, ACLs, a name's new case where a file is replaced."""
LARGE = 128 << 20
DACL = 0x4


def made_on(kind: str, disk: Path) -> None:
    """Make a file system in the file `disk`."""
    if kind == "tmpfs":
        return
    if missing(f"mkfs.{kind}"):
        pytest.skip(f"mkfs.{kind} is missing")
    with disk.open("wb") as file:
        file.truncate(DISK)
    subprocess.run(
        [f"mkfs.{kind}", disk], check=True, capture_output=True, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    )


@pytest.fixture
def mounted(kind: str) -> Iterator[Path]:
    """An empty file system of this kind."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    with tempfile.TemporaryDirectory(dir=MEMORY) as work:
        disk, place = Path(work) / "disk", Path(work) / "mounted"
        place.mkdir()
        os.chmod(work, 0o755)
        made_on(kind, disk)
        options = ",".join(filter(None, ("" if kind == "tmpfs" else "loop", OPTIONS.get(kind))))
        command = ["mount", "-t", kind, *(["-o", options] if options else []), str(disk), str(place)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"{kind} cannot be mounted: {done.stderr.splitlines()[0].rpartition(f'{place}: ')[2]}")
        try:
            yield place
        finally:
            subprocess.run(["umount", "--lazy", place], check=True)


def held(mounted: Path, tests: list[str], chosen: str) -> None:
    """Run the store's own tests on what is mounted."""
    command = [sys.executable, "-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider", "--tb=short"]
    command += [f"--basetemp={mounted}/tests", "-k", chosen, *tests]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:]


def on(mounted: Path, test: Callable[[PosixStore], Awaitable[None]]) -> None:
    """Run `test` on a share there."""

    async def whole() -> None:
        (mounted / "share").mkdir()
        store = posix_store(mounted / "share")
        await test(store)
        await store.close()

    asyncio.run(whole())


def settled(mounted: Path) -> os.statvfs_result:
    """What the file system says of itself with all that was written on its disk."""
    subprocess.run(["sync", "-f", mounted], check=True)
    return os.statvfs(mounted)


def bytes_written(mounted: Path) -> int:
    """To the disk, since it was attached."""
    settled(mounted)
    device = mounted.stat().st_dev
    said = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat").read_text()
    return int(said.split()[6]) * 512


# -- those that have everything ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs"])
def test_store_keeps_its_contract(mounted: Path) -> None:
    held(mounted, CONTRACT, "not memory and not openat2")


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_clone_takes_no_room(mounted: Path) -> None:
    async def test(store: PosixStore) -> None:
        payload = os.urandom(32 << 20)
        source, target = await made(store, "a", data=payload), await made(store, "b")
        before = settled(mounted)
        await target.clone_from(source, 0, 0, len(payload))
        after = settled(mounted)
        assert (before.f_bfree - after.f_bfree) * before.f_frsize < 4 << 20
        assert await content(target) == payload
        await target.write([b"changed"], 5, False)
        assert await content(source) == payload
        for each in (source, target):
            await each.close()
        assert (await store.shape(ALICE)).reflink

    on(mounted, test)


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_clone_of_less_than_a_block_is_refused(mounted: Path) -> None:
    async def test(store: PosixStore) -> None:
        before = os.urandom(200_000)
        source, target = await made(store, "a", data=bytes(100_000)), await made(store, "b", data=before)
        for source_offset, offset, length in ((100, 0, 4096), (0, 50, 4096), (0, 0, 70_000)):
            with refused(NT.INVALID_PARAMETER):
                await target.clone_from(source, source_offset, offset, length)
        assert await content(target) == before
        for each in (source, target):
            await each.close()

    on(mounted, test)


@pytest.mark.parametrize("kind", ["ext4", "tmpfs"])
def test_clone_where_blocks_cannot_be_shared_is_a_copy(mounted: Path) -> None:
    async def test(store: PosixStore) -> None:
        payload = os.urandom(100_000)
        source, target = await made(store, "a", data=payload), await made(store, "b", data=bytes(200_000))
        await target.clone_from(source, 100, 50, 70_000)
        assert await content(target) == bytes(50) + payload[100:70_100] + bytes(200_000 - 70_050)
        for each in (source, target):
            await each.close()

    on(mounted, test)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs"])
def test_hole_gives_room_back(mounted: Path) -> None:
    async def test(store: PosixStore) -> None:
        size = 32 << 20
        file = await made(store, "a", data=os.urandom(size))
        await file.flush()
        await file.set_sparse(True)
        await file.zero(1 << 20, size - (2 << 20))
        await file.flush()
        settled(mounted)
        assert await file.allocated(0, size) == [(0, 1 << 20), (size - (1 << 20), 1 << 20)]
        assert (await file.stat()).allocation < 16 << 20  # XFS keeps some room behind the end
        await file.close()

    on(mounted, test)


# -- those without holes and extended attributes ----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["vfat", "exfat"])
def test_store_keeps_what_it_can_of_its_contract(mounted: Path) -> None:
    tests = [f"server/tests/test_store_{name}.py" for name in BARE]
    held(mounted, tests, f"posix and not openat2 and not ({' or '.join(LACKING)})")


@pytest.mark.parametrize("kind", ["vfat", "exfat"])
def test_size_set_before_the_data_writes_no_zeros(mounted: Path) -> None:
    async def test(store: PosixStore) -> None:
        file = await made(store, "a")
        before = bytes_written(mounted)
        await file.set_size(LARGE)
        await file.write([b"x" * 4096], 0, True)
        assert (await file.stat()).size == LARGE
        assert (mounted / "share/a").stat().st_size == 4096  # newer kernels' exfat would write none anyway
        assert bytes_written(mounted) - before < LARGE // 16
        block = os.urandom(1 << 20)
        for offset in range(0, LARGE, len(block)):
            await file.write([block], offset, False)
        await file.flush()
        await file.close()
        assert bytes_written(mounted) - before < LARGE * 5 // 4
        found = await opened(store, "a")
        assert found.stat.size == LARGE
        await found.file.close()

    on(mounted, test)


@pytest.mark.parametrize("kind", ["vfat", "exfat"])
def test_size_beyond_the_room_there_is_is_refused_when_it_is_set(mounted: Path) -> None:
    async def test(store: PosixStore) -> None:
        file = await made(store, "a", data=b"kept")
        for size in (DISK, 1 << 40, 1 << 63):
            with refused(NT.DISK_FULL):
                await file.set_size(size)
        assert await content(file) == b"kept"
        await file.close()

    on(mounted, test)


@pytest.mark.parametrize("kind", ["vfat", "exfat"])
def test_what_the_file_system_cannot_keep_is_refused_by_its_name(mounted: Path) -> None:
    async def test(store: PosixStore) -> None:
        file = await made(store, "a", data=b"kept")
        with refused(NT.OBJECT_NAME_INVALID):
            await opened(store, "a", stream="s")
        with refused(NT.OBJECT_NAME_INVALID):
            await made(store, "b", stream="s")
        with refused(NT.EAS_NOT_SUPPORTED):
            await file.set_eas([Ea(b"name", b"value")])
        with refused(NT.EAS_NOT_SUPPORTED):
            await store.open(ALICE, Wanted(("b",), make=Make.ALWAYS, new=New(eas=[Ea(b"name", b"value")])))
        with refused(NT.INVALID_DEVICE_REQUEST):
            await file.set_sparse(True)
        with refused(NT.NOT_SUPPORTED):
            await file.set_descriptor(from_mode(ALICE.uid, ALICE.gid, 0o600, False), DACL)
        assert await names(store) == {"a"}
        assert await file.eas() == []
        assert [stream.name for stream in await file.streams()] == [""]
        assert await content(file) == b"kept"
        shape = await store.shape(ALICE)
        assert not (shape.sparse or shape.streams or shape.eas or shape.acls or shape.reflink)
        await file.close()

    on(mounted, test)


@pytest.mark.parametrize("kind", ["vfat", "exfat"])
def test_attributes_and_descriptors_of_new_files_are_what_the_file_system_makes_them(mounted: Path) -> None:
    async def test(store: PosixStore) -> None:
        descriptor = from_mode(ALICE.uid, ALICE.gid, 0o600, False)
        new = New(attributes=0x2, descriptor=descriptor, allocation=100_000)
        found = await store.open(ALICE, Wanted(("a",), access=3, make=Make.ALWAYS, new=new))
        assert found.stat.size == 0
        assert found.descriptor == await found.file.descriptor()
        await found.file.set_basic(attributes=0x20, created=found.stat.created)
        await _used(found.file)
        directory = await made_directory(store, "d")
        await directory.rename(("D",), False)
        assert await names(store) == {"a", "D"}
        for each in (found.file, directory):
            await each.close()

    on(mounted, test)


async def _used(file: File) -> None:
    """What clients do to every file."""
    await file.write([b"0123456789"], 0, True)
    await file.zero(2, 4)
    await file.trim([(0, 2)])
    await file.set_allocation(8)
    assert await content(file) == b"01" + bytes(4) + b"67"
    assert await file.allocated(0, 100) == [(0, 8)]
    await file.flush()
