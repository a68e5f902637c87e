"""Persistent opens where their file cannot be written: what is done is done, and nothing out of date comes back."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.client import File
from server import dispatch
from server.control import report, tables
from server.messages.base import Response
from server.messages.file import LockRequest
from server.messages.fscc_file import FileClass
from server.messages.fscc_set import Rename
from server.status import NT, Status
from server.tests.durables import lease, make, settings
from server.tests.persistents import Lives, again, first, in_lives, is_persistent, persistent
from server.tests.served import Whole
from server.tests.stores import refused
from transport.base import Lost


def full(here: Whole, is_full: bool = True) -> None:
    """From now on the journal can be written, or cannot."""
    journal = here.server.keeping._journal
    assert journal is not None
    journal._database.execute(f"PRAGMA query_only = {int(is_full)}")


async def change(file: File) -> None:
    """Everything that is on disk of an open that may be locked and renamed."""
    await file.lock(100, 5)
    await file.unlock(10, 5)
    await file.set(FileClass.RENAME, Rename("renamed", False).pack())


def test_a_client_is_not_refused_what_has_been_done(tmp_path: Path) -> None:
    async def use(lives: Lives, here: Whole, _: None) -> File:
        file = await first(lives, here, None)
        full(here)
        await change(file)
        assert here.server.keeping.behind
        return file

    async def second(lives: Lives, here: Whole, before: File) -> None:
        tree = await lives.tree(here)
        with refused(NT.OBJECT_NAME_NOT_FOUND):
            await again(tree, before, lease(), name="renamed")
        await (await tree.create("renamed")).lock(10, 100)

    in_lives(tmp_path, use, second)


def test_once_there_is_room_again_all_of_it_is_kept(tmp_path: Path) -> None:
    async def use(lives: Lives, here: Whole, _: None) -> File:
        file = await first(lives, here, None)
        full(here)
        await change(file)
        full(here, False)
        await file.lock(200, 5)
        assert not here.server.keeping.behind
        return file

    async def second(lives: Lives, here: Whole, before: File) -> None:
        await again(await lives.tree(here), before, lease(), name="renamed")
        [opened] = here.server.opens.by_volatile.values()
        assert opened.shared.locks is not None
        assert [lock.offset for lock in opened.shared.locks.held] == [100, 200]

    in_lives(tmp_path, use, second)


def test_a_new_handle_is_durable_at_best(tmp_path: Path) -> None:
    async def use(lives: Lives, here: Whole, _: None) -> None:
        tree = await lives.tree(here)
        full(here)
        file = await make(tree, persistent())
        assert is_persistent(file.created) is False
        assert not len(here.server.keeping)
        shown = report.status(here.server)
        assert shown["persistent_lost"]
        assert "would be lost" in tables.status(shown)
        full(here, False)
        assert is_persistent((await make(tree, persistent(b"o" * 16), name="other")).created)
        assert "would be lost" not in tables.status(report.status(here.server))

    in_lives(tmp_path, use)


def test_who_comes_in_between_meets_no_lease_that_was_given_up(tmp_path: Path) -> None:
    """The first client has given up its lease, and what the second has is not on disk: neither comes back."""

    async def use(lives: Lives, here: Whole, _: None) -> File:
        file = await make(await lives.tree(here), persistent(), lease(1))
        full(here)
        other = await make(await lives.tree(here, settings()), persistent(b"o" * 16), lease(3, b"l" * 16))
        await other.write(0, b"x")
        return file

    async def second(lives: Lives, here: Whole, before: File) -> None:
        with refused(NT.OBJECT_NAME_NOT_FOUND):
            await again(await lives.tree(here), before, lease(1))

    in_lives(tmp_path, use, second)


@pytest.mark.parametrize("error", [Lost("gone"), asyncio.CancelledError()], ids=["lost", "cancelled"])
def test_a_lost_connection_stays_lost_whatever_the_disk_says(error: BaseException) -> None:
    """Else the request would be answered, and its task go on."""
    noted = []

    class Keeping:
        async def settle(self, opened: object) -> None:
            raise Status(NT.DISK_FULL)

        def note(self, opened: object) -> None:
            noted.append(opened)

    async def handler(work: object, request: object) -> Response:
        raise error

    server = SimpleNamespace(keeping=Keeping())
    work: Any = SimpleNamespace(connection=SimpleNamespace(server=server), open=None)
    with pytest.raises(type(error)):
        asyncio.run(dispatch._keep(work, dispatch.Route(LockRequest, handler, kept=True), None))
    assert noted == [None]
