"""Connections of a session that come and go at random under many requests: nothing is lost, done twice or left."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from benchmarks.client import Bulk, File, Session, SessionChannel, Settings
from server.messages.fscc_file import FileClass
from server.messages.fscc_set import EndOfFile
from server.store.base import Found, Identity, Wanted
from server.store.memory import MemoryStore
from server.store.memory_file import MemoryFile
from server.tests.channels import further, kill, on_a_session, opened, quiet
from server.tests.served import Whole, settle
from smbdirect.wire import Buffer

SLOT = 3000
"""Bytes that one writer has for itself; several requests of each size fall into it."""
WRITERS = 8
ROUNDS = 8


class HesitantFile(MemoryFile):
    """Takes a while for everything, now less and now more."""

    chance: random.Random

    async def hesitate(self) -> None:
        for _ in range(self.chance.randrange(20)):
            await asyncio.sleep(0)

    def read_nowait(self, into: memoryview, offset: int) -> int | None:
        return None

    async def read_into(self, into: memoryview, offset: int) -> int:
        await self.hesitate()
        return super().read_nowait(into, offset) or 0

    async def write(self, parts: Sequence[Buffer], offset: int, through: bool) -> int:
        await self.hesitate()
        count = await super().write(parts, offset, through)
        await self.hesitate()
        return count

    async def flush(self) -> None:
        await self.hesitate()


class HesitantStore(MemoryStore):
    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance

    async def open(self, who: Identity, wanted: Wanted) -> Found:
        found = await super().open(who, wanted)
        assert isinstance(found.file, MemoryFile)
        slow = HesitantFile(self, found.file.who, found.file._link, found.file._named)
        slow.chance = self.chance
        found.file = slow
        return found


async def come_and_go(here: Whole, session: Session, chance: random.Random, over: asyncio.Event) -> None:
    """Cut channels and bind others, but leave one, until the rest is done."""
    cut: set[SessionChannel] = set()
    while not over.is_set():
        await asyncio.sleep(0)
        whole = [channel for channel in session.channels.alive if channel not in cut]
        if len(whole) > 1 and chance.random() < 0.05:
            cut.add(dying := chance.choice(whole))
            kill(dying)
        elif len(whole) < 4 and chance.random() < 0.2:
            await further(here, session, remote=chance.random() < 0.5)


async def write_and_read(here: Whole, file: File, slot: int, chance: random.Random) -> bytes:
    """Write the slot again and again, and read it back each time; what it holds in the end."""
    bulk, data = Bulk(file, here.clients_arena, SLOT // 3), b""
    for turn in range(ROUNDS):
        data = bytes([slot * 16 + turn]) * SLOT
        await bulk.write(slot * SLOT, data)
        await file.lock(slot * SLOT, SLOT)
        if chance.random() < 0.3:
            await file.flush()
        assert await bulk.read(slot * SLOT, SLOT) == data, f"slot {slot}, turn {turn}"
        await file.unlock(slot * SLOT, SLOT)
    return data


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("settings", [Settings(sign=True), Settings(encrypt=True)], ids=["signed", "sealed"])
def test_what_was_written_last_is_what_is_there(settings: Settings, seed: int) -> None:
    chance = random.Random(seed)

    async def test(here: Whole, session: Session, file: File) -> None:
        await file.set(FileClass.END_OF_FILE, EndOfFile(WRITERS * SLOT).pack())
        over = asyncio.Event()
        moving = asyncio.ensure_future(come_and_go(here, session, chance, over))
        try:
            slots = await asyncio.gather(*(write_and_read(here, file, slot, chance) for slot in range(WRITERS)))
        finally:
            over.set()
        await moving
        assert session.channels.sequence > 2, "hardly a channel was cut"
        assert await file.read(0, WRITERS * SLOT) == b"".join(slots)
        await settle()
        assert quiet(here)
        locks = opened(here).shared.locks
        assert locks is not None
        assert not locks.held
        assert not opened(here).locking

    on_a_session(test, settings, make_store=lambda share: HesitantStore(chance), max_connections_per_address=256)
