"""How replies leave: one post where all fits, the right order where it does not, and blocks given back once."""

import asyncio
from typing import Any

import pytest

from smbdirect.connection import Connection, Role
from smbdirect.negotiate import Settings
from smbdirect.packets import BufferDescriptor, DataTransfer, NegotiateRequest
from smbdirect.wire import Malformed
from transport.base import Lost, Place, Reply
from transport.memory import Arena, Block

pytest.importorskip("pyverbs.wr", reason="python3-pyverbs is not installed")

from transport.rdma import verbs
from transport.rdma.sending import CHAIN, QUEUED, Sender

from .rdma_fakes import FakeDevice, FakePair, FakeSlots

SEND, WRITE, INVALIDATE = verbs.WR_SEND, verbs.WR_RDMA_WRITE, verbs.WR_SEND_WITH_INV
SETTINGS = Settings()


class Side:
    """A sender whose peer has agreed, granting `credits`."""

    def __init__(self, credits: int = 100, places: int = 256, settings: Settings = SETTINGS) -> None:
        self.arena = Arena(slab=4 << 20, poison=True)
        self.device = FakeDevice()
        self.pair = FakePair(places)
        self.state = Connection(Role.SERVER, settings, 0.0)
        self.state.posted_receives(settings.receives)
        self.slots = FakeSlots(64, settings.max_send_size)
        self.sender = Sender(self.device, self.slots, self.pair, self.state)  # type: ignore[arg-type]
        request = NegotiateRequest(
            credits_requested=255, preferred_send_size=1364, max_receive_size=settings.max_send_size,
            max_fragmented_size=1 << 20,
        )  # fmt: skip
        self.state.receive(memoryview(request.pack()), 0.0)
        self.sender.pump(0.0)
        self.pair.complete()
        self.grant(credits)

    def grant(self, credits: int) -> None:
        self.state.posted_receives(1)
        packet = DataTransfer(credits_requested=255, credits_granted=credits)
        self.state.receive(memoryview(packet.pack()), 0.0)

    def block(self, length: int) -> Block:
        taken = self.arena.take_nowait(length)
        assert taken is not None
        return taken

    def send(self, reply: Reply) -> None:
        self.sender.submit(reply)
        self.sender.pump(0.0)

    def posted(self) -> list[list[int]]:
        """The opcodes of each post."""
        return [[opcode for opcode, _, _ in each.requests] for each in self.pair.posted]


def place(block: Block, pieces: int) -> Place:
    length = block.length // pieces
    return Place([BufferDescriptor(n << 20, 9, length) for n in range(pieces)], block, 0, length * pieces)


def test_a_channel_read_is_one_post_of_writes_and_the_send_that_invalidates() -> None:
    side = Side()
    block = side.block(64 * 1024)
    side.send(Reply([b"head"], [block], [place(block, 3)], invalidate=0xABCD))
    assert side.posted() == [[WRITE, WRITE, WRITE, INVALIDATE]]
    assert side.pair.posted[0].requests[-1] == (INVALIDATE, 1, 0xABCD)
    assert side.arena.used > 0
    side.pair.complete()
    assert side.arena.used == 0
    assert side.sender.idle


def test_without_send_credits_the_writes_go_first_and_the_send_when_granted() -> None:
    side = Side(credits=0)
    block = side.block(4096)
    side.send(Reply([b"head"], [block], [place(block, 2)]))
    assert side.posted() == [[WRITE, WRITE]]
    side.pair.complete()
    assert not side.arena.idle, "the message has not gone"
    side.grant(5)
    side.sender.pump(0.0)
    assert side.posted() == [[SEND]]
    side.pair.complete()
    assert side.arena.idle


def test_places_count_until_completions_and_the_rest_follows_them() -> None:
    side = Side(places=8)
    block = side.block(20 * 100)
    side.send(Reply([b"head"], [block], [place(block, 20)]))
    assert side.posted() == [[WRITE] * 8]
    side.pair.complete()
    side.sender.pump(0.0)
    assert side.posted() == [[WRITE] * 8]
    side.pair.complete()
    side.sender.pump(0.0)
    assert side.posted() == [[WRITE] * 4 + [SEND]]
    side.pair.complete()
    assert side.arena.idle


