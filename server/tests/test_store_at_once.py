"""Opens without a thread: what may be had so, that it is never more than a thread would have given, and that all that
changes on the disk shows at once."""

import asyncio
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path as Directory

import pytest

from server.status import NT
from server.store import syscalls
from server.store.base import Found, Identity, Make, Wanted
from server.store.options import Options
from server.store.posix import PosixStore
from server.store.ring import OpeningRing
from server.store.threads import IdentityThreads

from .stores import (
    ALICE,
    BOB,
    BOTH,
    MAXIMUM,
    NEEDS_ROOT,
    READ,
    ROOT,
    WRITE,
    AtOnceStore,
    at_once_store,
    made,
    made_directory,
    refused,
    scenario,
)
from .test_store_threads import credentials

ATTRIBUTES = 0x80


@pytest.fixture
def store(tmp_path: Directory) -> AtOnceStore:
    (tmp_path / "share").mkdir()
    return at_once_store(tmp_path / "share")


@pytest.fixture
def root(store: PosixStore, tmp_path: Directory) -> Directory:
    return tmp_path / "share"


def _ring_or_none() -> bool:
    try:
        OpeningRing().close()
    except OSError:
        return False
    return True


pytestmark = pytest.mark.skipif(ROOT and not _ring_or_none(), reason="no io_uring here")


def at_once(
    store: PosixStore, *path: str, access: int = ATTRIBUTES, who: Identity = ALICE, make: Make = Make.NEVER
) -> Found | None:
    return store.open_nowait(who, Wanted(path, access=access, make=make))


async def seen(store: PosixStore, *path: str, access: int = ATTRIBUTES, who: Identity = ALICE) -> None:
    """A first open, in a thread: from now on the file is known."""
    await (await PosixStore.open(store, who, Wanted(path, access=access))).file.close()


@pytest.mark.parametrize("path", [(), ("file",), ("directory",), ("directory", "file")], ids="/".join)
@pytest.mark.parametrize("access", [ATTRIBUTES, READ, WRITE, BOTH])
@scenario
async def test_what_is_known_is_opened_at_once_as_a_thread_opens_it(
    store: AtOnceStore, path: tuple[str, ...], access: int
) -> None:
    await (await made(store, "file", data=b"data")).close()
    await (await made_directory(store, "directory")).close()
    await (await made(store, "directory", "file", data=b"more")).close()
    by_thread = await PosixStore.open(store, ALICE, Wanted(path, access=access))
    await by_thread.file.close()
    found = at_once(store, *path, access=access)
    assert found is not None
    assert (found.stat, found.descriptor, found.parent) == (by_thread.stat, by_thread.descriptor, by_thread.parent)
    assert (found.made, found.file.key, found.file.path()) == (False, by_thread.file.key, path)
    await found.file.close()


@scenario
async def test_data_opened_at_once_is_read_and_written(store: AtOnceStore) -> None:
    await (await made(store, "file", data=b"data")).close()
    await seen(store, "file")
    found = at_once(store, "file", access=BOTH)
    assert found is not None
    await found.file.write([b"DA"], 0, False)
    buffer = bytearray(4)
    assert await found.file.read_into(memoryview(buffer), 0) == 4
    assert bytes(buffer) == b"DAta"
    await found.file.close()


@scenario
async def test_a_second_open_shares_the_description_of_the_first(store: AtOnceStore) -> None:
    await (await made(store, "file")).close()
    await seen(store, "file", access=BOTH)
    one, other = at_once(store, "file", access=BOTH), at_once(store, "file", access=READ)
    assert one is not None
    assert other is None, "who has not been let read yet has to be asked for"
    await seen(store, "file", access=READ)
    other = at_once(store, "file", access=READ)
    assert other is not None
    assert other.file.kernel_lease() is one.file.kernel_lease() is not None
    for each in (one, other):
        await each.file.close()


@pytest.mark.parametrize(
    "changed",
    [
        lambda file: os.setxattr(file, "user.new", b"value"),
        lambda file: file.chmod(0o600),
        lambda file: file.write_bytes(b"more data than before"),
        lambda file: os.utime(file, (1, 1)),
        lambda file: os.link(file, file.with_name("another name")),
    ],
    ids=["xattr", "mode", "data", "times", "link"],
)
@scenario
async def test_what_another_process_changes_shows(store: AtOnceStore, changed: Callable[[Directory], None]) -> None:
    root = Directory(os.readlink(f"/proc/self/fd/{store.resolver.root}"))
    await (await made(store, "file", data=b"data")).close()
    await seen(store, "file")
    changed(root / "file")
    found = at_once(store, "file")
    thread = await PosixStore.open(store, ALICE, Wanted(("file",), access=ATTRIBUTES))
    assert found is None or (found.stat, found.descriptor) == (thread.stat, thread.descriptor)
    for each in (found, thread):
        if each is not None:
            await each.file.close()


@scenario
async def test_another_file_of_that_name_is_not_taken_for_the_first(store: AtOnceStore, root: Directory) -> None:
    await (await made(store, "file")).close()
    await seen(store, "file", access=BOTH)
    (root / "file").rename(root / "old")
    os.mkfifo(root / "file")
    assert at_once(store, "file", access=BOTH) is None
    (root / "file").unlink()
    (root / "file").symlink_to("old")
    assert at_once(store, "file", access=BOTH) is None


@pytest.mark.parametrize("make", [Make.ALWAYS, Make.IF_ABSENT])
@scenario
async def test_what_is_to_be_made_or_refused_is_left_to_a_thread(store: AtOnceStore, make: Make) -> None:
    await seen(store)
    assert at_once(store, "absent", make=make) is None
    await (await made(store, "file")).close()
    await seen(store, "file")
    assert (at_once(store, "file", make=make) is None) == (make is Make.ALWAYS)
    assert store.open_nowait(ALICE, Wanted(("file",), "stream")) is None
    assert at_once(store, "file", access=MAXIMUM) is None


