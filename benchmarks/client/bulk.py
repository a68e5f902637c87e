"""The data of one open file, cut into pieces that go over all channels of its session at once.

Over a channel with memory to expose a piece goes through that, over another, or sealed, inline; one whose channel dies
goes again over whichever is there.
"""

import asyncio
from collections.abc import Awaitable, Callable

from server.messages.read_write import ReadRequest, ReadResponse, WriteRequest, WriteResponse
from smbdirect.wire import Buffer
from transport.memory import Arena

from .channel import Exposed, Windows
from .file import File
from .multichannel import SessionChannel

PIECE = 1 << 20
AT_ONCE = 4
"""Pieces under way for each channel."""


class Bulk:
    def __init__(self, file: File, arena: Arena, piece: int = PIECE, at_once: int = AT_ONCE) -> None:
        self._file = file
        self._tree = file.tree
        self._channels = file.tree.session.channels
        self._arena = arena
        self._piece = piece
        self._at_once = at_once

    async def write(self, offset: int, data: Buffer) -> None:
        """Write all of `data`. Raises Status, and Lost where no channel is left."""
        view = memoryview(data)

        async def piece(at: int, length: int) -> None:
            done = 0
            while done < length:
                done += await self._write(offset + at + done, view[at + done : at + length])

        await self._all(piece, len(view))

    async def read(self, offset: int, length: int) -> bytearray:
        """`length` bytes, which must be there. Raises Status, and Lost where no channel is left."""
        data = bytearray(length)
        view = memoryview(data)

        async def piece(at: int, length: int) -> None:
            done = 0
            while done < length:
                done += await self._read(offset + at + done, view[at + done : at + length])

        await self._all(piece, length)
        return data

    async def _all(self, piece: Callable[[int, int], Awaitable[None]], length: int) -> None:
        starts = iter(range(0, length, self._piece))

        async def work() -> None:
            for at in starts:
                await piece(at, min(self._piece, length - at))

        workers = [asyncio.ensure_future(work()) for _ in range(self._at_once * len(self._channels.alive))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    def _memory(self, channel: SessionChannel) -> Exposed | None:
        """Where payload goes: what is to be encrypted does not travel bare."""
        return None if self._tree.sealed or channel.security.encrypt else channel.memory

    async def _write(self, offset: int, data: memoryview) -> int:
        async def send(channel: SessionChannel, flags: int) -> int:
            memory = self._memory(channel)
            if memory is None:
                element = self._channels.element(WriteRequest(self._file.id, offset, data), self._tree.id, flags)
                return (await (await channel.post(element, self._tree.sealed)).result(WriteResponse)).count
            windows = await Windows.open(memory, self._arena, [len(data)])
            try:
                windows.fill(data)
                return await self._file.write_placed(offset, len(data), windows.descriptors, over=channel, flags=flags)
            finally:
                windows.close()

        return await self._channels.carry(send)

    async def _read(self, offset: int, into: memoryview) -> int:
        async def send(channel: SessionChannel, flags: int) -> int:
            memory = self._memory(channel)
            if memory is None:
                element = self._channels.element(ReadRequest(self._file.id, offset, len(into)), self._tree.id, flags)
                answer = await (await channel.post(element, self._tree.sealed)).answer()
                try:
                    data = answer.read(ReadResponse).data
                    into[: len(data)] = data
                    return len(data)
                finally:
                    answer.release()
            windows = await Windows.open(memory, self._arena, [len(into)])
            try:
                count = await self._file.read_placed(offset, len(into), windows.descriptors, over=channel, flags=flags)
                into[:count] = windows.blocks[0].view[:count]
                return count
            finally:
                windows.close()

        return await self._channels.carry(send)
