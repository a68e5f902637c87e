"""`PosixStore` alone: identities, what lies beneath the root, special files, what is given back."""

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path as Directory

import pytest

from server.security import sids
from server.security.descriptors import SecurityDescriptor, parse
from server.status import NT, Status
from server.store.base import Ea, Kind, Make, New, Wanted
from server.store.posix import PosixStore

from .stores import (
    ALICE,
    BOB,
    MAXIMUM,
    NEEDS_ROOT,
    READ,
    WRITE,
    identity,
    listed,
    made,
    made_directory,
    names,
    opened,
    posix_store,
    refused,
    scenario,
    walking_store,
)


@pytest.fixture
def store(tmp_path: Directory) -> PosixStore:
    (tmp_path / "share").mkdir()
    return posix_store(tmp_path / "share")


@pytest.fixture
def root(store: PosixStore, tmp_path: Directory) -> Directory:
    return tmp_path / "share"


def descriptors_open() -> int:
    return len(os.listdir("/proc/self/fd"))


# -- identities -------------------------------------------------------------------------------------------------


@NEEDS_ROOT
@scenario
async def test_files_belong_to_who_makes_them(store: PosixStore, root: Directory) -> None:
    root.chmod(0o777)
    await (await made(store, "a", who=ALICE)).close()
    await (await made(store, "b", who=BOB)).close()
    assert [(root / name).stat().st_uid for name in "ab"] == [ALICE.uid, BOB.uid]
    assert [(root / name).stat().st_gid for name in "ab"] == [ALICE.gid, BOB.gid]


@NEEDS_ROOT
@scenario
async def test_the_system_refuses_what_the_mode_does(store: PosixStore, root: Directory) -> None:
    await (await made(store, "a", who=ALICE)).close()
    (root / "a").chmod(0o640)
    for access in (READ, WRITE, READ | WRITE):
        with refused(NT.ACCESS_DENIED):
            await opened(store, "a", access=access, who=BOB)
    with refused(NT.ACCESS_DENIED):
        await made(store, "b", who=BOB)
    found = await opened(store, "a", access=0x80, who=BOB)
    with refused(NT.ACCESS_DENIED):
        await found.file.unlink()
    with refused(NT.ACCESS_DENIED):
        await found.file.set_basic(attributes=0x2)
    with refused(NT.ACCESS_DENIED):
        await found.file.read_into(memoryview(bytearray(1)), 0)
    await found.file.close()
    group = identity(BOB.uid, ALICE.gid)
    await (await opened(store, "a", access=READ, who=group)).file.close()


@NEEDS_ROOT
@scenario
async def test_as_much_is_opened_as_the_system_grants(store: PosixStore, root: Directory) -> None:
    await (await made(store, "a", data=b"x")).close()
    grants = [(0o666, True, True), (0o664, True, False), (0o662, False, True), (0o660, False, False)]
    for mode, readable, writable in grants:
        (root / "a").chmod(mode)
        found = await opened(store, "a", access=MAXIMUM, who=BOB)
        assert (found.file._readable, found.file._writable) == (readable, writable)  # type: ignore[attr-defined]
        await found.file.close()


@NEEDS_ROOT
@scenario
async def test_an_owner_changes_attributes_and_times_without_write_permission(
    store: PosixStore, root: Directory
) -> None:
    file = await made(store, "a")
    (root / "a").chmod(0o444)
    await file.set_basic(attributes=0x1, modified=126_227_808_000_000_000)
    stat_ = await file.stat()
    assert (stat_.attributes, stat_.modified) == (0x1, 126_227_808_000_000_000)
    await file.close()


@NEEDS_ROOT
@scenario
async def test_one_who_may_write_sets_times_as_on_windows(store: PosixStore, root: Directory) -> None:
    await (await made(store, "a")).close()
    (root / "a").chmod(0o666)
    found = await opened(store, "a", who=BOB)
    await found.file.set_basic(modified=126_227_808_000_000_000)
    assert (await found.file.stat()).modified == 126_227_808_000_000_000
    await found.file.close()


@NEEDS_ROOT
@scenario
async def test_the_new_owner_in_a_descriptor_becomes_the_files(store: PosixStore, root: Directory) -> None:
    file = await made(store, "a", who=identity(ALICE.uid, privileged=True))
    await file.set_descriptor(SecurityDescriptor(0, BOB.owner, BOB.group).pack(), 3)
    status = (root / "a").stat()
    assert (status.st_uid, status.st_gid) == (BOB.uid, BOB.gid)
    await file.close()


