"""Identity threads: who a call runs as, what a cancelled caller waits for, and what it costs the process."""

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest

from server.status import NT, Status
from server.store.base import Identity
from server.store.threads import IdentityThreads, as_service

from .stores import ALICE, BOB, NEEDS_ROOT, ROOT, identity, refused


@pytest.fixture
def threads() -> Iterator[IdentityThreads]:
    pool = IdentityThreads(2)
    yield pool
    pool.close()


def credentials() -> tuple[str, ...]:
    """The calling thread's file-system user and group, its groups and effective capabilities, as the kernel says."""
    with open(f"/proc/self/task/{threading.get_native_id()}/status") as file:
        lines = dict(line.rstrip("\n").split(":\t", 1) for line in file)
    return lines["Uid"].split()[3], lines["Gid"].split()[3], lines["Groups"].strip(), lines["CapEff"]


@NEEDS_ROOT
def test_each_call_runs_as_who_asks(threads: IdentityThreads) -> None:
    async def whole() -> None:
        for who in (ALICE, BOB, identity(54003, 7, 8), ALICE):
            uid, gid, groups, _ = await threads.run(who, credentials)
            assert (uid, gid) == (str(who.uid), str(who.gid))
            assert sorted(map(int, groups.split())) == sorted(who.groups)
        assert (await threads.run(None, credentials))[:2] == ("0", "0")

    before = credentials()
    asyncio.run(whole())
    assert credentials() == before


@NEEDS_ROOT
def test_quotas_hold_for_every_call(threads: IdentityThreads) -> None:
    """CAP_SYS_RESOURCE would ignore them."""
    for who in (None, ALICE):
        capabilities = int(asyncio.run(threads.run(who, credentials))[3], 16)
        assert not capabilities >> 24 & 1


@NEEDS_ROOT
def test_the_services_own_work_within_a_call_is_done_as_itself(threads: IdentityThreads) -> None:
    def call() -> list[str]:
        seen = [credentials()[0]]
        with as_service():
            seen.append(credentials()[0])
        return [*seen, credentials()[0]]

    assert asyncio.run(threads.run(ALICE, call)) == [str(ALICE.uid), "0", str(ALICE.uid)]


def test_outside_the_pool_nothing_is_switched() -> None:
    before = credentials()
    with as_service():
        assert credentials() == before


@NEEDS_ROOT
def test_an_identity_that_cannot_be_taken_runs_nothing(threads: IdentityThreads) -> None:
    impossible = Identity("nobody", 0xFFFFFFFF, 1, (1,), frozenset(), b"", b"")
    ran: list[int] = []

    async def whole() -> None:
        with refused(NT.ACCESS_DENIED):
            await threads.run(impossible, ran.append, 1)
        assert (await threads.run(ALICE, credentials))[0] == str(ALICE.uid)

    asyncio.run(whole())
    assert ran == []


@pytest.mark.skipif(ROOT, reason="root switches")
def test_without_root_all_run_as_the_service(threads: IdentityThreads) -> None:
    assert asyncio.run(threads.run(BOB, credentials))[0] == str(os.geteuid())


def test_a_threads_umask_is_its_own(threads: IdentityThreads) -> None:
    def umask() -> int:
        mask = os.umask(0)
        os.umask(mask)
        return mask

    before = umask()
    assert asyncio.run(threads.run(None, umask)) == 0
    assert umask() == before


def test_an_error_of_the_system_becomes_its_status(threads: IdentityThreads) -> None:
    async def whole() -> None:
        with refused(NT.OBJECT_NAME_NOT_FOUND):
            await threads.run(None, os.stat, "/nowhere/at/all")
        with pytest.raises(ZeroDivisionError):
            await threads.run(None, divmod, 1, 0)
        with pytest.raises(Status):
            await threads.run(None, _refuse)

    asyncio.run(whole())


def _refuse() -> None:
    raise Status(NT.DELETE_PENDING)


@pytest.mark.parametrize("fails", [False, True])
def test_a_cancelled_caller_waits_until_its_buffer_is_given_back(threads: IdentityThreads, fails: bool) -> None:
    buffer = bytearray(b"before")
    started, may_end = threading.Event(), threading.Event()
    undone: list[str] = []

    def call() -> str:
        started.set()
        may_end.wait(10)
        buffer[:] = b"thread"
        if fails:
            raise OSError("failed")
        return "got"

    async def whole() -> None:
        task = asyncio.create_task(threads.run(None, call, undo=undone.append))
        await asyncio.sleep(0)
        assert started.wait(10)
        task.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not task.done()
        assert bytes(buffer) == b"before"
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert bytes(buffer) == b"thread"

    asyncio.run(whole())
    assert undone == ([] if fails else ["got"])


def test_a_loop_that_is_gone_does_not_stop_a_thread() -> None:
    threads = IdentityThreads(1)
    may_end = threading.Event()

    async def abandon() -> None:
        call = threads.run(None, may_end.wait, 10)
        call.send(None)
        call.close()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(abandon())
    loop.close()
    may_end.set()
    assert asyncio.run(threads.run(None, len, "abc")) == 3
    threads.close()


def test_closing_lets_what_is_queued_end(threads: IdentityThreads) -> None:
    done: list[int] = []

    async def whole() -> None:
        calls = [asyncio.create_task(threads.run(None, done.append, number)) for number in range(20)]
        await asyncio.sleep(0)
        threads.close()
        await asyncio.gather(*calls)

    asyncio.run(whole())
    assert sorted(done) == list(range(20))
