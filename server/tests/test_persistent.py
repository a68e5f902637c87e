"""Persistent opens: the server ends, cleanly or not, and in its next life its clients go on where they were."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.client import File, Settings
from server.config import Share
from server.messages.create import (
    CreateOptions,
    Disposition,
    OplockLevel,
    ShareAccess,
)
from server.messages.negotiate import Capability, Dialect
from server.messages.tree import ShareCapability
from server.status import NT
from server.tests.durables import GUID, KEY, RH, RWH, Clock, cut, durable, lease, make, settings, timeout_of
from server.tests.persistents import AVAILABLE, Lives, again, back, first, in_lives, is_persistent, lease_of, persistent
from server.tests.served import Whole, pattern
from server.tests.stores import refused

OTHER = b"o" * 16


# -- what is offered and granted ----------------------------------------------------------------------------------
@pytest.mark.parametrize(("share", "dialect", "offered"), [
    (AVAILABLE[0], Dialect.SMB311, True), (AVAILABLE[0], Dialect.SMB300, True), (AVAILABLE[0], Dialect.SMB210, False),
    (Share("data"), Dialect.SMB311, False),
], ids=["3.1.1", "3.0", "2.1", "no such share"])  # fmt: skip
def test_persistent_handles_are_had_where_both_sides_have_them(
    tmp_path: Path, share: Share, dialect: int, offered: bool
) -> None:
    async def use(lives: Lives, here: Whole, _: None) -> None:
        tree = await lives.tree(here, Settings(dialects=(dialect,)))
        capabilities = here.server.connections.copy().pop().negotiated.capabilities
        assert bool(capabilities & Capability.PERSISTENT_HANDLES) == offered
        assert tree.response.capabilities == (ShareCapability.CONTINUOUS_AVAILABILITY if offered else 0)
        file = await make(tree, persistent())
        assert is_persistent(file.created) is (offered if dialect >= Dialect.SMB300 else None)
        assert len(here.server.keeping) == offered
        await file.close()
        assert not len(here.server.keeping)

    in_lives(tmp_path, use, shares=(share,))
    assert (tmp_path / "state").exists() == share.continuous_availability


def test_a_client_that_does_not_ask_gets_durable_handles(tmp_path: Path) -> None:
    async def use(lives: Lives, here: Whole, _: None) -> None:
        tree = await lives.tree(here)
        assert is_persistent((await make(tree, durable())).created) is False
        how = replace(settings(), capabilities=0)
        assert (
            is_persistent((await make(await lives.tree(here, how), persistent(OTHER), name="other")).created) is False
        )

    in_lives(tmp_path, use)


def test_directories_are_not_persistent(tmp_path: Path) -> None:
    async def use(lives: Lives, here: Whole, _: None) -> None:
        made = await make(
            await lives.tree(here), persistent(), lease(RH), name="d", options=CreateOptions.DIRECTORY_FILE
        )
        assert is_persistent(made.created) is None

    in_lives(tmp_path, use)


def test_no_more_are_kept_than_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.keeping.MOST", 8)

    async def use(lives: Lives, here: Whole, _: None) -> None:
        tree = await lives.tree(here)
        made = [await make(tree, persistent(bytes([n]) * 16), name=str(n)) for n in range(1, 4)]
        assert [is_persistent(file.created) for file in made] == [True, True, False]

    in_lives(tmp_path, use)


def test_a_user_has_only_so_many_locks_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.keeping.MOST_LOCKS", 3)

    async def use(lives: Lives, here: Whole, before: list[File] | None) -> list[File]:
        tree = await lives.tree(here)
        files = []
        for number in (1, 2):
            again = (
                [back(before[number - 1].id, bytes([number]) * 16)] if before else [persistent(bytes([number]) * 16)]
            )
            files.append(await make(tree, *again, name=str(number)))
        if before is None:
            for file, offset in (files[0], 0), (files[0], 1), (files[1], 0):
                await file.lock(offset, 1)
        with refused(NT.INSUFFICIENT_RESOURCES):
            await files[1].lock(9, 1)
        await files[0].unlock(0, 1)
        await files[0].lock(0, 1)
        return files

    in_lives(tmp_path, use, use)


# -- coming back --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("killed", [True, False], ids=["killed", "stopped"])
def test_a_client_goes_on_where_it_was(tmp_path: Path, killed: bool) -> None:
    guids = []

    async def second(lives: Lives, here: Whole, before: File) -> None:
        guids.append(here.server.guid)
        other = await lives.tree(here, settings())
        with refused(NT.FILE_NOT_AVAILABLE):
            await other.create("file")
        file = await again(await lives.tree(here), before, lease())
        assert file.id[:8] == before.id[:8]
        assert await file.read(0, 4096) == pattern(4096)
        had = lease_of(file.created)
        assert (had.key, had.state, had.epoch) == (KEY, RWH, lease_of(before.created).epoch + 1)
        [opened] = here.server.opens.by_volatile.values()
        assert opened.shared.locks is not None and [lock[1:] for lock in opened.shared.locks.held] == [(10, 5, True)]
        await file.write(4096, b"more")
        await file.unlock(10, 5)
        await file.close()

    async def third(lives: Lives, here: Whole, before: None) -> None:
        guids.append(here.server.guid)
        assert not len(here.server.keeping)
        file = await (await lives.tree(here)).create("file")
        assert await file.read(4096, 10) == b"more"

    in_lives(tmp_path, first, second, third, killed=killed)
    assert guids[0] == guids[1]


def test_what_caches_nothing_is_kept_too(tmp_path: Path) -> None:
    async def use(lives: Lives, here: Whole, _: None) -> File:
        file = await (await lives.tree(here)).create(
            "file", disposition=Disposition.CREATE, contexts=[persistent()], share=ShareAccess.READ
        )
        assert is_persistent(file.created)
        return file

    async def second(lives: Lives, here: Whole, before: File) -> None:
        tree = await lives.tree(here)
        file = await tree.create("file", contexts=[back(before.id)])
        with refused(NT.SHARING_VIOLATION):
            await tree.create("file", access=2)
        await file.close()

    in_lives(tmp_path, use, second)


def test_a_batch_oplock_is_kept(tmp_path: Path) -> None:
    async def use(lives: Lives, here: Whole, _: None) -> File:
        return await make(await lives.tree(here), persistent())

    async def second(lives: Lives, here: Whole, before: File) -> None:
        assert (await again(await lives.tree(here), before)).created.oplock_level == OplockLevel.BATCH

    in_lives(tmp_path, use, second)


def test_its_time_runs_from_the_start_on_and_then_others_may(tmp_path: Path) -> None:
    async def use(lives: Lives, here: Whole, _: None) -> File:
        file = await make(await lives.tree(here), persistent(milliseconds=7000), lease())
        assert timeout_of(file.created) == 7000
        return file

    async def second(here: Whole, clock: Clock) -> None:
        assert clock.running == [7.0]
        tree = await here.tree(settings())
        with refused(NT.FILE_NOT_AVAILABLE):
            await tree.create("file")
        await clock.pass_by(7)
        await (await tree.create("file")).close()
        assert not len(here.server.keeping)

    async def run() -> None:
        lives = Lives(tmp_path / "state")
        await lives.live(lambda here, clock: use(lives, here, None))
        await lives.live(second)
        await lives.live(nothing_left)

    async def nothing_left(here: Whole, clock: Clock) -> None:
        assert not here.server.durables.away

    asyncio.run(run())


def test_it_outlasts_its_connection_as_well_and_no_break_takes_it(tmp_path: Path) -> None:
    async def use(lives: Lives, here: Whole, _: None) -> None:
        before = await make(await lives.tree(here), persistent(), lease())
        await cut(here, before.tree)
        old = await lives.tree(here, Settings(dialects=(Dialect.SMB210,)))
        with refused(NT.FILE_NOT_AVAILABLE):
            await old.create("file")
        await (await old.create("file", access=0x80)).close()  # who asks for attributes only disturbs nobody
        assert lease_of((await again(await lives.tree(here), before, lease())).created).state == RWH

    in_lives(tmp_path, use)


def test_another_open_under_its_lease_need_not_wait_for_it(tmp_path: Path) -> None:
    async def second(lives: Lives, here: Whole, before: File) -> None:
        tree = await lives.tree(here)
        assert lease_of((await make(tree, lease())).created).state == RWH
        await again(tree, before, lease())

    in_lives(tmp_path, first, second)


@pytest.mark.parametrize("wrong", ["flags", "guid", "client", "lease"])
def test_it_is_given_to_nobody_else(tmp_path: Path, wrong: str) -> None:
    async def second(lives: Lives, here: Whole, before: File) -> None:
        tree = await lives.tree(here, settings() if wrong == "client" else None)
        context = back(before.id, OTHER if wrong == "guid" else GUID, *([0] if wrong == "flags" else []))
        with refused(NT.OBJECT_NAME_NOT_FOUND):
            await make(tree, context, lease(key=OTHER if wrong == "lease" else KEY))
        await again(await lives.tree(here), before, lease())

    in_lives(tmp_path, first, second)


def test_its_create_guid_finds_it_where_its_id_does_not(tmp_path: Path) -> None:
    async def second(lives: Lives, here: Whole, before: File) -> None:
        file = await make(await lives.tree(here), back(bytes(16)), lease())
        assert file.id[:8] == before.id[:8]

    in_lives(tmp_path, first, second)


def test_a_share_that_has_no_such_handles_any_more_gives_none_back(tmp_path: Path) -> None:
    async def run() -> None:
        lives = Lives(tmp_path / "state")
        before = await lives.live(lambda here, clock: first(lives, here, None))

        async def second(here: Whole, clock: Clock) -> None:
            with refused(NT.OBJECT_NAME_NOT_FOUND):
                await again(await lives.tree(here), before, lease())
            [connection] = here.server.connections
            assert not connection.negotiated.capabilities & Capability.PERSISTENT_HANDLES

        await lives.live(second, shares=(Share("data"),))

    asyncio.run(run())
