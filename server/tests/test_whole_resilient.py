"""Resilient opens, CREATEs that are repeated, and application instances, on the whole server."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.client import File, Tree
from benchmarks.client.client import Element
from server.messages.create import CreateContext, CreateRequest, CreateResponse, Disposition, OplockLevel
from server.messages.create_contexts import AppInstanceId, AppInstanceVersion, ContextName
from server.messages.fsctl import ResiliencyRequest
from server.messages.header import Flags
from server.messages.ioctl import Fsctl
from server.status import NT, Status
from server.tests.durables import (
    RH,
    RWH,
    Clock,
    again,
    back,
    cut,
    durable,
    lease,
    log_on_again,
    make,
    settings,
)
from server.tests.served import SHARE, Whole, login, on_a_server, settle
from transport.base import Lost

OTHER = b"o" * 16


def resiliency(milliseconds: int) -> bytes:
    return ResiliencyRequest(milliseconds).pack()


async def resilient(here: Whole, milliseconds: int = 5000, **more: Any) -> tuple[Tree, File]:
    tree = await here.tree(settings())
    file = await tree.create("file", disposition=Disposition.OPEN_IF, **more)
    await file.ioctl(Fsctl.LMR_REQUEST_RESILIENCY, resiliency(milliseconds))
    return tree, file


# -- resilient ----------------------------------------------------------------------------------------------------
def test_a_resilient_open_needs_no_cache_and_keeps_its_locks_from_others() -> None:
    async def use(here: Whole) -> None:
        clock = Clock(here)
        tree, file = await resilient(here)
        await file.lock(0, 4)
        await cut(here, tree)
        assert clock.running == [5]
        other = await (await here.tree(settings())).create("file")
        with pytest.raises(Status) as barred:
            await other.write(0, b"data")
        assert barred.value.code == NT.FILE_LOCK_CONFLICT
        file = await make(await again(here, tree), back(file.id, None))
        assert file.created.oplock_level == OplockLevel.NONE
        await file.write(0, b"data")
        await file.unlock(0, 4)

    on_a_server(use)


def test_a_resilient_open_that_loses_its_lease_stays_and_makes_nobody_wait() -> None:
    async def use(here: Whole) -> None:
        tree, file = await resilient(here, oplock=OplockLevel.LEASE, contexts=[lease()])
        await cut(here, tree)
        await (await (await here.tree(settings())).create("file")).close()
        again_there = await make(await again(here, tree), back(file.id, None), lease())
        assert again_there.id == file.id

    on_a_server(use)


def test_a_break_that_its_client_has_not_answered_ends_when_that_leaves() -> None:
    async def use(here: Whole) -> None:
        tree, _ = await resilient(here, oplock=OplockLevel.LEASE, contexts=[lease()])
        waiting = asyncio.ensure_future((await here.tree(settings())).create("file"))
        await asyncio.wait_for(tree.client.notifications.get(), 5)
        await cut(here, tree)
        await asyncio.wait_for(waiting, 5)
        assert here.server.durables.away

    on_a_server(use)


def test_a_lock_that_is_waited_for_goes_to_nobody_who_is_away() -> None:
    async def use(here: Whole) -> None:
        holder = await (await here.tree(settings())).create("file", disposition=Disposition.CREATE)
        await holder.lock(0, 4)
        tree, file = await resilient(here)
        waiting = asyncio.ensure_future(file.lock(0, 4))
        await settle()
        await cut(here, tree)
        with pytest.raises(Lost):
            await waiting
        await holder.unlock(0, 4)
        await holder.lock(0, 4)
        assert (await make(await again(here, tree), back(file.id, None))).id == file.id

    on_a_server(use)


@pytest.mark.parametrize(("data", "code"), [(b"", NT.INVALID_PARAMETER), (resiliency(301_000), NT.INVALID_PARAMETER)])
def test_resiliency_is_refused(data: bytes, code: int) -> None:
    async def use(here: Whole) -> None:
        file = await (await here.tree()).create("file", disposition=Disposition.CREATE)
        with pytest.raises(Status) as refused:
            await file.ioctl(Fsctl.LMR_REQUEST_RESILIENCY, data)
        assert refused.value.code == code

    on_a_server(use)


# -- repeated -----------------------------------------------------------------------------------------------------
async def repeat(
    tree: Tree, *contexts: CreateContext, flags: int = Flags.REPLAY, level: int = OplockLevel.BATCH
) -> Any:
    request = CreateRequest("file", 0x1F01FF, Disposition.CREATE, oplock_level=level, contexts=list(contexts))
    call = await tree.client.post_one(Element(request, tree.id, flags), tree.security)
    return await call.result(CreateResponse)


def test_a_repeated_create_is_answered_as_the_first_was() -> None:
    async def use(here: Whole) -> None:
        tree = await here.tree(settings())
        first = await repeat(tree, durable(), flags=0)
        assert await repeat(tree, durable()) == first
        assert len(here.server.opens.by_volatile) == 1

    on_a_server(use)


def test_a_create_whose_answer_was_lost_with_its_session_is_answered_in_the_next() -> None:
    async def use(here: Whole) -> None:
        tree = await here.tree(settings())
        first = await repeat(tree, durable(), flags=0)
        await cut(here, tree)
        assert await repeat(await again(here, tree), durable()) == first
        assert not here.server.durables.away

    on_a_server(use)


async def _without_the_flag(here: Whole, tree: Tree) -> Any:
    return await repeat(tree, durable(), flags=0)


async def _in_another_session(here: Whole, tree: Tree) -> Any:
    return await repeat(await again(here, tree), durable())


async def _with_a_lease(here: Whole, tree: Tree) -> Any:
    return await repeat(tree, durable(), lease(), level=OplockLevel.LEASE)


async def _after_another_request(here: Whole, tree: Tree) -> Any:
    await File(tree, await repeat(tree, durable())).flush()
    return await repeat(tree, durable())


async def _by_another_client(here: Whole, tree: Tree) -> Any:
    return await repeat(await here.tree(settings()), durable())


@pytest.mark.parametrize(("how", "code"), [
    (_without_the_flag, NT.DUPLICATE_OBJECTID), (_in_another_session, NT.DUPLICATE_OBJECTID),
    (_with_a_lease, NT.ACCESS_DENIED), (_after_another_request, NT.OBJECT_NAME_COLLISION),
    (_by_another_client, NT.OBJECT_NAME_COLLISION),
])  # fmt: skip
def test_what_is_no_repetition(how: Any, code: int) -> None:
    async def use(here: Whole) -> None:
        tree = await here.tree(settings())
        await repeat(tree, durable(), flags=0)
        with pytest.raises(Status) as refused:
            await how(here, tree)
        assert refused.value.code == code

    on_a_server(use)


def test_a_create_that_still_waits_is_to_be_repeated_later() -> None:
    async def use(here: Whole) -> None:
        first, second = await here.tree(settings()), await here.tree(settings())
        held = await make(first, durable(OTHER))
        waiting = asyncio.ensure_future(make(second, durable()))
        await settle()
        with pytest.raises(Status) as refused:
            await repeat(second, durable())
        assert refused.value.code == NT.FILE_NOT_AVAILABLE
        await held.close()
        made = await waiting
        assert (await repeat(second, durable())).file_id == made.id

    on_a_server(use)


async def waits_on_a_lost_channel(here: Whole) -> tuple[File, Tree]:
    """A file that somebody caches, and the tree of a session that wanted it over a channel that it has lost since."""
    held = await make(await here.tree(settings()), durable(OTHER))
    session = await log_on_again(here, settings())
    tree = await session.connect(SHARE)
    lost = await session.bind(await here.client(replace(session.client.settings)), login())
    request = CreateRequest("file", 0x1F01FF, Disposition.OPEN, oplock_level=OplockLevel.BATCH, contexts=[durable()])
    await lost.post(Element(request, tree.id))
    await settle()
    await lost.client.close()
    await here.serving[here.clients.index(lost.client)]
    return held, tree


def test_a_create_goes_on_without_its_channel_and_its_open_is_had_over_another() -> None:
    async def use(here: Whole) -> None:
        held, tree = await waits_on_a_lost_channel(here)
        with pytest.raises(Status) as refused:
            await repeat(tree, durable())
        assert refused.value.code == NT.FILE_NOT_AVAILABLE
        await held.close()
        await settle()
        [opened] = here.server.opens.by_volatile.values()
        assert (await repeat(tree, durable())).file_id == opened.file_id

    on_a_server(use)


def test_a_create_without_its_channel_ends_with_its_session() -> None:
    async def use(here: Whole) -> None:
        _, tree = await waits_on_a_lost_channel(here)
        await cut(here, tree)
        await settle()
        assert not here.server.opens.handles.under_way
        assert len(here.server.opens.by_volatile) == 1

    on_a_server(use)


def test_only_so_many_go_on_without_their_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.server.MOST_ORPHANS", 0)

    async def use(here: Whole) -> None:
        await waits_on_a_lost_channel(here)
        assert not here.server.opens.handles.under_way

    on_a_server(use)


# -- application instances ----------------------------------------------------------------------------------------
def instance(*version: int) -> list[CreateContext]:
    found = [CreateContext(ContextName.APP_INSTANCE_ID, AppInstanceId(app_instance_id=b"a" * 16).pack())]
    if version:
        data = AppInstanceVersion(high=version[0], low=version[1]).pack()
        found.append(CreateContext(ContextName.APP_INSTANCE_VERSION, data))
    return found


@pytest.mark.parametrize("away", [False, True])
def test_an_application_that_moves_takes_its_file_along(away: bool) -> None:
    async def use(here: Whole) -> None:
        tree = await here.tree(settings())
        file = await make(tree, durable(), *instance(), share=0)
        if away:
            await cut(here, tree)
        moved = await make(await here.tree(settings()), durable(OTHER), *instance(), share=0)
        assert moved.created.oplock_level == OplockLevel.BATCH
        if not away:
            with pytest.raises(Status) as closed:
                await file.close()
            assert closed.value.code == NT.FILE_CLOSED

    on_a_server(use)


@pytest.mark.parametrize(("version", "taken"), [((1, 2), False), ((1, 1), False), ((1, 3), True), ((2, 0), True)])
def test_an_older_application_takes_nothing(version: tuple[int, int], taken: bool) -> None:
    async def use(here: Whole) -> None:
        await make(await here.tree(settings()), durable(), *instance(1, 2), share=0)
        other = await here.tree(settings())
        if taken:
            await make(other, durable(OTHER), *instance(*version), share=0)
            return
        with pytest.raises(Status) as refused:
            await make(other, durable(OTHER), *instance(*version), share=0)
        assert refused.value.code == NT.FILE_FORCED_CLOSED

    on_a_server(use)


def test_the_same_client_does_not_take_from_itself() -> None:
    async def use(here: Whole) -> None:
        tree = await here.tree(settings())
        await make(tree, durable(), lease(RWH), *instance(), share=0)
        with pytest.raises(Status) as refused:
            await make(tree, durable(OTHER), lease(RH), *instance(), share=0)
        assert refused.value.code == NT.SHARING_VIOLATION

    on_a_server(use)
