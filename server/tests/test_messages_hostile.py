"""Any bytes either parse or raise Malformed, in every parser of the messages and of what they carry."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.messages import entries, negotiate, reparse
from server.messages.base import HEADER_SIZE
from server.messages.create import unpack_contexts
from server.messages.transform import CompressionTransformHeader, TransformHeader
from smbdirect.wire import Malformed

from . import message_samples as samples
from .test_messages_entries import STAT

Parser = Callable[[memoryview], Any]
CASES: dict[str, tuple[Parser, bytes]] = {
    f"{type(body).__name__}-{at}": (type(body).parse, samples.packet(body))
    for at, body in enumerate([*samples.REQUESTS, *samples.RESPONSES])
}
CASES |= {name: (payload.parse, payload.packed) for name, payload in (samples.PAYLOADS | samples.LISTS).items()}
CASES |= {
    f"entries-{kind}": (partial(entries.unpack_entries, kind), entries.pack_entry(kind, "n", STAT))
    for kind in entries.FIXED_SIZES
}
SMB1 = b"\xffSMB\x72" + bytes(28) + b"\x0c\0\x02SMB 2.???\0"
LINK = reparse.SymbolicLink("a", "b", True)
CASES |= {
    "create contexts": (unpack_contexts, samples.packet(samples.REQUESTS[7])[HEADER_SIZE + 104 :]),
    "smb1": (negotiate.smb1_dialects, SMB1),
    "netname": (lambda data: negotiate.NetName.parse(bytes(data)), b"n\0"),
    "symbolic link": (lambda data: reparse.SymbolicLink.parse(bytes(data)), LINK.pack()[8:]),
    "transform": (TransformHeader.unpack_from, TransformHeader().pack()),
    "compression": (CompressionTransformHeader.unpack_from, CompressionTransformHeader().pack()),
}


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_bytes_parse_or_are_malformed(name: str, data: st.DataObject) -> None:
    parse, valid = CASES[name]
    start = HEADER_SIZE + 2 if len(valid) > HEADER_SIZE and valid.startswith(bytes(HEADER_SIZE)) else 0
    broken = bytearray(valid)
    if data.draw(st.booleans(), "a valid one with wrong bytes"):
        for _ in range(data.draw(st.integers(1, 6))):
            at = data.draw(st.integers(start, max(start, len(valid) - 1)))
            broken[at : at + 1] = data.draw(st.binary(min_size=1, max_size=4))
        del broken[data.draw(st.integers(start, len(broken))) :]
    else:
        broken[start:] = data.draw(st.binary(max_size=300))
    with suppress(Malformed):
        parse(memoryview(bytes(broken)))