@NEEDS_ROOT
@scenario
async def test_nobody_gives_a_file_to_a_unix_group_without_being_in_it(store: PosixStore, root: Directory) -> None:
    who = identity(ALICE.uid, 54100)
    file = await made(store, "a", who=who)
    for group, becomes in ((sids.of_gid(54100), 54100), (BOB.group, 54100), (sids.of_gid(0), 54100)):
        await file.set_descriptor(SecurityDescriptor(0, who.owner, group).pack(), 2)
        assert parse(await file.descriptor()).group == group
        assert (root / "a").stat().st_gid == becomes
    await file.close()


@NEEDS_ROOT
def test_a_new_file_may_belong_to_its_directorys_owner(tmp_path: Directory) -> None:
    async def whole() -> None:
        store = posix_store(tmp_path, inherit_owner=True)
        tmp_path.chmod(0o777)
        await (await made(store, "a", who=BOB)).close()
        await store.close()

    asyncio.run(whole())
    assert (tmp_path / "a").stat().st_uid == ALICE.uid


@NEEDS_ROOT
def test_a_mask_without_write_permission_keeps_attributes_all_the_same(tmp_path: Directory) -> None:
    async def whole() -> None:
        store = posix_store(tmp_path, create_mask=0o444)
        new = New(attributes=0x2, eas=[Ea(b"e", b"v")])
        found = await store.open(ALICE, Wanted(("a",), access=READ | WRITE, make=Make.ALWAYS, new=new))
        assert found.stat.attributes == 0x22
        assert await found.file.eas() == [Ea(b"e", b"v")]
        await found.file.close()
        await store.close()

    asyncio.run(whole())


def test_modes_are_those_of_the_configuration_whatever_the_umask(tmp_path: Directory) -> None:
    async def whole() -> None:
        store = posix_store(tmp_path, create_mask=0o770, force_create_mode=0o004, directory_mask=0o750)
        await (await made(store, "a")).close()
        await (await made_directory(store, "d")).close()
        await store.close()

    before = os.umask(0o077)
    try:
        asyncio.run(whole())
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o774
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) & 0o777 == 0o750


# -- beneath the root -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make_store", [posix_store, walking_store])
def test_no_link_leads_out(tmp_path: Directory, make_store: Callable[[Directory], PosixStore]) -> None:
    share, outside = tmp_path / "share", tmp_path / "outside"
    share.mkdir()
    outside.mkdir()
    (outside / "secret").write_text("x")
    (share / "dir").symlink_to("../outside")
    (share / "abs").symlink_to(outside)
    (share / "file").symlink_to("../outside/secret")

    async def whole() -> None:
        store = make_store(share)
        for name in ("dir", "ABS"):
            for attempt in (
                opened(store, name, "secret"),
                made(store, name, "new"),
                made(store, name, "s", stream="t"),
            ):
                with refused(NT.STOPPED_ON_SYMLINK):
                    await attempt
        found = await opened(store, "file")
        assert found.file.kind is Kind.SYMLINK
        with refused(NT.INVALID_DEVICE_REQUEST):
            await found.file.write([b"x"], 0, False)
        with refused(NT.INVALID_PARAMETER):
            await found.file.set_size(0)
        await found.file.close()
        file = await made(store, "mine")
        with refused(NT.STOPPED_ON_SYMLINK):
            await file.rename(("dir", "moved"), False)
        with refused(NT.STOPPED_ON_SYMLINK):
            await file.link(("abs", "linked"), False)
        await file.close()
        await store.close()

    asyncio.run(whole())
    assert os.listdir(outside) == ["secret"]


@scenario
async def test_a_name_that_became_another_files_is_not_removed(store: PosixStore, root: Directory) -> None:
    file = await made(store, "a")
    (root / "a").rename(root / "b")
    (root / "a").write_text("other")
    assert file.path() == ("b",)
    await file.unlink()
    assert await names(store) == {"a"}
    (root / "b").write_text("")
    with refused(NT.FILE_DELETED):
        await file.unlink()
    assert await names(store) == {"a", "b"}
    await file.close()


@scenario
async def test_a_file_moved_out_of_the_share_has_no_path(store: PosixStore, root: Directory) -> None:
    file = await made(store, "a")
    (root / "a").rename(root.parent / "out")
    with refused(NT.FILE_DELETED):
        file.path()
    with refused(NT.FILE_DELETED):
        await file.unlink()
    await file.close()


@scenario
async def test_a_file_really_called_deleted_has_that_path(store: PosixStore, root: Directory) -> None:
    file = await made(store, "a (deleted)")
    assert file.path() == ("a (deleted)",)
    await file.unlink()
    with refused(NT.FILE_DELETED):
        file.path()
    await file.close()


@scenario
async def test_the_share_may_be_moved_while_it_is_served(store: PosixStore, root: Directory) -> None:
    file = await made(store, "a")
    root.rename(root.parent / "moved")
    assert file.path() == ("a",)
    await file.rename(("b",), False)
    assert os.listdir(root.parent / "moved") == ["b"]
    await file.close()


