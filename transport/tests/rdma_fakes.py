"""A queue pair and a device for tests of what is above them: posts are recorded, completions are the test's."""

from dataclasses import dataclass, field
from typing import Any

from smbdirect.wire import Buffer
from transport.base import Lost
from transport.memory import Slab
from transport.rdma.device import Attributes
from transport.rdma.work import Span
from transport.technology import IWARP, Technology

ATTRIBUTES = Attributes(1024, 6, 4096, 16, 16, 0, 1 << 30)


@dataclass
class Posted:
    """One call of `post`: (opcode, elements, invalidated or immediate) of each request, as pyverbs reports it."""

    requests: list[tuple[int, int, int]]
    done: Any


@dataclass
class FakePair:
    """A queue pair with `places`; `complete` is the NIC."""

    places: int = 256
    sges: int = 6
    posted: list[Posted] = field(default_factory=list)
    broken: bool = False

    def post(self, requests: list[Any], done: Any) -> None:
        assert len(requests) <= self.places
        self.places -= len(requests)
        self.posted.append(Posted([(each.opcode, each.num_sge, each.imm_data) for each in requests], done))
        for request in requests:
            request.close()
        if self.broken:
            raise Lost("post_send: Input/output error")

    def complete(self, count: int = 1) -> None:
        """The first `count` chains are done."""
        for posted in self.posted[:count]:
            self.places += len(posted.requests)
            posted.done(True)
        del self.posted[:count]

    def destroy(self) -> None:
        """Every chain is told that nothing touches its memory any more."""
        posted, self.posted = self.posted, []
        for each in posted:
            each.done(False)


@dataclass
class FakeDevice:
    """A device on which everything is registered."""

    attributes: Attributes = ATTRIBUTES
    technology: Technology = IWARP
    arena_spans: bool = False
    regions: list["FakeRegion"] = field(default_factory=list)
    """What is registered, but for the arena's slabs."""

    def lkey(self, slab: Slab) -> int:
        return 0x11

    def span_of(self, piece: Buffer) -> Span | None:
        return Span(1, len(piece), 0x11) if self.arena_spans else None

    def register(self, address: int, length: int, access: int) -> "FakeRegion":
        self.regions.append(FakeRegion(self.regions, address, length, access))
        return self.regions[-1]


@dataclass(eq=False)
class FakeRegion:
    """A registration; `close` ends it."""

    registered: list["FakeRegion"]
    address: int
    length: int
    access: int
    lkey: int = 0x22

    def close(self) -> None:
        self.registered.remove(self)


class FakeSlots:
    """Slots without a registration."""

    def __init__(self, count: int, size: int) -> None:
        self.size = size
        self.count = count
        self.lkey = 0x33
        self.views = [memoryview(bytearray(size)) for _ in range(count)]
        self.addresses = [1 << 20 | slot * size for slot in range(count)]
