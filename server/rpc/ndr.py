"""Network data representation (C706 chapter 14, the little-endian NDR20 of MS-RPCE) for what the services exchange.

That is: 32-bit integers, UTF-16 strings, pointers, and structures of these. `Reader` takes stubs from the network and
raises Malformed at the first byte that is not there; `Writer` lays out structures the way NDR asks, the pointed-to
behind all that points.
"""

from collections.abc import Iterable, Sequence

from smbdirect.wire import Buffer, Malformed, text, utf16

Value = int | str | None
"""A field of a structure: a 32-bit integer, a string behind a pointer, or a NULL pointer."""

_FIRST_REFERENT = 0x00020000
"""Any number but 0 will do for a pointer; this is where Windows starts."""


class Reader:
    """A stub, read from its start on."""

    __slots__ = ("_at", "_stub")

    def __init__(self, stub: Buffer) -> None:
        self._stub = memoryview(stub)
        self._at = 0

    def u32(self) -> int:
        start = (self._at + 3) & ~3
        if start + 4 > len(self._stub):
            raise Malformed(f"stub of {len(self._stub)} bytes ends where an integer at {start} should be")
        self._at = start + 4
        return int.from_bytes(self._stub[start : start + 4], "little")

    def pointer(self) -> bool:
        """Whether a pointer points; what it points at follows, at the latest behind its structure."""
        return self.u32() != 0

    def string(self) -> str:
        """A conformant and varying UTF-16 string (14.3.4.2), without its terminator."""
        most, offset, count = self.u32(), self.u32(), self.u32()
        if offset or count > most:
            raise Malformed(f"string of {count} characters from {offset} in an array of {most}")
        start, self._at = self._at, self._at + 2 * count
        return text(self._stub, start, 2 * count, "string").rstrip("\0")

    def unique_string(self) -> str | None:
        """A string behind a pointer, read at once."""
        return self.string() if self.pointer() else None


class Writer:
    """A stub, written from its start on."""

    __slots__ = ("_referent", "_stub")

    def __init__(self) -> None:
        self._stub = bytearray()
        self._referent = _FIRST_REFERENT

    def u32(self, *values: int) -> None:
        self._stub += bytes(-len(self._stub) % 4)
        for value in values:
            self._stub += (value & 0xFFFFFFFF).to_bytes(4, "little")

    def pointer(self, points: bool = True) -> None:
        """A pointer to what is written next, or NULL."""
        self.u32(self._referent if points else 0)
        self._referent += 4 if points else 0

    def string(self, value: str) -> None:
        """A conformant and varying UTF-16 string with its terminator."""
        encoded = utf16(value + "\0")
        count = len(encoded) // 2
        self.u32(count, 0, count)
        self._stub += encoded

    def structures(self, rows: Iterable[Sequence[Value]]) -> None:
        """The structures one after the other, then all the strings they point at (14.3.12.3)."""
        strings = []
        for row in rows:
            for value in row:
                if isinstance(value, int):
                    self.u32(value)
                else:
                    self.pointer(value is not None)
                    strings.append(value)
        for value in strings:
            if value is not None:
                self.string(value)

    def getvalue(self) -> bytes:
        return bytes(self._stub)


_STRING = 4 + 12 + 2 + 2
"""Bytes a string takes beside its characters: pointer, counts, terminator, padding."""


def size_of(row: Sequence[Value]) -> int:
    """How many bytes `row` takes in `Writer.structures`, at most."""
    return sum(_STRING + len(utf16(value)) if isinstance(value, str) else 4 for value in row)
