"""librdmacm as structures, and its event channel over a library that is not there."""

import asyncio
import contextlib
import ctypes as C
import errno
import os
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from transport.rdma import cm_abi
from transport.rdma.cm import Event, EventChannel, Identifier, pack_address, unpack_address


@pytest.mark.parametrize(
    ("structure", "size"),
    [
        (cm_abi.Id, 416),
        (cm_abi.CmEvent, 80),
        (cm_abi.ConnParam, 24),
        (cm_abi.QpAttr, 144),
        (cm_abi.AhAttr, 32),
        (cm_abi.Address, 296),
    ],
)
def test_structures_have_the_sizes_of_the_c_library(structure: type[C.Structure], size: int) -> None:
    assert C.sizeof(structure) == size


@pytest.mark.parametrize("host", ["10.99.0.1", "0.0.0.0", "::", "fd00::1:2"])
def test_addresses_survive_the_way_there_and_back(host: str) -> None:
    assert unpack_address(bytes(pack_address(host, 5445))) == (host, 5445)


def test_an_address_of_another_family_has_no_text() -> None:
    assert unpack_address(bytes([27, 0, 0, 5]) + bytes(124)) == ("", 5)


def test_a_name_is_no_address() -> None:
    with pytest.raises(OSError, match="Name or service"):
        pack_address("localhost", 445)


class FakeLibrary:
    """librdmacm as far as the channel calls it: events are queued by the test, calls are recorded."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.channel = cm_abi.EventChannelStruct(self.fd)
        self.ids: list[cm_abi.Id] = []
        self.events: deque[cm_abi.CmEvent] = deque()
        self.calls: list[str] = []
        self.keep: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        def call(*_: Any) -> int:
            self.calls.append(name)
            return 0

        return call

    def rdma_create_event_channel(self) -> Any:
        return C.pointer(self.channel)

    def rdma_create_id(self, channel: Any, out: Any, *_: Any) -> int:
        out.contents = self.new_id()
        return 0

    def rdma_get_cm_event(self, channel: Any, out: Any) -> int:
        if not self.events:
            C.set_errno(errno.EAGAIN)
            return -1
        event = self.events.popleft()
        self.keep.append(event)
        out.contents = event
        return 0

    def new_id(self) -> cm_abi.Id:
        self.ids.append(cm_abi.Id())
        return self.ids[-1]

    def happen(self, kind: int, identifier: cm_abi.Id, listener: cm_abi.Id | None = None, data: bytes = b"") -> None:
        event = cm_abi.CmEvent(id=C.addressof(identifier), listen_id=C.addressof(listener) if listener else None)
        event.event = kind
        buffer = C.create_string_buffer(data, len(data) or 1)
        self.keep.append(buffer)
        conn = event.param.conn
        conn.private_data, conn.private_data_len = C.addressof(buffer), len(data)
        conn.initiator_depth, conn.responder_resources = 8, 4
        self.events.append(event)
        os.eventfd_write(self.fd, 1)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLibrary]:
    fake = FakeLibrary()
    monkeypatch.setattr(cm_abi, "library", lambda: fake)
    yield fake
    os.close(fake.fd)


@contextlib.contextmanager
def channel() -> Iterator[EventChannel]:
    made = EventChannel()
    try:
        yield made
    finally:
        made.close()


async def _turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def test_a_request_goes_to_its_listener_with_an_identifier_of_its_own(library: FakeLibrary) -> None:
    async def run() -> None:
        with channel() as made:
            listener = made.identifier()
            seen: list[tuple[Identifier, Event, list[str]]] = []
            listener.listen(lambda child, event: seen.append((child, event, list(library.calls))))
            child = library.new_id()
            library.happen(cm_abi.CONNECT_REQUEST, child, library.ids[0], b"\0\0\0\x20\0\0\0\1")
            library.happen(cm_abi.ESTABLISHED, child)
            await _turns()
            ((accepted, event, calls),) = seen
            assert event == Event(cm_abi.CONNECT_REQUEST, 0, b"\0\0\0\x20\0\0\0\1", 4, 8)
            assert calls[-1] == "rdma_ack_cm_event", "acknowledged before it is handed on"
            assert accepted.events.get_nowait().kind == cm_abi.ESTABLISHED

    asyncio.run(run())


def test_a_request_for_a_listener_that_is_gone_is_dropped(library: FakeLibrary) -> None:
    async def run() -> None:
        with channel() as made:
            listener = made.identifier()
            listener.listen(lambda child, event: pytest.fail("the listener is gone"))
            library.happen(cm_abi.CONNECT_REQUEST, library.new_id(), library.ids[0])
            listener.destroy()
            await _turns()
            assert library.calls.count("rdma_destroy_id") == 2

    asyncio.run(run())


def test_events_of_a_destroyed_identifier_go_nowhere(library: FakeLibrary) -> None:
    async def run() -> None:
        with channel() as made:
            identifier = made.identifier()
            identifier.on_event = lambda event: pytest.fail("it is gone")
            library.happen(cm_abi.DISCONNECTED, library.ids[0])
            identifier.destroy()
            identifier.destroy()
            await _turns()
            assert library.calls.count("rdma_destroy_id") == 1

    asyncio.run(run())


def test_closing_the_channel_destroys_what_is_left(library: FakeLibrary) -> None:
    async def run() -> None:
        with channel() as made:
            made.identifier()
            made.identifier()
            made.close()
        assert library.calls == ["rdma_destroy_id", "rdma_destroy_id", "rdma_destroy_event_channel"]

    asyncio.run(run())


def test_what_the_library_refuses_is_an_oserror_with_the_call_in_it(
    library: FakeLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> int:
        C.set_errno(errno.EADDRINUSE)
        return -1

    async def run() -> None:
        with channel() as made:
            identifier = made.identifier()
            monkeypatch.setattr(library, "rdma_bind_addr", refuse, raising=False)
            with pytest.raises(OSError, match="rdma_bind_addr: Address already in use"):
                identifier.bind("10.0.0.1", 445)

    asyncio.run(run())
