"""Delegations of the kernel: who renames, removes or changes a file that a client caches waits for the client.

Where the kernel has none they are played by leases: then nobody waits who does not open the file, but what we
ourselves do about them is the same."""

import asyncio
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.client import File, Tree
from server.messages.create import Disposition
from server.messages.fscc_file import Basic, FileAttribute, FileClass
from server.messages.fscc_set import Allocation, EndOfFile, Rename, RenameFlags
from server.messages.info import InfoType, SecurityInformation
from server.messages.oplock import LeaseBreak
from server.oplock import READ, WRITE
from server.security.access import (
    DELETE,
    FILE_READ_DATA,
    FILE_WRITE_ATTRIBUTES,
    FILE_WRITE_DATA,
    READ_CONTROL,
    WRITE_DAC,
)
from server.store import kernel_calls, kernel_leases, syscalls
from server.store.kernel_calls import Lease
from server.store.kernel_leases import KernelLease, changing
from server.tests.local_processes import PATIENCE, READ_IT, lease_break, local, on_disk
from server.tests.served import Whole, settle
from server.tests.test_oplock_whole import KEY, RWH, acknowledge, granted, wish

NEEDS_DELEGATIONS = pytest.mark.skipif(
    not kernel_calls.offers_delegations(), reason="this kernel has no delegations (Linux 6.19 has, and the lab)"
)
CHANGES = ("rename", "unlink", "link", "utime", "chmod", "chown", "setxattr", "removexattr", "ftruncate", "truncate")
ALL = FILE_READ_DATA | FILE_WRITE_DATA | FILE_WRITE_ATTRIBUTES | DELETE | READ_CONTROL | WRITE_DAC


class Played(Lease):
    """A lease in the part of a delegation."""


