"""`Work`: one request while it is handled, with everything that must be given back when it ends."""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from transport.base import Place
from transport.kept import Keep
from transport.memory import Block

from .messages.header import Header
from .status import NT, Status

if TYPE_CHECKING:
    from .compound import Answers
    from .connection import ServerConnection
    from .open import Open
    from .security.preauth import Preauth
    from .security.signing import Signer
    from .session import Session
    from .tree import Tree


MAX_PENDING = 511
"""Requests of one connection that may wait asynchronously at a time (Windows and Samba: one less than 512 credits)."""
_NOTHING = memoryview(b"")
"""One for all: a view takes 300 bytes, and thousands of requests may wait."""


@dataclass(slots=True, eq=False)
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
    payload: Block | None = None
    """The block whose first bytes are the inline payload of the reply: it can be sealed where it lies."""
    sealed_by: "Session | None" = None
    """The session whose keys opened the request."""
    preauth: "Preauth | None" = None
    """The hash this NEGOTIATE or SESSION_SETUP response goes into."""
    must_sign: bool = False
    """A response that is signed whatever the request was (a successful SESSION_SETUP)."""
    signer: "Signer | None" = None
    """What signs the response in place of its channel's key, while there is none yet (a binding under way)."""
    first: bool = True
    """Whether it is the first of its compound."""
    credited: bool = False
    """Whether its credits have been granted (by the interim response, where one went out)."""
    answers: "Answers | None" = None
    async_id: int = 0
    """Not 0 once an interim response has gone out."""
    lasting: bool = False
    """Whether it goes on without its connection as long as its session has another: there it may be repeated."""
    cancelled: int = NT.SUCCESS
    """The status it was cancelled with."""
    waits_for: "asyncio.Future[None] | None" = None
    turn: int | None = None
    """Where it is counted in the channel sequence of `open`; None where it is not."""
    last: bool = True
    """Whether nothing follows it in its compound: only then may it go asynchronous (3.3.4.2)."""

    async def take(self, length: int, keep: Keep | None = None) -> Block:
        """A block of at least `length` bytes, this work's until it ends, then the arena's or `keep`'s. Raises Lost.

        Nobody waits here with memory in hand: where it would, what its compound has answered so far is sent first.
        """
        block = self.connection.take_nowait(length, keep)
        if block is None:
            if self.answers is not None and self.answers.waiting:
                await self.connection.transport.send(self.answers.reply())
            block = await self.connection.take(length, keep)
        self.blocks.append(block)
        return block

    def release(self) -> None:
        """Give back the blocks that did not go into a reply."""
        for block in self.blocks:
            block.release()
        self.blocks.clear()

    def end(self) -> None:
        """It has been handled, whatever came of it: nothing it may change will change any more."""
        if self.turn is not None and self.open is not None:
            self.open.sequence.end(self.turn)
            self.turn = None

    def forget_request(self) -> None:
        """Nothing of the request is needed any more: the memory it came in need not wait with it.

        Before the last request of a message this does nothing, for what follows lies in the same memory.
        """
        if self.last and self.answers is not None:
            self.packet = _NOTHING
            self.answers.message.release()

    async def wait(self, future: "asyncio.Future[None]", anywhere: bool = False, quietly: bool = False) -> None:
        """Wait for what another request must do (a lock, a notify): the client gets an interim response first.

        Raises Status(CANCELLED), or with the code given to `cancel`, when the wait is called off. Only the last
        request of a compound may wait so, but for a break, which a CREATE may wait for `anywhere` (3.3.5.2.7).
        `quietly`: without the interim response.
        """
        if self.cancelled:
            raise Status(self.cancelled)
        if not self.last and not anywhere:
            raise Status(NT.INTERNAL_ERROR, "waits in the middle of a compound")
        if len(self.connection.pending.by_async) >= MAX_PENDING:
            raise Status(NT.INSUFFICIENT_RESOURCES, "too many requests wait already")
        self.waits_for = future
        try:
            if not future.done() and not quietly:
                self.connection.send_interim(self)
            await future
        finally:
            self.waits_for = None

    def cancel(self, code: int = NT.CANCELLED) -> None:
        """The client cancels it, or what it depends on is gone: what it waits for ends with `code`."""
        self.cancelled = code
        if self.waits_for is not None and not self.waits_for.done():
            self.waits_for.set_exception(Status(code))


@dataclass(slots=True)
class Related:
    """What a compound's earlier elements leave to its related later ones (MS-SMB2 3.3.5.2.7.2)."""

    session_id: int = 0
    tree_id: int = 0
    file_id: bytes | None = None
    failed: int = NT.SUCCESS
    """The status of a CREATE that failed: the rest fails with it."""
    refused: bool = False
    """A related request stood where there was nothing to be related to: the related rest is refused too."""
