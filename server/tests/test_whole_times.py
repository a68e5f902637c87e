"""Times and attributes of files on the whole server: what moves them, and what an open keeps from moving."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import pytest

from benchmarks.client import Tree
from benchmarks.client.file import File
from server.messages.create import Disposition
from server.messages.fscc_ea import pack_eas
from server.messages.fscc_file import Basic, FileAttribute, FileClass
from server.messages.fscc_set import EndOfFile
from server.status import NT, Status
from server.store.base import Ea, Stat
from server.store.memory import MemoryStore
from server.tests.served import served

SET = 130_000_000_000_000_000
Change = Callable[[File], Awaitable[object]]


def with_two(use: Callable[[Tree, File, File], Awaitable[None]]) -> None:
    """Two opens of one file in a store whose clock moves on with every look."""

    async def run() -> None:
        ticks = itertools.count(1_700_000_000_000_000_000, 1_000_000_000)
        async with served(make_store=lambda share: MemoryStore(clock=lambda: next(ticks))) as here:
            tree = await here.tree()
            first = await tree.create("x", disposition=Disposition.CREATE)
            await use(tree, first, await tree.create("x"))

    asyncio.run(run())


async def basic(file: File) -> Basic:
    return Basic.parse(await file.query(FileClass.BASIC))


async def set_basic(file: File, modified: int = 0, changed: int = 0, attributes: int = 0) -> None:
    await file.set(FileClass.BASIC, Basic(0, 0, modified, changed, attributes).pack())


@pytest.mark.parametrize(
    "change",
    [lambda file: file.write(0, b"x"), lambda file: file.set(FileClass.END_OF_FILE, EndOfFile(10).pack())],
    ids=["a write", "a size"],
)
def test_a_time_set_through_an_open_stays_over_its_own_changes_and_not_over_others(change: Change) -> None:
    async def use(tree: Tree, first: File, second: File) -> None:
        await set_basic(first, modified=SET)
        await change(first)
        assert (await basic(second)).modified == SET
        await change(second)
        moved = (await basic(first)).modified
        assert moved > SET
        await change(first)
        assert (await basic(first)).modified == moved

    with_two(use)


def test_minus_one_holds_times_and_minus_two_lets_them_go() -> None:
    async def use(tree: Tree, first: File, second: File) -> None:
        before = await basic(first)
        await set_basic(first, modified=-1, changed=-1)
        await first.write(0, b"x")
        now = await basic(first)
        assert (now.modified, now.changed) == (before.modified, before.changed)
        await set_basic(first, modified=-2, changed=-2)
        assert (await basic(first)).modified == before.modified
        await first.write(0, b"x")
        now = await basic(first)
        assert now.modified > before.modified and now.changed > before.changed

    with_two(use)


def test_a_change_time_set_stays_over_attributes_and_extended_attributes() -> None:
    async def use(tree: Tree, first: File, second: File) -> None:
        await set_basic(first, changed=SET)
        await set_basic(first, attributes=FileAttribute.HIDDEN)
        await first.set(FileClass.FULL_EA, pack_eas([Ea(b"name", b"value")]))
        assert (await basic(first)).changed == SET

    with_two(use)


def test_a_change_of_data_brings_archive_back() -> None:
    async def use(tree: Tree, first: File, second: File) -> None:
        await set_basic(second, attributes=FileAttribute.HIDDEN)
        assert (await basic(first)).attributes == FileAttribute.HIDDEN
        await first.write(0, b"x")
        assert (await basic(first)).attributes == FileAttribute.HIDDEN | FileAttribute.ARCHIVE

    with_two(use)


def test_a_write_to_a_file_that_has_archive_asks_for_nothing_else() -> None:
    async def run() -> None:
        async with served() as here:
            tree = await here.tree()
            file = await tree.create("x", disposition=Disposition.CREATE)
            [opened] = here.server.opens.by_volatile.values()
            asked = []

            async def stat() -> Stat:
                asked.append(1)
                raise AssertionError

            opened.file.stat = stat  # type: ignore[method-assign]
            await file.write(0, b"x")
            assert not asked

    asyncio.run(run())


def test_a_write_is_not_refused_because_of_attributes_that_cannot_be_kept() -> None:
    async def run() -> None:
        async with served() as here:
            tree = await here.tree()
            file = await tree.create("x", disposition=Disposition.CREATE)
            await set_basic(file, modified=-1, attributes=FileAttribute.HIDDEN)
            [opened] = here.server.opens.by_volatile.values()

            async def refuse(*times: int | None, **more: int | None) -> None:
                raise Status(NT.ACCESS_DENIED)

            opened.file.set_basic = refuse  # type: ignore[method-assign]
            assert await file.write(0, b"x") == 1

    asyncio.run(run())
