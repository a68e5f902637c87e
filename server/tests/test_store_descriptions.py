"""The open file descriptions that opens of one file share: what one open's end does to the others and to strangers,
and who may join."""

import ctypes
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from server.store import inode, syscalls
from server.store.descriptions import Description, Descriptions
from server.tests.stores import BOB, NEEDS_ROOT

NO_FACCESSAT2 = ((0x20, 0, 0, 0), (0x15, 0, 1, 439), (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7FFF0000))
"""A filter of system calls: load the number; where it is faccessat2's answer ENOSYS, else allow."""
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, MODE_FILTER = 22, 38, 2


@contextmanager
def anchored(path: Path) -> Iterator[tuple[int, os.stat_result]]:
    path.touch(0o600)
    anchor = os.open(path, os.O_PATH)
    try:
        yield anchor, os.fstat(anchor)
    finally:
        os.close(anchor)


def forbid_faccessat2() -> None:
    """To the calling thread, for its life."""
    prctl = ctypes.CDLL(None).prctl
    filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in NO_FACCESSAT2))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(NO_FACCESSAT2), ctypes.addressof(filters)))
    assert prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert prctl(PR_SET_SECCOMP, ctypes.c_ulong(MODE_FILTER), ctypes.c_void_p(ctypes.addressof(program))) == 0


def test_last_reader_closes_while_its_description_is_made_a_readers_and_its_number_is_anothers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, strangers = Descriptions(), []
    with anchored(tmp_path / "file") as (anchor, status):
        reader, writer = (table.open(anchor, status, flags) for flags in (os.O_RDONLY, os.O_RDWR))

        def open_slowly(*arguments: Any, **others: Any) -> int:
            monkeypatch.undo()
            opened = os.open(*arguments, **others)
            reader.leave(os.O_RDONLY)  # another thread's
            strangers.append(os.open("/dev/null", os.O_RDONLY))
            return opened

        monkeypatch.setattr(os, "open", open_slowly)
        writer.leave(os.O_RDWR)
    assert os.readlink(inode.proc(strangers[0])) == "/dev/null", "a stranger's descriptor was replaced"
    os.close(strangers[0])
    assert not len(table)


@NEEDS_ROOT
@pytest.mark.parametrize("old", [False, True], ids=["faccessat2", "a kernel without"])
def test_user_without_rights_joins_the_description_of_another(tmp_path: Path, old: bool) -> None:
    table = Descriptions()
    outcomes: list[object] = []

    def join() -> None:
        if old:
            forbid_faccessat2()
        syscalls.set_groups(())
        syscalls.set_fs_ids(BOB.uid, BOB.gid)
        try:
            outcomes.append(table.open(anchor, status, os.O_RDONLY))
        except OSError as error:
            outcomes.append(type(error))

    syscalls.has_faccessat2.cache_clear()
    with anchored(tmp_path / "file") as (anchor, status):
        owners = table.open(anchor, status, os.O_RDWR)
        thread = threading.Thread(target=join)
        thread.start()
        thread.join()
        owners.leave(os.O_RDWR)
    syscalls.has_faccessat2.cache_clear()
    assert outcomes == [PermissionError]
    assert not len(table)


def test_who_has_another_name_of_a_file_does_not_join_in_the_event_loop(tmp_path: Path) -> None:
    """A link here; a share whose root is mounted elsewhere too has such names without one."""
    table = Descriptions()
    with anchored(tmp_path / "file") as (anchor, status):
        description = table.open(anchor, status, os.O_RDWR)
        os.link(tmp_path / "file", tmp_path / "other")
        with anchored(tmp_path / "other") as (other, _):
            assert table.open_nowait(other, status, os.O_RDONLY, True, lambda mode: -1) is None
            assert table.open_nowait(anchor, status, os.O_RDONLY, True, lambda mode: -1) is description
    description.leave(os.O_RDONLY)
    description.leave(os.O_RDWR)
    assert not len(table)


def test_description_that_is_left_while_the_event_loop_looks_at_it_is_not_joined(tmp_path: Path) -> None:
    class Left(dict[tuple[int, int], Description]):
        """Another thread takes out what has been looked for."""

        def get(self, key: tuple[int, int], default: Any = None) -> Any:
            return self.pop(key, default)

        def __contains__(self, key: object) -> bool:
            return self.pop(key, None) is not None  # type: ignore[call-overload]

    table = Descriptions()
    with anchored(tmp_path / "file") as (anchor, status):
        description = table.open(anchor, status, os.O_RDWR)
        table._by_inode = Left(table._by_inode)
        assert table.open_nowait(anchor, status, os.O_RDWR, True, lambda mode: -1) is None
    description.leave(os.O_RDWR)
