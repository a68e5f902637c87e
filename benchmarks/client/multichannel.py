"""The connections that one session uses: requests spread over them, and what becomes of those of one that dies.

Each request goes over the channel with the fewest under way. Where a channel is lost, the session's channel sequence
number grows by one, and what was asked there and not answered is asked again over another, marked as a replay; only
what would do harm when done twice is not: a CREATE that names no create guid, a LOCK without a sequence. A server that
is not done yet with what came by the lost channel says FILE_NOT_AVAILABLE, and is asked again after a while (MS-SMB2
3.2.4.1.7, 3.2.5.12, 3.2.7.1).
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from server.messages.base import Request, Response
from server.messages.create import CreateRequest
from server.messages.file import LockRequest
from server.messages.header import Flags
from server.status import NT, Status
from transport.base import Lost

from .channel import Exposed
from .client import Call, Client, Element
from .security import Security

R = TypeVar("R", bound=Response)
T = TypeVar("T")

PAUSES = (0.0, 0.01, 0.02, 0.05, *(0.1,) * 100)
"""Seconds between the attempts at a request that the server still has from a lost channel."""
CREATE_GUID = b"DH2Q"
"""The create context that names what is created."""


@dataclass(slots=True, eq=False)
class SessionChannel:
    """A connection that a session uses, with the key its messages there are signed with."""

    client: Client
    security: Security
    memory: Exposed | None = None
    """Where to expose memory for the server's transfers; None: payload goes inline."""
    carrying: int = 0
    """What is being prepared for it, sent over it or waited for."""

    async def post(self, element: Element, sealed: bool = False) -> Call:
        """Send `element` over this channel; `sealed`, whatever its session does."""
        return await self.client.post_one(element, replace(self.security, encrypt=True) if sealed else self.security)


class Channels:
    """The channels of one session, the oldest first."""

    def __init__(self, first: SessionChannel) -> None:
        self.alive = [first]
        """Never empty: the last one stays, dead or not."""
        self.sequence = 0
        """How many were lost (Session.ChannelSequence)."""
        self._all = [first]

    @property
    def first(self) -> SessionChannel:
        self._look()
        return self.alive[0]

    def add(self, channel: SessionChannel) -> None:
        """Use `channel` too; its notifications come where those of the others do."""
        channel.client.notifications = self._all[0].client.notifications
        self.alive.append(channel)
        self._all.append(channel)

    def pick(self) -> SessionChannel:
        """The channel for the next request: of those with the least to do the one that has had the least."""
        self._look()
        return min(self.alive, key=lambda each: (max(each.carrying, each.client.under_way), each.client.posted))

    def lose(self, channel: SessionChannel) -> None:
        """`channel` is dead."""
        if channel in self.alive and len(self.alive) > 1:
            self.alive.remove(channel)
            self.sequence = (self.sequence + 1) & 0xFFFF

    def _look(self) -> None:
        for channel in [each for each in self.alive if each.client.ended]:
            self.lose(channel)

    async def close(self) -> None:
        """End every connection that the session has used."""
        for channel in self._all:
            await channel.client.close()

    # -- requests --------------------------------------------------------------------------------------------
    def element(self, request: Request, tree_id: int = 0, flags: int = 0) -> Element:
        """`request` as it is sent now."""
        return Element(request, tree_id, flags, channel_sequence=self.sequence)

    async def post(self, request: Request, tree_id: int = 0, flags: int = 0, sealed: bool = False) -> Call:
        """Send `request` over one channel, once; its answer is the call's."""
        return await self.pick().post(self.element(request, tree_id, flags), sealed)

    async def call(self, request: Request, kind: type[R], tree_id: int = 0, sealed: bool = False) -> R:
        """The answer to `request`, which is repeated where its channel dies. Raises Status, and Lost with the last."""

        async def send(channel: SessionChannel, flags: int) -> R:
            return await (await channel.post(self.element(request, tree_id, flags), sealed)).result(kind)

        return await (self.carry(send) if repeatable(request) else send(self.pick(), 0))

    async def carry(self, send: Callable[[SessionChannel, int], Awaitable[T]]) -> T:
        """What `send` returns, which gets a channel and flags for the request, and is called again for another where
        that one dies. Raises Status, and Lost with the last channel."""
        flags = attempt = 0
        while True:
            channel = self.pick()
            channel.carrying += 1
            try:
                return await send(channel, flags)
            except Lost:
                self.lose(channel)
                if channel in self.alive:
                    raise
            except Status as status:
                if status.code != NT.FILE_NOT_AVAILABLE or not self.sequence or attempt == len(PAUSES):
                    raise
                await asyncio.sleep(PAUSES[attempt])
                attempt += 1
            finally:
                channel.carrying -= 1
            flags = Flags.REPLAY


def repeatable(request: Request) -> bool:
    """Whether the server can tell that it has done this already, or doing it twice is the same as once."""
    if isinstance(request, CreateRequest):
        return any(context.name == CREATE_GUID for context in request.contexts)
    return not isinstance(request, LockRequest) or request.index > 0
