"""Requests as fast as one thread makes them: past the event loop, so that the client costs less than what it measures.

`dial` and `bind` log on with the project's client; then the socket is a pump's alone. A request is packed once, and its
message id, offset and signature are put in each time. Answers are looked at as far as it takes to know that they are
right: status, length, signature or seal. READs and WRITEs go round a span of one file.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from time import perf_counter

from server.messages.base import HEADER_SIZE, Request
from server.messages.create import CreateRequest, Disposition
from server.messages.file import CloseRequest, EchoRequest
from server.messages.header import Flags, Header
from server.messages.read_write import ReadRequest, WriteRequest
from server.security.signing import SIGNATURE_AT
from server.status import NT, Status
from server.testing import PASSWORD, Running, names
from smbdirect.wire import Buffer, Malformed
from transport.base import Lost
from transport.memory import Arena
from transport.tcp import tcp_limits
from transport.tcp_connection import MAX_MESSAGE, TcpConnection

from .client import Client, File, NtlmLogin, Session, Settings, Tree
from .client.charge import charge
from .client.security import Security
from .client.tree import READ_ATTRIBUTES, READ_DATA, WRITE_DATA

CREDITS = 8192
"""What Samba grants at most."""
ACCESS = READ_DATA | WRITE_DATA | READ_ATTRIBUTES
MESSAGE_ID_AT, CREDITS_AT, DETAIL_AT = 24, 14, HEADER_SIZE + 8
"""The last: the offset of a READ or WRITE, and the file of a CLOSE."""
DATA_LENGTH_AT = HEADER_SIZE + 4
CREATED_FILE = slice(HEADER_SIZE + 64, HEADER_SIZE + 80)
SMALL = 65536
"""Bytes read ahead of a message that is not large."""
PATIENCE = 20
"""Seconds that a server may take for an answer."""
_answer = struct.Struct("<IHHI")
"""Status, command, credits and flags, at the header's ninth byte."""


