"""A named pipe with an RPC service at its far end, all in memory: a write is answered before it returns.

The pipe is a message pipe (MS-FSA 2.1.5.2, MS-RPCE 2.1.1.2): each fragment of an answer is a message, a read takes one
or the rest of one. What a client sends may come in any pieces. A client whose packets are not RPC finds the pipe
disconnected; one whose stubs are wrong gets a fault.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from server.status import NT, Status
from smbdirect.wire import Buffer, Malformed

from . import packets, srvsvc, wkssvc
from .context import Context, Operation
from .ndr import Reader
from .packets import Header, Result, Syntax

SERVICES: dict[str, tuple[Syntax, dict[int, Operation]]] = {
    "srvsvc": (srvsvc.INTERFACE, srvsvc.OPERATIONS),
    "wkssvc": (wkssvc.INTERFACE, wkssvc.OPERATIONS),
}
"""The pipes there are, and what each speaks."""

FRAGMENT = 4280
"""Bytes of the largest fragment that is sent, or asked for; Windows uses the same."""
SMALLEST_FRAGMENT = 1432
"""Every peer takes fragments of this size (C706 12.6.3.1, MustRecvFragSize)."""
LARGEST_STUB = 64 << 10
"""Bytes of a request's fragments together: no operation here needs more than a few names."""
LARGEST_WRITE = 128 << 10
"""Bytes of one write: it is answered before anyone else's turn comes."""
MOST_UNREAD = 64 << 10
"""Bytes of answers a client may leave unread and still ask for more."""
MOST_CONTEXTS = 32

_groups = count(1)


def open_pipe(name: str, context: Context) -> "Pipe":
    """The pipe called `name` ("srvsvc", "\\\\PIPE\\\\srvsvc"), whatever its case.

    Raises Status(OBJECT_NAME_NOT_FOUND) where there is none.
    """
    service = name.lower().removeprefix("\\").removeprefix("pipe\\")
    if service not in SERVICES:
        raise Status(NT.OBJECT_NAME_NOT_FOUND, f"no pipe {name!r}")
    return Pipe(service, context)


@dataclass(slots=True)
class _Call:
    """A request whose last fragment is still to come."""

    id: int
    context: int
    operation: int
    stub: bytearray = field(default_factory=bytearray)


