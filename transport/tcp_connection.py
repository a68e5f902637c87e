"""SMB over TCP: each message behind a 4-byte length (RFC 1001/1002 session service, as MS-SMB2 2.1 uses it).

The sockets are ours, without asyncio's streams, because only so is a READ one `sendmsg` from its block and a
WRITE received straight into one. Small requests are read ahead many at a time into the connection's buffer
and handed out as bytes of their own; of a large message the rest is received exactly. A message's block is
this connection's until the message is handed out; `arena` is used for nothing but arriving messages, so give
listeners an arena that handlers do not wait for while they hold a message.

While further requests have been read already, small answers gather and leave together, some at a time: a system call
on a socket costs as much as a small request.

A socket is watched by one reader that stays registered while anybody receives, so a request and its answer are
one wait, one `recv` and one `sendmsg`. Reading ahead always waits for the loop first: a peer that never stops
sending gets one buffer's worth a turn, like every other.
"""

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import NoReturn

from smbdirect.wire import Buffer, Malformed

from .base import Connection, Limits, Lost, Message, Reply
from .deadline import Deadline
from .memory import SMALL, Arena, Block, Share
from .outgoing import MOST_GATHERED, SMALL_ANSWER, Gathered, Outgoing

MAX_MESSAGE = 0xFFFFFF
"""What the 24-bit length can say."""
UNTRUSTED = 16384 + 1024
"""The largest message of a peer that has not logged on, and the size of its buffer."""
SHARE = 64 << 20
"""Bytes of messages of one connection that may be in blocks at a time."""
ENOUGH = 1 << 20
"""Bytes of a large message that are worth a turn of the loop (a put of 1 GiB took 0.57 s, 0.61 s without this)."""
COPIED = SMALL + 1024
"""The largest message that is read ahead and copied out: a WRITE of 64 KiB with its heads, sealed or not. To find a
block for it and receive the rest there costs twice the copy."""
AHEAD = 2 * (4 + COPIED)
"""Bytes read ahead at most; behind a message that is larger than COPIED, SMALL: of another it would all be copied."""
_SPARE: list[bytearray] = []
"""Buffers of AHEAD bytes: a connection needs one only while something lies in it, so those that wait have none."""
_MOST_SPARE = 4
DEADLINE = 60.0
"""Seconds in which a message that has begun arrives, and in which a send makes some progress."""
IOV_MAX = 1024
OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),  # a peer that vanished is noticed within two minutes
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
)

SESSION_MESSAGE, SESSION_REQUEST, KEEP_ALIVE = 0x00, 0x81, 0x85
POSITIVE_RESPONSE = b"\x82\0\0\0"

_length = struct.Struct(">I")


