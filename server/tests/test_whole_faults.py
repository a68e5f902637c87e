"""Clients that leave, and handles that end, in the middle of what the store or the fabric is doing for them.

A block that is lent stays lent until the loan is over, whatever has become of the request; nothing is kept after it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from benchmarks.client import Call, File, Tree, Windows
from server.messages.create import CreateRequest, Disposition
from server.messages.file import FlushRequest
from server.messages.read_write import Channel, ReadRequest, WriteRequest
from server.status import NT, Status
from server.store.base import Found, Identity, New, Stat, Wanted
from server.store.memory import MemoryStore
from server.store.memory_file import MemoryFile
from server.tests.served import Whole, pattern, settle, whole
from smbdirect.packets import BufferDescriptor
from smbdirect.wire import Buffer
from transport.base import Lost, RemoteMemory
from transport.loopback import LoopbackMemory
from transport.memory import Block

LENGTH = 100_000


class Gate:
    """What waits here waits until it is `opened`."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.opened = asyncio.Event()
        self.opened.set()

    def shut(self) -> None:
        self.entered.clear()
        self.opened.clear()

    async def go_through(self) -> None:
        self.entered.set()
        await self.opened.wait()


class GatedFile(MemoryFile):
    """Its data, and cutting it, take as long as its store's gate is shut."""

    def __init__(self, store: "GatedStore", file: MemoryFile) -> None:
        super().__init__(store, file.who, file._link, file._named)
        self.gate = store.gate

    def read_nowait(self, into: memoryview, offset: int) -> int | None:
        return None

    async def read_into(self, into: memoryview, offset: int) -> int:
        await self.gate.go_through()
        return super().read_nowait(into, offset) or 0

    async def write(self, parts: Sequence[Buffer], offset: int, through: bool) -> int:
        await self.gate.go_through()
        return await super().write(parts, offset, through)

    async def flush(self) -> None:
        await self.gate.go_through()

    async def overwrite(self, new: New, supersede: bool) -> Stat:
        await self.gate.go_through()
        return await super().overwrite(new, supersede)


class GatedStore(MemoryStore):
    """Whose opens wait where `gates_opens`."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()
        self.gates_opens = False

    async def open(self, who: Identity, wanted: Wanted) -> Found:
        if self.gates_opens:
            await self.gate.go_through()
        found = await super().open(who, wanted)
        assert isinstance(found.file, MemoryFile)
        found.file = GatedFile(self, found.file)
        return found


class GatedMemory(RemoteMemory):
    """The peer's memory, slow to reach."""

    def __init__(self, memory: RemoteMemory, gate: Gate) -> None:
        self.memory = memory
        self.gate = gate

    async def read(self, remote: Sequence[BufferDescriptor], into: Block, length: int) -> None:
        await self.gate.go_through()
        await self.memory.read(remote, into, length)


def gated(test: Callable[[Whole, GatedStore, Tree, File], Awaitable[None]]) -> None:
    """Run `test` with a file that holds a pattern, in a store whose gate is open."""

    async def use() -> None:
        store = GatedStore()
        async with whole(make_store=lambda share: store) as here:
            tree = await here.tree()
            file = await tree.create("file", disposition=Disposition.CREATE)
            await file.write(0, pattern(LENGTH))
            await test(here, store, tree, file)

    asyncio.run(use())


async def content(here: Whole) -> bytes:
    """What the file holds, as another client sees it."""
    file = await (await here.tree()).create("file")
    return await file.read(0, 2 * LENGTH)


@pytest.mark.parametrize("channel", [False, True], ids=["inline", "channel"])
@pytest.mark.parametrize("way", ["leaves", "is lost"])
def test_peer_goes_mid_read(way: str, channel: bool) -> None:
    async def test(here: Whole, store: GatedStore, tree: Tree, file: File) -> None:
        windows = await Windows.open(here.near[0].memory, here.clients_arena, [LENGTH])
        windows.fill(b"\xee" * LENGTH)
        store.gate.shut()
        request = ReadRequest(file.id, 0, LENGTH)
        if channel:
            request.channel, request.descriptors = Channel.RDMA_V1, windows.descriptors
        await tree.post(request)
        await store.gate.entered.wait()
        await go(here, way)
        assert here.payload.blocks == 1, "the store still writes into the block"
        assert here.server.connections, "the connection lasts until the loan is over"
        store.gate.opened.set()
        await here.serving[0]
        here.assert_nothing_kept()
        assert windows.bytes() == b"\xee" * LENGTH, "nothing is placed for a client that has gone"
        windows.close()

    gated(test)


