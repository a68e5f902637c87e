"""Local processes and what clients cache of directories: right after a real process has changed one, they are told."""

from pathlib import Path

import pytest

from benchmarks.client import File, Tree
from server.messages.create import CreateOptions, Disposition, ShareAccess
from server.messages.fscc_file import FileClass
from server.messages.fscc_set import Rename
from server.messages.oplock import LeaseBreak
from server.oplock import WRITE
from server.security.access import DELETE, FILE_LIST_DIRECTORY
from server.store.posix import PosixStore
from server.store.watching import Watching
from server.tests.local import NEEDS_FANOTIFY, run
from server.tests.local_processes import lease_break, on_disk
from server.tests.served import Whole
from server.tests.test_oplock_whole import KEY, OTHER, PARENT, RH, acknowledge, granted, wish

pytestmark = NEEDS_FANOTIFY
ALL = ShareAccess.READ | ShareAccess.WRITE | ShareAccess.DELETE


async def cached(tree: Tree, name: str = "d", key: bytes = KEY) -> File:
    """A directory that the client caches."""
    directory = await tree.create(
        name, FILE_LIST_DIRECTORY | DELETE, options=CreateOptions.DIRECTORY_FILE, disposition=Disposition.OPEN_IF,
        share=ALL, **wish(key, RH | WRITE, PARENT),
    )  # fmt: skip
    assert granted(directory).state == RH
    return directory


@pytest.mark.parametrize(
    "script",
    [
        "touch d/new", "rm d/file", "mv d/file d/other", "mv d/file .", "mv above d", "echo x >> d/file",
        "chmod 700 d/file", "mkdir d/below", "ln -s file d/link", "truncate -s 9 d/file", "mv d e",
    ],
)  # fmt: skip
def test_whatever_a_local_process_does_in_a_directory_its_clients_forget_it(tmp_path: Path, script: str) -> None:
    async def test(here: Whole, directory: Path) -> None:
        tree = await here.tree()
        await cached(tree, "")
        await cached(tree, key=OTHER)
        run(directory, "sh", "-c", script)
        told = b""
        while told != OTHER:
            told = (await lease_break(tree, 0)).key
            await acknowledge(tree, LeaseBreak(key=told, state=0))
        await cached(tree, "e" if script == "mv d e" else "d", key=b"n" * 16)

    (tmp_path / "d").mkdir(mode=0o777)
    for name in ("above", "d/file"):
        (tmp_path / name).write_text("data")
    on_disk(tmp_path, test)


def test_what_a_client_does_is_told_once_and_not_to_itself(tmp_path: Path) -> None:
    async def test(here: Whole, directory: Path) -> None:
        tree, other = await here.tree(), await here.tree()
        await cached(tree)
        await cached(other, key=OTHER)
        mine = wish(b"f" * 16, RH, parent=KEY)
        await (await tree.create("d\\new", disposition=Disposition.CREATE, **mine)).close()
        assert (await lease_break(other, 0)).key == OTHER
        here.server.opens.changes.local.catch_up()
        assert tree.client.notifications.empty()

    on_disk(tmp_path, test)


def test_a_cached_directory_that_a_client_renames_is_heard_of_where_it_is(tmp_path: Path) -> None:
    async def test(here: Whole, directory: Path) -> None:
        tree = await here.tree()
        opened = await cached(tree)
        await opened.set(FileClass.RENAME, Rename("moved").pack())
        run(directory, "touch", "moved/new")
        await lease_break(tree, 0)

    on_disk(tmp_path, test)


def test_the_system_is_asked_while_somebody_caches_and_no_longer(tmp_path: Path) -> None:
    async def test(here: Whole, directory: Path) -> None:
        tree = await here.tree()
        local = here.server.opens.changes.local
        opened, another = await cached(tree), await cached(tree)
        assert local.count == 1
        await opened.close()
        assert local.count == 1
        await another.close()
        assert local.count == 0

    on_disk(tmp_path, test)


def test_events_that_were_lost_leave_nothing_cached(tmp_path: Path) -> None:
    async def test(here: Whole, directory: Path) -> None:
        tree = await here.tree()
        await cached(tree)
        (follower,) = here.server.opens.changes.local._followers.values()
        assert isinstance(follower, Watching)
        follower._lost()
        await lease_break(tree, 0)

    on_disk(tmp_path, test)


@pytest.mark.parametrize(("oplocks", "state"), [("yes", 0), ("auto", RH), ("no", RH)])
def test_where_nothing_can_be_heard_the_share_says_whether_directories_are_cached(
    tmp_path: Path, oplocks: str, state: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PosixStore, "watch", lambda *arguments: None)

    async def test(here: Whole, directory: Path) -> None:
        opened = await (await here.tree()).create(
            "", FILE_LIST_DIRECTORY, options=CreateOptions.DIRECTORY_FILE, **wish(KEY, RH, PARENT)
        )
        assert granted(opened).state == state

    on_disk(tmp_path, test, oplocks)
