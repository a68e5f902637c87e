"""Memory that the server may read and write: blocks exposed by the connection, named by descriptors."""

from collections.abc import Sequence
from typing import Protocol

from smbdirect.packets import BufferDescriptor
from smbdirect.wire import Buffer
from transport.base import Lost
from transport.memory import Arena, Block


class Exposed(Protocol):
    """What a connection with remote memory has as its `memory`: loopback's and RDMA's client ends."""

    def register(self, memory: Block) -> BufferDescriptor:
        """Let the peer reach all of `memory`, whose owner deregisters it before releasing it."""

    def deregister(self, token: int) -> None:
        """End the peer's access."""


class Windows:
    """Some blocks of an arena, each exposed under a token of its own, as one run of memory."""

    def __init__(self, exposed: Exposed, blocks: Sequence[Block]) -> None:
        self.blocks = list(blocks)
        self.descriptors: list[BufferDescriptor] = []
        self._exposed = exposed
        try:
            self.descriptors += [exposed.register(block) for block in blocks]
        except Lost:
            self.close()
            raise

    @classmethod
    async def open(cls, exposed: Exposed, arena: Arena, lengths: Sequence[int]) -> "Windows":
        """A block for each length; contents are arbitrary. Raises Lost."""
        return cls(exposed, await arena.take_all(lengths))

    @property
    def length(self) -> int:
        return sum(block.length for block in self.blocks)

    def fill(self, data: Buffer) -> None:
        """Put `data` into the blocks, in order."""
        done = 0
        for block in self.blocks:
            part = data[done : done + block.length]
            block.view[: len(part)] = part
            done += len(part)

    def bytes(self) -> bytes:
        """What the blocks hold, in order."""
        return b"".join(block.view for block in self.blocks)

    def close(self) -> None:
        """End the server's access and give the blocks back."""
        for descriptor in self.descriptors:
            self._exposed.deregister(descriptor.token)
        for block in self.blocks:
            block.release()
        self.blocks.clear()


def split(descriptor: BufferDescriptor, lengths: Sequence[int]) -> list[BufferDescriptor]:
    """The memory of one descriptor as several, of these lengths, in a row under its token."""
    parts, offset = [], descriptor.offset
    for length in lengths:
        parts.append(BufferDescriptor(offset, descriptor.token, length))
        offset += length
    assert offset <= descriptor.offset + descriptor.length, "longer than what is split"
    return parts
