"""What the model test (`test_model.py`) has found, each in as few steps as show it."""

from pathlib import Path

import pytest

from benchmarks.client import File
from benchmarks.client.tree import READ_DATA
from server.messages.create import CreateOptions, CreateRequest, Disposition, ShareAccess
from server.messages.fscc_file import FileClass
from server.messages.fscc_set import Rename
from server.status import NT, Status
from server.tests.durables import RH, RWH, cut, durable, lease, make, settings
from server.tests.durables import again as come_again
from server.tests.persistents import Lives, again, in_lives, persistent
from server.tests.served import Whole, on_a_server, settle

ALL = ShareAccess.READ | ShareAccess.WRITE | ShareAccess.DELETE


def test_who_overwrites_a_file_that_goes_with_a_client_away_gets_no_open_of_what_is_gone() -> None:
    async def use(here: Whole) -> None:
        tree, other = await here.tree(settings()), await here.tree()
        await make(tree, durable(), lease(RH), options=CreateOptions.DELETE_ON_CLOSE)
        await cut(here, tree)
        with pytest.raises(Status) as refused:
            await other.create("file", disposition=Disposition.OVERWRITE)
        assert refused.value.code == NT.OBJECT_NAME_NOT_FOUND

    on_a_server(use)


def test_the_close_of_an_open_that_deletes_breaks_not_the_lease_it_shares() -> None:
    async def use(here: Whole) -> None:
        tree = await here.tree()
        first = await make(tree, lease(RH), options=CreateOptions.DELETE_ON_CLOSE)
        second = await make(tree, lease(RH))
        await first.close()
        assert tree.client.notifications.empty()
        await second.close()
        assert not await (await tree.directory()).listing("file")

    on_a_server(use)


@pytest.mark.parametrize("politely", [True, False])
def test_nothing_is_kept_of_a_file_that_goes_with_the_session_that_has_it_open(politely: bool) -> None:
    async def use(here: Whole) -> None:
        tree = await here.tree(settings())
        await make(tree, durable(), lease(RH))
        await make(tree, lease(RH), options=CreateOptions.DELETE_ON_CLOSE)
        await make(tree, lease(RH))
        await (tree.session.logoff() if politely else cut(here, tree))
        assert not here.server.opens.by_volatile

    on_a_server(use)


def test_a_file_doomed_by_a_lost_connection_goes_with_its_persistent_open_in_the_next_life_too(tmp_path: Path) -> None:
    async def doom(lives: Lives, here: Whole, _: None) -> File:
        tree = await lives.tree(here)
        file = await tree.create("file", disposition=Disposition.CREATE, contexts=[persistent()])
        other = await here.tree()
        await make(other, options=CreateOptions.DELETE_ON_CLOSE)
        await cut(here, other)
        return file

    async def look(lives: Lives, here: Whole, before: File) -> None:
        tree = await lives.tree(here)
        await (await again(tree, before)).close()
        assert not await (await tree.directory()).listing("file")

    in_lives(tmp_path, doom, look)


def test_nobody_waits_for_a_lease_whose_other_opens_have_no_client_either() -> None:
    async def use(here: Whole) -> None:
        tree, other = await here.tree(settings()), await here.tree()
        await make(tree, durable(), lease(RH))
        await cut(here, tree)
        tree = await come_again(here, tree)
        await make(tree, lease(RWH))
        call = await other.post(CreateRequest("file", READ_DATA, Disposition.OPEN, share_access=ALL))
        await call.interim.wait()
        await cut(here, tree)
        await settle()
        assert call.answered.done()

    on_a_server(use)


def test_a_persistent_open_is_given_back_where_another_open_has_renamed_its_file(tmp_path: Path) -> None:
    async def move(lives: Lives, here: Whole, _: None) -> File:
        tree = await lives.tree(here)
        file = await tree.create("file", disposition=Disposition.CREATE, contexts=[persistent()])
        await (await tree.create("file")).set(FileClass.RENAME, Rename("moved").pack())
        return file

    async def look(lives: Lives, here: Whole, before: File) -> None:
        await (await again(await lives.tree(here), before, name="moved")).close()

    in_lives(tmp_path, move, look)
