"""atheris drives every parser of bytes from the wire: they parse, or raise Malformed or Status, and nothing else.

The first byte of an input chooses the parser, the rest is what it gets; valid messages of each kind are the seeds.
What is found stays in a file `crash-...` and reproduces with that file as the argument. Its smaller sibling is in
the tests, where Hypothesis holds the same invariant.

    python -m fuzz.parsers [-max_total_time=SECONDS] [FILE]
"""

import contextlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["smbdirect", "transport", "server"]):
    from server.security import descriptors, spnego
    from server.status import Status
    from server.tests import test_negotiation
    from server.tests.logins import acceptor, step
    from server.tests.rpc_client import NDR, SRVSVC_SYNTAX, bind_packet, bound, request_packet
    from server.tests.test_descriptors import VECTOR
    from server.tests.test_messages_hostile import CASES
    from server.tests.test_ntlm import FIRST, LAST
    from smbdirect.packets import DataTransfer, NegotiateRequest, NegotiateResponse, read_data_transfer
    from smbdirect.wire import Malformed

MOST = 1 << 20


def first_token(data: bytes) -> None:
    step(acceptor().start(), data)


def second_token(data: bytes) -> None:
    exchange = acceptor().start()
    step(exchange, FIRST)
    step(exchange, data)


PARSERS: list[tuple[Callable[[bytes], object], bytes]] = [
    *((lambda data, parse=parse: parse(memoryview(data)), seed) for parse, seed in CASES.values()),
    (spnego.parse, test_negotiation.INIT),
    (spnego.parse, test_negotiation.RESPONSE),
    (descriptors.parse, VECTOR),
    (first_token, FIRST),
    (second_token, LAST),
    (lambda data: bound().write(data), request_packet(b"\0" * 32, 16)),
    (lambda data: bound().write(data), bind_packet((0, SRVSVC_SYNTAX, [NDR]))),
    (lambda data: read_data_transfer(memoryview(data), MOST), DataTransfer(1, 1, 0, 0, 0, 24, 5).pack() + b"hello"),
    (NegotiateRequest.unpack_from, NegotiateRequest().pack()),
    (NegotiateResponse.unpack_from, NegotiateResponse().pack()),
]


def one_input(data: bytes) -> None:
    if data:
        parse, _ = PARSERS[data[0] % len(PARSERS)]
        with contextlib.suppress(Malformed, Status):
            parse(data[1:])


def main() -> None:
    with tempfile.TemporaryDirectory() as corpus:
        for number, (_, seed) in enumerate(PARSERS[:256]):
            Path(corpus, str(number)).write_bytes(bytes([number]) + seed)
        reproduced = any(not argument.startswith("-") for argument in sys.argv[1:])
        atheris.Setup([*sys.argv, *([] if reproduced else [corpus])], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
