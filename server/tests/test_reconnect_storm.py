"""Many clients lose their connections again and again, and come back for what they had: each gets all of its own and
nothing else, others get in between, and nothing is left."""

import asyncio
import random

import pytest

from benchmarks.client import File, Tree
from server.messages.create import OplockLevel
from server.messages.create_contexts import ContextName
from server.status import NT, Status
from server.tests.durables import RH, RWH, again, back, cut, durable, lease, make, settings
from server.tests.served import Whole, on_a_server, pattern

CLIENTS, FILES, ROUNDS = 16, 4, 6


class Guest:
    """One client with files of its own, each locked and filled with its own number."""

    def __init__(self, here: Whole, number: int) -> None:
        self.here = here
        self.number = number
        self.tree: Tree
        self.files: dict[int, File] = {}

    def _names(self, file: int) -> tuple[bytes, bytes]:
        """The lease key and the create GUID of a file."""
        return bytes([1, self.number, file]).ljust(16), bytes([2, self.number, file]).ljust(16)

    async def open(self) -> None:
        self.tree = await self.here.tree(settings())
        for number in range(FILES):
            key, guid = self._names(number)
            contexts = [durable(guid)] + ([lease(RWH, key)] if number % 2 else [])
            file = await make(self.tree, *contexts, name=f"{self.number} {number}", share=0)
            await file.write(0, bytes([self.number]) * 8)
            await file.lock(0, 8)
            self.files[number] = file

    async def lose(self, clean: bool) -> None:
        """Lose the connection, before or after the server has seen that."""
        session = next(iter(self.tree.client.securities))
        if clean:
            await cut(self.here, self.tree)
        old, self.tree = self.tree, await again(self.here, self.tree, previous=0 if clean else session)
        for number, file in self.files.items():
            key, guid = self._names(number)
            contexts = [back(file.id, guid)] + ([lease(RWH, key)] if number % 2 else [])
            self.files[number] = await make(self.tree, *contexts, name=f"{self.number} {number}")
        if not clean:
            await cut(self.here, old)

    async def check(self) -> None:
        for number, file in self.files.items():
            assert await file.read(0, 8) == bytes([self.number]) * 8
            assert file.created.oplock_level == (OplockLevel.LEASE if number % 2 else OplockLevel.BATCH)

    async def leave(self) -> None:
        for file in self.files.values():
            await file.unlock(0, 8)
            await file.close()


@pytest.mark.parametrize("seed", range(3))
def test_all_come_back_to_what_is_theirs(seed: int) -> None:
    async def use(here: Whole) -> None:
        chance = random.Random(seed)
        guests = [Guest(here, number) for number in range(CLIENTS)]
        await asyncio.gather(*(guest.open() for guest in guests))
        for _ in range(ROUNDS):
            await asyncio.gather(*(guest.lose(chance.random() < 0.5) for guest in guests))
            assert len(here.server.opens.by_volatile) == CLIENTS * FILES
        await asyncio.gather(*(guest.check() for guest in guests))
        await asyncio.gather(*(guest.leave() for guest in guests))
        assert not here.server.opens.by_volatile

    on_a_server(use)


@pytest.mark.parametrize("seed", range(3))
def test_one_file_that_all_want_goes_to_who_is_there(seed: int) -> None:
    async def use(here: Whole) -> None:
        chance = random.Random(seed)
        data = pattern(64)

        async def come_and_go(number: int) -> None:
            key, guid = bytes([1, number]).ljust(16), bytes([2, number]).ljust(16)
            tree = await here.tree(settings())
            for _ in range(ROUNDS):
                state = chance.choice([RH, RWH])
                file = await make(tree, durable(guid), lease(state, key))
                if chance.random() < 0.3:
                    await file.write(0, data)
                await cut(here, tree)
                tree = await again(here, tree)
                try:
                    file = await make(tree, back(file.id, guid), lease(state, key))
                except Status as status:
                    if status.code != NT.OBJECT_NAME_NOT_FOUND:
                        raise
                    continue  # somebody else needed it
                assert any(context.name == ContextName.RQLS for context in file.created.contexts)
                await file.close()

        await asyncio.wait_for(asyncio.gather(*map(come_and_go, range(CLIENTS))), 30)
        assert not here.server.durables.away

    on_a_server(use, max_connections=1024, max_connections_per_address=1024)
