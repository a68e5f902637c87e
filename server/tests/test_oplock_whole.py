"""Oplocks and leases on the whole server: who is told, over which channel, who waits, what is left at the end."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.client import File, Settings, Tree
from server.breaks import GRACE, RETRY, TIMEOUT
from server.config import Share
from server.messages.create import (
    CreateContext,
    CreateOptions,
    CreateRequest,
    CreateResponse,
    Disposition,
    OplockLevel,
)
from server.messages.create_contexts import ContextName
from server.messages.create_contexts import Lease as LeaseContext
from server.messages.file import CloseRequest, CloseResponse
from server.messages.fscc_file import FileClass
from server.messages.fscc_set import EndOfFile
from server.messages.negotiate import Dialect
from server.messages.oplock import (
    ACK_REQUIRED,
    LeaseBreak,
    LeaseNotification,
    OplockBreak,
    OplockBreakRequest,
    OplockBreakResponse,
)
from server.oplock import HANDLE, READ, WRITE
from server.status import NT, Status
from server.tests.served import Whole, on_a_server, settle
from transport.base import Lost

RH, RWH = READ | HANDLE, READ | WRITE | HANDLE
KEY, OTHER, PARENT = b"k" * 16, b"o" * 16, b"p" * 16


class Clock:
    """Stands in for the loop's: what is due later is done by `pass_by`."""

    def __init__(self) -> None:
        self.due: list[Any] = []

    def later(self, delay: float, callback: Callable[..., None], *arguments: Any) -> Any:
        timer = _Timer(delay, callback, arguments)
        self.due.append(timer)
        return timer

    async def pass_by(self, seconds: float) -> None:
        for timer in [timer for timer in self.due if timer.delay <= seconds]:
            self.due.remove(timer)
            if not timer.cancelled:
                timer.callback(*timer.arguments)
        await settle()

    @property
    def running(self) -> int:
        return sum(not timer.cancelled for timer in self.due)


class _Timer:
    def __init__(self, delay: float, callback: Callable[..., None], arguments: Any) -> None:
        self.delay, self.callback, self.arguments, self.cancelled = delay, callback, arguments, False

    def cancel(self) -> None:
        self.cancelled = True


def clock_of(here: Whole) -> Clock:
    clock = Clock()
    here.server.opens.breaks.later = clock.later
    return clock


def wish(key: bytes, state: int, parent: bytes | None = bytes(16), epoch: int = 0) -> Any:
    """What makes `Tree.create` ask for a lease; of version 1 where `parent` is None."""
    flags = 4 if parent and any(parent) else 0
    context = CreateContext(ContextName.RQLS, LeaseContext(key, state, flags, parent, epoch).pack())
    return {"oplock": OplockLevel.LEASE, "contexts": [context]}


def granted(file: File) -> LeaseContext:
    (context,) = [context for context in file.created.contexts if context.name == ContextName.RQLS]
    return LeaseContext.parse(context.data)


async def told(tree: Tree) -> Any:
    """The next break that the client hears of."""
    return (await asyncio.wait_for(tree.client.notifications.get(), 5)).body


async def acknowledge(tree: Tree, body: OplockBreak | LeaseBreak) -> Any:
    return (await tree.call(OplockBreakRequest(body), OplockBreakResponse)).body


async def starts(waiting: "asyncio.Future[Any]") -> None:
    await settle()
    assert not waiting.done()


def test_an_oplock_is_broken_for_another_open_which_goes_on_when_that_is_acknowledged() -> None:
    async def use(here: Whole) -> None:
        first, second = await here.tree(), await here.tree()
        held = await first.create("file", disposition=Disposition.CREATE, oplock=OplockLevel.BATCH)
        assert held.created.oplock_level == OplockLevel.BATCH
        waiting = asyncio.ensure_future(second.create("file", oplock=OplockLevel.BATCH))
        notice = await told(first)
        assert isinstance(notice, OplockBreak)
        assert (notice.oplock_level, notice.file_id) == (OplockLevel.II, held.id)
        await starts(waiting)
        answer = await acknowledge(first, OplockBreak(oplock_level=OplockLevel.II, file_id=held.id))
        assert answer.oplock_level == OplockLevel.II
        assert (await waiting).created.oplock_level == OplockLevel.II

    on_a_server(use)


def test_a_client_that_never_acknowledges_holds_others_up_for_35_seconds() -> None:
    async def use(here: Whole) -> None:
        clock = clock_of(here)
        first, second = await here.tree(), await here.tree()
        held = await first.create("file", disposition=Disposition.CREATE, **wish(KEY, RWH))
        waiting = asyncio.ensure_future(second.create("file"))
        await told(first)
        await clock.pass_by(TIMEOUT - 1)
        await starts(waiting)
        await clock.pass_by(TIMEOUT)
        await waiting
        with pytest.raises(Status) as refused:
            await acknowledge(first, LeaseBreak(key=KEY, state=RH))
        assert refused.value.code == NT.UNSUCCESSFUL
        again = await first.create("file", **wish(KEY, READ))
        assert granted(again).state == READ
        await held.close()
        assert not clock.running

    on_a_server(use)


