"""`PosixStore` alone: streams that lie in files of the hidden directory, and whose they are."""

import contextlib
import os
import shutil
import stat
from pathlib import Path as Directory

import pytest

from server.status import NT
from server.store import syscalls
from server.store.base import Ea, Make, New
from server.store.hidden import NAME as HIDDEN
from server.store.hidden import Hidden, is_of
from server.store.posix import PosixStore

from .stores import (
    ALICE,
    BOB,
    NEEDS_ROOT,
    READ,
    ROOT,
    WRITE,
    content,
    made,
    made_directory,
    names,
    opened,
    posix_store,
    refused,
    scenario,
)

LARGE = bytes(range(250)) * 400
POINTER = "user.smbdirect.stream."


@pytest.fixture
def store(tmp_path: Directory) -> PosixStore:
    (tmp_path / "share").mkdir()
    return posix_store(tmp_path / "share")


@pytest.fixture
def root(store: PosixStore, tmp_path: Directory) -> Directory:
    return tmp_path / "share"


async def streams_of(store: PosixStore, *path: str) -> list[str]:
    file = (await opened(store, *path, access=READ)).file
    found = [each.name for each in await file.streams()]
    await file.close()
    return found[1:]


async def data_of(store: PosixStore, *path: str, stream: str = "big") -> bytes:
    file = (await opened(store, *path, stream=stream, access=READ)).file
    found = await content(file)
    await file.close()
    return found


async def copied(store: PosixStore, root: Directory) -> None:
    """ "a" with a large stream, and "b" to which a local user has copied a's xattrs."""
    await (await made(store, "a", stream="big", data=LARGE)).close()
    (root / "b").touch()
    shutil.copystat(root / "a", root / "b")
    assert os.getxattr(root / "b", POINTER + "big") == os.getxattr(root / "a", POINTER + "big")
    if ROOT:
        os.chown(root / "b", ALICE.uid, ALICE.gid)


# -- how they are kept ------------------------------------------------------------------------------------------


@scenario
async def test_a_stream_of_any_size_is_kept_whole_and_goes_with_its_file(store: PosixStore, root: Directory) -> None:
    payload = bytes(range(256)) * 1000
    stream = await made(store, "a", stream="Big", data=b"small")
    await stream.write([payload], 3, True)
    assert await content(stream) == b"sma" + payload
    (kept,) = os.listdir(root / HIDDEN)
    if ROOT:
        assert (root / HIDDEN / kept).stat().st_uid == ALICE.uid
        assert stat.S_IMODE((root / HIDDEN).stat().st_mode) == 0o700
    base = (await opened(store, "a")).file
    assert [(each.name, each.size) for each in await base.streams()] == [("", 0), ("Big", 3 + len(payload))]
    await stream.rename_stream("Other", False)
    await stream.set_size(70_000)
    await stream.zero(0, 4)
    assert await content(stream) == (bytes(4) + (b"sma" + payload)[4:70_000])
    assert await names(store) == {"a"}
    with refused(NT.OBJECT_NAME_INVALID):
        await opened(store, HIDDEN)
    await stream.close()
    await base.unlink()
    assert os.listdir(root / HIDDEN) == []
    await base.close()


@scenario
async def test_a_big_stream_goes_when_it_is_removed_or_its_file_replaced(store: PosixStore, root: Directory) -> None:
    for name in ("a", "b"):
        stream = await made(store, name, stream="big", data=b"x" * 70_000)
        await stream.close()
    assert len(os.listdir(root / HIDDEN)) == 2
    stream = (await opened(store, "a", stream="big")).file
    await stream.unlink()
    assert len(os.listdir(root / HIDDEN)) == 1
    base = (await opened(store, "a")).file
    await base.rename(("B",), True)
    assert os.listdir(root / HIDDEN) == []
    await (await made(store, "b", stream="big", data=b"x" * 70_000)).close()
    await base.overwrite(New(), True)
    assert os.listdir(root / HIDDEN) == []
    for each in (stream, base):
        await each.close()


@NEEDS_ROOT
@scenario
async def test_a_stream_is_as_open_as_its_file(store: PosixStore, root: Directory) -> None:
    await (await made(store, "a", stream="s", data=b"x")).close()
    (root / "a").chmod(0o644)
    await (await opened(store, "a", stream="s", access=READ, who=BOB)).file.close()
    with refused(NT.ACCESS_DENIED):
        await opened(store, "a", stream="s", access=WRITE, who=BOB)
    with refused(NT.ACCESS_DENIED):
        await opened(store, "a", stream="t", make=Make.IF_ABSENT, who=BOB)
    (root / "a").chmod(0o600)
    with refused(NT.ACCESS_DENIED):
        await opened(store, "a", stream="s", access=READ, who=BOB)


