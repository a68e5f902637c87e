"""Descriptors and a block into pieces of RDMA work, without a device."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smbdirect.packets import BufferDescriptor
from smbdirect.wire import Malformed
from transport.memory import Arena, Block
from transport.rdma.plan import Piece, plan

WHOLE = 1 << 30


@pytest.fixture(scope="module")
def block() -> Iterator[Block]:
    arena = Arena(slab=1 << 20)
    taken = arena.take_nowait(100_000)
    assert taken is not None
    yield taken
    taken.release()
    assert arena.idle


def test_pieces_fill_descriptors_in_order_and_the_last_in_part(block: Block) -> None:
    descriptors = [BufferDescriptor(0x1000, 7, 10), BufferDescriptor(0x9000, 8, 20), BufferDescriptor(0x5000, 9, 30)]
    assert plan(descriptors, block, 100, 15, WHOLE) == [
        Piece(block.address + 100, 10, 0x1000, 7),
        Piece(block.address + 110, 5, 0x9000, 8),
    ]


def test_a_piece_is_no_longer_than_the_port_allows(block: Block) -> None:
    pieces = plan([BufferDescriptor(0, 1, 100_000)], block, 0, 100_000, 4096)
    assert [piece.length for piece in pieces] == [4096] * 24 + [100_000 % 4096]
    assert [piece.remote for piece in pieces] == list(range(0, 100_000, 4096))


def test_nothing_to_move_is_no_work(block: Block) -> None:
    assert plan([], block, 0, 0, WHOLE) == []
    assert plan([BufferDescriptor(0, 1, 5)], block, 0, 0, WHOLE) == []


@pytest.mark.parametrize(
    ("descriptors", "says"),
    [
        ([], "hold 0 bytes, 10 are"),
        ([BufferDescriptor(0, 1, 9)], "hold 9 bytes, 10 are"),
        ([BufferDescriptor(0, 1, 0), BufferDescriptor(0, 1, 10)], "names no bytes"),
        ([BufferDescriptor(0, 1, 10), BufferDescriptor(0, 1, 0)], "names no bytes"),
        ([BufferDescriptor((1 << 64) - 5, 1, 10)], "wraps around"),
    ],
)
def test_descriptors_that_cannot_take_it_are_malformed(
    block: Block, descriptors: list[BufferDescriptor], says: str
) -> None:
    with pytest.raises(Malformed, match=says):
        plan(descriptors, block, 0, 10, WHOLE)


def test_a_descriptor_may_end_where_the_address_space_does(block: Block) -> None:
    (piece,) = plan([BufferDescriptor((1 << 64) - 10, 1, 10)], block, 0, 10, WHOLE)
    assert piece.remote == (1 << 64) - 10


@given(
    st.lists(st.integers(1, 5000), min_size=1, max_size=64),
    st.integers(0, 5000),
    st.integers(0, 100_000),
    st.sampled_from([1000, 4096, WHOLE]),
)
def test_any_descriptors_are_covered_once_and_in_order(
    block: Block, sizes: list[int], start: int, count: int, max_piece: int
) -> None:
    count = min(count, sum(sizes), block.length - start)
    descriptors = [BufferDescriptor(n << 20, n, size) for n, size in enumerate(sizes)]
    expected = [(n, (n << 20) + at) for n, size in enumerate(sizes) for at in range(size)][:count]
    pieces = plan(descriptors, block, start, count, max_piece)
    assert [(p.token, p.remote + at) for p in pieces for at in range(p.length)] == expected
    assert [p.address + at for p in pieces for at in range(p.length)] == [
        block.address + start + at for at in range(count)
    ]
    assert all(0 < p.length <= max_piece for p in pieces)
