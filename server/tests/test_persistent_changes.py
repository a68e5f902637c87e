"""Persistent opens whose client had no answer, or that changed before the server ended."""

import asyncio
from pathlib import Path

import pytest

from benchmarks.client import Element, File
from server.journal import NAME, Journal
from server.messages.create import (
    CreateAction,
    CreateOptions,
    CreateRequest,
    CreateResponse,
    Disposition,
)
from server.messages.file import LockElement, LockFlags, LockRequest, LockResponse
from server.messages.fscc_file import FileClass
from server.messages.fscc_set import Rename
from server.messages.header import Flags
from server.oplock import READ
from server.status import NT
from server.store.base import Make, Wanted
from server.store.memory_file import MemoryFile
from server.tests.durables import KEY, RH, RWH, lease, make, settings
from server.tests.persistents import Lives, again, back, create, first, in_lives, is_persistent, lease_of, persistent
from server.tests.served import Whole, settle
from server.tests.stores import refused

NOW = LockFlags.EXCLUSIVE | LockFlags.FAIL_IMMEDIATELY
OTHER = b"o" * 16


# -- nothing doubled ----------------------------------------------------------------------------------------------
async def lock(file: File, number: int, flags: int = NOW) -> None:
    request = LockRequest(file.id, [LockElement(0, 10, flags)], number, 1)
    await (await file.tree.client.post_one(Element(request, file.tree.id), file.tree.security)).result(LockResponse)


def test_a_lock_whose_answer_was_lost_is_had_once(tmp_path: Path) -> None:
    async def use(lives: Lives, here: Whole, _: None) -> File:
        file = await make(await lives.tree(here), persistent(), lease())
        await lock(file, 1)
        return file

    async def second(lives: Lives, here: Whole, before: File) -> None:
        file = await again(await lives.tree(here), before, lease())
        await lock(file, 1)
        with refused(NT.LOCK_NOT_GRANTED):
            await lock(file, 2)
        await lock(file, 3, LockFlags.UNLOCK)
        [opened] = here.server.opens.by_volatile.values()
        assert opened.shared.locks is not None and not opened.shared.locks.held

    in_lives(tmp_path, use, second)


def test_a_create_whose_answer_was_lost_makes_no_second_open(tmp_path: Path) -> None:
    async def use(lives: Lives, here: Whole, _: None) -> CreateResponse:
        return await create(await lives.tree(here), Disposition.CREATE)

    async def second(lives: Lives, here: Whole, before: CreateResponse) -> None:
        created = await create(await lives.tree(here), Disposition.CREATE, Flags.REPLAY)
        assert (created.file_id[:8], created.action) == (before.file_id[:8], CreateAction.CREATED)
        assert is_persistent(created)
        assert len(here.server.opens.by_volatile) == 1

    in_lives(tmp_path, use, second)


def test_its_create_may_be_repeated_as_long_as_it_is_open(tmp_path: Path) -> None:
    async def use(lives: Lives, here: Whole, _: None) -> None:
        tree = await lives.tree(here)
        file = await make(tree, persistent())
        await file.write(0, b"data")
        request = CreateRequest("file", 0x1F01FF, Disposition.CREATE, contexts=[persistent()])
        call = await tree.client.post_one(Element(request, tree.id, Flags.REPLAY), tree.security)
        assert (await call.result(CreateResponse)).file_id == file.id
        with refused(NT.DUPLICATE_OBJECTID):
            await make(tree, persistent(), name="another")

    in_lives(tmp_path, use)


def test_a_create_that_is_being_made_persistent_is_to_be_repeated_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, identity = asyncio.Event(), MemoryFile.identity

    async def late(file: MemoryFile) -> bytes:
        await told.wait()
        return await identity(file)

    async def use(lives: Lives, here: Whole, _: None) -> None:
        monkeypatch.setattr(MemoryFile, "identity", late)
        tree = await lives.tree(here)
        first = asyncio.ensure_future(make(tree, persistent()))
        await settle()
        with refused(NT.FILE_NOT_AVAILABLE):
            request = CreateRequest("file", 0x1F01FF, Disposition.OPEN_IF, contexts=[persistent()])
            call = await tree.client.post_one(Element(request, tree.id, Flags.REPLAY), tree.security)
            await call.result(CreateResponse)
        told.set()
        assert is_persistent((await first).created)

    in_lives(tmp_path, use)