@scenario
async def test_clients_cannot_reach_the_stores_own_xattrs(store: PosixStore, root: Directory) -> None:
    file = await made(store, "a", stream="s")
    for name in (b"DOSATTRIB", b"NTACL", b"DosStream.x:$DATA", b"smbdirect.stream.x", b"smbdirect.REPARSE"):
        with refused(NT.ACCESS_DENIED):
            await file.set_eas([Ea(name, b"x")])
    assert await file.eas() == []
    await file.close()


@scenario
async def test_streams_make_room_for_what_else_a_file_is_given(store: PosixStore, root: Directory) -> None:
    """On ext4 one that fills the block would leave none for a descriptor, an EA or another stream."""
    payloads = {"large": bytes(range(250)) * 12, "some": b"x" * 300}
    streams = {name: await made(store, "a", stream=name) for name in payloads}
    for name, stream in streams.items():
        await stream.write([payloads[name]], 0, False)
    filling = os.getxattr(root / "a", "user.DosStream.some:$DATA")
    with contextlib.suppress(OSError):
        for number in range(1000):
            os.setxattr(root / "a", f"user.DosStream.fill{number}:$DATA", filling)
    with contextlib.suppress(OSError):
        for number in range(1000):
            os.setxattr(root / "a", f"user.DosStream.tiny{number}:$DATA", b"")
    file = (await opened(store, "a")).file
    await file.set_descriptor(await file.descriptor(), 0x4)
    await file.set_eas([Ea(b"name", b"value" * 20)])
    await (await made(store, "a", stream="one more")).close()
    assert [(ea.name, ea.value) for ea in await file.eas()] == [(b"name", b"value" * 20)]
    for name, stream in streams.items():
        assert await content(stream) == payloads[name]
        await stream.close()
    await file.unlink()
    assert not (root / HIDDEN).exists() or os.listdir(root / HIDDEN) == []
    await file.close()


@NEEDS_ROOT
@scenario
async def test_no_stream_is_kept_in_a_directory_that_a_user_has_put_there(store: PosixStore, root: Directory) -> None:
    (root / HIDDEN).mkdir()
    os.chown(root / HIDDEN, BOB.uid, BOB.gid)
    await (await made(store, "a", stream="small", data=b"fits")).close()
    with refused(NT.FILE_NOT_AVAILABLE):
        await made(store, "b", stream="large", data=bytes(100_000))
    assert not list((root / HIDDEN).iterdir())


@NEEDS_ROOT
@scenario
async def test_a_large_stream_goes_with_a_file_that_its_remover_may_not_read(
    store: PosixStore, root: Directory
) -> None:
    await (await made(store, "a", stream="big", data=LARGE)).close()
    (root / "a").chmod(0o600)
    root.chmod(0o777)
    file = (await opened(store, "a", access=0x10000, who=BOB)).file
    await file.unlink()
    await file.close()
    assert os.listdir(root / HIDDEN) == []


# -- whose they are ---------------------------------------------------------------------------------------------


@scenario
async def test_a_copied_xattr_shows_nobody_another_files_stream(store: PosixStore, root: Directory) -> None:
    await copied(store, root)
    assert await streams_of(store, "b") == []
    for access in (READ, WRITE):
        with refused(NT.OBJECT_NAME_NOT_FOUND):
            await opened(store, "b", stream="big", access=access)
    assert await store.lookup(ALICE, ("b",), "big") is None
    assert await data_of(store, "a") == LARGE


@pytest.mark.parametrize("name", ["big", "BIG"])
@scenario
async def test_a_new_stream_takes_the_place_of_a_copied_xattr(store: PosixStore, root: Directory, name: str) -> None:
    await copied(store, root)
    stream = (await opened(store, "b", stream=name, make=Make.ALWAYS)).file
    assert await content(stream) == b""
    assert POINTER + "big" not in os.listxattr(root / "b")
    await stream.write([b"other" * 20_000], 0, False)
    assert await streams_of(store, "b") == [name]
    assert await data_of(store, "a") == LARGE
    await stream.unlink()
    await stream.close()
    assert await data_of(store, "a") == LARGE


@scenario
async def test_a_renamed_stream_takes_the_place_of_a_copied_xattr(store: PosixStore, root: Directory) -> None:
    await copied(store, root)
    stream = await made(store, "b", stream="small", data=b"small")
    await stream.rename_stream("Big", False)
    await stream.close()
    assert POINTER + "big" not in os.listxattr(root / "b")
    assert await data_of(store, "b") == b"small"
    assert await data_of(store, "a") == LARGE