@pytest.mark.parametrize("channel", [False, True], ids=["inline", "channel"])
@pytest.mark.parametrize("way", ["leaves", "is lost"])
def test_peer_goes_mid_write(way: str, channel: bool) -> None:
    async def test(here: Whole, store: GatedStore, tree: Tree, file: File) -> None:
        data = pattern(LENGTH + 8)[8:]
        windows = await Windows.open(here.near[0].memory, here.clients_arena, [LENGTH])
        windows.fill(data)
        store.gate.shut()
        request = WriteRequest(file.id, 0, b"" if channel else data)
        if channel:
            request.channel, request.descriptors = Channel.RDMA_V1_INVALIDATE, windows.descriptors
            request.remaining_bytes = LENGTH
        await tree.post(request)
        await store.gate.entered.wait()
        windows.fill(b"\xee" * LENGTH)
        await go(here, way)
        assert here.payload.blocks + here.messages.blocks == 1, "the store still reads the block"
        store.gate.opened.set()
        await here.serving[0]
        here.assert_nothing_kept()
        assert await content(here) == data, "what had arrived is written whole"
        windows.close()

    gated(test)


async def go(here: Whole, way: str) -> None:
    """The first client closes its connection, or the path breaks."""
    if way == "leaves":
        await here.clients[0].close()
    else:
        here.near[0].lose("the cable is out")
    await settle()


def test_what_is_locked_while_data_is_fetched_is_not_written() -> None:
    async def test(here: Whole, store: GatedStore, tree: Tree, file: File) -> None:
        memory = here.far[0].remote
        assert isinstance(memory, LoopbackMemory)
        here.far[0].remote = GatedMemory(memory, store.gate)
        windows = await Windows.open(here.near[0].memory, here.clients_arena, [LENGTH])
        windows.fill(b"\xee" * LENGTH)
        other = await tree.create("file")
        store.gate.shut()
        request = WriteRequest(file.id, 0, channel=Channel.RDMA_V1, remaining_bytes=LENGTH)
        request.descriptors = windows.descriptors
        call = await tree.post(request)
        await store.gate.entered.wait()
        await other.lock(0, 1)
        store.gate.opened.set()
        assert (await call.answer()).keep().status == NT.FILE_LOCK_CONFLICT
        assert await other.read(0, LENGTH) == pattern(LENGTH)
        windows.close()

    gated(test)


@pytest.mark.parametrize("way", ["leaves", "is lost"])
def test_peer_goes_while_its_memory_is_being_fetched(way: str) -> None:
    async def test(here: Whole, store: GatedStore, tree: Tree, file: File) -> None:
        memory = here.far[0].remote
        assert isinstance(memory, LoopbackMemory)
        here.far[0].remote = GatedMemory(memory, store.gate)
        windows = await Windows.open(here.near[0].memory, here.clients_arena, [LENGTH])
        store.gate.shut()
        descriptors = windows.descriptors
        await tree.post(
            WriteRequest(file.id, 0, channel=Channel.RDMA_V1, remaining_bytes=LENGTH, descriptors=descriptors)
        )
        await store.gate.entered.wait()
        await go(here, way)
        assert here.payload.blocks == 1, "the fabric still writes into the block"
        store.gate.opened.set()
        await here.serving[0]
        here.assert_nothing_kept()
        assert await content(here) == pattern(LENGTH), "nothing half fetched is written"
        windows.close()

    gated(test)


async def post_read(tree: Tree, file: File) -> Call:
    return await tree.post(ReadRequest(file.id, 0, LENGTH))


async def post_write(tree: Tree, file: File) -> Call:
    return await tree.post(WriteRequest(file.id, 0, pattern(LENGTH)))


async def post_flush(tree: Tree, file: File) -> Call:
    return await tree.post(FlushRequest(file.id))


async def post_overwrite(tree: Tree, file: File) -> Call:
    await file.close()
    return await tree.post(CreateRequest("file", 0x1F01FF, Disposition.OVERWRITE_IF, 0, 7))


POSTS = pytest.mark.parametrize("post", [post_read, post_write, post_flush, post_overwrite])


