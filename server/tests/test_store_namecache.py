"""Finding names without case: how many names are looked at, and what other processes' changes do to it."""

import asyncio
import os
from pathlib import Path as Directory

import pytest

from server.status import NT
from server.store.base import Make
from server.store.namecache import NameCache
from server.store.names import fold

from .stores import READ, made, made_directory, names, opened, posix_store, refused

TICK = 1_000_000_000


class Clock:
    """Far ahead of file times, so that no listing is young, unless it is set."""

    def __init__(self) -> None:
        self.now = 1 << 62

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def directory(tmp_path: Directory) -> int:
    return os.open(tmp_path, os.O_RDONLY)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_making_many_files_looks_at_few_names(tmp_path: Directory) -> None:
    count = 400

    async def whole() -> int:
        store = posix_store(tmp_path)
        for number in range(count):
            await (await made(store, f"File{number}")).close()
        assert len(await names(store)) == count
        await store.close()
        return store.resolver.cache.looked_at

    assert asyncio.run(whole()) <= 3 * count


def test_exact_names_are_found_without_looking(tmp_path: Directory) -> None:
    async def whole() -> int:
        store = posix_store(tmp_path)
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "b").touch()
        await (await opened(store, "a", "b", access=0)).file.close()
        await store.close()
        return store.resolver.cache.looked_at

    assert asyncio.run(whole()) == 0


def test_a_name_made_by_another_process_is_found(tmp_path: Directory, directory: int, clock: Clock) -> None:
    cache = NameCache(clock=clock)
    assert cache.find(directory, "ONE") is None
    (tmp_path / "one").touch()
    os.utime(tmp_path, ns=(1, 1))  # as a clock that has ticked would
    assert cache.find(directory, "ONE") == b"one"


def test_a_listing_read_in_the_same_tick_as_a_change_is_read_again(
    tmp_path: Directory, directory: int, clock: Clock
) -> None:
    os.utime(tmp_path, ns=(0, 5 * TICK))
    stamp = os.stat(tmp_path)
    clock.now = 5 * TICK + 1
    cache = NameCache(clock=clock)
    assert cache.find(directory, "ONE") is None
    looked = cache.looked_at
    assert cache.find(directory, "ONE") is None
    assert cache.looked_at == looked
    (tmp_path / "one").touch()
    cache._listings[(stamp.st_dev, stamp.st_ino)].stamp = _times(directory)  # the times show nothing of it
    clock.now += TICK
    os.utime(tmp_path, ns=(0, 5 * TICK))
    assert cache.find(directory, "ONE") == b"one"


def _times(directory: int) -> tuple[int, int]:
    status = os.fstat(directory)
    return status.st_mtime_ns, status.st_ctime_ns


def test_our_own_changes_are_learnt_with_the_new_times(tmp_path: Directory, directory: int, clock: Clock) -> None:
    (tmp_path / "old").touch()
    cache = NameCache(clock=clock)
    assert cache.find(directory, "NEW") is None
    looked = cache.looked_at
    with cache.change(directory) as change:
        assert not change.holds("NEW")
        (tmp_path / "New").touch()
        change.made(b"New")
        (tmp_path / "old").unlink()
        change.removed(b"old")
        assert change.holds("NEW")
    assert cache.find(directory, "NEW") == b"New"
    assert cache.find(directory, "OLD") is None
    assert cache.looked_at == looked


def test_a_change_by_another_before_ours_drops_what_was_held(tmp_path: Directory, directory: int, clock: Clock) -> None:
    cache = NameCache(clock=clock)
    assert cache.find(directory, "A") is None
    (tmp_path / "theirs").touch()
    os.utime(tmp_path, ns=(1, 1))
    with cache.change(directory) as change:
        (tmp_path / "ours").touch()
        change.made(b"ours")
    assert cache.find(directory, "THEIRS") == b"theirs"
    assert cache.find(directory, "OURS") == b"ours"


def test_after_as_many_own_changes_as_names_it_is_read_again(tmp_path: Directory, directory: int, clock: Clock) -> None:
    cache = NameCache(clock=clock)
    cache.find(directory, "X")
    for number in range(66):
        with cache.change(directory) as change:
            (tmp_path / f"n{number}").touch()
            change.made(b"n%d" % number)
    assert cache.looked_at == 0
    assert cache.find(directory, "N65") == b"n65"
    assert cache.looked_at == 66


def test_memory_is_bounded_over_directories(tmp_path: Directory) -> None:
    cache = NameCache(limit=25)
    for each in range(5):
        below = tmp_path / f"d{each}"
        below.mkdir()
        for number in range(10):
            (below / f"n{number}").touch()
        descriptor = os.open(below, os.O_RDONLY)
        assert cache.find(descriptor, "N3") == b"n3"
        os.close(descriptor)
    assert sum(len(listing.names) for listing in cache._listings.values()) <= 25


def test_a_directory_larger_than_the_memory_is_still_searched(tmp_path: Directory, directory: int) -> None:
    cache = NameCache(limit=5)
    for number in range(10):
        (tmp_path / f"n{number}").touch()
    assert cache.find(directory, "N7") == b"n7"
    assert cache.find(directory, "N8") == b"n8"


def test_a_name_gone_behind_our_back_is_noticed(tmp_path: Directory) -> None:
    async def whole() -> None:
        store = posix_store(tmp_path)
        await (await made(store, "Gone")).close()
        with refused(NT.OBJECT_NAME_NOT_FOUND):
            await opened(store, "other")
        root = os.stat(tmp_path)
        (tmp_path / "Gone").unlink()
        listing = store.resolver.cache._listings[(root.st_dev, root.st_ino)]
        listing.stamp = _times(store.resolver.root)  # a change that the times did not show
        assert listing.names == {"GONE": b"Gone"}
        with refused(NT.OBJECT_NAME_NOT_FOUND):
            await opened(store, "gone")
        await store.close()

    asyncio.run(whole())


def test_names_that_no_client_could_send_are_not_held(tmp_path: Directory, directory: int) -> None:
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff", os.O_CREAT | os.O_WRONLY))
    (tmp_path / "a:b").touch()
    cache = NameCache()
    assert cache.find(directory, fold("a:b")) is None
    assert cache.find(directory, "\udcff") is None


def test_two_renames_in_opposite_directions_do_not_wait_for_each_other(tmp_path: Directory) -> None:
    async def whole() -> None:
        store = posix_store(tmp_path)
        for name in ("d", "e"):
            await (await made_directory(store, name)).close()
        there = [await made(store, "d", f"a{number}") for number in range(8)]
        back = [await made(store, "e", f"b{number}") for number in range(8)]
        renames = [file.rename(("e", f"A{number}"), False) for number, file in enumerate(there)]
        renames += [file.rename(("d", f"B{number}"), False) for number, file in enumerate(back)]
        await asyncio.wait_for(asyncio.gather(*renames), 30)
        assert await names(store, "e") == {f"A{number}" for number in range(8)}
        found = await opened(store, "D", "b3", access=READ, make=Make.IF_ABSENT)
        assert not found.made
        for file in (*there, *back, found.file):
            await file.close()
        await store.close()

    asyncio.run(whole())