def test_replies_leave_in_the_order_of_their_calls() -> None:
    side = Side()
    first, second = side.block(4096), side.block(4096)
    side.sender.submit(Reply([b"1"], [first], [place(first, 1)], invalidate=1))
    side.sender.submit(Reply([b"2"]))
    side.sender.submit(Reply([b"3"], [second], [place(second, 1)], invalidate=3))
    side.sender.pump(0.0)
    assert side.posted() == [[WRITE, INVALIDATE, SEND, WRITE, INVALIDATE]]
    assert [inv for _, _, inv in side.pair.posted[0].requests] == [0, 1, 0, 0, 3]


def test_a_long_message_goes_in_chains_and_its_block_comes_back_with_the_last() -> None:
    side = Side(credits=1000)
    block = side.block(100 * 1340)
    side.send(Reply([block.view], [block], invalidate=5))
    assert side.posted()[:2] == [[SEND] * CHAIN, [SEND] * CHAIN]
    assert len(side.posted()) == 2, "there are as many slots as two chains need"
    for _ in range(3):
        assert not side.arena.idle
        side.pair.complete()
        side.sender.pump(0.0)
    assert side.pair.posted[-1].requests[-1][0] == INVALIDATE
    side.pair.complete(5)
    assert side.arena.idle


def test_small_pieces_are_sent_from_the_slot_side_by_side() -> None:
    side = Side()
    side.send(Reply([b"head", b"er", bytearray(100), b"tail"]))
    assert side.pair.posted[0].requests == [(SEND, 1, 0)]
    slot = side.slots.views[-1]
    assert bytes(slot[24:30]) == b"header"
    assert bytes(slot[130:134]) == b"tail"


@pytest.mark.parametrize(("sges", "elements"), [(6, 5), (4, 3), (3, 3), (1, 1)])
def test_large_pieces_are_sent_from_where_they_lie_as_far_as_the_device_gathers(sges: int, elements: int) -> None:
    side = Side(settings=Settings(max_send_size=65536))
    side.device.arena_spans = True
    side.pair.sges = sges
    large = bytearray(8192)
    side.send(Reply([large, b"x", large, b"y", large, b"z"]))
    assert side.pair.posted[0].requests == [(SEND, elements, 0)]


def test_a_queue_pair_that_is_gone_gives_every_block_back() -> None:
    side = Side(credits=2, places=4)
    blocks = [side.block(4096) for _ in range(6)]
    for block in blocks:
        side.send(Reply([b"head"], [block], [place(block, 2)]))
    side.pair.destroy()
    side.sender.close()
    assert side.arena.idle
    assert side.sender.idle


def test_a_post_that_fails_keeps_the_blocks_until_the_queue_pair_is_gone() -> None:
    side = Side()
    side.pair.broken = True
    block = side.block(4096)
    side.sender.submit(Reply([b"head"], [block], [place(block, 1)]))
    with pytest.raises(Lost, match="post_send"):
        side.sender.pump(0.0)
    assert not side.arena.idle
    side.pair.destroy()
    side.sender.close()
    assert side.arena.idle


def test_descriptors_too_small_for_a_place_release_the_reply() -> None:
    side = Side()
    block = side.block(4096)
    with pytest.raises(Malformed, match="hold 10 bytes"):
        side.sender.submit(Reply([b"head"], [block], [Place([BufferDescriptor(0, 1, 10)], block, 0, 11)]))
    assert side.arena.idle
    assert side.sender.idle


def test_a_registration_that_fails_releases_the_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> int:
        raise Lost("rxe0 could not register 4096 bytes: Cannot allocate memory")

    side = Side()
    monkeypatch.setattr(side.device, "lkey", refuse)
    block = side.block(4096)
    with pytest.raises(Lost, match="could not register"):
        side.sender.submit(Reply([b"head"], [block], [place(block, 1)]))
    assert side.arena.idle


def test_more_replies_than_may_wait_make_the_sender_wait() -> None:
    async def run() -> None:
        side = Side(credits=0)
        for _ in range(QUEUED):
            side.send(Reply([b"x"]))
        await side.sender.wait_room()
        side.send(Reply([b"x"]))
        waiting = asyncio.ensure_future(side.sender.wait_room())
        await asyncio.sleep(0)
        assert not waiting.done()
        side.grant(5)
        side.sender.pump(0.0)
        side.pair.complete()
        await waiting

    asyncio.run(run())