class Pipe:
    """One open of a pipe."""

    def __init__(self, service: str, context: Context) -> None:
        self.service = service
        self._context = context
        self._interface, self._operations = SERVICES[service]
        self._received = bytearray()
        self._answers: deque[bytes] = deque()
        self._unread = 0
        self._bound: set[int] = set()
        self._call: _Call | None = None
        self._fragment = SMALLEST_FRAGMENT
        self._broken = False

    # -- what the file operations do ----------------------------------------------------------------------------
    def write(self, data: Buffer) -> None:
        """Take in what the client sends and answer what is complete of it.

        Raises Status: PIPE_DISCONNECTED for what is no RPC (and ever after), PIPE_BUSY where too much is unread,
        INVALID_PARAMETER for more than LARGEST_WRITE.
        """
        if len(data) > LARGEST_WRITE:
            raise Status(NT.INVALID_PARAMETER, f"{self.service}: a write of {len(data)} bytes")
        if self._broken:
            raise Status(NT.PIPE_DISCONNECTED, f"{self.service}: the client broke the protocol")
        if self._unread > MOST_UNREAD:
            raise Status(NT.PIPE_BUSY, f"{self.service}: {self._unread} bytes are unread")
        self._received += data
        try:
            self._take_packets()
        except Malformed as error:
            self._broken = True
            raise Status(NT.PIPE_DISCONNECTED, f"{self.service}: {error}") from error

    def read(self, length: int) -> tuple[bytes, bool]:
        """The next message, or `length` bytes of it; true when it has more (STATUS_BUFFER_OVERFLOW).

        Raises Status(PIPE_EMPTY) where nothing is to be read: no answer will come by waiting.
        """
        if not self._answers:
            raise Status(NT.PIPE_DISCONNECTED if self._broken else NT.PIPE_EMPTY, self.service)
        answer = self._answers.popleft()
        rest = answer[length:]
        if rest:
            self._answers.appendleft(rest)
        self._unread -= len(answer) - len(rest)
        return answer[:length], bool(rest)

    def transceive(self, data: Buffer, max_output: int) -> tuple[bytes, bool]:
        """Write one message and read the answer (FSCTL_PIPE_TRANSCEIVE); as `read` otherwise.

        Raises Status(PIPE_BUSY) where an earlier answer is unread.
        """
        if self._answers:
            raise Status(NT.PIPE_BUSY, f"{self.service}: an earlier answer is unread")
        self.write(data)
        return self.read(max_output)

    @property
    def available(self) -> int:
        """Bytes that can be read now."""
        return self._unread

    # -- packets ------------------------------------------------------------------------------------------------
    def _take_packets(self) -> None:
        """Handle every packet that has arrived whole."""
        while len(self._received) >= Header.SIZE:
            header = packets.header_of(self._received)
            if header.length > len(self._received):
                return
            if self._unread > MOST_UNREAD:
                raise Malformed(f"a flood of requests: {self._unread} bytes of answers are unread")
            packet = memoryview(bytes(self._received[: header.length]))
            del self._received[: header.length]
            handle = _HANDLERS.get(header.type)
            if handle is None:
                raise Malformed(f"RPC packet of type {header.type}")
            handle(self, header, packets.body_of(header, packet))

    def _answer(self, packet: bytes) -> None:
        self._answers.append(packet)
        self._unread += len(packet)

    def _bind(self, header: Header, body: memoryview) -> None:
        """BIND, ALTER_CONTEXT: say which of the proposed contexts can be used (C706 12.6.3.1)."""
        bind = packets.parse_bind(body)
        first = header.type == packets.BIND
        if first:  # what ALTER_CONTEXT says of sizes is ignored
            self._fragment = max(SMALLEST_FRAGMENT, min(bind.max_receive, FRAGMENT))
        results = [self._judge(proposal) for proposal in bind.proposals]
        ack = packets.pack_bind_ack(
            self._fragment,
            max(SMALLEST_FRAGMENT, min(bind.max_transmit, FRAGMENT)),
            bind.group or next(_groups),
            f"\\PIPE\\{self.service}" if first else "",
            results,
        )
        kind = packets.BIND_ACK if first else packets.ALTER_CONTEXT_RESPONSE
        self._answer(packets.framed(kind, header.call, ack))

    def _judge(self, proposal: packets.Proposal) -> Result:
        if any(map(packets.is_feature_negotiation, proposal.transfers)):
            return Result(packets.NEGOTIATED)  # none of the features; MS-RPCE 3.3.1.5.3
        if proposal.interface != self._interface:
            return Result(packets.REJECTED, packets.NO_INTERFACE)
        if packets.NDR not in proposal.transfers:
            return Result(packets.REJECTED, packets.NO_TRANSFER)
        if len(self._bound) >= MOST_CONTEXTS:
            return Result(packets.REJECTED, packets.LOCAL_LIMIT)
        self._bound.add(proposal.id)
        return Result(packets.ACCEPTED, 0, packets.NDR)

    # -- calls --------------------------------------------------------------------------------------------------
    def _request(self, header: Header, body: memoryview) -> None:
        """REQUEST: collect its fragments and carry it out with the last."""
        request = packets.parse_request(header, body)
        if header.flags & packets.FIRST_FRAGMENT:
            if self._call is not None:
                raise Malformed(f"call {header.call} begins inside call {self._call.id}")
            self._call = _Call(header.call, request.context, request.operation)
        call = self._call
        if call is None or call.id != header.call:
            raise Malformed(f"a fragment of call {header.call}, which has not begun")
        call.stub += request.stub
        if len(call.stub) > LARGEST_STUB:
            raise Malformed(f"a request of more than {LARGEST_STUB} bytes")
        if header.flags & packets.LAST_FRAGMENT:
            self._call = None
            self._carry_out(call)

    def _carry_out(self, call: _Call) -> None:
        operation = self._operations.get(call.operation)
        if call.context not in self._bound:
            self._fault(call, packets.FAULT_UNKNOWN_INTERFACE)
        elif operation is None:
            self._fault(call, packets.FAULT_OPERATION_RANGE)
        else:
            try:
                stub = operation(Reader(call.stub), self._context)
            except Malformed:
                self._fault(call, packets.FAULT_BAD_STUB)
            else:
                self._respond(call, stub)

    def _respond(self, call: _Call, stub: bytes) -> None:
        """RESPONSE, in fragments that the client takes; but for the last, stubs are multiples of 8 (C706 12.6.4.10)."""
        room = (self._fragment - Header.SIZE - packets.ResponseHead.SIZE) & ~7
        for start in range(0, max(len(stub), 1), room):
            flags = packets.FIRST_FRAGMENT if start == 0 else 0
            flags |= packets.LAST_FRAGMENT if start + room >= len(stub) else 0
            head = packets.ResponseHead(len(stub) - start, call.context).pack()
            self._answer(packets.framed(packets.RESPONSE, call.id, head + stub[start : start + room], flags))

    def _fault(self, call: _Call, status: int) -> None:
        flags = packets.FIRST_FRAGMENT | packets.LAST_FRAGMENT | packets.DID_NOT_EXECUTE
        body = packets.Fault(packets.Fault.SIZE, call.context, status=status).pack()
        self._answer(packets.framed(packets.FAULT, call.id, body, flags))

    def _abandon(self, header: Header, body: memoryview) -> None:
        """CANCEL, ORPHANED: the client gives a call up; all but one half sent are answered already."""
        if self._call is not None and self._call.id == header.call and header.type == packets.ORPHANED:
            self._call = None

    def _ignore(self, header: Header, body: memoryview) -> None:
        """AUTH3: the end of an authentication that was not begun here; it has no answer."""


_HANDLERS: dict[int, Callable[[Pipe, Header, memoryview], None]] = {
    packets.BIND: Pipe._bind,
    packets.ALTER_CONTEXT: Pipe._bind,
    packets.REQUEST: Pipe._request,
    packets.AUTH3: Pipe._ignore,
    packets.CANCEL: Pipe._abandon,
    packets.ORPHANED: Pipe._abandon,
}
