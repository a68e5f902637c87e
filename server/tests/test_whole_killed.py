"""The server, a process of its own, is killed with SIGKILL: clients with persistent handles go on with the next one."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from benchmarks.client import Element, File, Tree
from server.messages.create import CreateAction, Disposition
from server.messages.file import LockElement, LockFlags, LockRequest, LockResponse
from server.messages.header import Flags
from server.status import NT, Status
from server.store import marks
from server.testing import NotStarted, Ours, names
from server.tests.dialled import dialled, tree_of
from server.tests.durables import lease, make, settings
from server.tests.persistents import again, back, create, is_persistent, persistent
from server.tests.served import pattern
from server.tests.stores import NEEDS_ROOT, refused

NOW = LockFlags.EXCLUSIVE | LockFlags.FAIL_IMMEDIATELY
CLIENT, OTHER = settings(), settings()
BLOCK = pattern(1 << 16)


@pytest.fixture
def server() -> Iterator[Ours]:
    with Ours(shares={"data": {"continuous availability": "true"}}) as running:
        yield running
        assert running.stop() == 0, running.tail()
        assert "Traceback" not in running.tail(1000)


async def lock(file: File, number: int, flags: int = NOW, offset: int = 0) -> None:
    request = LockRequest(file.id, [LockElement(offset, 10, flags)], number, 1)
    await (await file.tree.client.post_one(Element(request, file.tree.id), file.tree.security)).result(LockResponse)


async def before(server: Ours, milliseconds: int = 0) -> File:
    """A client writes, locks, and is in the middle of more when the server dies."""
    async with dialled(server, replace(CLIENT)) as client:
        file = await make(await tree_of(client), persistent(milliseconds=milliseconds), lease())
        assert is_persistent(file.created)
        for number in range(8):
            await file.write(number * len(BLOCK), BLOCK)
        await lock(file, 1)
        under_way = [asyncio.ensure_future(file.write(number * len(BLOCK), BLOCK)) for number in range(8, 16)]
        await asyncio.sleep(0)
        server.kill()
        await asyncio.gather(*under_way, return_exceptions=True)
        return file


def test_a_client_goes_on_and_nothing_is_lost_or_doubled(server: Ours) -> None:
    async def use() -> None:
        lost = await before(server)
        server.start()
        async with dialled(server, replace(CLIENT)) as client, dialled(server, replace(OTHER)) as another:
            other = await tree_of(another, names()[1])
            with refused(NT.FILE_NOT_AVAILABLE):
                await other.create("file", access=1)
            file = await again(await tree_of(client), lost, lease())
            for number in range(8, 16):  # whatever has come of them
                await file.write(number * len(BLOCK), BLOCK)
            await lock(file, 1)
            with refused(NT.LOCK_NOT_GRANTED):
                await lock(file, 2)
            assert [await file.read(number * len(BLOCK), len(BLOCK)) for number in range(16)] == [BLOCK] * 16
            await lock(file, 3, LockFlags.UNLOCK)
            with refused(NT.RANGE_NOT_LOCKED):
                await lock(file, 4, LockFlags.UNLOCK)
            await file.close()
        assert (server.path() / "file").read_bytes() == BLOCK * 16

    asyncio.run(use())


MANY = 60


async def one_of_many(tree: Tree, number: int, answered: dict[int, File | None]) -> None:
    """Make a file and lock it; every third is closed again. `answered` says what the client knows."""
    guid = bytes([number]) * 16
    file = await tree.create(f"file{number}", disposition=Disposition.CREATE, contexts=[persistent(guid)])
    await lock(file, 1)
    answered[number] = file
    if number % 3 == 0:
        del answered[number]
        await file.close()
        answered[number] = None


def test_every_answer_holds_whenever_the_server_dies(server: Ours) -> None:
    async def use() -> None:
        answered: dict[int, File | None] = {}
        async with dialled(server, replace(CLIENT)) as client:
            tree = await tree_of(client)
            tasks = {asyncio.ensure_future(one_of_many(tree, number, answered)) for number in range(1, MANY)}
            while len(answered) < MANY // 2:
                await asyncio.wait([task for task in tasks if not task.done()], return_when=asyncio.FIRST_COMPLETED)
            server.kill()
            await asyncio.gather(*tasks, return_exceptions=True)
        server.start()
        async with dialled(server, replace(CLIENT)) as client:
            tree = await tree_of(client)
            for number, file in answered.items():
                if file is None:
                    await (await tree.create(f"file{number}")).close()  # nobody is waited for
                    continue
                file = await tree.create(f"file{number}", contexts=[back(file.id, bytes([number]) * 16)])
                with refused(NT.LOCK_NOT_GRANTED):
                    await lock(file, 2)

    asyncio.run(use())


def test_creates_without_an_answer_are_repeated_and_find_no_file_of_theirs_in_their_way(server: Ours) -> None:
    async def make_one(tree: Tree, number: int, flags: int = 0) -> None:
        guid = bytes([number]) * 16
        created = await create(tree, Disposition.CREATE, flags, guid, name=f"file{number}")
        assert created.action == CreateAction.CREATED and is_persistent(created)

    async def use() -> None:
        async with dialled(server, replace(CLIENT)) as client:
            tree = await tree_of(client)
            tasks = [asyncio.ensure_future(make_one(tree, number)) for number in range(1, MANY)]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            server.kill()
            await asyncio.gather(*tasks, return_exceptions=True)
        server.start()
        async with dialled(server, replace(CLIENT)) as client:
            tree = await tree_of(client)
            for number, task in enumerate(tasks, 1):
                if task.exception() is not None:
                    await make_one(tree, number, Flags.REPLAY)
        files = list(server.path().iterdir())
        assert len(files) == MANY - 1 and not any(marks.XATTR in os.listxattr(file) for file in files)

    asyncio.run(use())


def test_a_lock_refuses_others_as_soon_as_its_client_is_back(server: Ours) -> None:
    async def use() -> None:
        async with dialled(server, replace(CLIENT)) as client, dialled(server, replace(OTHER)) as another:
            tree = await tree_of(client)
            mine = await tree.create("file", disposition=Disposition.CREATE, contexts=[persistent()])
            theirs = await (await tree_of(another)).create("file", contexts=[persistent(b"t" * 16)])
            await lock(mine, 1)
            with refused(NT.LOCK_NOT_GRANTED):
                await lock(theirs, 1)
            server.kill()
        server.start()
        async with dialled(server, replace(CLIENT)) as client, dialled(server, replace(OTHER)) as another:
            theirs = await (await tree_of(another)).create("file", contexts=[back(theirs.id, b"t" * 16)])
            with refused(NT.LOCK_NOT_GRANTED):
                await lock(theirs, 1)
            mine = await again(await tree_of(client), mine)
            await mine.close()
            await lock(theirs, 2)

    asyncio.run(use())


async def is_kept(tree: Tree) -> bool:
    """Whether the file waits for its client."""
    try:
        await (await tree.create("file")).close()
    except Status as status:
        if status.code != NT.FILE_NOT_AVAILABLE:
            raise
        return True
    return False


@NEEDS_ROOT
def test_a_file_that_was_renamed_meanwhile_is_given_back_by_its_old_name(server: Ours) -> None:
    async def use() -> None:
        lost = await before(server)
        (server.path() / "file").rename(server.path() / "renamed")
        (server.path() / "file").touch()
        for _ in range(2):
            server.start()
            async with dialled(server, replace(CLIENT)) as client:
                lost = await again(await tree_of(client), lost, lease())
                await lost.write(0, b"here")
                server.kill()
        server.start()
        assert (server.path() / "renamed").read_bytes()[:4] == b"here"

    asyncio.run(use())


def test_who_never_comes_back_keeps_nobody_waiting_for_ever(server: Ours) -> None:
    async def use() -> None:
        await before(server, milliseconds=500)
        server.start()
        async with dialled(server, replace(OTHER)) as another:
            other = await tree_of(another)
            for _ in range(400):
                if not await is_kept(other):
                    return
                await asyncio.sleep(0.05)
            raise AssertionError("its time does not end")

    asyncio.run(use())


def test_a_server_that_is_told_to_end_keeps_them_too(server: Ours) -> None:
    async def use() -> None:
        async with dialled(server, replace(CLIENT)) as client:
            file = await make(await tree_of(client), persistent(), lease())
            await lock(file, 1)
            assert await asyncio.to_thread(server.stop) == 0
        server.start()
        async with dialled(server, replace(CLIENT)) as client:
            file = await again(await tree_of(client), file, lease())
            with refused(NT.LOCK_NOT_GRANTED):
                await lock(file, 2)

    asyncio.run(use())


def test_a_file_of_handles_that_cannot_be_read_is_named_at_the_start(server: Ours) -> None:
    assert server.stop() == 0
    kept = server.root / "state" / "opens.sqlite"
    whole = kept.read_bytes()
    kept.write_bytes(b"something else " * 1000)
    with pytest.raises(NotStarted, match=f"{kept}: file is not a database.*move it away"):
        server.start()
    assert server.process is not None and server.process.returncode == 2
    kept.write_bytes(whole)
    server.start()
