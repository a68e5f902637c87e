"""Verbs devices by what real ones say of themselves: technology, sinks, failing registrations, removal."""

import asyncio
import errno
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from transport.base import Lost
from transport.memory import Arena
from transport.technology import INFINIBAND, IWARP, ROCE, Technology

pytest.importorskip("pyverbs.device", reason="python3-pyverbs is not installed")

from pyverbs.pyverbs_error import PyverbsError, PyverbsRDMAError

from transport.rdma import device as module
from transport.rdma import verbs
from transport.rdma.device import LARGEST_MESSAGE, Device, Devices
from transport.rdma.sinks import Sinks


@dataclass(frozen=True)
class Recorded:
    """What a device and its port said: ibv_devinfo -v of each."""

    name: str
    transport_type: int
    link_layer: int
    max_qp_wr: int
    max_sge: int
    max_cqe: int
    max_qp_rd_atom: int
    max_qp_init_rd_atom: int
    max_mw: int
    max_msg_sz: int


CONNECTX_IB = Recorded("mlx5_0", 0, 1, 32768, 30, 4194303, 16, 16, 16777216, 1 << 30)
CONNECTX_ROCE = Recorded("mlx5_1", 0, 2, 32768, 30, 4194303, 16, 16, 16777216, 1 << 30)
E810_IWARP = Recorded("irdma0", 1, 2, 4063, 13, 1048574, 127, 128, 4194304, (1 << 31) - 1)
SIW = Recorded("siw0", 1, 2, 32768, 6, 1638400, 128, 128, 0, (1 << 32) - 1)
SILENT = Recorded("old0", 0, 1, 1024, 4, 4096, 4, 4, 0, 0)
ALL = (CONNECTX_IB, CONNECTX_ROCE, E810_IWARP, SIW, SILENT)


@dataclass
class Closing:
    """A verbs object; `closed` keeps the order in which they were closed."""

    kind: str
    closed: list[str]

    def close(self) -> None:
        self.closed.append(self.kind)


@dataclass
class Kernel:
    """The devices there are, what was registered on them and what the memory limit refuses."""

    devices: tuple[Recorded, ...] = ALL
    regions: list[tuple[int, int]] = field(default_factory=list)
    """(length, access) of each registration."""
    closed: list[str] = field(default_factory=list)
    refuses: bool = False
    events: list[int] = field(default_factory=list)
    descriptors: list[tuple[int, int]] = field(default_factory=list)

    def context(self, name: str) -> Any:
        found = next((each for each in self.devices if each.name == name), None)
        if found is None:
            raise PyverbsRDMAError("Failed to open device", errno.ENODEV)
        context = Closing("context", self.closed)
        context.query_device = lambda: found  # type: ignore[attr-defined]
        context.query_port = lambda port: found  # type: ignore[attr-defined]
        context.num_comp_vectors = 2  # type: ignore[attr-defined]
        context.get_async_event = self.event  # type: ignore[attr-defined]
        return context

    def event(self) -> Any:
        if not self.events:
            raise PyverbsRDMAError("no event", errno.EAGAIN)
        return SimpleNamespace(event_type=self.events.pop(0), ack=lambda: None)

    def region(self, domain: Any, length: int, access: int, address: int) -> Any:
        if self.refuses:
            raise PyverbsRDMAError("Failed to register a MR", errno.ENOMEM)
        self.regions.append((length, access))
        made = Closing("region", self.closed)
        made.lkey = len(self.regions)  # type: ignore[attr-defined]
        return made

    def with_descriptor(self, make: Callable[[], Any]) -> tuple[Any, int]:
        made = make()
        self.descriptors.append(os.pipe())
        return made, self.descriptors[-1][0]

    def listed(self) -> list[Any]:
        return [SimpleNamespace(name=each.name.encode(), transport_type=each.transport_type) for each in self.devices]


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    made = Kernel()
    monkeypatch.setattr(module, "Context", made.context)
    monkeypatch.setattr(module, "PD", lambda context: Closing("domain", made.closed))
    monkeypatch.setattr(module, "MR", made.region)
    monkeypatch.setattr(module, "get_device_list", made.listed)
    monkeypatch.setattr(verbs, "with_descriptor", made.with_descriptor)
    yield made
    for descriptor in (each for both in made.descriptors for each in both):
        os.close(descriptor)


def on_devices(test: Callable[[Devices, Arena], Awaitable[None]]) -> None:
    """Run `test` with an arena and its devices, which are closed afterwards."""

    async def run() -> None:
        arena = Arena(slab=1 << 20)
        devices = Devices(arena)
        await test(devices, arena)
        devices.close()
        assert arena.idle
        arena.close()

    asyncio.run(run())


TECHNOLOGIES = dict(zip(ALL, (INFINIBAND, ROCE, IWARP, IWARP, INFINIBAND), strict=True))


@pytest.mark.parametrize("recorded", ALL, ids=lambda each: each.name)
def test_a_device_is_what_its_port_says(kernel: Kernel, recorded: Recorded) -> None:
    async def test(devices: Devices, arena: Arena) -> None:
        device = devices.find(recorded.name, 1)
        assert device.technology is TECHNOLOGIES[recorded]
        said = device.attributes
        assert (said.max_qp_wr, said.max_sge, said.max_qp_rd_atom) == (
            recorded.max_qp_wr, recorded.max_sge, recorded.max_qp_rd_atom
        )  # fmt: skip
        assert said.max_message == (recorded.max_msg_sz or LARGEST_MESSAGE)
        assert devices.find(recorded.name, 1) is device
        assert [device.next_vector() for _ in range(3)] == [1, 0, 1]

    on_devices(test)


