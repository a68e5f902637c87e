"""The file of persistent opens: what is committed is there again, and what is not ours is refused."""

import asyncio
import errno
import multiprocessing
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.config import ConfigError
from server.journal import Journal, Row
from server.status import NT, Status

GUID = b"g" * 16
ROW = Row(
    persistent=b"12345678", share="data", path=b"d/\xff", stream=b"", identity=b"i", user="alice",
    client_guid=b"c" * 16, create_guid=GUID, app_instance=None, app_version=None, action=1, timeout=60.5, resilient=0,
    access=0x1F01FF, share_access=7, options=0, write_through=0, delete_on_close=1, delete_pending=0, deleter=None,
    position=5, held_times=0, modified=1, cached=7, lease_key=b"k" * 16, lease_version=2, lease_epoch=3,
    lease_parent=None, parent_key=None, locks=bytes(17), sequences=b"\1\2",
)  # fmt: skip
OTHER = replace(ROW, persistent=b"87654321")


def with_journal(path: Path, use: Callable[[Journal], Coroutine[Any, Any, None]], **options: Any) -> None:
    journal = Journal(path, GUID, **options)
    try:
        asyncio.run(use(journal))
    finally:
        journal.close(clean=False)


def left(path: Path, **options: Any) -> list[Row]:
    """What the next server finds."""
    journal = Journal(path, b"another" + bytes(9), **options)
    journal.close(clean=False)
    return journal.rows


async def write(journal: Journal, *rows: Row) -> None:
    for row in rows:
        journal.put(row)
    await journal.committed()


def test_rows_come_back_whole_and_removed_ones_do_not(tmp_path: Path) -> None:
    async def use(journal: Journal) -> None:
        await write(journal, ROW, OTHER, replace(ROW, lease_epoch=4))
        journal.drop(OTHER.persistent)
        await journal.committed()

    with_journal(tmp_path / "state" / "db", use)
    assert left(tmp_path / "state" / "db") == [replace(ROW, lease_epoch=4)]


def test_the_server_keeps_its_guid(tmp_path: Path) -> None:
    Journal(tmp_path / "db", GUID).close()
    journal = Journal(tmp_path / "db", bytes(16))
    journal.close()
    assert journal.guid == GUID


def test_what_came_together_is_one_transaction(tmp_path: Path) -> None:
    async def use(journal: Journal) -> None:
        statements: list[str] = []
        journal._database.set_trace_callback(statements.append)
        with journal._more:  # the thread is held up
            for number in range(50):
                journal.put(replace(ROW, persistent=number.to_bytes(8, "little")))
                journal.put(replace(ROW, persistent=number.to_bytes(8, "little"), timeout=1.0))
        await asyncio.gather(*(journal.committed() for _ in range(9)))
        commits = statements.count("COMMIT")
        assert commits <= 2
        assert sum(said.startswith("INSERT") for said in statements) == 50

    with_journal(tmp_path / "db", use)


def _put_and_wait(path: Path, ready: Any) -> None:
    async def use() -> None:
        await write(Journal(path, GUID), ROW)
        ready.set()
        await asyncio.sleep(3600)

    asyncio.run(use())


def test_what_was_committed_survives_sigkill(tmp_path: Path) -> None:
    spawning = multiprocessing.get_context("spawn")
    ready = spawning.Event()
    server = spawning.Process(target=_put_and_wait, args=(tmp_path / "db", ready))
    server.start()
    assert server.pid is not None and ready.wait(30)
    os.kill(server.pid, signal.SIGKILL)
    server.join()
    assert left(tmp_path / "db") == [ROW]


@pytest.mark.parametrize(("clean", "kept"), [(True, 1), (False, 0)])
def test_after_a_crash_of_the_machine_nothing_is_given_back(tmp_path: Path, clean: bool, kept: int) -> None:
    journal = Journal(tmp_path / "db", GUID, boot="first")
    asyncio.run(write(journal, ROW))
    journal.close(clean)
    journal = Journal(tmp_path / "db", GUID, boot="second")
    journal.close(clean=False)
    assert (len(journal.rows), journal.lost) == (kept, 1 - kept)
    assert len(left(tmp_path / "db", boot="second")) == kept


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    for _ in range(2):
        asyncio.run(write(journal := Journal(tmp_path / "db", GUID), ROW))
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
        journal.close()
        (tmp_path / "db").chmod(0o644)


