"""READ and WRITE through the client's own memory, on the whole server: what arrives, what is refused, what it costs."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from benchmarks.client import Element, File, Settings, Windows
from server.config import Share
from server.messages.create import Disposition
from server.messages.negotiate import Dialect
from server.messages.read_write import Channel, ReadRequest, WriteRequest
from server.status import NT, Status
from server.tests.served import Served, pattern, served
from server.tests.stores import refused
from smbdirect.packets import BufferDescriptor

SHAPES = {
    "one": [100_000],
    "three": [65_536, 1, 40_000],
    "thirty-one": [8 * (1 + at * at) for at in range(31)],
    "sixty-four": [1 + 997 * (at % 7) for at in range(64)],
}
NO_FILE = b"\x11" * 16
CHANNELS = [Channel.RDMA_V1, Channel.RDMA_V1_INVALIDATE]
Test = Callable[[Served, File], Awaitable[None]]


def on_a_file(test: Test, settings: Settings | None = None, data: bytes = b"", **config: object) -> None:
    """Run `test` with a new file that holds `data`."""

    async def use() -> None:
        async with served(settings, **config) as here:
            file = await (await here.tree()).create("file", disposition=Disposition.CREATE)
            if data:
                await file.write(0, data)
            await test(here, file)

    asyncio.run(use())


def alive(here: Served, descriptor: BufferDescriptor) -> bool:
    """Whether the server may still reach what `descriptor` names."""
    return descriptor.token in here.memory._buffers


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("lengths", SHAPES.values(), ids=SHAPES)
def test_a_read_fills_every_descriptor_with_its_own_words(lengths: list[int], channel: int) -> None:
    data = pattern(sum(lengths))

    async def test(here: Served, file: File) -> None:
        for _ in range(2):
            windows = await Windows.open(here.memory, here.arena, lengths)
            windows.fill(b"\xee" * len(data))
            before = here.far.sends
            assert await file.read_placed(0, len(data), windows.descriptors, channel) == len(data)
            assert here.far.sends == before + 1, "placing and answering are one call of the transport"
            assert windows.bytes() == data
            windows.close()

    on_a_file(test, data=data)


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("lengths", SHAPES.values(), ids=SHAPES)
def test_a_write_takes_every_descriptor_in_order(lengths: list[int], channel: int) -> None:
    async def test(here: Served, file: File) -> None:
        length = sum(lengths)
        windows = await Windows.open(here.memory, here.arena, lengths)
        for fill in (pattern(length), pattern(length + 8)[8:]):
            windows.fill(fill)
            before = here.far.sends
            tokens = [here.memory.register(block) for block in windows.blocks]
            assert await file.write_placed(0, length, tokens, channel) == length
            assert here.far.sends == before + 1
            assert await file.read(0, length) == fill
            for descriptor in tokens:
                here.memory.deregister(descriptor.token)
        windows.close()

    on_a_file(test)


def test_a_read_at_the_end_of_a_file_leaves_the_rest_of_the_memory_alone() -> None:
    async def test(here: Served, file: File) -> None:
        windows = await Windows.open(here.memory, here.arena, [3000, 5000, 2000])
        windows.fill(b"\xee" * 10_000)
        assert await file.read_placed(0, 10_000, windows.descriptors) == 7001
        assert windows.bytes() == pattern(7001) + b"\xee" * 2999
        windows.close()

    on_a_file(test, data=pattern(7001))


@pytest.mark.parametrize("channel", CHANNELS)
def test_invalidation_ends_the_first_token_alone(channel: int) -> None:
    async def test(here: Served, file: File) -> None:
        windows = await Windows.open(here.memory, here.arena, [4096, 4096])
        await file.read_placed(0, 8192, windows.descriptors, channel)
        first, second = windows.descriptors
        assert alive(here, first) == (channel == Channel.RDMA_V1)
        assert alive(here, second)
        windows.close()

    on_a_file(test, data=pattern(8192))


def test_dialect_3_0_knows_no_invalidation() -> None:
    async def test(here: Served, file: File) -> None:
        windows = await Windows.open(here.memory, here.arena, [4096])
        await file.read_placed(0, 4096, windows.descriptors, Channel.RDMA_V1_INVALIDATE)
        assert alive(here, windows.descriptors[0])
        windows.close()

    on_a_file(test, Settings(dialects=(Dialect.SMB300,)), data=pattern(4096))


REFUSALS: dict[str, tuple[int, Callable[[File, list[BufferDescriptor]], ReadRequest | WriteRequest]]] = {
    "a bad handle": (NT.FILE_CLOSED, lambda file, memory: ReadRequest(NO_FILE, 0, 4096)),
    "a write to a bad handle": (NT.FILE_CLOSED, lambda file, memory: WriteRequest(NO_FILE, 0, remaining_bytes=4096)),
    "more than may be read": (NT.INVALID_PARAMETER, lambda file, memory: ReadRequest(file.id, 0, 9 << 20)),
    "more than may be written": (
        NT.INVALID_PARAMETER, lambda file, memory: WriteRequest(file.id, 0, remaining_bytes=9 << 20)
    ),
    "more than the memory holds": (NT.INVALID_PARAMETER, lambda file, memory: ReadRequest(file.id, 0, 4097)),
    "more than the memory holds, written": (
        NT.INVALID_PARAMETER, lambda file, memory: WriteRequest(file.id, 0, remaining_bytes=4097)
    ),
    "a read behind the end": (NT.END_OF_FILE, lambda file, memory: ReadRequest(file.id, 1 << 20, 4096)),
    "a read of too little": (NT.END_OF_FILE, lambda file, memory: ReadRequest(file.id, 96, 4096, 4096)),
    "an offset no file has": (NT.INVALID_PARAMETER, lambda file, memory: ReadRequest(file.id, (1 << 63) - 1, 4096)),
}  # fmt: skip


@pytest.mark.parametrize(("code", "make"), REFUSALS.values(), ids=REFUSALS)
def test_a_refused_request_moves_nothing_and_still_invalidates(
    code: int, make: Callable[[File, list[BufferDescriptor]], ReadRequest | WriteRequest]
) -> None:
    async def test(here: Served, file: File) -> None:
        windows = await Windows.open(here.memory, here.arena, [4096])
        windows.fill(b"\xee" * 4096)
        request = make(file, windows.descriptors)
        request.channel, request.descriptors = Channel.RDMA_V1_INVALIDATE, windows.descriptors
        answer = (await (await file.tree.post(request)).answer()).keep()
        assert answer.status == code
        assert not alive(here, windows.descriptors[0])
        assert windows.bytes() == b"\xee" * 4096
        assert await file.read(0, 4096) == pattern(4096)
        windows.close()

    on_a_file(test, data=pattern(4096))


def test_a_charge_that_does_not_cover_the_payload_still_invalidates() -> None:
    async def test(here: Served, file: File) -> None:
        windows = await Windows.open(here.memory, here.arena, [1 << 17])
        request = ReadRequest(
            file.id, 0, 1 << 17, channel=Channel.RDMA_V1_INVALIDATE, descriptors=windows.descriptors
        )  # fmt: skip
        call = await here.client.post_one(Element(request, file.tree.id, credit_charge=1), file.tree.security)
        assert (await call.answer()).status == NT.INVALID_PARAMETER
        assert not alive(here, windows.descriptors[0])
        windows.close()

    on_a_file(test)


@pytest.mark.parametrize("lengths", [[], [0], [4096, 0], [0, 4096]])
@pytest.mark.parametrize("length", [0, 4096])
def test_memory_of_no_length_is_refused(lengths: list[int], length: int) -> None:
    async def test(here: Served, file: File) -> None:
        windows = await Windows.open(here.memory, here.arena, [4096])
        whole = windows.descriptors[0]
        named = [BufferDescriptor(whole.offset, whole.token, part) for part in lengths]
        for request in (
            ReadRequest(file.id, 0, length, channel=Channel.RDMA_V1, descriptors=named),
            WriteRequest(file.id, 0, channel=Channel.RDMA_V1, remaining_bytes=length, descriptors=named),
        ):
            assert (await (await file.tree.post(request)).answer()).status == NT.INVALID_PARAMETER
        windows.close()

    on_a_file(test, data=pattern(4096))


@pytest.mark.parametrize("where", ["the session is sealed", "the share is sealed", "signing is required"])
def test_payload_never_travels_bare_where_protection_is_demanded(where: str) -> None:
    settings = Settings(encrypt=where == "the session is sealed")
    shares = (Share("data", encryption_required=where == "the share is sealed"),)
    signing = "required" if where == "signing is required" else "auto"

    async def test(here: Served, file: File) -> None:
        windows = await Windows.open(here.memory, here.arena, [4096])
        windows.fill(b"\xee" * 4096)
        for move in (file.read_placed, file.write_placed):
            with refused(NT.INVALID_PARAMETER):
                await move(0, 4096, windows.descriptors)
        assert windows.bytes() == b"\xee" * 4096
        assert await file.read(0, 4096) == pattern(4096)
        windows.close()

    on_a_file(test, settings, pattern(4096), shares=shares, signing=signing)


@pytest.mark.parametrize("count", [0, 1])
def test_a_channel_is_refused_where_there_is_no_remote_memory(count: int) -> None:
    async def test(here: Served, file: File) -> None:
        here.far.remote = None
        described = [BufferDescriptor(0x10000, 1, 4096)] * count
        for request in (
            ReadRequest(file.id, 0, 0, channel=Channel.RDMA_V1, descriptors=described),
            WriteRequest(file.id, 0, channel=Channel.RDMA_V1, remaining_bytes=0, descriptors=described),
        ):
            assert (await (await file.tree.post(request)).answer()).status == NT.INVALID_PARAMETER

    on_a_file(test)


def test_memory_that_was_never_exposed_loses_the_connection_and_nothing_else() -> None:
    async def test(here: Served, file: File) -> None:
        stranger = [BufferDescriptor(0x10000, 0xDEAD, 4096)]
        with pytest.raises(Exception, match="remote access error"):
            await file.write_placed(0, 4096, stranger)
        other = await here.whole.tree()
        with pytest.raises(Status, match="OBJECT_NAME_COLLISION"):
            await other.create("file", disposition=Disposition.CREATE)

    on_a_file(test)