@dataclass(slots=True)
class Order:
    """A request to be made again and again."""

    head: bytearray
    payload: Buffer
    charge: int
    size: int
    """Bytes that each one moves, 0 where it moves none."""
    answer: int
    """Bytes that each answer must bear."""
    span: int
    """Bytes of the file to go round."""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a run of pumps."""

    requests: int
    moved: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds

    @property
    def bandwidth(self) -> float:
        """MB/s."""
        return self.moved / self.seconds / 1e6


class Pump:
    """One connection of a session, blocking; its socket is whose made it."""

    def __init__(self, sock: socket.socket, client: Client, security: Security, tree_id: int) -> None:
        self.agreement = client.agreement
        self._socket = sock
        self._security = security
        self._tree_id = tree_id
        self._message_id = client.window.next
        self._credits = client.window.credits
        self._buffer = memoryview(bytearray(MAX_MESSAGE + 4 + SMALL))
        self._start = self._end = 0
        sock.setblocking(True)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", PATIENCE, 0))

    # -- orders ----------------------------------------------------------------------------------------------
    def reads(self, file_id: bytes, size: int, span: int) -> Order:
        return self._order(ReadRequest(file_id, 0, size, minimum_count=size), size, span, answer=size)

    def writes(self, file_id: bytes, size: int, span: int) -> Order:
        return self._order(WriteRequest(file_id, 0, bytes(range(256)) * (size // 256)), size, span)

    def echoes(self) -> Order:
        return self._order(EchoRequest())

    def opens(self, name: str) -> Order:
        return self._order(CreateRequest(name, ACCESS, Disposition.OPEN_IF))

    def closes(self) -> Order:
        return self._order(CloseRequest(bytes(16)))

    def _order(self, request: Request, size: int = 0, span: int = 0, answer: int = 0) -> Order:
        security, cost = self._security, charge(request)
        header = Header(
            credit_charge=cost, command=request.COMMAND, async_or_ids=self._tree_id << 32 | 0xFEFF,
            flags=Flags.SIGNED if security.sign and not security.encrypt else 0, session_id=security.session_id,
        )  # fmt: skip
        first, *payload = request.parts()
        return Order(bytearray(header.pack()) + first, b"".join(payload), cost, size, answer, span)

    # -- running ---------------------------------------------------------------------------------------------
    def run(self, order: Order, depth: int, seconds: float) -> int:
        """Keep `depth` requests under way for so long, then wait for the last; how many were answered. Raises Lost."""
        end = perf_counter() + seconds
        under_way = made = answered = 0
        places = order.span // order.size if order.size else 1
        while True:
            while under_way < depth and self._credits >= order.charge and perf_counter() < end:
                self.send(order, (made % places * order.size).to_bytes(8, "little") if order.size else b"")
                under_way += 1
                made += 1
            if not made:
                raise Lost(f"{self._credits} credits, {order.charge} needed for one request")
            if not under_way:
                return answered
            if self.answer(order) is not None:
                under_way -= 1
                answered += 1

    def times(self, order: Order, seconds: float) -> list[float]:
        """Seconds from each request to its answer, one after the other for so long."""
        taken = []
        begun, end = perf_counter(), perf_counter() + seconds
        while begun < end:
            self.ask(order)
            now = perf_counter()
            taken.append(now - begun)
            begun = now
        return taken

    def open_and_close_times(self, name: str, seconds: float) -> list[float]:
        """The same of a CREATE and the CLOSE of what it has opened."""
        opening, closing, taken = self.opens(name), self.closes(), []
        begun, end = perf_counter(), perf_counter() + seconds
        while begun < end:
            self.ask(closing, bytes(self.ask(opening)[CREATED_FILE]))
            now = perf_counter()
            taken.append(now - begun)
            begun = now
        return taken

    def ask(self, order: Order, detail: bytes = b"") -> memoryview:
        """The answer to one request; it lies where the next one will."""
        self.send(order, detail)
        while (packet := self.answer(order)) is None:
            pass
        return packet

    def send(self, order: Order, detail: bytes = b"") -> None:
        head, security = order.head, self._security
        struct.pack_into("<Q", head, MESSAGE_ID_AT, self._message_id)
        struct.pack_into("<H", head, CREDITS_AT, order.charge + max(0, CREDITS - self._credits))
        if detail:
            head[DETAIL_AT : DETAIL_AT + len(detail)] = detail
        parts: list[Buffer] = [head, order.payload] if order.payload else [head]
        if security.encrypt:
            assert security.sealer is not None
            parts = security.sealer.seal(parts, security.session_id)
        elif security.sign:
            assert security.signer is not None
            head[SIGNATURE_AT:HEADER_SIZE] = bytes(16)
            head[SIGNATURE_AT:HEADER_SIZE] = security.signer.sign(parts, self._message_id, response=False)
        self._message_id += max(order.charge, 1)
        self._credits -= order.charge
        self._put(parts)

    def answer(self, order: Order) -> memoryview | None:
        """The next answer, None for an interim one. Raises Status, Malformed, Lost and OSError."""
        packet, security = self._message(), self._security
        if security.encrypt:
            assert security.sealer is not None
            packet = security.sealer.unseal(packet)
        status, command, credits, flags = _answer.unpack_from(packet, 8)
        self._credits += credits
        if status == NT.PENDING and flags & Flags.ASYNC:
            return None
        if security.sign and not security.encrypt:
            security.check(packet, Header.unpack_from(packet))
        if status:
            raise Status(status, f"command {command}")
        if order.answer and int.from_bytes(packet[DATA_LENGTH_AT : DATA_LENGTH_AT + 4], "little") != order.answer:
            raise Malformed("a READ brought less than it asked for")
        return packet

    # -- bytes -----------------------------------------------------------------------------------------------
    def _put(self, parts: Sequence[Buffer]) -> None:
        total = sum(map(len, parts))
        views = [total.to_bytes(4, "big"), *parts]
        sent = self._socket.sendmsg(views)
        if sent < 4 + total:
            self._socket.sendall(b"".join(views)[sent:])

    def _message(self) -> memoryview:
        self._fill(4)
        whole = 4 + int.from_bytes(self._buffer[self._start : self._start + 4], "big")
        self._fill(whole)
        packet = self._buffer[self._start + 4 : self._start + whole]
        self._start += whole
        return packet

    def _fill(self, count: int) -> None:
        """Have `count` bytes in the buffer from `start` on; of a large message no more than that is read."""
        have = self._end - self._start
        if have >= count:
            return
        self._buffer[:have] = self._buffer[self._start : self._end]
        self._start, self._end = 0, have
        while self._end < count:
            got = self._socket.recv_into(self._buffer[self._end : max(count, SMALL)])
            if not got:
                raise Lost("the server closed the connection")
            self._end += got


@dataclass(frozen=True, slots=True)
class Primed:
    """A pump, and the file it has open."""

    pump: Pump
    file_id: bytes


@contextmanager
def primed(server: Running, files: Sequence[str], settings: Settings, bound: bool = False) -> Iterator[list[Primed]]:
    """A connection for each of `files`, each a client of its own or, `bound`, all channels of one session.

    Raises Lost, Malformed, Status, OSError.
    """
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_connection(("127.0.0.1", server.port))) for _ in files]
        made = asyncio.run(_log_on(sockets, files, settings, bound))
        yield made


async def _log_on(
    sockets: Sequence[socket.socket], files: Sequence[str], settings: Settings, bound: bool
) -> list[Primed]:
    arena, session = Arena(), None
    entered: list[tuple[socket.socket, Client, Security, Tree, File]] = []
    for sock, name in zip(sockets, files, strict=True):
        client = await Client.negotiate(TcpConnection(sock.dup(), arena, tcp_limits(MAX_MESSAGE)), settings)
        login = NtlmLogin(names()[0], PASSWORD)
        if session is not None and bound:
            security = (await session.bind(client, login)).security
        else:
            session = await Session.login(client, login)
            tree, security = await session.connect(r"\\127.0.0.1\data"), session.security
            settings = settings if bound else replace(settings, guid=os.urandom(16))
        entered.append((sock, client, security, tree, await tree.create(name, ACCESS)))
    for _, client, *_ in entered:
        await client.close()  # its socket, of which the pump has another: blocking only when no loop reads it any more
    return [Primed(Pump(sock, client, security, tree.id), file.id) for sock, client, security, tree, file in entered]


def run(made: Sequence[tuple[Pump, Order]], depth: int, seconds: float) -> Done:
    """All pumps at once, each with `depth` requests under way, for so long."""
    begun = perf_counter()
    with ThreadPoolExecutor(len(made)) as pool:
        counts = list(pool.map(lambda each: each[0].run(each[1], depth, seconds), made))
    seconds = perf_counter() - begun
    moved = sum(count * order.size for count, (_, order) in zip(counts, made, strict=True))
    return Done(sum(counts), moved, seconds)