LOCAL, LOCAL_AND_REMOTE = 1, 3
"""IBV_ACCESS_LOCAL_WRITE alone, and with IBV_ACCESS_REMOTE_WRITE."""


@pytest.mark.parametrize("recorded", ALL, ids=lambda each: each.name)
def test_peers_may_write_to_the_sink_of_a_read_on_iwarp_alone_and_to_one_not_kept_no_longer_than_it_lasts(
    kernel: Kernel, recorded: Recorded
) -> None:
    async def test(devices: Devices, arena: Arena) -> None:
        device = devices.find(recorded.name, 1)
        block = await arena.take(5000)
        assert kernel.regions == [(1 << 20, LOCAL)], "the slab, for us alone"
        key, give_back = Sinks(device, arena, 0).key(block)
        iwarp: Technology = TECHNOLOGIES[recorded]
        if iwarp is IWARP:
            assert kernel.regions[1:] == [(5000, LOCAL_AND_REMOTE)]
            assert key == 2
            give_back()
            assert kernel.closed == ["region"]
        else:
            assert kernel.regions[1:] == []
            assert key == device.lkey(block.slab)
            give_back()
            assert kernel.closed == []
        block.release()

    on_devices(test)


def test_a_slab_that_cannot_be_registered_is_said_once_and_tried_again_when_it_is_used(
    kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(devices: Devices, arena: Arena) -> None:
        device = devices.find("mlx5_0", 1)
        kernel.refuses = True
        block = await arena.take(5000)
        (line,) = [record.getMessage() for record in caplog.records]
        assert line == (
            f"RDMA: mlx5_0 could not register {1 << 20} bytes: Cannot allocate memory; "
            "connections that need this memory will be lost"
        )
        sinks = Sinks(device, arena, 0)
        for use in (lambda: device.lkey(block.slab), lambda: device.span_of(block.view), lambda: sinks.key(block)):
            with pytest.raises(Lost, match="Cannot allocate memory"):
                use()
        kernel.refuses = False
        assert device.span_of(block.view) is not None
        assert kernel.regions == [(1 << 20, LOCAL)]
        block.release()

    on_devices(test)


def test_a_sink_that_cannot_be_registered_is_a_connection_lost(kernel: Kernel) -> None:
    async def test(devices: Devices, arena: Arena) -> None:
        block = await arena.take(5000)
        device = devices.find("irdma0", 1)
        kernel.refuses = True
        with pytest.raises(Lost, match="irdma0 could not register 5000 bytes: Cannot allocate memory"):
            Sinks(device, arena, 0).key(block)
        block.release()

    on_devices(test)


def test_a_device_that_cannot_be_opened_is_a_connection_lost(kernel: Kernel) -> None:
    async def test(devices: Devices, arena: Arena) -> None:
        with pytest.raises(Lost, match="the device mlx5_9 could not be opened: No such device"):
            devices.find("mlx5_9", 1)

    on_devices(test)


def tell(kernel: Kernel, device: Device, event: int) -> None:
    """The device says `event`: its descriptor becomes readable."""
    kernel.events.append(event)
    device._on_event()


def test_a_device_that_goes_away_is_said_once_and_closed_with_its_last_connection(
    kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(devices: Devices, arena: Arena) -> None:
        device = devices.find("mlx5_0", 1)
        other = devices.find("mlx5_1", 1)
        device.users = 2
        (await arena.take(5000)).release()
        tell(kernel, device, verbs.EVENT_DEVICE_FATAL)
        devices.remove(device)  # as the connection manager says for each connection
        assert [record.getMessage() for record in caplog.records] == ["RDMA: the device mlx5_0 was removed"]
        devices.release(device)
        assert kernel.closed == []
        devices.release(device)
        assert kernel.closed == ["region", "domain", "context"]
        assert devices.find("mlx5_0", 1) is not device, "what has its name then is another"
        assert devices.find("mlx5_1", 1) is other

    caplog.set_level(logging.WARNING)
    on_devices(test)


def test_a_device_without_connections_is_closed_when_it_goes_away(kernel: Kernel) -> None:
    async def test(devices: Devices, arena: Arena) -> None:
        device = devices.find("mlx5_0", 1)
        os.write(kernel.descriptors[0][1], b"!")
        kernel.events.append(verbs.EVENT_DEVICE_FATAL)
        for _ in range(3):
            await asyncio.sleep(0)
        assert device.gone
        assert kernel.closed == ["domain", "context"]

    on_devices(test)


@pytest.mark.parametrize("event", [0, 9, 10, 17])
def test_what_else_a_device_says_ends_nothing(kernel: Kernel, event: int) -> None:
    async def test(devices: Devices, arena: Arena) -> None:
        device = devices.find("mlx5_0", 1)
        tell(kernel, device, event)
        device._on_event()  # and nothing more is to be had
        assert not device.gone
        assert kernel.closed == []

    on_devices(test)


def test_what_cannot_be_closed_after_its_device_went_is_left_behind(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Closing) -> None:
        self.closed.append(self.kind)
        raise PyverbsError(f"{self.kind} cannot be closed")

    async def test(devices: Devices, arena: Arena) -> None:
        (await arena.take(5000)).release()
        device = devices.find("mlx5_0", 1)
        monkeypatch.setattr(Closing, "close", refuse)
        devices.remove(device)
        assert kernel.closed == ["region", "domain", "context"]

    on_devices(test)
