"""Frames on a share, without a mount: the project's own client, over TCP or SMB Direct.

A session has one connection or more (multichannel), and a frame is cut into requests of one size that go over all of
them. A `Lane` is room for one request on one connection: how many there are is how many requests are in flight, and
over SMB Direct each has memory that the server reaches for all of the run, so that payload is never copied here.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from time import perf_counter

from server.messages.create import CreateOptions, Disposition
from server.messages.read_write import ReadRequest, ReadResponse, WriteRequest, WriteResponse
from server.options import shown
from server.status import NT, Status
from smbdirect.negotiate import CLIENT_SETTINGS
from transport import rdma, tcp
from transport.base import Connection
from transport.memory import Arena
from transport.technology import TCP

from ..client import Answer, Client, File, NtlmLogin, Session, SessionChannel, Settings, Tree, Windows
from ..client.channel import Exposed
from ..client.tree import READ_ATTRIBUTES, READ_DATA, WRITE_DATA
from .figures import Frame
from .place import Mode, Place, Refused, Task
from .target import Share
from .tasks import together

CREDITS = 8192
"""Asked for on each connection, so that no request waits for one."""
LARGEST = 16 << 20
"""Bytes of a request over TCP; the server may allow less."""
USUAL = 4 << 20
DEPTH = 4
HEADS = 4096
"""More than goes before the data of a request or an answer."""
MEMORY = 1 << 30
"""Bytes that may be in flight on all connections."""

Dial = Callable[[], Awaitable[tuple[Connection, Exposed | None]]]
"""A new connection, and where memory can be exposed on it."""


@dataclass(frozen=True, slots=True)
class Load:
    """`depth` requests of `io_size` bytes in flight on each connection; without one the usual, or the server's most."""

    connections: int
    depth: int
    io_size: int | None


@dataclass(slots=True)
class Lane:
    channel: SessionChannel
    windows: Windows | None
    """Memory for one request that the server reaches; None: payload goes inline."""


def dialler(share: Share, over_rdma: bool, arena: Arena) -> Dial:
    async def inline() -> tuple[Connection, Exposed | None]:
        return await tcp.connect(share.host, share.port or TCP.port, arena, tcp.tcp_limits(LARGEST)), None

    async def direct() -> tuple[Connection, Exposed | None]:
        if (missing := rdma.probe()) is not None:
            raise Refused(f"no RDMA here: {missing}")
        found = await asyncio.get_running_loop().getaddrinfo(share.host, None)
        connection = await rdma.connect(arena, str(found[0][4][0]), share.port, CLIENT_SETTINGS)
        return connection, connection.memory

    return direct if over_rdma else inline


@asynccontextmanager
async def served(
    share: Share, password: str, task: Task, load: Load, dial: Dial, arena: Arena
) -> AsyncIterator["Served"]:
    """The directory or file of `share`; a directory is made where frames are written.

    Raises OSError, Lost, Malformed, Status and Refused.
    """
    lanes: list[Lane] = []
    async with AsyncExitStack() as stack:
        stack.callback(_release, lanes)  # once the connections are closed: the server may still be at the memory
        session = await _login(share, password, load.connections, dial, stack)
        tree = await session.connect(rf"\\{share.host}\{share.name}")
        channels = session.channels.alive
        if session.security.encrypt or tree.sealed or session.client.agreement.signing_required:
            for channel in channels:  # a server lets no bare payload pass there
                channel.memory = None
        io_size = _io_size(load, task, channels[0])
        payload = os.urandom(io_size) if task.mode is Mode.WRITE else b""
        for _ in range(load.depth):
            for channel in channels:
                lane = await _lane(channel, arena, io_size, payload)
                lanes.append(lane)
        place = Served(tree, share.path, task, io_size, lanes, payload)
        await place.open()
        yield place
        await place.close()


async def _login(share: Share, password: str, connections: int, dial: Dial, stack: AsyncExitStack) -> Session:
    """A session over that many connections, which `stack` closes."""
    settings = Settings(credits=CREDITS)
    session: Session | None = None
    for _ in range(connections):
        connection, memory = await dial()
        client = await Client.negotiate(connection, settings)
        stack.push_async_callback(client.close)
        login = NtlmLogin(share.user, password)
        if session is None:
            session = await Session.login(client, login)
            session.channels.first.memory = memory
        else:
            await session.bind(client, login, memory)
    assert session is not None
    return session


