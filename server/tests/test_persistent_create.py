"""CREATEs of persistent handles that the server was killed in the middle of, and that their clients repeat."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.client import Tree
from server.messages.create import CreateAction, CreateOptions, Disposition, OplockLevel
from server.messages.fscc_file import FileAttribute
from server.messages.header import Flags
from server.status import NT
from server.store.memory_file import MemoryFile
from server.tests.durables import Clock, settings
from server.tests.persistents import Lives, create, in_lives, is_persistent
from server.tests.served import Whole
from server.tests.stores import posix_store, refused
from transport.base import Lost


async def put(tree: Tree, data: bytes, disposition: int = Disposition.OPEN, name: str = "file") -> None:
    file = await tree.create(name, disposition=disposition)
    await file.write(0, data)
    await file.close()


async def contents(tree: Tree) -> bytes:
    file = await tree.create("file", access=1)
    try:
        return await file.read(0, 100) if file.created.size else b""
    finally:
        await file.close()


class Killing:
    """A call of a file in the middle of which the server is killed: before or after it has done its work."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, after: bool = False) -> None:
        self._patch, self._name, self._after = monkeypatch, name, after

    async def at(self, lives: Lives, call: Callable[[], Any]) -> None:
        """Make `call`, which does not get to its end."""
        real = getattr(MemoryFile, self._name)

        async def die(file: MemoryFile, *arguments: Any) -> None:
            if self._after:
                await real(file, *arguments)
            lives.kill()
            raise Lost("killed")

        with self._patch.context() as patch:
            patch.setattr(MemoryFile, self._name, die)
            with pytest.raises(Lost):
                await call()


MAKING = [(Disposition.CREATE, False), (Disposition.OPEN_IF, False), (Disposition.OVERWRITE_IF, False)]
CUTTING = [
    (Disposition.OVERWRITE, True), (Disposition.OVERWRITE_IF, True), (Disposition.SUPERSEDE, True),
]  # fmt: skip
ACTIONS = {
    Disposition.OVERWRITE: CreateAction.OVERWRITTEN,
    Disposition.OVERWRITE_IF: CreateAction.OVERWRITTEN,
    Disposition.SUPERSEDE: CreateAction.SUPERSEDED,
}


@pytest.mark.parametrize(("disposition", "there"), MAKING + CUTTING)
def test_what_was_done_is_not_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disposition: int, there: bool
) -> None:
    """Killed before the open is on disk; what another client writes then is left alone."""

    async def use(lives: Lives, here: Whole, _: None) -> None:
        tree = await lives.tree(here)
        if there:
            await put(tree, b"before", Disposition.CREATE)
        await Killing(monkeypatch, "identity").at(lives, lambda: create(tree, disposition))

    async def second(lives: Lives, here: Whole, _: None) -> None:
        other = await lives.tree(here, settings())
        assert await contents(other) == b""
        await put(other, b"meanwhile")
        if disposition == Disposition.CREATE:
            with refused(NT.OBJECT_NAME_COLLISION):  # to all others it is there
                await create(other, disposition, Flags.REPLAY)
            with refused(NT.OBJECT_NAME_COLLISION):
                await create(await lives.tree(here), disposition, Flags.REPLAY, b"o" * 16)
            with refused(NT.OBJECT_NAME_COLLISION):
                await create(await lives.tree(here), disposition)
        tree = await lives.tree(here)
        created = await create(tree, disposition, Flags.REPLAY)
        assert is_persistent(created)
        assert created.action == (ACTIONS[disposition] if there else CreateAction.CREATED)
        assert created.size == len(b"meanwhile")
        [opened] = here.server.opens.by_volatile.values()
        assert not await opened.file.marked()

    in_lives(tmp_path, use, second)


@pytest.mark.parametrize(("disposition", "there"), CUTTING)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_what_may_not_have_been_cut_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disposition: int, there: bool, after: bool
) -> None:
    """Killed around the cut, before the file could be marked."""

    async def use(lives: Lives, here: Whole, _: None) -> None:
        tree = await lives.tree(here)
        await put(tree, b"before", Disposition.CREATE)
        await Killing(monkeypatch, "overwrite", after).at(lives, lambda: create(tree, disposition))

    async def second(lives: Lives, here: Whole, _: None) -> None:
        created = await create(await lives.tree(here), disposition, Flags.REPLAY)
        assert (created.action, created.size) == (ACTIONS[disposition], 0)

    in_lives(tmp_path, use, second)


