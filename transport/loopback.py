"""Two ends in one process, with remote memory: the contract's model, and how the core is tested without ports.

The second end, the client's, can expose memory (`ExposedMemory.register`); the first end's `remote.read`
fetches from it and `Reply.places` are written into it in `send`, so before the message can be seen. A token
is dead from the moment its `invalidate` has been delivered. An access outside what a token names loses the
connection at both ends, as a remote access error takes a queue pair down.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from smbdirect.packets import BufferDescriptor
from smbdirect.wire import Buffer, Malformed

from .base import Connection, Limits, Lost, Message, Place, RemoteMemory, Reply
from .memory import SMALL, Arena, Block

IN_FLIGHT = 64
"""Messages that may be under way before `send` waits."""


class ExposedMemory:
    """Memory of one end that the other may reach by token."""

    def __init__(self) -> None:
        self._buffers: dict[int, memoryview] = {}
        self._next_token = 0x1000

    def register(self, memory: Block | Buffer) -> BufferDescriptor:
        """Let the peer reach all of `memory`; its owner stays the caller, who deregisters before releasing it."""
        view = memory.view if isinstance(memory, Block) else memoryview(memory)
        self._next_token += 0x101
        self._buffers[self._next_token] = view
        return BufferDescriptor(offset=0x10000, token=self._next_token, length=len(view))

    def deregister(self, token: int) -> None:
        """End the peer's access; harmless where the peer's `invalidate` has done it."""
        self._buffers.pop(token, None)

    def reach(self, descriptor: BufferDescriptor) -> memoryview:
        """What `descriptor` names. Raises Lost where its token is dead or its range is not inside."""
        view = self._buffers.get(descriptor.token)
        start = descriptor.offset - 0x10000
        if view is None or start < 0 or start + descriptor.length > len(view):
            raise Lost(f"remote access error: {descriptor}")
        return view[start : start + descriptor.length]


class LoopbackMemory(RemoteMemory):
    """The exposed memory of the peer."""

    def __init__(self, connection: "LoopbackConnection", exposed: ExposedMemory) -> None:
        self._connection = connection
        self._exposed = exposed

    async def read(self, remote: Sequence[BufferDescriptor], into: Block, length: int) -> None:
        if length > sum(descriptor.length for descriptor in remote) or any(not each.length for each in remote):
            raise Malformed(f"{length} bytes wanted of {list(remote)}")
        self._connection.assert_alive()
        await asyncio.sleep(0)
        self._connection.assert_alive()
        done = 0
        for descriptor in remote:
            part = self._reach(descriptor)[: length - done]
            into.view[done : done + len(part)] = part
            done += len(part)

    def write(self, place: Place) -> None:
        """Put `place`'s bytes where its descriptors say, in order."""
        done = 0
        for descriptor in place.descriptors:
            target = self._reach(descriptor)[: place.count - done]
            start = place.start + done
            target[:] = place.block.view[start : start + len(target)]
            done += len(target)
        if done < place.count:
            raise Malformed(f"{place.count} bytes for descriptors of {done}")

    def _reach(self, descriptor: BufferDescriptor) -> memoryview:
        try:
            return self._exposed.reach(descriptor)
        except Lost as error:
            self._connection.lose(str(error))
            raise


@dataclass(slots=True)
class _Sent:
    """A reply under way: its blocks stay its connection's until the peer has taken it."""

    reply: Reply

    def length(self) -> int:
        return sum(len(part) for part in self.reply.parts)

    def copy_into(self, view: memoryview) -> None:
        done = 0
        for part in self.reply.parts:
            view[done : done + len(part)] = part
            done += len(part)

    def keep_a_copy(self) -> None:
        """The sender closes: what it sent lives on, as in a socket, but not in its blocks."""
        self.reply.parts = [b"".join(self.reply.parts)]
        self.release()

    def release(self) -> None:
        for block in self.reply.blocks:
            block.release()
        self.reply.blocks = ()


