"""fanotify as this kernel has it, as older ones have it, and where there is none; and how its events are read."""

import asyncio
import ctypes
import errno
from pathlib import Path as OnDisk

import pytest

from server.store import fanotify
from server.store.base import Path
from server.store.fanotify import Event, Group, Name
from server.store.marked_files import MarkedFiles
from server.store.posix import PosixStore
from server.tests.local import ADDED, NEEDS_FANOTIFY, REMOVED, Here, hearing, said
from server.tests.stores import posix_store


def test_a_kernel_without_it_is_no_fault(tmp_path: OnDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(group: Group) -> None:
        raise PermissionError(1, "a container's filter")

    monkeypatch.setattr(Group, "__init__", refuse)

    async def use() -> None:
        store = posix_store(tmp_path)
        assert store.watch(lambda changes: None, lambda: None) is None
        await store.close()

    asyncio.run(use())


@NEEDS_FANOTIFY
def test_a_kernel_without_renames_tells_of_going_and_coming(tmp_path: OnDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux before 5.17: the directory is marked for what that has."""
    real = fanotify._LIBC.fanotify_mark

    def old(descriptor: int, flags: int, mask: int, at: int, path: bytes) -> int:
        if mask & fanotify.RENAME:
            ctypes.set_errno(errno.EINVAL)
            return -1
        result: int = real(descriptor, flags, mask, at, path)
        return result

    class Old:
        fanotify_mark = staticmethod(old)

        def __getattr__(self, name: str) -> object:
            return getattr(fanotify_libc, name)

    fanotify_libc = fanotify._LIBC
    monkeypatch.setattr(fanotify, "_LIBC", Old())

    async def test(here: Here) -> None:
        tree = await here.follow(tree=True)
        assert said(await here.shell("mkdir d; : > f")) == [(ADDED, "d"), (ADDED, "f")]
        assert said(await here.shell("mv f d/g")) == [(REMOVED, "f"), (ADDED, "d/g")]
        assert said(await here.shell("mv d e")) == [(REMOVED, "d"), (ADDED, "e"), (ADDED, "e/g")]
        assert said(await here.shell("rm e/g")) == [(REMOVED, "e/g")]
        tree.close()

    hearing(test, tmp_path)


NAMED = Name(b"\1" * 8 + b"\4\0\0\0\1\0\0\0hand", b"name")


def record(kind: int, at: Name, size: int | None = None) -> bytes:
    raw = at.directory + at.name + b"\0\0"
    return fanotify._RECORD.pack(kind, 0, 4 + len(raw) if size is None else size) + raw


def packed(mask: int, *records: bytes, size: int | None = None) -> bytes:
    data = b"".join(records)
    return fanotify._HEAD.pack(24 + len(data) if size is None else size, 3, 0, 24, mask, -1, 7) + data


def test_events_are_read_as_the_kernel_writes_them() -> None:
    data = packed(fanotify.CREATE, record(2, NAMED)) + packed(
        fanotify.RENAME, record(10, NAMED), record(4, NAMED), record(12, NAMED._replace(name=b"new"))
    )
    data += packed(fanotify.OVERFLOW)
    assert list(fanotify.parse(data)) == [
        Event(fanotify.CREATE, 7, NAMED),
        Event(fanotify.RENAME, 7, NAMED._replace(name=b"new"), NAMED),
        Event(fanotify.OVERFLOW, 7, None),
    ]
    assert list(fanotify.parse(packed(1, size=0))) == []
    assert list(fanotify.parse(packed(1, record(2, NAMED, size=0)))) == [Event(1, 7, None)]


def test_the_path_of_a_share_on_this_machine(tmp_path: OnDisk) -> None:
    async def use() -> None:
        store = posix_store(tmp_path)
        assert store.location == tmp_path.resolve().parts[1:]
        await store.close()
        root: Path = PosixStore("/", store.options).location
        assert root == ()

    asyncio.run(use())


@NEEDS_FANOTIFY
def test_a_file_of_another_file_system_with_the_same_handle_is_another(
    tmp_path: OnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use() -> None:
        marked = MarkedFiles()
        heard: list[bool] = []
        with (tmp_path / "file").open("wb") as file:
            handle = marked.add(file.fileno(), heard.append)
            assert handle is not None
            elsewhere = bytes(byte ^ 0xFF for byte in handle[:8]) + handle[8:]
            monkeypatch.setattr(marked._group, "read", iter([_changed(elsewhere), _changed(handle), []]).__next__)
            marked._ready()
            assert heard == [False]
            marked.remove(file.fileno(), handle)
        marked.close()

    asyncio.run(use())


def _changed(handle: bytes) -> list[Event]:
    return [Event(fanotify.ATTRIB, 0, None, None, handle)]
