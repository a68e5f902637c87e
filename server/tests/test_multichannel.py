"""One session over several connections, and one of them dies: what it takes with it, and what is asked again."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.client import Call, Element, File, Session, SessionChannel, Settings
from benchmarks.client.compound import PREVIOUS
from benchmarks.client.file import changes
from benchmarks.client.tree import SHARE_ALL
from server.messages.create import Disposition, OplockLevel
from server.messages.directory import CompletionFilter, NotifyAction
from server.messages.file import LockElement, LockFlags, LockRequest, LockResponse
from server.messages.header import Flags
from server.messages.info import InfoType, SetInfoRequest, SetInfoResponse
from server.messages.ioctl import Fsctl, IoctlRequest, IoctlResponse
from server.messages.negotiate import Dialect
from server.messages.read_write import WriteRequest, WriteResponse
from server.status import NT
from server.tests.channels import carrying, further, kill, on_a_session, opened, quiet
from server.tests.served import Whole, pattern, settle
from server.tests.stores import refused
from server.tests.test_whole_faults import GatedStore
from transport.base import Lost

# -- what is refused --------------------------------------------------------------------------------------------------
CHANGING: dict[str, Callable[[bytes], Any]] = {
    "write": lambda file_id: (WriteRequest(file_id, 0, b"x"), WriteResponse),
    "set_info": lambda file_id: (SetInfoRequest(file_id, InfoType.FILE, 14, bytes(8)), SetInfoResponse),
    "ioctl": lambda file_id: (IoctlRequest(Fsctl.CREATE_OR_GET_OBJECT_ID, file_id, max_output=64), IoctlResponse),
}


async def ask(file: File, what: str, sequence: int, flags: int = 0) -> None:
    request, kind = CHANGING[what](file.id)
    element = Element(request, file.tree.id, flags, channel_sequence=sequence)
    await (await file.tree.session.channels.first.post(element)).result(kind)


@pytest.mark.parametrize("what", CHANGING)
@pytest.mark.parametrize("flags", [0, Flags.REPLAY], ids=["new", "replay"])
def test_a_stale_sequence_number_changes_nothing(what: str, flags: int) -> None:
    async def test(here: Whole, session: Session, file: File) -> None:
        await ask(file, what, 7, flags)
        for stale in (6, 0, 0xFFFF, 7 + 0x8000):
            with refused(NT.FILE_NOT_AVAILABLE):
                await ask(file, what, stale, flags)
        await ask(file, what, 7 + 0x7FFF, flags)
        with refused(NT.FILE_NOT_AVAILABLE):
            await ask(file, what, 7, flags)
        session.channels.sequence = 0
        await file.flush()
        await file.query(5)
        assert quiet(here)

    on_a_session(test)


def test_before_3_0_there_are_no_sequence_numbers() -> None:
    async def test(here: Whole, session: Session, file: File) -> None:
        await file.close()
        session.channels.sequence = 9  # what the CREATE says in that place means nothing either
        file = await file.tree.create("file")
        for number in (7, 6, 0, 0xFFFF):
            await ask(file, "write", number, Flags.REPLAY)
        assert quiet(here)

    on_a_session(test, Settings(dialects=(Dialect.SMB210,)))


def test_a_request_that_is_refused_counts_no_longer_than_others() -> None:
    async def test(here: Whole, session: Session, file: File) -> None:
        with refused(NT.INVALID_PARAMETER):
            await file.write(1 << 63, b"x")
        with refused(NT.END_OF_FILE):
            await file.read(0, 1)
        with refused(NT.INVALID_DEVICE_REQUEST):
            await file.ioctl(0x123456)
        chain = file.tree.compound().add(WriteRequest(file.id, 0, b"x"))
        for answer in await chain.add(WriteRequest(PREVIOUS, 1 << 63, b"x"), related=True).send():
            answer.release()
        assert quiet(here)

    on_a_session(test)


# -- a channel that dies ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("settings", [Settings(sign=True), Settings(encrypt=True)], ids=["signed", "sealed"])
@pytest.mark.parametrize("dying", [0, 1, 2])
def test_opens_and_locks_stay_when_any_channel_dies(settings: Settings, dying: int) -> None:
    async def test(here: Whole, session: Session, file: File) -> None:
        channels = [session.channels.first, *[await further(here, session) for _ in range(2)]]
        await file.lock(0, 10)
        kill(channels[dying])
        await settle()
        assert session.channels.pick() is not channels[dying]
        assert session.channels.sequence == 1
        await file.write(0, b"mine")
        assert len(opened(here).session.channels) == 2
        other = await (await here.tree()).create("file")
        with refused(NT.FILE_LOCK_CONFLICT):
            await other.write(0, b"yours")
        await file.unlock(0, 10)
        await other.write(0, b"yours")

    on_a_session(test, settings)


def test_the_last_channel_that_dies_ends_the_session() -> None:
    async def test(here: Whole, session: Session, file: File) -> None:
        second = await further(here, session)
        kill(session.channels.first)
        kill(second)
        await settle()
        with pytest.raises(Lost):
            await file.flush()
        assert not here.server.sessions

    on_a_session(test)


def test_a_request_that_dies_with_its_channel_is_answered_over_another() -> None:
    store = GatedStore()

    async def test(here: Whole, session: Session, file: File) -> None:
        await further(here, session)
        store.gate.shut()
        writing = asyncio.ensure_future(file.write(0, pattern(1000)))
        await store.gate.entered.wait()
        kill(carrying(session))
        await settle()
        sequence = opened(here).sequence
        assert (sequence.number, sequence.under_way, sequence.before) == (1, 0, 1), "both were let through"
        assert not writing.done()
        store.gate.opened.set()
        assert await writing == 1000
        assert await file.read(0, 2000) == pattern(1000)
        assert quiet(here)

    on_a_session(test, make_store=lambda share: store)


def test_a_late_write_is_not_done_after_a_newer_one() -> None:
    """It was sent before its channel died, and the server gets to it only now."""

    async def test(here: Whole, session: Session, file: File) -> None:
        first, second = session.channels.first, await further(here, session)
        session.channels.lose(first)
        await file.write(0, b"newer")
        late = Element(WriteRequest(file.id, 0, b"older"), file.tree.id, channel_sequence=0)
        with refused(NT.FILE_NOT_AVAILABLE):
            await (await first.post(late)).result(WriteResponse)
        assert await file.read(0, 5) == b"newer"
        assert second.client.posted > 2

    on_a_session(test)


async def begin_lock(channel: SessionChannel, file: File, number: int) -> Call:
    lock = LockRequest(file.id, [LockElement(0, 10, LockFlags.EXCLUSIVE)], number, 1)
    call = await channel.post(Element(lock, file.tree.id))
    await asyncio.wait_for(call.interim.wait(), 5)
    return call


def test_a_lock_repeated_while_the_first_still_waits_is_had_once() -> None:
    async def test(here: Whole, session: Session, file: File) -> None:
        second = await further(here, session)
        other = await (await here.tree()).create("file")
        await other.lock(0, 10)
        lost = await begin_lock(session.channels.first, file, 3)
        again = await begin_lock(second, file, 3)
        with refused(NT.CANCELLED):
            await lost.result(LockResponse)
        await other.unlock(0, 10)
        await again.result(LockResponse)
        await file.lock(0, 10, LockFlags.UNLOCK)
        await other.lock(0, 10)
        await other.close()

    on_a_session(test)


def test_a_lock_that_waits_on_a_dying_channel_is_had_over_another() -> None:
    async def test(here: Whole, session: Session, file: File) -> None:
        await further(here, session)
        other = await (await here.tree()).create("file")
        await other.lock(0, 10)
        locking = asyncio.ensure_future(file.lock(0, 10))
        await settle()
        kill(carrying(session))
        await settle()
        assert not locking.done()
        await other.unlock(0, 10)
        await locking
        with refused(NT.FILE_LOCK_CONFLICT):
            await other.write(0, b"x")
        await other.close()
        assert quiet(here)

    on_a_session(test)


def test_a_lock_whose_answer_was_lost_is_had_once() -> None:
    async def test(here: Whole, session: Session, file: File) -> None:
        second = await further(here, session)
        lock = LockRequest(file.id, [LockElement(0, 10, LockFlags.SHARED)], 5, 64)
        for channel in (session.channels.first, second, second):
            await (await channel.post(Element(lock, file.tree.id))).result(LockResponse)
        await file.unlock(0, 10)
        with refused(NT.RANGE_NOT_LOCKED):
            await file.unlock(0, 10)

    on_a_session(test)


def test_changes_are_told_over_another_channel_and_none_is_missed() -> None:
    async def test(here: Whole, session: Session, file: File) -> None:
        first, second = session.channels.first, await further(here, session)
        directory = await file.tree.directory()
        session.channels.alive.remove(second)
        pending = await directory.notify(CompletionFilter.FILE_NAME)
        await asyncio.wait_for(pending.interim.wait(), 5)
        session.channels.alive.append(second)
        kill(first)
        await settle()
        with pytest.raises(Lost):
            await pending.answer()
        await file.tree.create("between", disposition=Disposition.CREATE)
        told = await changes(await directory.notify(CompletionFilter.FILE_NAME))
        assert [(change.action, change.name) for change in told] == [(NotifyAction.ADDED, "between")]

    on_a_session(test)


@pytest.mark.parametrize("settings", [Settings(), Settings(encrypt=True)], ids=["plain", "sealed"])
def test_a_break_comes_over_the_channel_that_is_left(settings: Settings) -> None:
    async def test(here: Whole, session: Session, file: File) -> None:
        first = session.channels.first
        await further(here, session)
        await file.close()
        kept = await file.tree.create("kept", disposition=Disposition.CREATE, oplock=OplockLevel.BATCH)
        assert kept.created.oplock_level == OplockLevel.BATCH
        kill(first)
        other = await here.tree()
        opening = asyncio.ensure_future(other.create("kept", share=SHARE_ALL))
        told = await asyncio.wait_for(session.channels.first.client.notifications.get(), 5)
        assert session.channels.first is not first
        assert told.body.file_id == kept.id  # type: ignore[union-attr]
        await kept.close()
        await opening

    on_a_session(test, settings)