class LoopbackConnection(Connection):
    """One end; made by `pair`."""

    technology = "loopback"

    def __init__(self, arena: Arena, limits: Limits, peer: str) -> None:
        self.limits = limits
        self.peer = peer
        self.memory = ExposedMemory()
        """What this end lets the other reach."""
        self.sends = 0
        """Replies sent, for tests that count them."""
        self._arena = arena
        self._trusted = SMALL
        self._other: LoopbackConnection
        self._coming: deque[_Sent] = deque()
        self._taking: asyncio.Future[Block] | None = None
        self._changed = asyncio.Event()
        self._closed = False
        self._lost = ""

    def trust(self, max_message: int) -> None:
        self._trusted = min(max_message, self.limits.max_message)

    async def receive(self) -> Message | None:
        while not self._coming:
            if self._closed:
                return None
            if self._lost:
                raise Lost(self._lost)
            if self._other._closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        return await self._deliver(self._coming[0])

    async def _deliver(self, sent: _Sent) -> Message | None:
        length = sent.length()
        if not 0 < length <= self._trusted:
            raise Malformed(f"a message of {length} bytes, {self._trusted} allowed")
        block = await self._take(length) if length > SMALL else None
        if not self._coming:  # closed or lost meanwhile, which released what was under way
            if block is not None:
                block.release()
            return await self.receive()
        self._coming.popleft()
        view = memoryview(bytearray(length)) if block is None else block.view
        sent.copy_into(view)
        if sent.reply.invalidate is not None:
            self.memory.deregister(sent.reply.invalidate)
        sent.release()
        self._other._changed.set()
        return Message(view, block)

    async def _take(self, length: int) -> Block | None:
        """A block for a message; None when the connection ends while waiting for it."""
        self._taking = taking = asyncio.ensure_future(self._arena.take(length))
        try:
            return await taking
        except asyncio.CancelledError:
            if taking.done() and not taking.cancelled():
                taking.result().release()
            if self._coming:
                raise
            return None
        finally:
            self._taking = None

    async def send(self, reply: Reply) -> None:
        sent = _Sent(reply)
        try:
            self.assert_alive()
            for place in reply.places:
                assert isinstance(self.remote, LoopbackMemory), "places for a peer without remote memory"
                self.remote.write(place)
        except BaseException:
            sent.release()
            raise
        self.sends += 1
        self._other._coming.append(sent)
        self._other._changed.set()
        while len(self._other._coming) > IN_FLIGHT and not self._ended():
            self._changed.clear()
            await self._changed.wait()

    async def close(self) -> None:
        self._closed = True
        self._drop_coming()
        for sent in self._other._coming:
            sent.keep_a_copy()
        self._changed.set()
        self._other._changed.set()

    def lose(self, reason: str) -> None:
        """Take the path down at both ends: nothing more is sent or received."""
        for end in (self, self._other):
            end._lost = end._lost or reason
            end._drop_coming()
            end._changed.set()

    def assert_alive(self) -> None:
        """Raises Lost where either end has closed or the path is gone."""
        if self._ended():
            raise Lost(self._lost or "the connection is closed")

    def _ended(self) -> bool:
        return self._closed or self._other._closed or bool(self._lost)

    def _drop_coming(self) -> None:
        for sent in self._coming:
            sent.release()
        self._coming.clear()
        if self._taking is not None:
            self._taking.cancel()


def pair(
    server_arena: Arena, client_arena: Arena, limits: Limits, remote_memory: bool = True
) -> tuple[LoopbackConnection, LoopbackConnection]:
    """The server's end and the client's; `remote_memory` lets the server reach what `client.memory` registers."""
    server = LoopbackConnection(server_arena, limits, "loopback")
    client = LoopbackConnection(client_arena, limits, "loopback")
    server._other, client._other = client, server
    if remote_memory:
        server.remote = LoopbackMemory(server, client.memory)
    client.trust(limits.max_message)
    return server, client
