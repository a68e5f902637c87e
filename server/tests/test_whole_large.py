"""Large directories on the whole server: making files stays linear, listing stays small."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.client import Settings, Tree
from server.config import Share
from server.handlers.directory import BATCH
from server.messages.create import CreateOptions, CreateRequest, Disposition
from server.messages.directory import QueryDirectoryFlags, QueryDirectoryRequest
from server.messages.entries import DirectoryClass
from server.status import NT
from server.store.base import Cursor, Entry, Found, Identity, Stat, Wanted
from server.store.memory import MemoryStore
from server.store.memory_file import MemoryFile
from server.store.posix import PosixStore
from server.tests.served import SHARE, Whole, on_a_server
from server.tests.stores import options, refused

MADE = 10_000
LISTED = 100_000
AT_A_TIME = 100


async def make(tree: Tree, names: Sequence[str]) -> None:
    """Make all, each to be closed with the connection."""
    for start in range(0, len(names), AT_A_TIME):
        calls = [
            await tree.post(CreateRequest(name, 0x80, Disposition.CREATE, CreateOptions.NON_DIRECTORY_FILE))
            for name in names[start : start + AT_A_TIME]
        ]
        for call in calls:
            answer = await call.answer()
            assert answer.status == NT.SUCCESS
            answer.release()


def test_making_many_files_looks_at_few_names_for_each(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    stores: list[PosixStore] = []

    def make_store(share: Share) -> PosixStore:
        stores.append(PosixStore(str(tmp_path), options()))
        return stores[0]

    async def test(here: Whole) -> None:
        session = await here.session(Settings(credits=512))
        tree = await session.connect(SHARE)
        names = [f"File-{number:05}" for number in range(MADE)]
        cache = stores[0].resolver.cache
        halves = []
        for half in (names[: MADE // 2], names[MADE // 2 :]):
            before = cache.looked_at
            await make(tree, half)
            halves.append(cache.looked_at - before)
        assert sum(halves) < 8 * MADE, f"{halves} names looked at for {MADE} files"
        with refused(NT.OBJECT_NAME_COLLISION):
            await tree.create("fILE-00007", disposition=Disposition.CREATE)
        await tree.create("fILE-00007")

    on_a_server(test, make_store=make_store)


class Counted(Cursor):
    """A walk through LISTED names that are made up on the way; `asked` are the batches."""

    asked: list[int]

    def __init__(self, like: Stat) -> None:
        self.like = like
        self.at = 0
        self.asked = []
        self.closed = 0

    async def next(self, most: int) -> list[Entry]:
        self.asked.append(most)
        await asyncio.sleep(0)
        end = min(self.at + most, LISTED)
        found = [Entry(f"name-{number:06}", replace(self.like, inode=number)) for number in range(self.at, end)]
        self.at = end
        return found

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.closed += 1


class Large(MemoryFile):
    cursors: list[Counted]

    def __init__(self, file: MemoryFile, cursors: list[Counted]) -> None:
        super().__init__(file._store, file.who, file._link, file._named)
        self.cursors = cursors

    def entries(self, pattern: str, stats: bool) -> Cursor:
        self.cursors.append(Counted(self._node.stat()))
        return self.cursors[-1]


class LargeStore(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.cursors: list[Counted] = []

    async def open(self, who: Identity, wanted: Wanted) -> Found:
        found = await super().open(who, wanted)
        assert isinstance(found.file, MemoryFile)
        found.file = Large(found.file, self.cursors)
        return found


@pytest.mark.parametrize("room", [512, 4096, 65536])
def test_a_listing_of_a_hundred_thousand_reads_no_further_than_it_sends(room: int) -> None:
    store = LargeStore()

    async def test(here: Whole) -> None:
        directory = await (await here.tree()).directory()
        last, seen, flags = "", 0, QueryDirectoryFlags.RESTART_SCANS
        while seen < LISTED:
            entries = await directory.entries("*", DirectoryClass.NAMES, flags, room)
            seen, flags = seen + len(entries), 0
            assert entries[0].name > last
            last = entries[-1].name
            ahead = store.cursors[0].at - seen
            assert 0 <= ahead <= BATCH, f"{ahead} entries were read that did not fit"
            if seen > 5000 and room < 65536:  # enough of it
                break
        assert max(store.cursors[0].asked) <= BATCH
        await directory.close()
        assert store.cursors[0].closed == 1

    on_a_server(test, make_store=lambda share: store)


def test_a_listing_left_in_the_middle_is_ended_with_its_connection() -> None:
    store = LargeStore()

    async def test(here: Whole) -> None:
        directory = await (await here.tree()).directory()
        await directory.entries()
        await directory.entries(flags=QueryDirectoryFlags.RESTART_SCANS)
        assert [cursor.closed for cursor in store.cursors] == [1, 0]
        await here.clients[0].close()
        await asyncio.gather(*here.serving)
        assert [cursor.closed for cursor in store.cursors] == [1, 1]

    on_a_server(test, make_store=lambda share: store)


def test_many_listings_at_once_keep_a_batch_each() -> None:
    store = LargeStore()

    async def test(here: Whole) -> None:
        tree = await here.tree()
        directories = [await tree.directory() for _ in range(64)]
        for _ in range(2):
            await asyncio.gather(*(directory.entries(room=4096) for directory in directories))
        for opened in here.server.opens.by_volatile.values():
            assert opened.search is not None
            assert len(opened.search.left) <= BATCH

    on_a_server(test, make_store=lambda share: store)


def test_several_requests_at_once_for_one_listing_lose_no_entry_and_give_none_twice() -> None:
    store = LargeStore()

    async def test(here: Whole) -> None:
        directory = await (await here.tree()).directory()
        answers = await asyncio.gather(*(directory.entries(room=8000) for _ in range(50)))
        names = [entry.name for entries in answers for entry in entries]
        assert names == [f"name-{number:06}" for number in range(len(names))]

    on_a_server(test, make_store=lambda share: store)


@pytest.mark.parametrize("then", ["close", "leave"])
def test_listings_begun_anew_at_once_are_all_ended(then: str) -> None:
    store = LargeStore()

    async def test(here: Whole) -> None:
        tree = await here.tree()
        directory = await tree.directory()
        restart = QueryDirectoryRequest(
            directory.id, DirectoryClass.NAMES, "*", 4096, QueryDirectoryFlags.RESTART_SCANS
        )
        calls = [await tree.post(restart) for _ in range(20)]
        await (directory.close() if then == "close" else here.clients[0].close())
        await asyncio.gather(*(call.answered for call in calls), return_exceptions=True)
        if then == "leave":
            await here.serving[0]
        assert all(cursor.closed for cursor in store.cursors)

    on_a_server(test, make_store=lambda share: store)
