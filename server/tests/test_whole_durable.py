"""Opens that outlive their connection, on the whole server: which do, and who gets them back."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from server.config import Share
from server.handlers.create_durable import DEFAULT_TIMEOUT
from server.messages.create import CreateContext, CreateOptions, Disposition, OplockLevel, ShareAccess
from server.messages.fscc_file import FileClass
from server.messages.fscc_set import Rename
from server.messages.negotiate import Dialect
from server.status import NT
from server.tests.durables import (
    FIRST,
    GUID,
    RH,
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
    timeout_of,
)
from server.tests.served import SHARE, USER, Whole, on_a_server, settle

OTHER = b"o" * 16
READERS = ShareAccess.READ | ShareAccess.DELETE


# -- what is granted ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("asked", "granted"), [(0, DEFAULT_TIMEOUT), (5000, 5), (0xFFFFFFFF, 300)], ids=["default", "as asked", "longest"]
)
def test_a_handle_lasts_as_long_as_asked_within_limits(asked: int, granted: float) -> None:
    async def use(here: Whole) -> None:
        clock = Clock(here)
        tree, file = await held(here, durable(milliseconds=asked))
        assert timeout_of(file.created) == granted * 1000
        await cut(here, tree)
        assert clock.running == [granted]

    on_a_server(use)


@pytest.mark.parametrize(
    "contexts", [(), (lease(1), durable()), (lease(1 | 4), durable())], ids=["no contexts", "R", "RW"]
)
def test_what_may_not_be_kept_open_does_not_last(contexts: tuple[CreateContext, ...]) -> None:
    async def use(here: Whole) -> None:
        tree = await here.tree()
        file = await tree.create("file", disposition=Disposition.CREATE, contexts=contexts or (durable(),),
                                 oplock=OplockLevel.LEASE if contexts else OplockLevel.EXCLUSIVE)  # fmt: skip
        assert timeout_of(file.created) is None
        await cut(here, tree)
        assert not here.server.opens.by_volatile

    on_a_server(use)


@pytest.mark.parametrize("off", [{"shares": (Share("data", durable_handles=False),)}, {"durable_handles": False}])
def test_what_is_switched_off_is_not_granted(off: dict[str, Any]) -> None:
    async def use(here: Whole) -> None:
        tree, file = await held(here)
        assert timeout_of(file.created) is None
        await cut(here, tree)
        assert not here.server.opens.by_volatile

    on_a_server(use, **off)


def test_directories_and_guests_have_none() -> None:
    async def use(here: Whole) -> None:
        tree = await here.tree()
        directory = await make(tree, durable(), lease(RH), name="d", options=CreateOptions.DIRECTORY_FILE)
        assert timeout_of(directory.created) is None
        guest = await again(here, tree, user="nobody we know")
        assert timeout_of((await make(guest, durable(OTHER))).created) is None

    on_a_server(use, unknown_is_guest=True, shares=(Share("data", guest_ok=True),))


@pytest.mark.parametrize("contexts", [
    (durable(), FIRST), (durable(), back(bytes(16))), (durable(), back(bytes(16), None)),
    (FIRST, back(bytes(16))), (back(bytes(16)), back(bytes(16), None)),
])  # fmt: skip
def test_contexts_that_contradict_each_other_are_refused(contexts: tuple[CreateContext, ...]) -> None:
    async def use(here: Whole) -> None:
        assert await refused(await here.tree(), *contexts) == NT.INVALID_PARAMETER

    on_a_server(use)


# -- coming back --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("caching", [(), (lease(),)], ids=["oplock", "lease"])
@pytest.mark.parametrize("first", [False, True], ids=["v2", "v1"])
def test_a_client_comes_back_to_its_file_its_lock_and_its_cache(caching: Any, first: bool) -> None:
    async def use(here: Whole) -> None:
        clock = Clock(here)
        tree, file = await held(here, FIRST if first else durable(), *caching)
        await file.write(0, b"before")
        await file.lock(0, 4)
        await cut(here, tree)
        assert here.server.durables.away
        tree = await again(here, tree)
        file = await make(tree, back(file.id, None if first else GUID), *caching)
        assert file.created.size == 6
        assert file.created.oplock_level == (OplockLevel.LEASE if caching else OplockLevel.BATCH)
        assert not clock.running
        await file.write(0, b"after ")
        await file.unlock(0, 4)
        await file.close()
        assert not here.server.opens.by_volatile

    on_a_server(use)


@pytest.mark.parametrize("dialect", [Dialect.SMB202, Dialect.SMB210])
def test_version_one_serves_old_dialects_which_know_no_other(dialect: int) -> None:
    async def use(here: Whole) -> None:
        tree = await here.tree(replace(settings(), dialects=(dialect,)))
        other = await make(tree, durable(), name="other")
        assert timeout_of(other.created) is None
        file = await make(tree, FIRST)
        await cut(here, tree)
        tree = await again(here, tree)
        assert (await make(tree, back(file.id, None))).id == file.id

    on_a_server(use)


def test_a_session_that_replaces_another_and_a_logoff_leave_what_lasts() -> None:
    async def use(here: Whole) -> None:
        tree, file = await held(here)
        session = await log_on_again(here, tree.client.settings, previous=next(iter(here.server.sessions)))
        tree = await session.connect(SHARE)
        file = await make(tree, back(file.id))
        await session.logoff()
        assert here.server.durables.away
        tree = await again(here, tree)
        await (await make(tree, back(file.id))).close()

    on_a_server(use)


def test_a_request_still_under_way_comes_before_all_of_the_next_session() -> None:
    async def use(here: Whole) -> None:
        tree, file = await held(here)
        [opened] = here.server.opens.by_volatile.values()
        turn = opened.sequence.begin(0, False)
        assert turn is not None
        tree = await again(here, tree, previous=opened.session.id)
        waiting = asyncio.ensure_future(make(tree, back(file.id)))
        await settle()
        assert not waiting.done()
        opened.sequence.end(turn)
        assert (await waiting).id == file.id

    on_a_server(use)


def test_an_open_that_was_just_being_closed_is_not_given_back() -> None:
    async def use(here: Whole) -> None:
        tree, file = await held(here)
        [opened] = here.server.opens.by_volatile.values()
        tree = await again(here, tree, previous=opened.session.id)
        await here.server.opens.close(opened)
        assert await refused(tree, back(file.id)) == NT.OBJECT_NAME_NOT_FOUND
        await here.server.durables.settle()
        assert not opened.tree.share.kept

    on_a_server(use)


def test_a_tree_that_is_disconnected_takes_its_opens_along() -> None:
    async def use(here: Whole) -> None:
        tree, file = await held(here)
        await tree.disconnect()
        assert not here.server.opens.by_volatile
        assert await refused(await again(here, tree), back(file.id)) == NT.OBJECT_NAME_NOT_FOUND

    on_a_server(use)


def test_an_open_that_has_its_client_is_nobody_elses() -> None:
    async def use(here: Whole) -> None:
        tree, file = await held(here)
        assert await refused(await again(here, tree), back(file.id)) == NT.OBJECT_NAME_NOT_FOUND
        await file.close()

    on_a_server(use)


@pytest.mark.parametrize(("contexts", "name", "code"), [
    ((back(b"x" * 16), lease()), "file", NT.OBJECT_NAME_NOT_FOUND),
    ((None, OTHER, lease()), "file", NT.OBJECT_NAME_NOT_FOUND),
    ((None, GUID), "file", NT.OBJECT_NAME_NOT_FOUND),
    ((None, GUID, lease(key=OTHER)), "file", NT.OBJECT_NAME_NOT_FOUND),
    ((None, GUID, lease()), "other", NT.INVALID_PARAMETER),
    ((None, GUID, lease()), "absent\\other", NT.INVALID_PARAMETER),
], ids=["id", "guid", "no lease", "lease key", "name", "path"])  # fmt: skip
def test_who_does_not_know_all_of_it_does_not_get_it(contexts: Any, name: str, code: int) -> None:
    async def use(here: Whole) -> None:
        tree, file = await held(here, durable(), lease())
        await cut(here, tree)
        tree = await again(here, tree)
        asked = contexts if contexts[0] is not None else (back(file.id, contexts[1]), *contexts[2:])
        assert await refused(tree, *asked, name=name) == code
        assert (await make(tree, back(file.id), lease())).id == file.id

    on_a_server(use)


def test_another_user_does_not_get_it_nor_does_a_lease_go_to_another_client() -> None:
    async def use(here: Whole) -> None:
        tree, file = await held(here, durable(), lease())
        await cut(here, tree)
        mallory = await again(here, tree, user="nobody")
        assert await refused(mallory, back(file.id), lease()) == NT.ACCESS_DENIED
        assert await refused(await here.tree(settings()), back(file.id), lease()) == NT.OBJECT_NAME_NOT_FOUND
        assert (await make(await again(here, tree), back(file.id), lease())).id == file.id

    on_a_server(use, users=(USER, "nobody"))


def test_a_file_renamed_meanwhile_by_its_own_client_is_asked_for_by_its_new_name() -> None:
    async def use(here: Whole) -> None:
        tree, file = await held(here, durable(), lease(RH))
        other = await again(here, tree)
        twin = await make(other, durable(OTHER), lease(RH))
        await cut(here, tree)
        await twin.set(FileClass.RENAME, Rename("new").pack())
        assert here.server.durables.away
        tree = await again(here, tree)
        assert await refused(tree, back(file.id), lease()) == NT.INVALID_PARAMETER
        assert (await make(tree, back(file.id), lease(), name="new")).id == file.id

    on_a_server(use)


def test_it_is_in_its_own_share_alone() -> None:
    async def use(here: Whole) -> None:
        tree, file = await held(here)
        await cut(here, tree)
        other = await (await log_on_again(here, tree.client.settings)).connect(r"\\server\other")
        assert await refused(other, back(file.id)) == NT.OBJECT_NAME_NOT_FOUND

    on_a_server(use, shares=(Share("data"), Share("other")))