# -- what has changed since ---------------------------------------------------------------------------------------
def test_a_lease_that_was_broken_stays_broken(tmp_path: Path) -> None:
    async def use(lives: Lives, here: Whole, _: None) -> File:
        file = await make(await lives.tree(here), persistent(), lease(RH))
        other = await make(await lives.tree(here, settings()), lease(RH, OTHER))
        await other.write(0, b"x")
        await settle()
        [held] = [lease for lease in here.server.opens.breaks.leases.by_key.values() if lease.key[1] == KEY]
        assert held.breaking
        return file

    async def second(lives: Lives, here: Whole, before: File) -> None:
        assert lease_of((await again(await lives.tree(here), before, lease(RH))).created).state == 0

    in_lives(tmp_path, use, second)


def test_two_opens_share_their_lease_again(tmp_path: Path) -> None:
    async def use(lives: Lives, here: Whole, _: None) -> tuple[File, File]:
        tree = await lives.tree(here)
        one = await make(tree, persistent(), lease(READ))
        two = await make(tree, persistent(OTHER), lease(RWH))
        assert lease_of(two.created).state == RWH
        return one, two

    async def second(lives: Lives, here: Whole, before: tuple[File, File]) -> None:
        [held] = here.server.opens.breaks.leases.by_key.values()
        assert (held.rights, len(held.members)) == (RWH, 2)
        tree = await lives.tree(here)
        await again(tree, before[0], lease())
        await make(tree, back(before[1].id, OTHER), lease())

    in_lives(tmp_path, use, second)


def test_a_write_that_takes_what_others_have_read_is_answered_once_that_is_on_disk(tmp_path: Path) -> None:
    async def use(lives: Lives, here: Whole, _: None) -> None:
        await make(await lives.tree(here), persistent(), lease(READ))
        other = await (await lives.tree(here, settings())).create("file")
        journal = here.server.keeping._journal
        assert journal is not None
        with journal._more:  # its thread is held up
            writing = asyncio.ensure_future(other.write(0, b"x"))
            await settle()
            [held] = here.server.opens.breaks.leases.by_key.values()
            assert not held.rights and not writing.done()
        await writing

    in_lives(tmp_path, use)


def test_a_file_that_its_client_has_renamed_is_found(tmp_path: Path) -> None:
    async def use(lives: Lives, here: Whole, _: None) -> File:
        file = await make(await lives.tree(here), persistent(), lease())
        await file.set(FileClass.RENAME, Rename("renamed", False).pack())
        return file

    async def second(lives: Lives, here: Whole, before: File) -> None:
        await again(await lives.tree(here), before, lease(), name="renamed")

    in_lives(tmp_path, use, second)


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "stopped"])
def test_a_file_to_be_deleted_goes_with_its_last_close_and_not_with_the_server(tmp_path: Path, killed: bool) -> None:
    async def use(lives: Lives, here: Whole, _: None) -> File:
        return await make(await lives.tree(here), persistent(), lease(), options=CreateOptions.DELETE_ON_CLOSE)

    async def second(lives: Lives, here: Whole, before: File) -> None:
        await (await again(await lives.tree(here), before, lease())).close()
        with refused(NT.OBJECT_NAME_NOT_FOUND):
            await (await lives.tree(here)).create("file")

    in_lives(tmp_path, use, second, killed=killed)


def test_a_file_that_another_has_doomed_stays_doomed(tmp_path: Path) -> None:
    async def use(lives: Lives, here: Whole, _: None) -> File:
        file = await make(await lives.tree(here), persistent(), lease(READ))
        other = await (await lives.tree(here, settings())).create("file")
        await other.set(FileClass.DISPOSITION, b"\1")
        await other.close()
        return file

    async def second(lives: Lives, here: Whole, before: File) -> None:
        tree = await lives.tree(here)
        with refused(NT.DELETE_PENDING):
            await tree.create("file", access=0x80)
        await (await again(tree, before, lease(READ))).close()
        with refused(NT.OBJECT_NAME_NOT_FOUND):
            await tree.create("file")

    in_lives(tmp_path, use, second)


def test_what_is_gone_is_told_once_and_forgotten(tmp_path: Path) -> None:
    async def use(lives: Lives, here: Whole, _: None) -> File:
        file = await first(lives, here, None)
        store = here.server.shares.find("data").store
        assert store is not None
        who = here.server.identities.of("root")
        found = await store.open(who, Wanted(("file",), access=0x10000, make=Make.NEVER))
        await found.file.unlink()
        await found.file.close()
        return file

    async def second(lives: Lives, here: Whole, before: File) -> None:
        assert not here.server.opens.by_volatile
        with refused(NT.OBJECT_NAME_NOT_FOUND):
            await again(await lives.tree(here), before, lease())

    in_lives(tmp_path, use, second)
    assert not Journal(tmp_path / "state+" / NAME, bytes(16)).rows
