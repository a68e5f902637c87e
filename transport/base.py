"""The transport contract: whole SMB2 messages, and remote memory as an object a connection may have.

A transport delivers and takes whole messages; how TCP frames them or SMB Direct fragments them stays below.
What leaves, leaves in one call: `Reply` holds the message's parts in wire order and the payload to place in
the peer's memory before the peer sees the message. Ownership of memory is in `transport.memory`'s head.
`transport.testing.check_connection` is this contract as a suite that every transport passes.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from smbdirect.packets import BufferDescriptor
from smbdirect.wire import Buffer

from .kept import Keep
from .memory import Block


class Lost(Exception):
    """The path to the peer is gone; the text says how."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a connection can carry, in bytes; settled before the connection is handed over."""

    max_message: int
    """Largest whole message in either direction (caps MaxTransactSize and every variable answer)."""
    max_read_write: int
    """Most payload one READ or WRITE may move, inline or through remote memory."""


@dataclass(slots=True)
class Place:
    """`count` bytes of `block`'s payload, from `start`, for the memory that `descriptors` name, in order."""

    descriptors: Sequence[BufferDescriptor]
    block: Block
    start: int
    count: int


@dataclass(slots=True)
class Message:
    """A whole received message. `view` is writable (it is unsealed in place) and lives until `release`.

    A message of `memory.SMALL` bytes or less (over TCP a little more) has bytes of its own and `block` None; a larger
    one lies in a block whose owner is this message: whoever takes the payload over calls `detach`, else `release` ends
    it.
    """

    view: memoryview
    block: Block | None = None

    def detach(self) -> Block | None:
        """Hand over the block; `release` then does nothing."""
        block, self.block = self.block, None
        return block

    def release(self) -> None:
        """Give the block back to its arena; safe to call twice."""
        if self.block is not None:
            self.block.release()
            self.block = None


@dataclass(slots=True)
class Reply:
    """One message to send, whole: `parts` in wire order, without the 4-byte length that belongs to TCP.

    `parts` are packed bytes and slices of blocks; `places` are written into the peer's memory before the
    message is seen there; `invalidate` is the peer's token that the message invalidates, or None. `blocks`
    are all blocks that `parts` and `places` point into: the transport owns them from `send` on and releases
    them at the last byte written, the send's completion, or the failure.
    """

    parts: list[Buffer]
    blocks: Sequence[Block] = ()
    places: Sequence[Place] = ()
    invalidate: int | None = None


class RemoteMemory(ABC):
    """The peer's memory, where the fabric can reach it."""

    keep: Keep | None = None
    """What the blocks that `read` fills are best taken with: its connection's own; None where any block will do."""

    @abstractmethod
    async def read(self, remote: Sequence[BufferDescriptor], into: Block, length: int) -> None:
        """Fetch the first `length` bytes that `remote` names into `into`'s payload; returns when all are there.

        Raises Malformed where the descriptors hold less than `length` or one is empty, Lost where the
        transfer fails. `into` must stay the caller's until this returns or raises; when the caller is
        cancelled, this waits for the completions first.
        """


class Connection(ABC):
    """One connection with a peer."""

    limits: Limits
    peer: str
    """The peer's address as text, without its port; what per-address limits count."""
    technology: str = "TCP"
    """TCP, iWARP, InfiniBand, RoCE or loopback: for logs and the status output only."""
    remote: RemoteMemory | None = None

    @abstractmethod
    async def receive(self) -> Message | None:
        """The next whole message, or None once the peer has closed. Raises Malformed or Lost."""

    @abstractmethod
    async def send(self, reply: Reply) -> None:
        """Send `reply` whole, in the order of calls; its blocks are the transport's from this call on.

        Returns when the next reply may be handed over (back-pressure). Raises Lost; the blocks are released
        all the same.
        """

    @abstractmethod
    async def close(self) -> None:
        """End the connection; a `receive` under way returns None. Safe to call twice."""

    def trust(self, max_message: int) -> None:  # noqa: B027 - not every transport limits strangers
        """The peer has logged on: lift the small limits an unknown peer gets to `max_message` bytes."""


class Listener(ABC):
    """Where peers arrive. The addresses it could not have are said in one line each."""

    @abstractmethod
    async def accept(self) -> Connection:
        """The next connection, negotiated as far as the fabric needs. Raises Lost once closed."""

    @abstractmethod
    async def close(self) -> None:
        """Stop listening; connections made stay."""