def _io_size(load: Load, task: Task, channel: SessionChannel) -> int:
    agreement, limits = channel.client.agreement, channel.client.connection.limits
    most = min(agreement.max_read if task.mode is Mode.READ else agreement.max_write, LARGEST)
    if channel.memory is None:
        most = min(most, (limits.max_message - HEADS) // HEADS * HEADS)
    io_size = min(USUAL, most) if load.io_size is None else load.io_size
    if io_size > most:
        raise Refused(f"requests of {shown(io_size)}, where the server takes {shown(most)} at most")
    if io_size * load.depth * load.connections > MEMORY:
        raise Refused(f"more than {shown(MEMORY)} would be in flight")
    return io_size


async def _lane(channel: SessionChannel, arena: Arena, io_size: int, payload: bytes) -> Lane:
    if channel.memory is None:
        return Lane(channel, None)
    windows = await Windows.open(channel.memory, arena, [io_size])
    windows.fill(payload)
    return Lane(channel, windows)


def _release(lanes: Sequence[Lane]) -> None:
    for lane in lanes:
        if lane.windows is not None:
            lane.windows.close()


class Served(Place):
    """Made by `served`. What is written is the same random bytes in each request."""

    def __init__(self, tree: Tree, path: str, task: Task, io_size: int, lanes: Sequence[Lane], payload: bytes) -> None:
        self._tree = tree
        self._path = path
        self._task = task
        self._io_size = io_size
        self._payload = memoryview(payload)
        self._free: asyncio.Queue[Lane] = asyncio.Queue()
        for lane in lanes:
            self._free.put_nowait(lane)
        self._file: File | None = None
        self._move = self._read if task.mode is Mode.READ else self._write
        count = len(tree.session.channels.alive)
        self.how = (
            f"{'SMB Direct' if lanes[0].windows else 'TCP'}, {count} connection{'s' * (count > 1)}, "
            f"{len(lanes) // count} requests of {shown(io_size)} in flight on each"
        )

    async def open(self) -> None:
        """Make the directory, and open the file that holds all frames where there is one."""
        if self._task.stream:
            self._file = await self._opened(self._path)
        elif self._task.mode is not Mode.READ and self._path:
            directory = await self._tree.create(
                self._path, READ_ATTRIBUTES, Disposition.OPEN_IF, CreateOptions.DIRECTORY_FILE
            )
            await directory.close()

    async def close(self) -> None:
        if self._file is not None:
            await self._file.close()

    async def frame(self, number: int) -> Frame:
        begun = perf_counter()
        file = self._file or await self._opened(self._below(self._task.names.of(number)))
        opened = perf_counter()
        size = 0 if self._task.mode is Mode.EMPTY else self._task.size or file.created.size
        await self._transfer(file, number * size if self._file else 0, size)
        moved = perf_counter()
        if self._file is None:
            await file.close()
        return Frame(number, begun, opened - begun, moved - opened, perf_counter() - moved, size)

    def _below(self, name: str) -> str:
        return f"{self._path}\\{name}" if self._path else name

    async def _opened(self, path: str) -> File:
        reading = self._task.mode is Mode.READ
        return await self._tree.create(
            path,
            READ_ATTRIBUTES | (READ_DATA if reading else WRITE_DATA),
            Disposition.OPEN if reading else Disposition.OVERWRITE_IF,
            CreateOptions.NON_DIRECTORY_FILE,
        )

    async def _transfer(self, file: File, offset: int, size: int) -> None:
        """Move a frame in pieces, each as soon as a lane is free."""

        async def piece(at: int, end: int) -> None:
            lane = await self._free.get()
            try:
                while at < end:
                    count = await self._move(lane, file, offset + at, end - at)
                    if not 0 < count <= end - at:
                        raise Refused(f"the server moved {count} of {end - at} bytes")
                    at += count
            finally:
                self._free.put_nowait(lane)

        await together(piece(at, min(at + self._io_size, size)) for at in range(0, size, self._io_size))

    async def _read(self, lane: Lane, file: File, offset: int, length: int) -> int:
        try:
            if lane.windows is not None:
                return await file.read_placed(offset, length, lane.windows.descriptors, over=lane.channel)
            answer = await self._post(lane, ReadRequest(file.id, offset, length))
            try:
                return len(answer.read(ReadResponse).data)
            finally:
                answer.release()
        except Status as status:
            if status.code == NT.END_OF_FILE:
                raise Refused(f"a frame ends before byte {offset + length}") from None
            raise

    async def _write(self, lane: Lane, file: File, offset: int, length: int) -> int:
        if lane.windows is not None:
            return await file.write_placed(offset, length, lane.windows.descriptors, over=lane.channel)
        answer = await self._post(lane, WriteRequest(file.id, offset, self._payload[:length]))
        return answer.keep().read(WriteResponse).count

    async def _post(self, lane: Lane, request: ReadRequest | WriteRequest) -> Answer:
        element = self._tree.session.channels.element(request, self._tree.id)
        return await (await lane.channel.post(element, self._tree.sealed)).answer()