@scenario
async def test_who_took_long_to_open_data_is_a_threads_to_wait_for(store: AtOnceStore) -> None:
    await (await made(store, "file")).close()
    await seen(store, "file", access=BOTH)
    now, slow = 0.0, False

    def clock() -> float:
        nonlocal now
        now += slow
        return now

    async def opens() -> bool:
        found = at_once(store, "file", access=BOTH)
        if found is not None:
            await found.file.close()
        return found is not None

    store._at_once._clock = clock
    for each in (True, *[False] * 16, True, False):
        slow = each
        assert await opens(), "once by chance is not often"
    slow = True
    assert await opens()
    assert not await opens()
    now += 60
    assert await opens()


@pytest.mark.parametrize(("entries", "kept"), [(1, True), (1000, False)])
@scenario
async def test_large_descriptors_do_not_fill_the_memory(
    store: AtOnceStore, monkeypatch: pytest.MonkeyPatch, entries: int, kept: bool
) -> None:
    await (await made(store, "file")).close()
    large = b"".join(b"%d" % number for number in range(entries))
    monkeypatch.setattr("server.store.acls.of", lambda *arguments: large * 4)
    await seen(store, "file")
    found = at_once(store, "file")
    assert (found is not None) == kept
    if found is not None:
        await found.file.close()


# -- as others --------------------------------------------------------------------------------------------------
@NEEDS_ROOT
@scenario
async def test_nobody_opens_at_once_what_the_system_would_refuse(store: AtOnceStore, root: Directory) -> None:
    root.chmod(0o755)
    await (await made_directory(store, "directory")).close()
    await (await made(store, "directory", "file")).close()
    for who in (ALICE, BOB):
        await seen(store, "directory", "file", who=who)
    (root / "directory").chmod(0o700)
    await seen(store, "directory")
    for who, mine in ((ALICE, True), (BOB, False)):
        found = at_once(store, "directory", "file", who=who)
        assert (found is not None) == mine
        if found is not None:
            await found.file.close()
    with refused(NT.ACCESS_DENIED):
        await store.open(BOB, Wanted(("directory", "file"), access=ATTRIBUTES))


@NEEDS_ROOT
@scenario
async def test_data_that_is_not_ones_own_is_not_opened_at_once(store: AtOnceStore, root: Directory) -> None:
    await (await made(store, "file")).close()
    (root / "file").chmod(0o600)
    for who in (ALICE, BOB):
        await seen(store, "file", who=who)
    theirs = at_once(store, "file", access=BOTH)
    assert theirs is not None
    assert at_once(store, "file", access=READ, who=BOB) is None, "joined what another has open"
    await theirs.file.close()
    assert at_once(store, "file", access=READ, who=BOB) is None
    with refused(NT.ACCESS_DENIED):
        await store.open(BOB, Wanted(("file",), access=READ))


@NEEDS_ROOT
@scenario
async def test_the_event_loops_thread_keeps_its_credentials(store: AtOnceStore) -> None:
    await (await made(store, "file")).close()
    before = credentials()
    for who in (ALICE, BOB):
        await seen(store, "file", who=who)
        found = at_once(store, "file", who=who)
        assert found is not None
        assert credentials() == before
        await found.file.close()


@NEEDS_ROOT
def test_accounts_that_came_first_make_room_and_come_again(
    tmp_path: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.store.ring._MOST", 1)
    at_once_store(tmp_path).resolver.close()
    threads = IdentityThreads(2)
    store = AtOnceStore(str(tmp_path), Options(threads))

    async def whole() -> None:
        await (await made(store, "file")).close()
        for who, other in ((ALICE, BOB), (BOB, ALICE), (ALICE, BOB)):
            await seen(store, "file", who=who)
            found = at_once(store, "file", who=who)
            assert found is not None
            await found.file.close()
            assert at_once(store, "file", who=other) is None
        await store.close()

    asyncio.run(whole())
    threads.close()


@NEEDS_ROOT
def test_an_account_that_two_threads_introduce_at_once_is_introduced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ring, registered = OpeningRing(), list[int]()

    def register(ring: int, operation: int, number: int) -> int:
        registered.append(operation)
        return 1

    class Other:
        """A thread that was faster comes in while this one waits for the lock."""

        def __enter__(self) -> None:
            ring._lock = threading.Lock()
            ring.introduce(ALICE.credentials)

        def __exit__(self, *problem: object) -> None:
            pass

    monkeypatch.setattr(syscalls, "io_uring_register", register)
    ring._lock = Other()  # type: ignore[assignment]
    ring.introduce(ALICE.credentials)
    ring.close()
    assert len(registered) == 1


@NEEDS_ROOT
@scenario
async def test_a_ring_that_fails_is_closed_and_threads_open(
    store: AtOnceStore, tmp_path: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = IdentityThreads(2)
    failing = AtOnceStore(str(tmp_path / "share"), Options(threads))
    await (await made(failing, "file")).close()
    await seen(failing, "file")
    ring = threads._ring
    assert ring is not None

    def fail(*arguments: int) -> None:
        raise OSError(errno.EAGAIN, "no memory")

    monkeypatch.setattr(syscalls, "io_uring_enter", fail)
    assert at_once(failing, "file") is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(ring._descriptor)
    monkeypatch.undo()
    await (await failing.open(ALICE, Wanted(("file",), access=READ))).file.close()
    await failing.close()
    threads.close()
