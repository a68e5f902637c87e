"""Where the number of a LOCK counts: a repeated one is not carried out again, and no other is taken for repeated."""

from dataclasses import replace

import pytest

from benchmarks.client import Element, File, Settings
from server.messages.create import Disposition
from server.messages.file import LockElement, LockFlags, LockRequest, LockResponse
from server.messages.negotiate import Dialect
from server.status import NT
from server.tests.durables import FIRST, again, back, cut, make, settings
from server.tests.served import Whole, on_a_server
from server.tests.stores import refused

NOW = LockFlags.EXCLUSIVE | LockFlags.FAIL_IMMEDIATELY


async def lock(file: File, number: int, index: int, flags: int = NOW) -> None:
    request = LockRequest(file.id, [LockElement(0, 10, flags)], number, index)
    channel = file.tree.session.channels.first
    await (await channel.post(Element(request, file.tree.id))).result(LockResponse)


@pytest.mark.parametrize("index", [1, 64])
@pytest.mark.parametrize("dialect", [Dialect.SMB300, Dialect.SMB302, Dialect.SMB311])
def test_from_3_0_on_every_numbered_lock_is_had_once(dialect: int, index: int) -> None:
    async def test(here: Whole) -> None:
        file = await (await here.tree(Settings(dialects=(dialect,)))).create("file", disposition=Disposition.CREATE)
        await lock(file, 3, index)
        await lock(file, 3, index)
        with refused(NT.LOCK_NOT_GRANTED):
            await lock(file, 4, index)
        with refused(NT.LOCK_NOT_GRANTED):  # 4 was not carried out, and 3 is no longer the last
            await lock(file, 3, index)
        await lock(file, 5, index, LockFlags.UNLOCK)
        await lock(file, 5, index, LockFlags.UNLOCK)
        with refused(NT.RANGE_NOT_LOCKED):
            await lock(file, 6, index, LockFlags.UNLOCK)

    on_a_server(test)


@pytest.mark.parametrize("index", [0, 65, (1 << 28) - 1])
def test_an_index_past_what_is_remembered_counts_nothing(index: int) -> None:
    async def test(here: Whole) -> None:
        file = await (await here.tree()).create("file", disposition=Disposition.CREATE)
        await lock(file, 3, index)
        with refused(NT.LOCK_NOT_GRANTED):
            await lock(file, 3, index)

    on_a_server(test)


@pytest.mark.parametrize("dialect", [Dialect.SMB202, Dialect.SMB210])
def test_before_3_0_numbers_count_only_where_the_open_lasts(dialect: int) -> None:
    async def test(here: Whole) -> None:
        file = await (await here.tree(Settings(dialects=(dialect,)))).create("file", disposition=Disposition.CREATE)
        await lock(file, 3, 1)
        with refused(NT.LOCK_NOT_GRANTED):
            await lock(file, 3, 1)

    on_a_server(test)


@pytest.mark.parametrize("dialect", [Dialect.SMB210, Dialect.SMB311])
def test_a_lock_repeated_after_the_client_has_come_back_is_had_once(dialect: int) -> None:
    async def test(here: Whole) -> None:
        tree = await here.tree(replace(settings(), dialects=(dialect,)))
        file = await make(tree, FIRST)
        await lock(file, 3, 1)
        await cut(here, tree)
        returned = await make(await again(here, tree), back(file.id, None))
        await lock(returned, 3, 1)
        await lock(returned, 4, 1, LockFlags.UNLOCK)
        with refused(NT.RANGE_NOT_LOCKED):
            await returned.unlock(0, 10)

    on_a_server(test)