def test_a_client_that_leaves_holds_nobody_up_and_leaves_nothing() -> None:
    async def use(here: Whole) -> None:
        clock = clock_of(here)
        first, second = await here.tree(), await here.tree()
        await first.create("file", disposition=Disposition.CREATE, **wish(KEY, RWH))
        waiting = asyncio.ensure_future(second.create("file", **wish(OTHER, RWH)))
        await told(first)
        await first.client.close()
        assert granted(await waiting).state == RWH
        assert not clock.running

    on_a_server(use)


def test_an_open_that_waits_is_cancelled_and_the_break_goes_on() -> None:
    async def use(here: Whole) -> None:
        first, second = await here.tree(), await here.tree()
        await first.create("file", disposition=Disposition.CREATE, **wish(KEY, RWH))
        call = await second.post(CreateRequest("file", READ))
        await told(first)
        await call.interim.wait()
        await second.client.cancel(call)
        with pytest.raises(Status) as refused:
            await call.result(CreateResponse)
        assert refused.value.code == NT.CANCELLED
        assert (await acknowledge(first, LeaseBreak(key=KEY, state=RH))).state == RH

    on_a_server(use)


def test_a_refused_open_breaks_handles_and_is_let_in_when_the_cached_open_is_closed() -> None:
    async def use(here: Whole) -> None:
        first, second = await here.tree(), await here.tree()
        held = await first.create("file", disposition=Disposition.CREATE, share=0, **wish(KEY, RWH))
        waiting = asyncio.ensure_future(second.create("file"))
        notice = await told(first)
        assert (notice.current_state, notice.new_state) == (RWH, READ | WRITE)
        await held.close()
        await waiting

    on_a_server(use)


def test_a_write_takes_what_others_have_read_and_goes_on_without_their_answer() -> None:
    async def use(here: Whole) -> None:
        clock = clock_of(here)
        first, second = await here.tree(), await here.tree()
        reader = await first.create("file", disposition=Disposition.CREATE, **wish(KEY, RH))
        writer = await second.create("file", **wish(OTHER, RH))
        writing = asyncio.ensure_future(writer.write(0, b"new"))
        notice = await told(first)
        assert isinstance(notice, LeaseNotification)
        assert (notice.current_state, notice.new_state, notice.flags) == (RH, 0, ACK_REQUIRED)
        await starts(writing)
        await clock.pass_by(GRACE)
        assert await writing == 3
        await acknowledge(first, LeaseBreak(key=KEY, state=0))
        assert await reader.read(0, 3) == b"new"
        assert second.client.notifications.empty()

    on_a_server(use)


@pytest.mark.parametrize("change", ["size", "lock", "cut"])
def test_what_changes_or_locks_data_takes_what_others_have_read(change: str) -> None:
    async def use(here: Whole) -> None:
        first, second = await here.tree(), await here.tree()
        await first.create("file", disposition=Disposition.CREATE, oplock=OplockLevel.II)
        other = await second.create("file")
        if change == "size":
            await other.set(FileClass.END_OF_FILE, EndOfFile(5).pack())
        elif change == "lock":
            await other.lock(0, 1)
        else:
            await second.create("file", disposition=Disposition.OVERWRITE)
        assert (await told(first)).oplock_level == OplockLevel.NONE

    on_a_server(use)


def test_deletion_waits_until_cached_opens_are_given_up_and_sends_no_interim_response() -> None:
    async def use(here: Whole) -> None:
        first, second = await here.tree(), await here.tree()
        held = await first.create("file", disposition=Disposition.CREATE, **wish(KEY, RH))
        other = await second.create("file", options=CreateOptions.DELETE_ON_CLOSE)
        closing = await second.post(CloseRequest(other.id))
        assert (await told(first)).new_state == READ
        await settle()
        assert not closing.interim.is_set() and not closing.answered.done()
        await acknowledge(first, LeaseBreak(key=KEY, state=READ))
        await closing.result(CloseResponse)
        with pytest.raises(Status) as refused:
            await second.create("file")
        assert refused.value.code == NT.DELETE_PENDING
        await held.close()

    on_a_server(use)


def test_a_lease_key_stands_for_one_file() -> None:
    async def use(here: Whole) -> None:
        tree = await here.tree()
        await tree.create("one", disposition=Disposition.CREATE, **wish(KEY, RWH))
        for disposition in (Disposition.CREATE, Disposition.OPEN_IF):
            with pytest.raises(Status) as refused:
                await tree.create("two", disposition=disposition, **wish(KEY, RWH))
            assert refused.value.code == NT.INVALID_PARAMETER
        assert granted(await tree.create("ONE", **wish(KEY, RH))).state == RWH
        with pytest.raises(Status) as refused:
            await tree.create("two")
        assert refused.value.code == NT.OBJECT_NAME_NOT_FOUND

    on_a_server(use)


