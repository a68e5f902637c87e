"""Blocks and descriptors lent to a real thread, which nothing can stop: neither is anybody else's until it returns."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.client import File, Tree
from server.config import Share
from server.messages.create import Disposition
from server.messages.file import CloseRequest
from server.messages.read_write import ReadRequest, WriteRequest
from server.status import NT
from server.store import data
from server.store.file import PosixFile
from server.store.posix import PosixStore
from server.store.threads import IdentityThreads
from server.tests.served import SHARE, Whole, on_a_server, pattern, settle
from server.tests.stores import options
from transport.base import Lost

LENGTH = 200_000


class Stuck:
    """Makes the store's reads and writes wait in their thread until `go`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shut = False
        self.go = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._entered: asyncio.Event | None = None
        for name in ("read", "write"):
            monkeypatch.setattr(data, name, self._slow(getattr(data, name)))
        monkeypatch.setattr(PosixFile, "read_nowait", lambda file, into, offset: None)
        monkeypatch.setattr(IdentityThreads, "write_nowait", lambda *args: None)

    def _slow(self, call: Callable[..., int]) -> Callable[..., int]:
        def slow(*args: Any, **named: Any) -> int:
            if self.shut:
                assert self._loop is not None and self._entered is not None
                self._loop.call_soon_threadsafe(self._entered.set)
                assert self.go.wait(20)
            return call(*args, **named)

        return slow

    async def entered(self) -> None:
        """From now on calls are stuck; this waits for the first."""
        assert self._entered is not None
        await asyncio.wait_for(self._entered.wait(), 20)

    def stick(self) -> None:
        self._loop, self._entered = asyncio.get_running_loop(), asyncio.Event()
        self.shut = True


def on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, test: Callable[[Whole, Tree, File, Stuck], Awaitable[None]]
) -> None:
    tmp_path.chmod(0o777)
    stuck = Stuck(monkeypatch)

    async def use(here: Whole) -> None:
        tree = await (await here.session()).connect(SHARE)
        file = await tree.create("file", disposition=Disposition.CREATE)
        await file.write(0, pattern(LENGTH))
        stuck.stick()
        await test(here, tree, file, stuck)

    on_a_server(use, shares=[Share("data")], make_store=lambda share: PosixStore(str(tmp_path), options()))


def lent(here: Whole) -> int:
    return here.payload.blocks + here.messages.blocks


@pytest.mark.parametrize("way", ["closed", "lost", "cancelled"])
def test_a_block_is_the_threads_until_it_has_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    async def test(here: Whole, tree: Tree, file: File, stuck: Stuck) -> None:
        call = await tree.post(ReadRequest(file.id, 0, LENGTH))
        await stuck.entered()
        await end(here, way)
        assert lent(here) == 1, "poison shows if it was given back before"
        stuck.go.set()
        if way == "cancelled":
            here.near[0].lose("the test is over")
        await here.serving[0]
        here.assert_nothing_kept()
        with pytest.raises(Lost):
            await call.answer()

    on_disk(tmp_path, monkeypatch, test)


@pytest.mark.parametrize("way", ["closed", "lost", "cancelled"])
def test_a_block_is_the_threads_until_it_has_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    wanted = pattern(LENGTH + 8)[8:]

    async def test(here: Whole, tree: Tree, file: File, stuck: Stuck) -> None:
        await tree.post(WriteRequest(file.id, 0, wanted))
        await stuck.entered()
        await end(here, way)
        assert lent(here) == 1
        stuck.go.set()
        if way == "cancelled":
            here.near[0].lose("the test is over")
        await here.serving[0]
        here.assert_nothing_kept()

    on_disk(tmp_path, monkeypatch, test)
    assert (tmp_path / "file").read_bytes() == wanted


async def end(here: Whole, way: str) -> None:
    if way == "closed":
        await here.clients[0].close()
    elif way == "lost":
        here.near[0].lose("the cable is out")
    else:
        for task in next(iter(here.server.connections))._tasks:
            task.cancel()
    await settle()


def test_a_descriptor_is_the_threads_although_its_handle_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = pattern(LENGTH + 8)[8:]

    async def test(here: Whole, tree: Tree, file: File, stuck: Stuck) -> None:
        write = await tree.post(WriteRequest(file.id, 0, wanted))
        await stuck.entered()
        close = await tree.post(CloseRequest(file.id))
        others = [await tree.create(f"other-{number}", disposition=Disposition.CREATE) for number in range(20)]
        assert not close.answered.done(), "the descriptor is not closed beneath the thread"
        stuck.go.set()
        assert [(await call.answer()).status for call in (write, close)] == [NT.SUCCESS] * 2
        for other in others:
            await other.close()

    on_disk(tmp_path, monkeypatch, test)
    assert (tmp_path / "file").read_bytes() == wanted
    assert not any((tmp_path / f"other-{number}").stat().st_size for number in range(20))