@pytest.mark.parametrize("way", ["unlink", "overwrite", "supersede", "replace", "replace by a link"])
@scenario
async def test_what_ends_a_copy_leaves_the_stream_of_the_other(store: PosixStore, root: Directory, way: str) -> None:
    await copied(store, root)
    file = (await opened(store, "b")).file
    if way == "unlink":
        await file.unlink()
    elif way.startswith("replace"):
        other = await made(store, "c")
        await (other.rename if way == "replace" else other.link)(("b",), True)
        await other.close()
    else:
        await file.overwrite(New(), way == "supersede")
        assert POINTER + "big" not in os.listxattr(root / "b")
    await file.close()
    assert await data_of(store, "a") == LARGE


@scenario
async def test_the_end_of_a_file_leaves_nothing_for_its_copy(store: PosixStore, root: Directory) -> None:
    await copied(store, root)
    file = (await opened(store, "a")).file
    await file.unlink()
    await file.close()
    assert os.listdir(root / HIDDEN) == []
    assert await streams_of(store, "b") == []


@scenario
async def test_a_large_stream_stays_with_its_file_whatever_that_is_called(store: PosixStore, root: Directory) -> None:
    await (await made(store, "a", stream="big", data=LARGE)).close()
    await (await made_directory(store, "d")).close()
    os.link(root / "a", root / "linked")
    file = (await opened(store, "a")).file
    await file.rename(("d", "moved"), False)
    await file.close()
    if ROOT:
        os.chown(root / "linked", BOB.uid, BOB.gid)
        os.chmod(root / "linked", 0o666)
    for path in (("linked",), ("d", "moved")):
        assert await streams_of(store, *path) == ["big"]
        assert await data_of(store, *path) == LARGE
    os.unlink(root / "d" / "moved")
    assert await data_of(store, "linked") == LARGE


@scenario
async def test_a_directory_has_large_streams_of_its_own(store: PosixStore, root: Directory) -> None:
    await (await made_directory(store, "d")).close()
    await (await made(store, "d", stream="big", data=LARGE)).close()
    assert await data_of(store, "d") == LARGE


@scenario
async def test_a_large_stream_is_there_after_a_restart(store: PosixStore, root: Directory) -> None:
    await (await made(store, "a", stream="big", data=LARGE)).close()
    again = posix_store(root)
    assert await data_of(again, "a") == LARGE
    await again.close()


@scenario
async def test_who_gets_a_removed_files_inode_does_not_inherit_its_stream(
    store: PosixStore, root: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await made(store, "a", stream="big", data=LARGE)).close()
    birth = syscalls.birth
    monkeypatch.setattr(syscalls, "birth", lambda descriptor: (birth(descriptor) or 0) + 1)
    assert await streams_of(store, "a") == []
    with refused(NT.OBJECT_NAME_NOT_FOUND):
        await opened(store, "a", stream="big")


@scenario
async def test_large_streams_are_bound_where_the_file_system_knows_no_births(
    store: PosixStore, root: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syscalls, "birth", lambda descriptor: None)
    await copied(store, root)
    assert await data_of(store, "a") == LARGE
    assert await streams_of(store, "b") == []


@pytest.mark.parametrize("forged", ["", "x", "../b", "/etc/passwd", "{own}", "{own}/../{whole}", "\0", "{own}\xff"])
@scenario
async def test_an_xattr_with_any_text_names_no_stream(store: PosixStore, root: Directory, forged: str) -> None:
    await (await made(store, "a", stream="big", data=LARGE)).close()
    whole = os.getxattr(root / "a", POINTER + "big").decode()
    text = forged.format(own=whole[:-16], whole=whole)
    os.setxattr(root / "a", POINTER + "forged", text.encode("latin-1"))
    assert await streams_of(store, "a") == ["big"]
    with refused(NT.OBJECT_NAME_NOT_FOUND):
        await opened(store, "a", stream="forged")


@scenario
async def test_a_stream_whose_file_is_gone_hides_no_others(store: PosixStore, root: Directory) -> None:
    for name in ("lost", "kept"):
        await (await made(store, "a", stream=name, data=LARGE)).close()
    os.unlink(root / HIDDEN / os.getxattr(root / "a", POINTER + "lost").decode())
    assert await streams_of(store, "a") == ["kept"]


def test_the_same_inode_of_another_file_system_is_another_file(tmp_path: Directory) -> None:
    descriptors = [os.open(path, os.O_PATH) for path in (tmp_path, "/proc")]
    near, far = (Hidden(descriptor).identity(descriptors[0]) for descriptor in descriptors)
    assert near.split(".")[:2] == far.split(".")[:2]
    assert not is_of(near + "0" * 16, far)
    assert not is_of(far + "0" * 16, near)
    for descriptor in descriptors:
        os.close(descriptor)
