"""8.3 names as clients see them: asked for, beside the long ones in listings, and cut to what fits."""

import asyncio

import pytest

from server.messages.create import Disposition
from server.messages.entries import DirectoryClass
from server.messages.fscc_file import FileClass, pack_name
from server.messages.info import QueryInfoRequest
from server.status import NT, Status
from server.store.shortnames import short_name
from server.tests.served import served

LONG = "a rather long name.document"
CLASSES = (DirectoryClass.BOTH, DirectoryClass.ID_BOTH, DirectoryClass.ID_EXTD_BOTH)


def test_every_file_tells_its_short_name_and_the_root_has_none() -> None:
    async def use() -> None:
        async with served() as here:
            tree = await here.tree()
            for name in (LONG, "readme.txt", "a long directory's stream:one"):
                file = await tree.create(name, disposition=Disposition.CREATE)
                short = short_name(name.partition(":")[0])
                assert await file.query(FileClass.ALTERNATE_NAME) == pack_name(short)
            with pytest.raises(Status) as refused:
                await (await tree.directory()).query(FileClass.ALTERNATE_NAME)
            assert refused.value.code == NT.OBJECT_NAME_NOT_FOUND

    asyncio.run(use())


def test_a_short_name_that_does_not_fit_is_cut() -> None:
    async def use() -> None:
        async with served() as here:
            tree = await here.tree()
            file = await tree.create(LONG, disposition=Disposition.CREATE)
            for room, code in ((7, NT.INFO_LENGTH_MISMATCH), (8, NT.BUFFER_OVERFLOW), (28, NT.SUCCESS)):
                call = await tree.post(QueryInfoRequest(file.id, 1, FileClass.ALTERNATE_NAME, room))
                assert (await call.answer()).keep().status == code

    asyncio.run(use())


def test_listings_show_short_names_where_their_class_has_room_for_them() -> None:
    async def use() -> None:
        async with served() as here:
            tree = await here.tree()
            for name in (LONG, "readme.txt"):
                await tree.create(name, disposition=Disposition.CREATE)
            root = await tree.directory()
            for kind in CLASSES:
                found = {entry.name: entry.short_name for entry in await root.listing(info_class=kind)}
                assert found == {".": "", "..": "", LONG: short_name(LONG), "readme.txt": ""}

    asyncio.run(use())
