"""What ends opens whose clients are away, on the whole server: time, others who need the file, limits, reloads."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.client import Tree
from server.config import Share
from server.handlers.create_durable import DEFAULT_TIMEOUT
from server.messages.create import CreateAction, CreateOptions, Disposition, ShareAccess
from server.messages.fscc_file import FileClass
from server.messages.fscc_set import EndOfFile, Rename
from server.status import NT, Status
from server.tests.durables import (
    RH,
    RWH,
    Clock,
    again,
    back,
    cut,
    durable,
    held,
    lease,
    log_on_again,
    make,
    refused,
    settings,
)
from server.tests.served import SHARE, Whole, on_a_server

OTHER = b"o" * 16
READERS = ShareAccess.READ | ShareAccess.DELETE


def test_its_time_is_over() -> None:
    async def use(here: Whole) -> None:
        clock = Clock(here)
        tree, file = await held(here, options=CreateOptions.DELETE_ON_CLOSE)
        await cut(here, tree)
        await clock.pass_by(DEFAULT_TIMEOUT)
        assert not here.server.opens.by_volatile
        tree = await again(here, tree)
        assert await refused(tree, back(file.id)) == NT.OBJECT_NAME_NOT_FOUND
        with pytest.raises(Status) as gone:
            await tree.create("file")
        assert gone.value.code == NT.OBJECT_NAME_NOT_FOUND

    on_a_server(use)


@pytest.mark.parametrize("state", [RH, RWH])
def test_nobody_waits_for_a_client_that_is_away(state: int) -> None:
    async def use(here: Whole) -> None:
        tree, file = await held(here, durable(), lease(state), share=READERS)
        await cut(here, tree)
        other = await here.tree(settings())
        await (await other.create("file")).close()
        assert not here.server.durables.away
        assert await refused(await again(here, tree), back(file.id), lease()) == NT.OBJECT_NAME_NOT_FOUND

    on_a_server(use)


def test_nobody_waits_for_a_client_that_has_logged_off_and_is_still_connected() -> None:
    async def use(here: Whole) -> None:
        session = await log_on_again(here, settings())
        await make(await session.connect(SHARE), durable(), lease())
        await session.logoff()
        [opened] = here.server.opens.by_volatile.values()
        assert opened.session.protection.keys is None
        assert not opened.session.channels
        await (await (await here.tree(settings())).create("file")).close()
        assert not here.server.durables.away

    on_a_server(use)


def test_a_file_that_is_to_be_deleted_is_not_kept() -> None:
    async def use(here: Whole) -> None:
        tree, file = await held(here, durable(), lease())
        await file.set(FileClass.DISPOSITION, b"\1")
        await cut(here, tree)
        assert not here.server.opens.by_volatile
        await make(await here.tree(settings()), durable(OTHER), disposition=Disposition.CREATE)

    on_a_server(use)


async def _writes(tree: Tree) -> None:
    await (await tree.create("file")).write(0, b"x")


async def _cuts(tree: Tree) -> None:
    await (await tree.create("file")).set(FileClass.END_OF_FILE, EndOfFile(0).pack())


async def _renames(tree: Tree) -> None:
    await (await tree.create("file")).set(FileClass.RENAME, Rename("elsewhere").pack())


async def _deletes(tree: Tree) -> None:
    await (await tree.create("file", options=CreateOptions.DELETE_ON_CLOSE)).close()


async def _overwrites(tree: Tree) -> None:
    await tree.create("file", disposition=Disposition.OVERWRITE)


@pytest.mark.parametrize("change", [_writes, _cuts, _renames, _deletes, _overwrites])
def test_what_is_done_to_the_file_meanwhile_ends_it(change: Any) -> None:
    async def use(here: Whole) -> None:
        tree, file = await held(here, durable(), lease(RH))
        await cut(here, tree)
        await change(await here.tree(settings()))
        assert not here.server.durables.away
        assert await refused(await again(here, tree), back(file.id), lease()) == NT.OBJECT_NAME_NOT_FOUND

    on_a_server(use)


def test_others_may_read_meanwhile() -> None:
    async def use(here: Whole) -> None:
        tree, file = await held(here, durable(), lease(RH))
        await file.write(0, b"data")
        await cut(here, tree)
        reader = await make(await here.tree(settings()), lease(RWH, OTHER))
        assert await reader.read(0, 4) == b"data"
        assert (await make(await again(here, tree), back(file.id), lease())).id == file.id

    on_a_server(use)


def test_a_file_to_be_deleted_with_it_is_gone_before_another_makes_it() -> None:
    async def use(here: Whole) -> None:
        tree, file = await held(here, durable(), options=CreateOptions.DELETE_ON_CLOSE, share=0)
        await file.write(0, b"old")
        await cut(here, tree)
        new = await (await here.tree(settings())).create("file", disposition=Disposition.OPEN_IF)
        assert (new.created.action, new.created.size) == (CreateAction.CREATED, 0)

    on_a_server(use)


def test_locks_last_only_where_nobody_else_can_have_the_file() -> None:
    async def use(here: Whole) -> None:
        tree, file = await held(here, durable(), lease(RH))
        await file.lock(0, 1)
        await cut(here, tree)
        assert not here.server.opens.by_volatile

    on_a_server(use)


def test_what_is_being_broken_is_not_kept() -> None:
    async def use(here: Whole) -> None:
        tree, _ = await held(here, durable(), lease(), share=0)
        other = await here.tree(settings())
        waiting = asyncio.ensure_future(other.create("file"))
        await asyncio.wait_for(tree.client.notifications.get(), 5)
        await cut(here, tree)
        await waiting
        assert not here.server.durables.away

    on_a_server(use)


def test_a_share_that_is_gone_keeps_nothing() -> None:
    async def use(here: Whole) -> None:
        (tree, _), (stays, _) = await held(here), await held(here, durable(OTHER), name="other")
        await cut(here, tree)
        server = here.server
        assert len(server.durables.away) == 1
        await server.load_shares(replace(server.config, shares=(Share("new"),)))
        await server.durables.settle()
        assert len(server.opens.by_volatile) == 1
        await cut(here, stays)
        assert not server.opens.by_volatile

    on_a_server(use)


def test_what_is_switched_off_while_it_is_kept_is_given_up() -> None:
    async def use(here: Whole) -> None:
        (tree, _), (stays, _) = await held(here), await held(here, durable(OTHER), name="other")
        await cut(here, tree)
        server = here.server
        server.config = replace(server.config, shares=(Share("data", durable_handles=False),))
        await server.load_shares(server.config)
        await server.durables.settle()
        await cut(here, stays)
        assert not server.opens.by_volatile

    on_a_server(use)


def test_one_user_keeps_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.durable.MOST_AWAY", 8)

    async def use(here: Whole) -> None:
        tree = await here.tree(settings())
        for number in range(5):
            await make(tree, durable(bytes([number]) * 16), name=f"file {number}")
        await cut(here, tree)
        assert len(here.server.opens.by_volatile) == 2

    on_a_server(use)


def test_a_server_that_stops_closes_what_it_keeps() -> None:
    async def use(here: Whole) -> None:
        tree, _ = await held(here, options=CreateOptions.DELETE_ON_CLOSE)
        await held(here, durable(OTHER), name="other")
        await cut(here, tree)
        await here.server.stop([])
        assert not here.server.opens.by_volatile

    on_a_server(use)
