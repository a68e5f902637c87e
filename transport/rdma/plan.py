"""Which RDMA work moves a block's payload to or from the memory that buffer descriptors name.

Pure: descriptors, addresses and limits in, pieces out. A block is contiguous under one registration, so each piece
needs one scatter-gather element on our side, which is all that iWARP allows a READ.
"""

from collections.abc import Sequence
from typing import NamedTuple

from smbdirect.packets import BufferDescriptor
from smbdirect.wire import Malformed

from ..memory import Block


class Piece(NamedTuple):
    """`length` bytes between our memory at `address` and the peer's at `remote` under its `token`."""

    address: int
    length: int
    remote: int
    token: int


def plan(descriptors: Sequence[BufferDescriptor], block: Block, start: int, count: int, max_piece: int) -> list[Piece]:
    """The pieces that carry `count` bytes of `block`'s payload from `start`, filling the descriptors in order.

    None is longer than `max_piece`, the port's largest message. The last descriptor may be filled in part, and
    those after it not at all. Raises Malformed where they hold fewer bytes than `count`, where one is empty or where
    one runs past the end of the address space.
    """
    check(descriptors, count)
    assert 0 <= start <= start + count <= block.length, "payload outside its block"
    pieces: list[Piece] = []
    address, left = block.address + start, count
    for descriptor in descriptors:
        here = min(descriptor.length, left)
        for at in range(0, here, max_piece):
            length = min(max_piece, here - at)
            pieces.append(Piece(address + at, length, descriptor.offset + at, descriptor.token))
        address += here
        left -= here
    return pieces


def check(descriptors: Sequence[BufferDescriptor], count: int) -> None:
    """Raise Malformed where `descriptors` cannot take `count` bytes."""
    held = 0
    for descriptor in descriptors:
        if descriptor.length == 0:
            raise Malformed("a buffer descriptor names no bytes")  # MS-SMBD 2.2.3.1
        if descriptor.offset + descriptor.length > 1 << 64:
            raise Malformed(f"a buffer descriptor of {descriptor.length} bytes at {descriptor.offset:#x} wraps around")
        held += descriptor.length
    if held < count:
        raise Malformed(f"buffer descriptors hold {held} bytes, {count} are to be moved")
