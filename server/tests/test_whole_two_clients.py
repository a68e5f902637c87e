"""Two clients at the same few files at once, over TCP: whatever they do, one of the orders explains all they are told.

Each turn both send one request at the same moment. A model does the two in either order; what the clients were told
must be what the model tells in one of them, and the orders that explain it are gone on with. So a write that is
lost, a lock granted twice, or a file that two renames left without a name ends the test at the turn it happens.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benchmarks.client import Settings, Tree
from benchmarks.client.file import File
from server.messages.create import Disposition
from server.messages.file import LockFlags
from server.messages.fscc_file import FileClass
from server.messages.fscc_set import Rename
from server.status import NT, Status
from server.testing import Ours
from server.tests.dialled import dialled, tree_of

NAMES = ("one", "two", "three")
SLOTS, PLACES, WIDTH = 3, 4, 8
"""Opens each client may hold, places in a file that are written, read and locked, and the bytes of one."""
TURNS = 120
EXCLUSIVE_NOW = LockFlags.EXCLUSIVE | LockFlags.FAIL_IMMEDIATELY

Slot = tuple[int, int]
"""A client, and which of its opens."""


class Told(NamedTuple):
    """What a client is told: a status, and what was read."""

    status: int
    data: bytes = b""


DONE = Told(NT.SUCCESS)


class Step(NamedTuple):
    """What one client asks for, by the name of a method of `Model` and of `Player`."""

    what: str
    slot: Slot
    arguments: tuple[Any, ...] = ()


@dataclass
class Model:
    """What two clients may believe: files by number, which has which name, who has what open and locked."""

    named: dict[str, int] = field(default_factory=dict)
    data: dict[int, bytes] = field(default_factory=dict)
    opens: dict[Slot, int] = field(default_factory=dict)
    locks: dict[tuple[int, int], Slot] = field(default_factory=dict)
    """By file and place."""

    def do(self, step: Step) -> Told:
        told: Told = getattr(self, step.what)(step.slot, *step.arguments)
        return told

    def open(self, slot: Slot, name: str) -> Told:
        if name not in self.named:
            self.named[name] = len(self.data)
            self.data[len(self.data)] = b""
        self.opens[slot] = self.named[name]
        return DONE

    def close(self, slot: Slot) -> Told:
        self.locks = {key: holder for key, holder in self.locks.items() if holder != slot}
        del self.opens[slot]
        return DONE

    def write(self, slot: Slot, place: int, data: bytes) -> Told:
        file = self.opens[slot]
        if self.locks.get((file, place), slot) != slot:
            return Told(NT.FILE_LOCK_CONFLICT)
        old = self.data[file].ljust(place * WIDTH, b"\0")
        self.data[file] = old[: place * WIDTH] + data + old[(place + 1) * WIDTH :]
        return DONE

    def read(self, slot: Slot, place: int) -> Told:
        file = self.opens[slot]
        if self.locks.get((file, place), slot) != slot:
            return Told(NT.FILE_LOCK_CONFLICT)
        data = self.data[file][place * WIDTH : (place + 1) * WIDTH]
        return Told(NT.SUCCESS, data) if data else Told(NT.END_OF_FILE)

    def lock(self, slot: Slot, place: int) -> Told:
        if (self.opens[slot], place) in self.locks:
            return Told(NT.LOCK_NOT_GRANTED)
        self.locks[self.opens[slot], place] = slot
        return DONE

    def unlock(self, slot: Slot, place: int) -> Told:
        if self.locks.get((self.opens[slot], place)) != slot:
            return Told(NT.RANGE_NOT_LOCKED)
        del self.locks[self.opens[slot], place]
        return DONE

    def rename(self, slot: Slot, name: str, replace: bool) -> Told:
        file, there = self.opens[slot], self.named.get(name)
        if there is not None and there != file:
            if not replace:
                return Told(NT.OBJECT_NAME_COLLISION)
            if there in self.opens.values():
                return Told(NT.ACCESS_DENIED)
        self.named = {old: number for old, number in self.named.items() if number != file} | {name: file}
        return DONE


class Player:
    """One client, and what it has open."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.files: dict[Slot, File] = {}

    async def do(self, step: Step) -> Told:
        try:
            data = await getattr(self, step.what)(step.slot, *step.arguments)
        except Status as status:
            return Told(status.code)
        return Told(NT.SUCCESS, data or b"")

    async def open(self, slot: Slot, name: str) -> None:
        self.files[slot] = await self.tree.create(name, disposition=Disposition.OPEN_IF)

    async def close(self, slot: Slot) -> None:
        await self.files.pop(slot).close()

    async def write(self, slot: Slot, place: int, data: bytes) -> None:
        assert await self.files[slot].write(place * WIDTH, data) == len(data)

    async def read(self, slot: Slot, place: int) -> bytes:
        return await self.files[slot].read(place * WIDTH, WIDTH)

    async def lock(self, slot: Slot, place: int) -> None:
        await self.files[slot].lock(place * WIDTH, WIDTH, EXCLUSIVE_NOW)

    async def unlock(self, slot: Slot, place: int) -> None:
        await self.files[slot].unlock(place * WIDTH, WIDTH)

    async def rename(self, slot: Slot, name: str, replace: bool) -> None:
        await self.files[slot].set(FileClass.RENAME, Rename(name, int(replace)).pack())


def chosen(chance: random.Random, player: int, model: Model) -> Step:
    """Something that this client can ask for."""
    slot = player, chance.randrange(SLOTS)
    if slot not in model.opens:
        return Step("open", slot, (chance.choice(NAMES),))
    place = chance.randrange(PLACES)
    steps: list[Callable[[], Step]] = [
        lambda: Step("close", slot),
        lambda: Step("rename", slot, (chance.choice(NAMES), chance.random() < 0.5)),
        lambda: Step("lock", slot, (place,)),
        lambda: Step("unlock", slot, (place,)),
        lambda: Step("read", slot, (place,)),
        lambda: Step("write", slot, (place, chance.randbytes(WIDTH))),
    ]
    return chance.choices(steps, [1, 2, 2, 2, 3, 3])[0]()


def explained(models: list[Model], steps: list[Step], told: list[Told]) -> list[Model]:
    """The models after `steps`, done in any order that tells what was told."""
    found: list[Model] = []
    for before in models:
        for order in ((0, 1), (1, 0)):
            model = deepcopy(before)
            if all(model.do(steps[which]) == told[which] for which in order) and model not in found:
                found.append(model)
    return found


async def play(server: Ours, chance: random.Random, settings: Settings) -> list[Model]:
    """Let both play; what the share may hold in the end."""
    async with dialled(server, settings) as one, dialled(server, settings) as other:
        players = [Player(await tree_of(client)) for client in (one, other)]
        models = [Model()]
        for _ in range(TURNS):
            steps = [chosen(chance, number, models[0]) for number in range(2)]
            told = list(await asyncio.gather(*(player.do(step) for player, step in zip(players, steps, strict=True))))
            after = explained(models, steps, told)
            assert after, f"{steps} told {told}; before: {models}"
            models = after
        return models


def held(share: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in share.iterdir()}


@pytest.fixture(scope="module")
def server() -> Iterator[Ours]:
    with Ours() as running:
        yield running


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("settings", [Settings(), Settings(encrypt=True)], ids=["plain", "sealed"])
def test_two_clients_at_once_are_told_what_one_order_explains(server: Ours, settings: Settings, seed: int) -> None:
    server.clear()
    models = asyncio.run(play(server, random.Random(seed), settings))
    assert held(server.path()) in [{name: model.data[file] for name, file in model.named.items()} for model in models]