@POSTS
@pytest.mark.parametrize("way", ["handle", "tree", "session"])
def test_what_is_under_way_ends_although_its_handle_tree_or_session_does(
    way: str, post: Callable[[Tree, File], Awaitable[Call]]
) -> None:
    async def test(here: Whole, store: GatedStore, tree: Tree, file: File) -> None:
        store.gate.shut()
        call = await post(tree, file)
        await store.gate.entered.wait()
        opened = next(iter(here.server.opens.by_volatile.values()))
        session_of = next(iter(here.server.sessions.values()))
        if way == "handle":
            await here.server.opens.close(opened)
        elif way == "tree":
            await tree.disconnect()
        else:
            await here.server.end_session(session_of)
        assert not here.server.opens.by_volatile
        store.gate.opened.set()
        answer = await call.answer()
        answer.release()
        if post is post_overwrite:
            assert answer.status in (NT.FILE_CLOSED, NT.NETWORK_NAME_DELETED), Status(answer.status)
        assert not here.server.opens.by_volatile
        assert not here.server.opens.shared

    gated(test)


@pytest.mark.parametrize("way", ["tree", "session", "connection"])
def test_an_open_that_comes_too_late_for_its_tree_is_not_kept(way: str) -> None:
    async def test(here: Whole, store: GatedStore, tree: Tree, file: File) -> None:
        store.gates_opens = True
        store.gate.shut()
        call = await tree.post(CreateRequest("late", 0x1F01FF, Disposition.CREATE, 0, 7))
        await store.gate.entered.wait()
        if way == "tree":
            await tree.disconnect()
        elif way == "session":
            await here.server.end_session(next(iter(here.server.sessions.values())))
        else:
            here.near[0].lose("the cable is out")
        store.gate.opened.set()
        if way == "connection":
            await here.serving[0]
        else:
            assert (await call.answer()).status == NT.NETWORK_NAME_DELETED
        assert not here.server.opens.by_volatile
        assert not here.server.opens.shared

    gated(test)


def test_a_failing_transfer_ends_the_connection_and_frees_the_block() -> None:
    class Failing(RemoteMemory):
        async def read(self, remote: Sequence[BufferDescriptor], into: Block, length: int) -> None:
            await asyncio.sleep(0)
            raise Lost("remote access error")

    async def test(here: Whole, store: GatedStore, tree: Tree, file: File) -> None:
        here.far[0].remote = Failing()
        named = [BufferDescriptor(0, 1, LENGTH)]
        with pytest.raises(Lost):
            await file.write_placed(0, LENGTH, named)
        await here.serving[0]
        here.assert_nothing_kept()
        assert await content(here) == pattern(LENGTH)

    gated(test)


def test_a_store_that_fails_answers_and_frees_the_block() -> None:
    class Broken(GatedStore):
        async def open(self, who: Identity, wanted: Wanted) -> Found:
            found = await super().open(who, wanted)

            async def failing(into: memoryview, offset: int) -> int:
                raise OSError(5, "Input/output error")

            found.file.read_into = failing  # type: ignore[method-assign]
            return found

    async def use() -> None:
        async with whole(make_store=lambda share: Broken()) as here:
            file = await (await here.tree()).create("file", disposition=Disposition.CREATE)
            with pytest.raises(Status) as caught:
                await file.read(0, LENGTH)
            assert caught.value.code not in (NT.SUCCESS, NT.INTERNAL_ERROR)
            assert here.payload.idle

    asyncio.run(use())


def test_the_server_stops_although_a_client_never_does() -> None:
    """SIGTERM finishes what is in flight; a client that keeps asking does not keep the server alive."""

    async def test(here: Whole, store: GatedStore, tree: Tree, file: File) -> None:
        store.gate.shut()
        last = await tree.post(ReadRequest(file.id, 0, LENGTH))
        await store.gate.entered.wait()
        stopping = asyncio.ensure_future(here.server.stop([]))
        await settle()
        assert not stopping.done()
        more = [asyncio.ensure_future(_ask_on_and_on(file, turn)) for turn in range(8)]
        store.gate.opened.set()
        await asyncio.wait_for(stopping, 5)
        answer = await last.answer()
        assert answer.status == NT.SUCCESS
        answer.release()
        assert [type(ended) for ended in await asyncio.gather(*more, return_exceptions=True)] == [Lost] * 8
        here.assert_nothing_kept()

    gated(test)


async def _ask_on_and_on(file: File, turn: int) -> None:
    for _ in range(turn):
        await asyncio.sleep(0)
    while True:
        await file.read(0, 80_000)