@pytest.mark.parametrize(("disposition", "there"), MAKING + CUTTING)
def test_once_the_open_is_on_disk_it_keeps_others_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disposition: int, there: bool
) -> None:
    """Killed before the answer."""

    async def use(lives: Lives, here: Whole, _: None) -> None:
        tree = await lives.tree(here)
        if there:
            await put(tree, b"before", Disposition.CREATE)
        real = here.server.keeping.begin

        async def begin(opened: Any) -> bool:
            await real(opened)
            lives.kill()
            raise Lost("killed")

        with monkeypatch.context() as patch:
            patch.setattr(here.server.keeping, "begin", begin)
            with pytest.raises(Lost):
                await create(tree, disposition)

    async def second(lives: Lives, here: Whole, _: None) -> None:
        with refused(NT.FILE_NOT_AVAILABLE):
            await (await lives.tree(here, settings())).create("file")
        created = await create(await lives.tree(here), disposition, Flags.REPLAY)
        assert created.action == (ACTIONS[disposition] if there else CreateAction.CREATED)
        assert created.size == 0
        [opened] = here.server.opens.by_volatile.values()
        assert not await opened.file.marked()

    in_lives(tmp_path, use, second)


def test_a_stream_is_made_once_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(lives: Lives, here: Whole, _: None) -> None:
        tree = await lives.tree(here)
        await put(tree, b"", Disposition.CREATE)
        call = Killing(monkeypatch, "identity")
        await call.at(lives, lambda: create(tree, Disposition.CREATE, name="file:stream"))

    async def second(lives: Lives, here: Whole, _: None) -> None:
        created = await create(await lives.tree(here), Disposition.CREATE, Flags.REPLAY, name="file:stream")
        assert created.action == CreateAction.CREATED

    in_lives(tmp_path, use, second)


def test_a_file_made_read_only_is_had_for_writing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more: Any = {"attributes": FileAttribute.READONLY}

    async def use(lives: Lives, here: Whole, _: None) -> None:
        tree = await lives.tree(here)
        await Killing(monkeypatch, "identity").at(lives, lambda: create(tree, Disposition.CREATE, **more))

    async def second(lives: Lives, here: Whole, _: None) -> None:
        created = await create(await lives.tree(here), Disposition.CREATE, Flags.REPLAY, **more)
        assert created.action == CreateAction.CREATED

    in_lives(tmp_path, use, second)


def test_a_create_that_found_the_name_taken_finds_it_taken_again(tmp_path: Path) -> None:
    async def use(lives: Lives, here: Whole, _: None) -> None:
        tree = await lives.tree(here)
        await put(tree, b"before", Disposition.CREATE)
        for flags in (0, Flags.REPLAY):
            with refused(NT.OBJECT_NAME_COLLISION):
                await create(tree, Disposition.CREATE, flags)
        assert await contents(tree) == b"before"

    in_lives(tmp_path, use)


def test_who_asks_for_no_persistent_handle_leaves_no_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(file: MemoryFile, mark: bytes) -> None:
        raise AssertionError(mark)

    async def use(lives: Lives, here: Whole, _: None) -> None:
        monkeypatch.setattr(MemoryFile, "mark", never)
        tree = await lives.tree(here)
        await put(tree, b"data", Disposition.CREATE)
        await put(tree, b"data", Disposition.OVERWRITE_IF)
        await create(tree, Disposition.CREATE, name="d", options=CreateOptions.DIRECTORY_FILE)

    in_lives(tmp_path, use)


def test_a_repetition_is_told_no_more_than_what_it_may_cache_now(tmp_path: Path) -> None:
    """A local process has the file open by then."""
    directory = tmp_path / "share"
    directory.mkdir()

    async def run() -> None:
        both = Lives(tmp_path / "state", lambda: posix_store(directory))

        async def use(here: Whole, clock: Clock) -> None:
            created = await create(await both.tree(here), Disposition.CREATE, oplock_level=OplockLevel.BATCH)
            assert created.oplock_level == OplockLevel.BATCH

        async def second(here: Whole, clock: Clock) -> None:
            tree = await both.tree(here)
            created = await create(tree, Disposition.CREATE, Flags.REPLAY, oplock_level=OplockLevel.BATCH)
            [opened] = here.server.opens.by_volatile.values()
            assert is_persistent(created) and opened.caching is not None
            assert (created.oplock_level, opened.caching.rights) == (OplockLevel.NONE, 0)

        await both.live(use)
        with (directory / "file").open("rb"):
            await both.live(second)

    asyncio.run(run())
