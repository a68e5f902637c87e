"""`Work`: one request while it is handled, with everything that must be given back when it ends."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from transport.base import Place
from transport.memory import Block

from .messages.header import Header
from .status import NT, Status

if TYPE_CHECKING:
    from .connection import ServerConnection
    from .open import Open
    from .session import Session
    from .tree import Tree


@dataclass(slots=True)
class Work:
    """A request under way. Handlers get it with `session`, `tree` and `open` resolved as their route needs.

    Blocks taken for the request are put into `blocks` at once; whoever ends the work releases them, unless
    they went into the reply. `invalidate` is the peer's token that any reply, an error too, invalidates.
    """

    connection: "ServerConnection"
    header: Header
    packet: memoryview
    """The request from its header on."""
    session: "Session | None" = None
    tree: "Tree | None" = None
    open: "Open | None" = None
    related: "Related | None" = None
    encrypted: bool = False
    signed: bool = False
    status: int = NT.SUCCESS
    """The status a normal response carries: SUCCESS, or a warning the handler sets (BUFFER_OVERFLOW)."""
    blocks: list[Block] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    invalidate: int | None = None
    async_id: int = 0
    """Not 0 once an interim response has gone out."""
    cancelled: bool = False
    on_cancel: Callable[[], None] | None = None
    last: bool = True
    """Whether nothing follows it in its compound: only then may it go asynchronous (3.3.4.2)."""

    async def take(self, length: int) -> Block:
        """A block of at least `length` bytes, this work's until it ends."""
        block = await self.connection.take(length)
        self.blocks.append(block)
        return block

    async def wait(self, future: "asyncio.Future[None]") -> None:
        """Wait for what another request must do (a lock, a notify, a break): the client gets an interim
        response with an async id first, and may CANCEL. Raises Status(CANCELLED) when it does."""
        if self.cancelled:
            future.cancel()
            raise Status(NT.CANCELLED)
        self.on_cancel = lambda: None if future.done() else future.set_exception(Status(NT.CANCELLED))
        try:
            if not future.done():
                self.connection.send_interim(self)
            await future
        finally:
            self.on_cancel = None

    def cancel(self) -> None:
        """The client cancels it, or what it depends on is gone."""
        self.cancelled = True
        if self.on_cancel is not None:
            self.on_cancel()


@dataclass(slots=True)
class Related:
    """What a compound's earlier elements leave to its related later ones (MS-SMB2 3.3.5.2.7.2)."""

    session_id: int = 0
    tree_id: int = 0
    file_id: bytes | None = None
    failed: int = NT.SUCCESS
    """The status of a CREATE that failed: the rest fails with it."""


def blocks_of(works: Sequence[Work]) -> list[Block]:
    """All blocks that these works hold, to be owned by their reply."""
    return [block for work in works for block in work.blocks]