class TcpConnection(Connection):
    """One socket. `deadline` is in seconds; `limits.max_message` holds once `trust` has been called."""

    technology = "TCP"

    def __init__(self, sock: socket.socket, arena: Arena, limits: Limits, deadline: float = DEADLINE) -> None:
        sock.setblocking(False)
        for level, option, value in OPTIONS:
            sock.setsockopt(level, option, value)
        self.limits = limits
        self.peer = str(sock.getpeername()[0])
        self._loop = asyncio.get_running_loop()
        self._socket = sock
        self._fd = sock.fileno()
        self._arena = arena
        self._share = Share(SHARE)
        self._max_message = UNTRUSTED
        self._in_session = False
        self._lost: str | None = None
        self._closed = False
        # receiving: buffer[start:end] has been read and not been handed out
        self._buffer_size = 4 + UNTRUSTED
        self._buffer = bytearray(self._buffer_size)
        self._start = 0
        self._end = 0
        self._behind_large = False
        self._watched = False
        self._readable: asyncio.Future[None] | None = None
        self._taking: asyncio.Task[Block] | None = None
        self._wakes_at = 1
        self._arrival = Deadline(self._loop, deadline, lambda: self._lose("a message stopped arriving"))
        # sending
        self._queue: deque[Outgoing] = deque()
        self._gathered = Gathered()
        self._progress = Deadline(self._loop, deadline, lambda: self._lose("the peer stopped receiving"))

    def trust(self, max_message: int) -> None:
        self._max_message = min(max_message, MAX_MESSAGE)
        self._buffer_size = AHEAD

    # -- receiving -------------------------------------------------------------------------------------------

    async def receive(self) -> Message | None:
        while not self._closed:
            start = self._start
            have = self._end - start
            if have >= 4:
                (length,) = _length.unpack_from(self._buffer, start)
                if length > self._max_message or not length:
                    length = self._no_message(length)
                    if have >= 4 + length:
                        self._answer_session_service(start, length)
                        continue
                elif length > COPIED:
                    return await self._receive_large(length)
                elif have >= 4 + length:
                    self._arrival.lift()
                    self._behind_large = False
                    self._start = start + 4 + length
                    return Message(memoryview(self._buffer[start + 4 : start + 4 + length]))
            if have:
                self._arrival.start()
            else:
                self._spare_buffer()
            self._send_gathered()
            await self._until_readable()
            if not self._read_ahead():
                break
        return None

    def _no_message(self, head: int) -> int:
        """The length of the session service's own packet with this `head`."""
        kind, length = head >> 24, head & 0xFFFFFF
        if kind == SESSION_MESSAGE:
            raise Malformed(f"a message of {length} bytes, {self._max_message} allowed")
        if kind not in (SESSION_REQUEST, KEEP_ALIVE) or length > 512:
            raise Malformed(f"session packet type {kind:#x} of {length} bytes")
        return length

    def _answer_session_service(self, start: int, length: int) -> None:
        """Skip a keep-alive; agree to whatever names a session request calls us by (RFC 1002 4.3)."""
        self._arrival.lift()
        if self._buffer[start] == SESSION_REQUEST:
            if self._in_session:
                raise Malformed("a second session request")
            self._in_session = True
            self._start_sending([POSITIVE_RESPONSE], len(POSITIVE_RESPONSE), ())
        self._start = start + 4 + length

    def _read_ahead(self) -> bool:
        """Read more behind `end`; False at the peer's end and when we have closed."""
        unread = self._buffer[self._start : self._end]
        have = len(unread)
        if len(self._buffer) < self._buffer_size:
            self._buffer = _SPARE.pop() if _SPARE else bytearray(AHEAD)
        self._buffer[:have] = unread
        self._start, self._end = 0, have
        room = memoryview(self._buffer)[have:]
        count = self._recv_into(room[:SMALL] if self._behind_large else room)
        if count is None:
            return not self._closed
        self._end += count
        if count == 0 and have:
            self._end_inside()
        return count > 0

    def _spare_buffer(self) -> None:
        """Nothing is unread: let others read into the buffer."""
        if len(self._buffer) == AHEAD:
            if len(_SPARE) < _MOST_SPARE:
                _SPARE.append(self._buffer)
            self._buffer = bytearray()
            self._start = self._end = 0

    async def _receive_large(self, length: int) -> Message | None:
        """The message of `length` bytes that begins in the buffer, into a block."""
        self._arrival.lift()  # waiting for memory is our time, not the peer's
        self._send_gathered()
        block = await self._take(length)
        if block is None:
            return None
        self._arrival.start()
        self._start += 4
        got = min(self._end - self._start, length)
        view = block.view
        view[:got] = memoryview(self._buffer)[self._start : self._start + got]
        self._start += got
        self._behind_large = True
        try:
            while got < length:
                count = self._recv_into(view[got:])
                if count == 0:
                    self._end_inside()
                got += count or 0
                if self._closed:
                    return None
                if got < length:
                    self._wake_at(min(length - got, ENOUGH))
                    await self._until_readable()
        except asyncio.CancelledError:
            self._lose("receiving was cancelled inside a message")
            raise
        finally:
            self._arrival.lift()
            self._wake_at(1)
            if got < length:
                block.release()
        return Message(view, block)

    def _wake_at(self, count: int) -> None:
        """Have the socket readable only from `count` bytes on; the kernel caps it by the room it has, and an end or
        an error shows at once."""
        if count != self._wakes_at and not self._closed and self._lost is None:
            self._wakes_at = count
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)

    async def _take(self, length: int) -> Block | None:
        """A block for a message; None when we close while waiting for it. Raises Lost."""
        block = self._arena.take_nowait(length, self._share)
        if block is not None:
            return block
        self._taking = taking = self._loop.create_task(self._arena.take(length, self._share))
        try:
            return await taking
        except asyncio.CancelledError:
            if taking.done() and not taking.cancelled():
                taking.result().release()
            if self._closed:
                return None
            if self._lost is not None:
                raise Lost(self._lost) from None
            raise
        finally:
            self._taking = None

    def _recv_into(self, view: memoryview) -> int | None:
        """Bytes received into `view`; 0 at the peer's end, None where nothing is there now. Raises Lost."""
        if self._closed:
            return None
        if self._lost is not None:
            raise Lost(self._lost)
        try:
            return self._socket.recv_into(view)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            self._lose(str(error))
            raise Lost(str(error)) from None

    def _until_readable(self) -> asyncio.Future[None]:
        """Done when the socket has something, and when the connection ends."""
        self._readable = self._loop.create_future()
        if self._closed or self._lost is not None:
            self._readable.set_result(None)
        elif not self._watched:
            self._loop.add_reader(self._fd, self._on_readable)
            self._watched = True
        return self._readable

    def _on_readable(self) -> None:
        waiting, self._readable = self._readable, None
        if waiting is None or waiting.done():  # nobody receives: watch again when somebody does
            self._loop.remove_reader(self._fd)
            self._watched = False
        else:
            waiting.set_result(None)

    def _end_inside(self) -> NoReturn:
        self._lose("the peer closed inside a message")
        raise Lost("the peer closed inside a message")

    # -- sending ---------------------------------------------------------------------------------------------

    async def send(self, reply: Reply) -> None:
        total = sum(map(len, reply.parts))
        if reply.places or total > MAX_MESSAGE:
            _release(reply.blocks)
            raise AssertionError(f"a message of {total} bytes with {len(reply.places)} places cannot go over TCP")
        if total <= SMALL_ANSWER and not reply.blocks and self._gathered.count < MOST_GATHERED and self._has_message():
            if not self._gathered.count:
                self._loop.call_soon(self._send_gathered)
            self._gathered.add([_length.pack(total), *reply.parts])
            return
        sent = self._start_sending([_length.pack(total), *reply.parts], 4 + total, reply.blocks)
        if sent is not None and not await asyncio.shield(sent):
            raise Lost(self._reason())

    def _has_message(self) -> bool:
        """Whether a whole further message has been read; none is looked for while there is something left to send."""
        have = self._end - self._start
        if have < 4 or self._queue or self._closed or self._lost is not None:
            return False
        (length,) = _length.unpack_from(self._buffer, self._start)
        return bool(have >= 4 + length)

    def _send_gathered(self) -> None:
        """A lost connection is the reader's to see."""
        if self._gathered.count and not self._closed and self._lost is None:
            with contextlib.suppress(Lost):
                self._start_sending([], 0, ())

    def _start_sending(self, parts: list[Buffer], total: int, blocks: Sequence[Block]) -> asyncio.Future[bool] | None:
        """Send of `parts`, `total` bytes, what fits now; None when that is all, else whether all will have gone."""
        if self._closed or self._lost is not None:
            _release(blocks)
            raise Lost(self._reason())
        if self._gathered.count:
            parts = self._gathered.take() + parts
            total = sum(map(len, parts))
        sent = 0
        if not self._queue and len(parts) <= IOV_MAX:
            try:
                sent = self._socket.sendmsg(parts)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as error:
                _release(blocks)
                self._lose(str(error))
                raise Lost(str(error)) from None
        if sent == total:
            _release(blocks)
            return None
        return self._enqueue(parts, blocks, sent)

    def _enqueue(self, parts: list[Buffer], blocks: Sequence[Block], sent: int) -> asyncio.Future[bool]:
        rest = Outgoing(deque(memoryview(part) for part in parts if part), blocks, self._loop.create_future())
        rest.advance(sent)
        if not self._queue:
            self._loop.add_writer(self._fd, self._on_writable)
            self._progress.start()
        self._queue.append(rest)
        return rest.done

    def _on_writable(self) -> None:
        try:
            while self._queue:
                first = self._queue[0]
                first.advance(self._socket.sendmsg(list(islice(first.views, IOV_MAX))))
                self._progress.lift()
                self._progress.start()
                if first.views:  # the socket is full; the others of this process get their turn
                    return
                self._queue.popleft()
                _release(first.blocks)
                if not first.done.done():
                    first.done.set_result(True)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(str(error))
            return
        self._progress.lift()
        self._loop.remove_writer(self._fd)

    # -- ending ----------------------------------------------------------------------------------------------

    async def close(self) -> None:
        if not self._closed:
            self._send_gathered()
            self._closed = True
            self._end_socket()

    def _lose(self, reason: str) -> None:
        if self._lost is None and not self._closed:
            self._lost = reason
            self._end_socket()

    def _reason(self) -> str:
        return self._lost or "the connection is closed"

    def _end_socket(self) -> None:
        """Wake everybody who waits, give back what was to be sent, and close."""
        if self._fd < 0:
            return
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._arrival.close()
        self._progress.close()
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)
        if self._taking is not None:
            self._taking.cancel()
        for outgoing in self._queue:
            _release(outgoing.blocks)
            if not outgoing.done.done():
                outgoing.done.set_result(False)
        self._queue.clear()
        self._socket.close()
        self._fd = -1


def _release(blocks: Sequence[Block]) -> None:
    for block in blocks:
        block.release()