@pytest.fixture(autouse=True)
def broken_by_us(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What we have done that breaks a delegation of ours: nothing."""
    if not kernel_calls.offers_delegations():
        monkeypatch.setattr(kernel_calls, "offers_delegations", lambda: True)
        monkeypatch.setattr(kernel_calls, "Delegation", Played)
    found: list[str] = []

    def watch(module: Any, name: str) -> None:
        real = getattr(module, name)

        def call(*arguments: Any, **more: Any) -> Any:
            if delegated():
                found.append(name)
            return real(*arguments, **more)

        monkeypatch.setattr(module, name, call)

    for name in CHANGES:
        watch(os, name)
    watch(syscalls, "rename_no_replace")
    yield found
    assert not found


def delegated() -> bool:
    return any(lease._held is not Lease for lease in list(kernel_leases._leases.values()))


async def cached(tree: Tree, **more: Any) -> File:
    """A file that the client caches whole."""
    file = await tree.create("file", ALL, disposition=Disposition.OPEN_IF, **wish(KEY, RWH), **more)
    assert granted(file).state == RWH
    return file


async def answers(tree: Tree) -> None:
    await acknowledge(tree, LeaseBreak(key=KEY, state=0))


@NEEDS_DELEGATIONS
@pytest.mark.parametrize(
    "doing",
    [
        "os.rename(path, path + '2')", "os.unlink(path)", "os.chmod(path, 0o600)", "os.chown(path, 1, 1)",
        "os.link(path, path + '2')", "os.utime(path, (1, 1))", "os.setxattr(path, 'user.x', b'')",
        "os.rename(path + ' before', path)",
    ],
)  # fmt: skip
def test_a_local_process_waits_until_the_client_has_written_before_it_renames_removes_or_changes_the_file(
    tmp_path: Path, doing: str
) -> None:
    async def test(here: Whole, directory: Path) -> None:
        (directory / "file before").touch()
        tree = await here.tree()
        file = await cached(tree)
        before = sorted(os.listdir(directory)), (directory / "file").stat()
        kept = os.open(directory / "file", os.O_PATH)
        async with local(directory / "file", doing) as process:
            await lease_break(tree, 0)
            await process.waits()
            await file.write(0, b"cached by the client")
            assert sorted(os.listdir(directory)) == before[0]
            assert (directory / "file").stat().st_mode == before[1].st_mode
            await answers(tree)
            await process.through()
        assert Path(f"/proc/self/fd/{kept}").read_bytes() == b"cached by the client"
        os.close(kept)

    on_disk(tmp_path, test)


def test_what_the_client_itself_changes_takes_nothing_from_it(tmp_path: Path) -> None:
    async def test(here: Whole, directory: Path) -> None:
        tree = await here.tree()
        file = await cached(tree)
        await file.write(0, b"data")
        await file.set(FileClass.BASIC, Basic(modified=1 << 57, attributes=FileAttribute.HIDDEN).pack())
        for size in (100000, 10):
            await file.set(FileClass.END_OF_FILE, EndOfFile(size=size).pack())
            await file.set(FileClass.ALLOCATION, Allocation(size=size).pack())
        security = await file.query(0, InfoType.SECURITY, additional=SecurityInformation.DACL)
        await file.set(0, security, InfoType.SECURITY, SecurityInformation.DACL)
        stream = await tree.create("file:stream", disposition=Disposition.CREATE)
        for size in (10, 100000):
            await stream.write(0, bytes(size))
        await stream.close()
        await file.set(FileClass.RENAME, Rename("other").pack())
        assert delegated()
        assert tree.client.notifications.empty()
        await file.set(FileClass.DISPOSITION, b"\1")
        await file.close()
        assert not (directory / "other").exists()

    on_disk(tmp_path, test)


def test_a_client_that_replaces_what_another_caches_does_not_wait_for_it_in_the_kernel(tmp_path: Path) -> None:
    """With POSIX semantics, under which an open file may be replaced: a thread would wait with the directory's names
    held, on which those come to wait that the other's answer needs."""

    async def test(here: Whole, directory: Path) -> None:
        tree, other = await here.tree(), await here.tree()
        file = await other.create("new", ALL, disposition=Disposition.CREATE)
        await cached(tree)
        flags = RenameFlags.REPLACE_IF_EXISTS | RenameFlags.POSIX_SEMANTICS
        renamed = asyncio.ensure_future(file.set(FileClass.RENAME_EX, Rename("file", flags).pack()))
        await lease_break(tree, READ | WRITE)
        assert delegated()
        await acknowledge(tree, LeaseBreak(key=KEY, state=READ | WRITE))
        await renamed
        assert delegated()
        assert os.listdir(directory) == ["file"]

    on_disk(tmp_path, test)


def test_a_client_may_set_sizes_before_it_answers_a_break(tmp_path: Path) -> None:
    """Who waits goes on before that only where the kernel cannot cut the file otherwise."""

    async def test(here: Whole, directory: Path) -> None:
        tree = await here.tree()
        file = await cached(tree)
        async with local(directory / "file", READ_IT) as process:
            await lease_break(tree, 0)
            for size in (100, 5000):
                await file.set(FileClass.END_OF_FILE, EndOfFile(size=size).pack())
                await file.set(FileClass.ALLOCATION, Allocation(size=2 * size).pack())
            await process.waits()
            await file.write(4999, b"x")
            await file.set(FileClass.END_OF_FILE, EndOfFile(size=10).pack())
            await process.through()
            await answers(tree)
        assert (directory / "file").read_bytes() == bytes(10)

    on_disk(tmp_path, test)


def test_who_changes_a_file_that_a_local_process_waits_for_comes_after_it(tmp_path: Path) -> None:
    async def test(here: Whole, directory: Path) -> None:
        tree, other = await here.tree(), await here.tree()
        await cached(tree)
        async with local(directory / "file", READ_IT) as process:
            await lease_break(tree, 0)
            await process.waits()
            file = await other.create("file", FILE_WRITE_ATTRIBUTES)
            change = asyncio.ensure_future(file.set(FileClass.BASIC, Basic(modified=1 << 57).pack()))
            await settle()
            assert not change.done()
            await answers(tree)
            await process.through()
            await asyncio.wait_for(change, PATIENCE)

    on_disk(tmp_path, test)


def test_a_file_that_a_write_takes_rights_from_has_a_lease_alone(tmp_path: Path) -> None:
    """By a delegation the write would be refused."""

    async def test(here: Whole, directory: Path) -> None:
        (directory / "file").touch()
        (directory / "file").chmod(0o6777)
        tree = await here.tree()
        file = await cached(tree)
        assert not delegated()
        await file.write(0, b"data")
        await file.set(FileClass.END_OF_FILE, EndOfFile(size=1).pack())

    on_disk(tmp_path, test)


def test_an_inode_that_is_busy_has_a_lease_until_it_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(here: Whole, directory: Path) -> None:
        tree = await here.tree()
        with monkeypatch.context() as busy:
            busy.setattr(kernel_calls.Delegation, "put", lambda descriptor, kind: False)
            file = await cached(tree)
        assert not delegated()
        await file.set(FileClass.BASIC, Basic(modified=1 << 57).pack())
        assert delegated()
        async with local(directory / "file", READ_IT) as process:
            await lease_break(tree, 0)
            await process.waits()
            await answers(tree)
            await process.through()

    on_disk(tmp_path, test)


def test_a_local_process_that_comes_between_lease_and_delegation_ends_what_is_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(here: Whole, directory: Path) -> None:
        tree = await here.tree()
        file = await cached(tree)
        changes = iter([(1, 1, 1), (2, 2, 2)])
        monkeypatch.setattr(kernel_leases, "_change", lambda descriptor: next(changes, (2, 2, 2)))
        await file.set(FileClass.BASIC, Basic(modified=1 << 57).pack())
        await lease_break(tree, 0)
        await answers(tree)

    on_disk(tmp_path, test)


def test_nobody_takes_a_delegation_on_what_we_are_changing(tmp_path: Path) -> None:
    async def use() -> None:
        path = tmp_path / "file"
        path.touch()
        descriptor = os.open(path, os.O_RDWR)
        lease = KernelLease(descriptor, True)
        with changing(descriptor):
            assert lease.take(kernel_leases.WRITE, lambda lease: None) == kernel_leases.WRITE
            assert not delegated()
        assert delegated()
        lease.close()
        assert not kernel_leases._changing
        assert not kernel_leases._by_inode
        os.close(descriptor)

    asyncio.run(_listening(use()))


def test_what_cannot_be_lowered_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def use() -> None:
        path = tmp_path / "file"
        path.touch()
        descriptor = os.open(path, os.O_RDONLY)
        lease = KernelLease(descriptor, False)
        broken: list[int] = []
        lease.take(kernel_leases.WRITE, lambda lease: broken.append(lease.wanted_by_others))
        monkeypatch.setattr(kernel_calls.Delegation, "change", lambda descriptor, kind: False)
        lease.lower(kernel_leases.READ)
        await asyncio.sleep(0)
        assert broken == [kernel_leases.WRITE]
        assert lease.take(kernel_leases.READ, lambda lease: None) == kernel_leases.NONE
        lease.close()
        os.close(descriptor)

    asyncio.run(_listening(use()))


async def _listening(use: Any) -> None:
    signals = kernel_leases.Signals()
    try:
        await use
    finally:
        signals.close()


def test_of_two_that_change_a_file_the_last_gives_it_its_delegation_back(tmp_path: Path) -> None:
    async def use() -> None:
        path = tmp_path / "file"
        path.touch()
        descriptor = os.open(path, os.O_RDWR)
        lease = KernelLease(descriptor, True)
        lease.take(kernel_leases.WRITE, lambda lease: None)
        with changing(descriptor):
            with changing(descriptor):
                assert not delegated()
            assert not delegated()
            with lease.suspended():
                assert fcntl.fcntl(descriptor, fcntl.F_GETLEASE) == fcntl.F_UNLCK
                assert lease.take(kernel_leases.READ, lambda lease: None) == kernel_leases.READ
            assert not delegated()
        assert delegated()
        lease.close()
        os.close(descriptor)

    asyncio.run(_listening(use()))
