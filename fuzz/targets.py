"""What is hunted: for every parser of bytes from the wire, how an input reaches it and valid inputs to begin with.

An input parses or raises Malformed or Status; anything else is a finding. Where a target has several parsers, the
first byte of the input chooses one.
"""

from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from server.rpc.ndr import Reader
from server.security import acl, descriptors, spnego
from server.status import Status
from server.store import attributes, names, ntacl, reparse
from server.tests import test_negotiation
from server.tests.logins import acceptor
from server.tests.rpc_client import NDR, SRVSVC_SYNTAX, bind_packet, bound, request_packet, server_info_stub
from server.tests.test_descriptors import VECTOR
from server.tests.test_messages_hostile import CASES
from server.tests.test_ntlm import FIRST, LAST
from smbdirect.packets import DataTransfer, NegotiateRequest, NegotiateResponse, read_data_transfer
from smbdirect.wire import Malformed

from . import whole

MOST = 1 << 20
UNIX = ntacl.Unix(0, 0, 0o644, b"", b"")
Parse = Callable[[bytes], object]


class Target(NamedTuple):
    one_input: Parse
    seeds: Sequence[bytes]


def of(*parsers: tuple[Parse, bytes]) -> Target:
    """A target of these parsers, each with a valid input."""
    assert len(parsers) <= 256

    def one_input(data: bytes) -> None:
        if data:
            parse, _ = parsers[data[0] % len(parsers)]
            with suppress(Malformed, Status):
                parse(data[1:])

    return Target(one_input, [bytes((number,)) + seed for number, (_, seed) in enumerate(parsers)])


def _driven(coroutine: Coroutine[Any, Any, object]) -> None:
    """Run what need not wait; what would is given up."""
    with suppress(StopIteration):
        coroutine.send(None)
    coroutine.close()


def _first_token(data: bytes) -> None:
    _driven(acceptor().start().step(data))


def _second_token(data: bytes) -> None:
    exchange = acceptor().start()
    _driven(exchange.step(FIRST))
    _driven(exchange.step(data))


def _pipe(data: bytes) -> None:
    """Two messages to a pipe that is bound, and all it answers."""
    pipe = bound()
    for message in (data[: len(data) // 2], data[len(data) // 2 :]):
        pipe.write(message)
        while pipe.available:
            pipe.read(4096)


def _transceived(data: bytes) -> None:
    bound().transceive(data, 4096)


def _stub(data: bytes) -> None:
    kinds, reader = data[:1], Reader(data[1:])
    for bit in range(8):
        if int.from_bytes(kinds) >> bit & 1:
            reader.unique_string()
        else:
            reader.string()
        reader.u32()


def _name(data: bytes) -> None:
    names.split(data.decode("utf-16-le", "surrogatepass" if len(data) % 2 == 0 else "replace"))


def _pattern(data: bytes) -> None:
    pattern, _, name = data.decode("utf-8", "replace").partition("\0")
    assert names.compile_pattern(pattern[:64])(name[:64]) in (True, False)


TARGETS: dict[str, Target] = {
    "messages": of(*((lambda data, parse=parse: parse(memoryview(data)), seed) for parse, seed in CASES.values())),
    "smbdirect": of(
        (lambda data: read_data_transfer(memoryview(data), MOST), DataTransfer(1, 1, 0, 0, 0, 24, 5).pack() + b"hello"),
        (NegotiateRequest.unpack_from, NegotiateRequest().pack()),
        (NegotiateResponse.unpack_from, NegotiateResponse().pack()),
    ),
    "spnego": of((spnego.parse, test_negotiation.INIT), (spnego.parse, test_negotiation.RESPONSE)),
    "logins": of((_first_token, FIRST), (_first_token, test_negotiation.INIT), (_second_token, LAST)),
    "descriptors": of(
        (descriptors.parse, VECTOR), (acl.parse, VECTOR), (lambda data: ntacl.unpack(data, UNIX), VECTOR),
        (attributes.unpack, attributes.pack(0x20, 1 << 56)), (reparse.symlink_target, reparse.symlink(b"a/b")),
    ),
    "rpc": of(
        (_pipe, request_packet(server_info_stub())), (_pipe, bind_packet((0, SRVSVC_SYNTAX, [NDR]))),
        (_transceived, request_packet(server_info_stub(), 15)), (_stub, b"\x55" + server_info_stub()),
    ),
    "names": of(
        (_name, "a\\b:c:$DATA".encode("utf-16-le")), (_name, "..\\d".encode("utf-16-le")),
        (_pattern, b'<.txt\0name.txt'), (_pattern, b'a*?>"b\0axx.b'),
    ),
    "whole": Target(whole.one_input, whole.SEEDS),
}  # fmt: skip