def _foreign(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE opens (id)")
    database.close()


def _newer(path: Path) -> None:
    Journal(path, GUID).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()


def _damaged(path: Path) -> None:
    asyncio.run(write(journal := Journal(path, GUID), *(replace(ROW, persistent=bytes([n]) * 8) for n in range(99))))
    journal.close()
    raw = bytearray(path.read_bytes())
    raw[4096:8192] = os.urandom(4096)
    path.write_bytes(raw)


@pytest.mark.parametrize(("spoil", "why"), [
    (lambda path: path.write_bytes(b"no database at all" * 100), "not a database"),
    (_foreign, "another program"), (_newer, "version 99"), (_damaged, "damaged|malformed"), (Path.mkdir, "no file"),
])  # fmt: skip
def test_a_file_that_cannot_be_used_is_refused_and_left_alone(
    tmp_path: Path, spoil: Callable[[Path], Any], why: str
) -> None:
    path = tmp_path / "db"
    spoil(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(ConfigError, match=f"{path}.*({why}).*move it away"):
        Journal(path, GUID)
    assert before == (path.read_bytes() if path.is_file() else b"")


def test_two_servers_do_not_share_a_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "db", GUID)
    with pytest.raises(ConfigError, match=r"locked; .*give each server a state directory of its own"):
        Journal(tmp_path / "db", GUID)
    journal.close()


def sql(path: Path, statement: str) -> None:
    """Change the file of a server that has stopped."""
    asyncio.run(write(journal := Journal(path, GUID), ROW))
    journal.close()
    with sqlite3.connect(path) as database:
        database.execute(statement)
    database.close()


@pytest.mark.parametrize(("change", "why"), [
    ("UPDATE opens SET user = 5", "damaged: user is int"),
    ("UPDATE opens SET locks = NULL", "damaged: locks is NoneType"),
    ("UPDATE opens SET client_guid = x'00'", "damaged: client_guid of 1 bytes"),
    ("UPDATE opens SET persistent = x''", "damaged: persistent of 0 bytes"),
    ("UPDATE opens SET locks = x'0000'", "damaged: locks of 2 bytes"),
    ("UPDATE opens SET sequences = x'000000'", "damaged: sequences of 3 bytes"),
    ("UPDATE server SET value = x'00' WHERE name = 'guid'", "damaged: the server's GUID"),
    ("ALTER TABLE opens DROP COLUMN stream", "no such column: stream"), ("DROP TABLE opens", "no such table"),
    ("DROP TABLE server", "no such table"),
])  # fmt: skip
def test_what_was_never_written_is_refused(tmp_path: Path, change: str, why: str) -> None:
    sql(tmp_path / "db", change)
    with pytest.raises(ConfigError, match=f"{why}.*move it away"):
        Journal(tmp_path / "db", GUID)


def test_where_boots_are_not_told_apart_only_a_clean_stop_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.journal._BOOT", tmp_path / "nowhere")
    for clean in (True, False):
        asyncio.run(write(journal := Journal(tmp_path / "db", GUID), ROW))
        journal.close(clean)
        assert left(tmp_path / "db") == ([ROW] if clean else [])


def test_who_waits_does_not_wait_for_ever_where_we_have_a_bug(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def use(journal: Journal) -> None:
        await write(journal, replace(ROW, user="\ud800"))
        assert journal.behind
        await write(journal, replace(ROW, user="alice"))
        assert not journal.behind

    with_journal(tmp_path / "db", use)
    assert left(tmp_path / "db") == [ROW]
    assert caplog.text.count("bug while writing") == 1


# -- no room ------------------------------------------------------------------------------------------------------
def killed(path: Path) -> list[Row]:
    """What the next server finds where the one that is running is killed now."""
    copy = path.parent / "copy"
    shutil.copytree(path.parent, copy, ignore=shutil.ignore_patterns("copy"))
    try:
        return left(copy / path.name)
    finally:
        shutil.rmtree(copy)


def fill(journal: Journal) -> None:
    """From now on there is no room for more in the file."""
    journal._database.execute("PRAGMA max_page_count = 1")


def empty(journal: Journal) -> None:
    journal._database.execute("PRAGMA max_page_count = 1000000")


LARGE = replace(ROW, locks=bytes(17) * 999)


def test_what_a_full_disk_keeps_out_is_written_later_and_till_then_nothing_is_given_back(tmp_path: Path) -> None:
    async def use(journal: Journal) -> None:
        await write(journal, OTHER)
        fill(journal)
        await write(journal, LARGE)
        assert journal.behind and not killed(tmp_path / "db")
        empty(journal)
        await journal.committed()
        assert not journal.behind

    with_journal(tmp_path / "db", use)
    assert set(left(tmp_path / "db")) == {LARGE, OTHER}


def test_what_a_full_disk_keeps_out_is_written_without_being_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.journal.RETRY", 0.001)

    async def use(journal: Journal) -> None:
        fill(journal)
        await write(journal, LARGE)
        empty(journal)
        while journal.behind:
            await asyncio.to_thread(os.sched_yield)

    with_journal(tmp_path / "db", use)
    assert left(tmp_path / "db") == [LARGE]


def test_a_server_that_ends_while_its_disk_is_full_has_not_ended_cleanly(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "db", GUID)
    asyncio.run(write(journal, OTHER))
    fill(journal)
    asyncio.run(write(journal, LARGE))
    journal.close()
    for lost in (1, 0):  # it is told once
        journal = Journal(tmp_path / "db", GUID)
        assert (journal.lost, journal.rows) == (lost, [])
        assert bool(journal.why) == bool(lost)
        journal.close()


def test_what_comes_and_goes_while_the_disk_is_full_costs_no_memory(tmp_path: Path) -> None:
    async def use(journal: Journal) -> None:
        await write(journal, OTHER)
        fill(journal)
        await write(journal, LARGE)
        for number in range(100):
            await write(journal, replace(LARGE, persistent=number.to_bytes(8, "big")))
            journal.drop(number.to_bytes(8, "big"))
        journal.drop(OTHER.persistent)
        await journal.committed()
        assert journal._changes.keys() == {LARGE.persistent, OTHER.persistent}
        empty(journal)

    with_journal(tmp_path / "db", use)
    assert left(tmp_path / "db") == [LARGE]


def test_who_waits_is_refused_where_the_file_cannot_be_disowned_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    async def use(journal: Journal) -> None:
        fill(journal)
        with monkeypatch.context() as broken:
            broken.setattr(Path, "unlink", refuse)
            with pytest.raises(Status, match=r"full.*Read-only") as refused:
                await write(journal, LARGE)
        assert refused.value.code == NT.DISK_FULL
        empty(journal)
        await journal.committed()

    with_journal(tmp_path / "db", use)
    assert left(tmp_path / "db") == [LARGE]


# -- at the start -------------------------------------------------------------------------------------------------
def test_a_full_disk_is_named_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect

    def full(*arguments: Any, **options: Any) -> sqlite3.Connection:
        database: sqlite3.Connection = connect(*arguments, **options)
        database.execute("PRAGMA max_page_count = 1")
        return database

    monkeypatch.setattr(sqlite3, "connect", full)
    with pytest.raises(ConfigError, match=f"{tmp_path}/db: database or disk is full; .*make room"):
        Journal(tmp_path / "db", GUID)


@pytest.mark.parametrize(("number", "advice"), [
    (errno.ENOSPC, "make room"), (errno.EDQUOT, "make room"), (errno.EROFS, "make it writable"),
    (errno.EACCES, "make it writable"),
])  # fmt: skip
@pytest.mark.parametrize("there", [True, False])
def test_a_directory_that_cannot_be_written_is_named_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str, there: bool
) -> None:
    open_ = os.open

    def refuse(path: Any, flags: int, *arguments: Any) -> int:
        if there and flags & os.O_CREAT:
            return open_(path, flags, *arguments)
        raise OSError(number, os.strerror(number))

    if there:
        Journal(tmp_path / "db", GUID).close()
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ConfigError, match=f"{tmp_path}/db: .*{os.strerror(number)}; .*{advice}"):
        Journal(tmp_path / "db", GUID)
