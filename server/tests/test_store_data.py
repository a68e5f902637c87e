"""What an open file promises about data (server/store/base.py), held against every store."""

from collections.abc import Awaitable
from pathlib import Path as Directory

import pytest

from server.status import NT
from server.store.base import File, Make, New, Store
from smbdirect.wire import Buffer

from .stores import ALICE, MAKERS, READ, content, made, made_directory, opened, refused, scenario


@pytest.fixture(params=MAKERS)
def store(request: pytest.FixtureRequest, tmp_path: Directory) -> Store:
    return MAKERS[request.param](tmp_path)


@pytest.fixture(params=["", "stream"])
def stream(request: pytest.FixtureRequest) -> str:
    """Whether it is the file's own data or a named stream's."""
    name: str = request.param
    return name


@scenario
async def test_parts_are_written_in_order_and_read_back(store: Store, stream: str) -> None:
    file = await made(store, "a", stream=stream)
    parts: list[Buffer] = [b"abc", bytearray(b""), memoryview(b"defg")]
    assert await file.write(parts, 2, True) == 7
    assert await content(file) == b"\0\0abcdefg"
    await file.write([b"XY"], 3, False)
    assert await content(file) == b"\0\0aXYdefg"
    await file.close()


@scenario
async def test_a_read_is_short_only_at_the_end(store: Store, stream: str) -> None:
    file = await made(store, "a", stream=stream, data=b"0123456789")
    buffer = bytearray(b"." * 8)
    assert await file.read_into(memoryview(buffer), 4) == 6
    assert bytes(buffer) == b"456789.."
    assert await file.read_into(memoryview(buffer), 10) == 0
    assert await file.read_into(memoryview(buffer), 1 << 40) == 0
    assert await file.read_into(memoryview(buffer)[:0], 0) == 0
    await file.close()


@scenario
async def test_a_read_that_does_not_wait_gives_all_or_nothing(store: Store, stream: str) -> None:
    file = await made(store, "a", stream=stream, data=b"0123456789")
    buffer = bytearray(8)
    assert file.read_nowait(memoryview(buffer), 4) in (6, None)
    assert file.read_nowait(memoryview(buffer), 10) in (0, None)
    await file.close()


@scenario
async def test_the_size_can_be_cut_and_grown_with_zeros(store: Store, stream: str) -> None:
    file = await made(store, "a", stream=stream, data=b"0123456789")
    await file.set_size(4)
    assert await content(file) == b"0123"
    await file.set_size(6)
    assert await content(file) == b"0123\0\0"
    await file.set_size(0)
    assert (await file.stat()).size == 0
    await file.close()


@scenario
async def test_allocation_moves_the_end_only_to_cut(store: Store, stream: str) -> None:
    file = await made(store, "a", stream=stream, data=b"0123456789")
    await file.set_allocation(100_000)
    stat = await file.stat()
    assert stat.size == 10
    assert stat.allocation >= (10 if stream else 100_000)
    await file.set_allocation(4)
    assert await content(file) == b"0123"
    await file.close()


@scenario
async def test_zeroing_keeps_the_size(store: Store, stream: str) -> None:
    file = await made(store, "a", stream=stream, data=b"x" * 100)
    await file.zero(10, 20)
    assert await content(file) == b"x" * 10 + bytes(20) + b"x" * 70
    await file.zero(90, 1000)
    await file.zero(500, 10)
    assert await content(file) == b"x" * 10 + bytes(20) + b"x" * 60 + bytes(10)
    await file.close()


@scenario
async def test_allocated_ranges_are_clipped_to_the_question(store: Store, stream: str) -> None:
    file = await made(store, "a", stream=stream, data=b"x" * 100)
    assert await file.allocated(0, 1000) == [(0, 100)]
    assert await file.allocated(10, 20) == [(10, 20)]
    assert await file.allocated(100, 10) == []
    await file.close()


@scenario
async def test_a_copy_between_any_two_stops_at_the_sources_end(store: Store, stream: str) -> None:
    source = await made(store, "a", stream=stream, data=b"0123456789")
    target = await made(store, "b", data=b"......")
    assert await target.copy_from(source, 8, 1, 100) == 2
    assert await content(target) == b".89..."
    assert await source.copy_from(target, 0, 10, 3) == 3
    assert await content(source) == b"0123456789.89"
    await target.clone_from(source, 0, 0, 13)
    assert await content(target) == b"0123456789.89"
    for each in (source, target):
        await each.close()


@scenario
async def test_a_copy_within_one_file_may_overlap(store: Store) -> None:
    file = await made(store, "a", data=b"0123456789")
    assert await file.copy_from(file, 0, 5, 5) == 5
    assert await content(file) == b"0123401234"
    await file.close()


@scenario
async def test_flush_and_trim_change_no_size(store: Store, stream: str) -> None:
    file = await made(store, "a", stream=stream, data=b"x" * 10_000)
    await file.flush()
    await file.trim([(0, 4096), (9_000, 100_000), (1 << 40, 10)])
    assert (await file.stat()).size == 10_000
    await file.close()


@scenario
async def test_directories_hold_no_data(store: Store) -> None:
    directory = await made_directory(store, "d")
    for attempt in _attempts(directory):
        with refused(NT.INVALID_DEVICE_REQUEST):
            await attempt
    assert (await directory.stat()).size == 0
    await directory.flush()
    await directory.close()


def _attempts(file: File) -> list[Awaitable[object]]:
    return [file.read_into(memoryview(bytearray(4)), 0), file.write([b"x"], 0, False), file.set_allocation(0)]


@scenario
async def test_overwriting_leaves_nothing_of_the_old(store: Store) -> None:
    file = await made(store, "a", data=b"old")
    await (await made(store, "a", stream="s", data=b"old")).close()
    await file.set_basic(attributes=0x2)
    await file.set_sparse(True)
    before = await file.stat()
    stat = await file.overwrite(New(attributes=0x4), True)
    assert (stat.size, stat.attributes & 0x27) == (0, 0x24)
    assert stat.created == before.created
    assert [each.name for each in await file.streams()] == [""]
    await file.close()


@scenario
async def test_overwriting_without_superseding_adds_attributes(store: Store) -> None:
    file = await made(store, "a", data=b"old")
    await file.set_basic(attributes=0x2)
    assert (await file.overwrite(New(attributes=0x4), False)).attributes & 0x27 == 0x26
    await file.close()


@scenario
async def test_overwriting_a_stream_leaves_the_file(store: Store) -> None:
    file = await made(store, "a", data=b"kept")
    stream = await made(store, "a", stream="s", data=b"gone")
    assert (await stream.overwrite(New(), True)).size == 0
    assert await content(file) == b"kept"
    for each in (file, stream):
        await each.close()


@scenario
async def test_reading_rights_open_for_reading(store: Store) -> None:
    await (await made(store, "a", data=b"x")).close()
    found = await opened(store, "a", access=READ, make=Make.IF_ABSENT, who=ALICE)
    assert await content(found.file) == b"x"
    await found.file.close()
