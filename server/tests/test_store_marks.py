"""The marks that a store keeps with files for CREATEs under way (server/store/marks.py)."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path as Directory
from typing import Any

import pytest

from server.status import NT
from server.store.base import File, Make, New, Store, Wanted

from .stores import ALICE, BOB, BOTH, MAKERS, NEEDS_ROOT, content, made, names, opened, posix_store, refused, scenario

MARK = b"\2" + b"m" * 16


@pytest.fixture(params=MAKERS)
def store(request: pytest.FixtureRequest, tmp_path: Directory) -> Store:
    return MAKERS[request.param](tmp_path)


def fails_with(number: int, flag: int) -> Callable[..., int]:
    """An `os.open` that fails so where it is asked for files of this kind."""
    real = os.open

    def open_(path: Any, flags: int, *arguments: Any, **more: Any) -> int:
        if flags & flag == flag:
            raise OSError(number, os.strerror(number))
        return real(path, flags, *arguments, **more)

    return open_


async def marked(store: Store, name: str = "file", make: Make = Make.ALWAYS) -> File:
    """A new file that is made with the mark."""
    found = await store.open(ALICE, Wanted((name,), access=BOTH, make=make, new=New(mark=MARK)))
    assert found.made
    return found.file


@scenario
async def test_a_new_file_bears_its_mark_until_it_is_taken_away(store: Store) -> None:
    file = await marked(store)
    await file.write([b"data"], 0, False)
    assert file.path() == ("file",)
    again = await opened(store, "FILE")
    assert (again.file.key, again.stat.links, await content(again.file)) == (file.key, 1, b"data")
    assert await again.file.marked() == await file.marked() == MARK
    assert not again.stat.ea_size and not await file.eas()
    await file.mark(b"other")
    assert await again.file.marked() == b"other"
    for _ in range(2):
        await again.file.mark(b"")
        assert not await file.marked()
    for each in (file, again.file):
        await each.close()


@scenario
async def test_a_name_that_is_there_is_not_made_again(store: Store) -> None:
    await (await made(store, "file", data=b"mine")).close()
    with refused(NT.OBJECT_NAME_COLLISION):
        await marked(store)
    found = await store.open(ALICE, Wanted(("file",), access=BOTH, make=Make.IF_ABSENT, new=New(mark=MARK)))
    assert not found.made and not await found.file.marked()
    assert await content(found.file) == b"mine"
    await found.file.close()
    assert await names(store) == {"file"}


def unlinkable(*arguments: Any, **more: Any) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.mark.parametrize(("name", "broken"), [
    ("open", fails_with(errno.EOPNOTSUPP, os.O_TMPFILE)), ("open", fails_with(errno.EISDIR, os.O_TMPFILE)),
    ("link", unlinkable),
])  # fmt: skip
def test_where_files_cannot_be_made_without_a_name_they_are_made_with_it(
    tmp_path: Directory, monkeypatch: pytest.MonkeyPatch, name: str, broken: Any
) -> None:
    @scenario
    async def use(store: Store) -> None:
        monkeypatch.setattr(os, name, broken)
        file = await marked(store)
        assert await file.marked() == MARK
        await file.close()

    use(posix_store(tmp_path))


def test_a_full_disk_makes_no_file_without_a_mark(tmp_path: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    @scenario
    async def use(store: Store) -> None:
        monkeypatch.setattr(os, "open", fails_with(errno.ENOSPC, os.O_TMPFILE))
        with refused(NT.DISK_FULL):
            await marked(store)
        monkeypatch.undo()
        assert not await names(store)

    use(posix_store(tmp_path))


def test_a_file_system_without_xattrs_has_no_marks(tmp_path: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    @scenario
    async def use(store: Store) -> None:
        for name in ("setxattr", "removexattr", "getxattr", "listxattr"):
            monkeypatch.setattr(os, name, refuse)
        file = await marked(store)
        await file.mark(MARK)
        assert not await file.marked()
        await file.mark(b"")
        await file.close()

    use(posix_store(tmp_path))


@pytest.mark.parametrize("mask", [0o744, 0o444, 0o000])
def test_files_that_nobody_may_write_are_marked_too(tmp_path: Directory, mask: int) -> None:
    @scenario
    async def use(store: Store) -> None:
        file = await marked(store)
        await file.write([b"data"], 0, False)
        assert await file.marked() == MARK
        await file.mark(b"")
        assert not await file.marked()
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mask & 0o744
        await file.close()

    use(posix_store(tmp_path, create_mask=mask))


@NEEDS_ROOT
def test_a_marked_file_belongs_to_who_made_it(tmp_path: Directory) -> None:
    @scenario
    async def use(store: Store) -> None:
        (tmp_path).chmod(0o777)
        found = await store.open(BOB, Wanted(("file",), access=BOTH, make=Make.ALWAYS, new=New(mark=MARK)))
        assert (tmp_path / "file").stat().st_uid == BOB.uid
        await found.file.close()

    use(posix_store(tmp_path))


def test_who_loses_a_race_for_the_name_has_made_nothing(tmp_path: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.link

    def late(source: Any, name: Any, **more: Any) -> None:
        (tmp_path / "file").write_bytes(b"faster")
        (tmp_path / "file").chmod(0o666)
        real(source, name, **more)

    @scenario
    async def use(store: Store) -> None:
        monkeypatch.setattr(os, "link", late)
        with refused(NT.OBJECT_NAME_COLLISION):
            await marked(store)
        assert (tmp_path / "file").read_bytes() == b"faster"
        assert len(os.listdir(tmp_path)) == 1

    use(posix_store(tmp_path))