@scenario
async def test_special_files_are_listed_and_removed_and_never_opened(store: PosixStore, root: Directory) -> None:
    os.mkfifo(root / "fifo", 0o666)
    found = await opened(store, "fifo", access=READ | WRITE)
    assert found.file.kind is Kind.OTHER
    for attempt in (found.file.read_into(memoryview(bytearray(1)), 0), found.file.write([b"x"], 0, False)):
        with refused(NT.INVALID_DEVICE_REQUEST):
            await attempt
    (entry,) = await listed(store, stats=True)
    assert entry.stat is not None
    assert entry.stat.kind is Kind.OTHER
    await found.file.unlink()
    await found.file.close()


@scenario
async def test_names_nobody_could_send_are_not_listed(store: PosixStore, root: Directory) -> None:
    for raw in (b"\xff\xfe", b"a:b", b"a\\b", b"good"):
        os.close(os.open(os.fsencode(root) + b"/" + raw, os.O_CREAT | os.O_WRONLY))
    assert await names(store) == {"good"}


@scenario
async def test_names_with_a_dot_are_hidden(store: PosixStore, root: Directory) -> None:
    found = await opened(store, ".profile", make=Make.ALWAYS)
    assert found.stat.attributes & 0x2
    assert (await found.file.stat()).attributes & 0x2
    (entry,) = await listed(store, stats=True)
    assert entry.stat is not None
    assert entry.stat.attributes & 0x2
    await found.file.close()


# -- undoing ----------------------------------------------------------------------------------------------------


@scenario
async def test_what_fails_after_the_making_leaves_nothing(store: PosixStore, root: Directory) -> None:
    before = descriptors_open()
    for new in (New(eas=[Ea(b"x" * 300, b"v")]), New(directory=True, eas=[Ea(b"DOSATTRIB", b"v")])):
        with pytest.raises(Status, match=r"EA|own"):
            await store.open(ALICE, Wanted(("a",), make=Make.ALWAYS, new=new))
    with refused(NT.OBJECT_NAME_INVALID):
        await made(store, "b", stream="x" * 250)
    assert os.listdir(root) == []
    await (await made(store, "A")).close()
    assert descriptors_open() == before


@scenario
async def test_every_refusal_gives_its_descriptors_back(store: PosixStore, root: Directory) -> None:
    await (await made_directory(store, "d")).close()
    await (await made(store, "d", "f")).close()
    before = descriptors_open()
    for attempt in (
        made(store, "D", "F"),
        opened(store, "d", "x"),
        opened(store, "d", "f", "x"),
        opened(store, "d", "f", stream="x"),
        opened(store, "d", "f?"),
    ):
        with pytest.raises(Status):
            await attempt
    await store.lookup(ALICE, ("d", "f"))
    assert descriptors_open() == before


@scenario
async def test_an_open_nobody_waits_for_any_more_is_closed(store: PosixStore, root: Directory) -> None:
    await (await made(store, "a")).close()
    before = descriptors_open()
    task = asyncio.create_task(opened(store, "a"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert descriptors_open() == before


def test_vetoed_names_are_neither_shown_nor_found(tmp_path: Directory) -> None:
    async def whole() -> None:
        store = posix_store(tmp_path, veto_files=("*.tmp", ".DS_?tore"))
        (tmp_path / "a.TMP").touch()
        (tmp_path / "b.tmp").mkdir()
        (tmp_path / "b.tmp" / "c").touch()
        file = await made(store, "good")
        assert await names(store) == {"good"}
        for attempt in (opened(store, "a.tmp"), made(store, ".ds_store"), file.rename(("x.tmp",), False)):
            with refused(NT.OBJECT_NAME_NOT_FOUND):
                await attempt
        with refused(NT.OBJECT_PATH_NOT_FOUND):
            await opened(store, "b.tmp", "c")
        assert await store.lookup(ALICE, ("a.tmp",)) is None
        await file.close()
        await store.close()

    asyncio.run(whole())


@NEEDS_ROOT
@scenario
async def test_one_who_may_not_list_a_directory_spoils_it_for_nobody(store: PosixStore, root: Directory) -> None:
    await (await made_directory(store, "d")).close()
    await (await made(store, "d", "File")).close()
    (root / "d").chmod(0o711)
    with refused(NT.OBJECT_NAME_NOT_FOUND):
        await opened(store, "d", "other", access=0, who=BOB)
    await (await opened(store, "d", "File", access=0, who=BOB)).file.close()
    await (await opened(store, "d", "FILE", access=READ, who=ALICE)).file.close()
