"""SPNEGO's messages (RFC 4178 4.2, MS-SPNG 2.2.1) and as much DER as they need.

These are the first bytes an unknown peer has parsed, so reading is linear in their length and copies nothing that is
not kept (pyspnego takes half a second for one hostile token of 64 KiB). Object identifiers stay encoded.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from smbdirect.wire import Buffer, Malformed

_APPLICATION_0 = 0x60
_OID = 0x06
_OCTETS = 0x04
_ENUMERATED = 0x0A
_GENERAL_STRING = 0x1B
_SEQUENCE = 0x30
_FIELD = 0xA0
"""[0], constructed; [1] is 0xA1 and so on."""

MOST_MECHANISMS = 64


class State:
    """negState (RFC 4178 4.2.2)."""

    ACCEPT_COMPLETED = 0
    ACCEPT_INCOMPLETE = 1
    REJECT = 2
    REQUEST_MIC = 3


def oid(dotted: str) -> bytes:
    """An object identifier's DER content."""
    first, second, *rest = map(int, dotted.split("."))
    out = bytearray([first * 40 + second])
    for arc in rest:
        groups = [arc >> shift & 0x7F for shift in range(28, -1, -7)]
        while len(groups) > 1 and not groups[0]:
            del groups[0]
        out += bytes(group | 0x80 for group in groups[:-1]) + bytes(groups[-1:])
    return bytes(out)


_SPNEGO = oid("1.3.6.1.5.5.2")


@dataclass(slots=True)
class Init:
    """NegTokenInit, what an initiator begins with."""

    mechanisms: list[bytes]
    offered: bytes
    """The list of mechanisms as received, DER: what mechListMIC covers."""
    token: bytes = b""
    mic: bytes = b""


@dataclass(slots=True)
class Response:
    """NegTokenResp. `mechanism`, `token` and `mic` are b"" where the message has none."""

    state: int | None = None
    mechanism: bytes = b""
    token: bytes = b""
    mic: bytes = b""

    def pack(self) -> bytes:
        state = b"" if self.state is None else _der(_FIELD, _der(_ENUMERATED, bytes([self.state])))
        mechanism = _der(_FIELD + 1, _der(_OID, self.mechanism)) if self.mechanism else b""
        token = _der(_FIELD + 2, _der(_OCTETS, self.token)) if self.token else b""
        mic = _der(_FIELD + 3, _der(_OCTETS, self.mic)) if self.mic else b""
        return _der(_FIELD + 1, _der(_SEQUENCE, state, mechanism, token, mic))


def pack_hint(mechanisms: list[bytes], hint: bytes) -> bytes:
    """NegTokenInit2 (MS-SPNG 2.2.1): what a server offers before it is asked."""
    offered = _der(_FIELD, _der(_SEQUENCE, *(_der(_OID, mechanism) for mechanism in mechanisms)))
    hints = _der(_FIELD + 3, _der(_SEQUENCE, _der(_FIELD, _der(_GENERAL_STRING, hint))))
    return _der(_APPLICATION_0, _der(_OID, _SPNEGO), _der(_FIELD, _der(_SEQUENCE, offered, hints)))


def parse(token: Buffer) -> Init | Response:
    """The message in `token`; a NegTokenInit comes in an InitialContextToken (RFC 2743 3.1) or bare."""
    tag, content, _ = _element(memoryview(token))
    if tag == _APPLICATION_0:
        mechanism, inner = _only(content, _OID)
        if mechanism != _SPNEGO:
            raise Malformed("login token: neither SPNEGO nor NTLM")
        tag, content, _ = _element(inner)
    fields = dict(_elements(_only(content, _SEQUENCE)[0]))
    if tag == _FIELD:
        return _init(fields)
    if tag == _FIELD + 1:
        return _response(fields)
    raise Malformed(f"SPNEGO: message with tag {tag:#x}")


def _init(fields: dict[int, memoryview]) -> Init:
    offered = fields.get(_FIELD, memoryview(b""))
    mechanisms: list[bytes] = []
    for tag, content in _elements(_only(offered, _SEQUENCE)[0]) if offered else ():
        if tag != _OID or len(mechanisms) == MOST_MECHANISMS:
            raise Malformed(f"SPNEGO: mechanism {len(mechanisms)} has tag {tag:#x}")
        mechanisms.append(bytes(content))
    # [3] is mechListMIC, or in NegTokenInit2 negHints, a sequence, and mechListMIC is [4].
    mic = fields.get(_FIELD + 3)
    if mic and mic[0] == _SEQUENCE:
        mic = fields.get(_FIELD + 4)
    return Init(mechanisms, bytes(offered), _octets(fields.get(_FIELD + 2)), _octets(mic))


def _response(fields: dict[int, memoryview]) -> Response:
    state = fields.get(_FIELD)
    mechanism = fields.get(_FIELD + 1)
    return Response(
        None if state is None else int.from_bytes(_only(state, _ENUMERATED)[0][:4], "big"),
        b"" if mechanism is None else bytes(_only(mechanism, _OID)[0]),
        _octets(fields.get(_FIELD + 2)),
        _octets(fields.get(_FIELD + 3)),
    )


def _octets(field: memoryview | None) -> bytes:
    return b"" if field is None else bytes(_only(field, _OCTETS)[0])


def _only(data: memoryview, expected: int) -> tuple[memoryview, memoryview]:
    """The content of the element that `data` begins with, whose tag must be `expected`, and what follows it."""
    tag, content, rest = _element(data)
    if tag != expected:
        raise Malformed(f"SPNEGO: tag {tag:#x} where {expected:#x} belongs")
    return content, rest


def _elements(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    while data:
        tag, content, data = _element(data)
        yield tag, content


def _element(data: memoryview) -> tuple[int, memoryview, memoryview]:
    """Tag, content and what follows, of the element that `data` begins with. Tags are one byte here."""
    if len(data) < 2:
        raise Malformed(f"SPNEGO: {len(data)} bytes are no element")
    tag, length, start = data[0], data[1], 2
    if length & 0x80:
        start += length & 0x7F
        if not 3 <= start <= 6 or len(data) < start:
            raise Malformed(f"SPNEGO: length of {start - 2} bytes")
        length = int.from_bytes(data[2:start], "big")
    if length > len(data) - start:
        raise Malformed(f"SPNEGO: element of {length} bytes with {len(data) - start} left")
    return tag, data[start : start + length], data[start + length :]


def _der(tag: int, *contents: bytes) -> bytes:
    length = sum(map(len, contents))
    if length < 0x80:
        return b"".join((bytes([tag, length]), *contents))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return b"".join((bytes([tag, 0x80 | len(octets)]), octets, *contents))