def test_what_others_do_in_a_directory_ends_the_lease_on_it_and_what_its_holder_does_itself_does_not() -> None:
    async def use(here: Whole) -> None:
        first, second = await here.tree(), await here.tree()
        directory = await first.create(
            "dir", disposition=Disposition.CREATE, options=CreateOptions.DIRECTORY_FILE, **wish(PARENT, RWH, epoch=8)
        )
        assert (granted(directory).state, granted(directory).epoch) == (RH, 9)
        mine = await first.create("dir\\mine", disposition=Disposition.CREATE, **wish(KEY, RH, PARENT))
        await mine.write(0, b"data")
        await mine.close()
        await settle()
        assert first.client.notifications.empty()
        await second.create("dir\\other", disposition=Disposition.CREATE)
        notice = await told(first)
        assert (notice.key, notice.new_state, notice.epoch) == (PARENT, 0, 10)

    on_a_server(use)


def test_a_break_goes_over_another_channel_when_the_first_is_gone() -> None:
    async def use(here: Whole) -> None:
        tree = await here.tree()
        held = await tree.create("file", disposition=Disposition.CREATE, oplock=OplockLevel.EXCLUSIVE)
        (served,) = here.server.sessions.values()
        second = await here.tree()
        channels = dict(served.channels)
        served.channels = {_Dead(): next(iter(channels.values())), **channels}  # type: ignore[dict-item]
        waiting = asyncio.ensure_future(second.create("file"))
        assert (await told(tree)).file_id == held.id
        served.channels = channels
        await held.close()
        await waiting

    on_a_server(use)


class _Dead:
    """A connection over which nothing can be sent any more, and its transport."""

    peer = "gone"

    def __init__(self) -> None:
        self.transport = self
        self.heard = 0

    async def send(self, reply: object) -> None:
        raise Lost("gone")


class _Silent(_Dead):
    """A connection that takes everything, of which nothing arrives."""

    async def send(self, reply: object) -> None:
        pass


@pytest.mark.parametrize("silent", [True, False])
def test_a_break_is_told_again_over_another_channel_where_the_first_has_gone_silent(silent: bool) -> None:
    async def use(here: Whole) -> None:
        clock = clock_of(here)
        tree, second = await here.tree(), await here.tree()
        held = await tree.create("file", disposition=Disposition.CREATE, oplock=OplockLevel.EXCLUSIVE)
        served = next(iter(here.server.opens.by_volatile.values())).session
        channels, first = dict(served.channels), _Silent()
        served.channels = {first: next(iter(channels.values())), **channels}  # type: ignore[dict-item]
        waiting = asyncio.ensure_future(second.create("file"))
        await starts(waiting)
        assert tree.client.notifications.empty()
        first.heard += not silent
        await clock.pass_by(RETRY)
        assert tree.client.notifications.empty() != silent
        served.channels = channels
        await held.close()
        await waiting
        assert not clock.running

    on_a_server(use)


def test_a_holder_whom_nobody_can_tell_caches_nothing() -> None:
    async def use(here: Whole) -> None:
        tree, second = await here.tree(), await here.tree()
        await tree.create("file", disposition=Disposition.CREATE, oplock=OplockLevel.EXCLUSIVE)
        served = next(iter(here.server.opens.by_volatile.values())).session
        channels = dict(served.channels)
        served.channels = {_Dead(): next(iter(channels.values()))}  # type: ignore[dict-item]
        await second.create("file")
        served.channels = channels

    on_a_server(use)


@pytest.mark.parametrize(("dialect", "parent", "level"), [
    (Dialect.SMB202, None, OplockLevel.NONE), (Dialect.SMB210, None, OplockLevel.LEASE),
    (Dialect.SMB210, bytes(16), OplockLevel.NONE), (Dialect.SMB300, bytes(16), OplockLevel.LEASE),
])  # fmt: skip
def test_a_lease_is_granted_where_the_dialect_knows_it(dialect: int, parent: bytes | None, level: int) -> None:
    async def use(here: Whole) -> None:
        tree = await here.tree(Settings(dialects=(dialect,)))
        file = await tree.create("file", disposition=Disposition.CREATE, **wish(KEY, RWH, parent))
        assert file.created.oplock_level == level

    on_a_server(use)


def test_a_share_without_oplocks_grants_none() -> None:
    async def use(here: Whole) -> None:
        tree = await here.tree()
        for asked in ({"oplock": OplockLevel.BATCH}, wish(KEY, RWH)):
            file = await tree.create("file", disposition=Disposition.OPEN_IF, **asked)
            assert file.created.oplock_level == OplockLevel.NONE
            await file.close()

    on_a_server(use, shares=[Share("data", oplocks=False)])


def test_a_break_is_sealed_where_the_session_is() -> None:
    async def use(here: Whole) -> None:
        first, second = await here.tree(Settings(encrypt=True)), await here.tree(Settings(encrypt=True))
        held = await first.create("file", disposition=Disposition.CREATE, oplock=OplockLevel.BATCH)
        sealed: list[bytes] = []
        send = here.far[0].send

        async def watch(reply: Any) -> None:
            sealed.append(bytes(reply.parts[0][:4]))
            await send(reply)

        here.far[0].send = watch  # type: ignore[method-assign]
        waiting = asyncio.ensure_future(second.create("file"))
        await told(first)
        assert sealed == [b"\xfdSMB"]
        await held.close()
        await waiting

    on_a_server(use, encryption="required")
