"""The vocabulary of wire structures that all three packages share.

A structure is a slots dataclass whose annotations are its widths; `@pdu` compiles them once into a
`struct.Struct` (little-endian, no padding). What follows a fixed part, at an offset and length counted from
somewhere, is cut out by `span`; a chain of entries that each name the next is walked by `chain`. Whatever a
peer sends either parses or raises `Malformed`; nothing here allocates more than it was given.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Annotated, Any, ClassVar, Self, TypeVar, cast, dataclass_transform, get_type_hints

Buffer = bytes | bytearray | memoryview

u8 = Annotated[int, "B"]
u16 = Annotated[int, "H"]
u32 = Annotated[int, "I"]
u64 = Annotated[int, "Q"]
i32 = Annotated[int, "i"]
i64 = Annotated[int, "q"]
Bytes4 = Annotated[bytes, "4s"]
Bytes8 = Annotated[bytes, "8s"]
Bytes16 = Annotated[bytes, "16s"]
Bytes24 = Annotated[bytes, "24s"]
Bytes32 = Annotated[bytes, "32s"]
Guid = Bytes16
FileId = Bytes16


class Malformed(Exception):
    """The peer's bytes are wrong; the text says which and how."""


class Pdu:
    """What `@pdu` gives a structure; `SIZE` is its fixed part's length in bytes."""

    __slots__ = ()
    SIZE: ClassVar[int]
    STRUCT: ClassVar[struct.Struct]
    _values: ClassVar[Any]

    @classmethod
    def unpack_from(cls, buffer: Buffer, offset: int = 0) -> Self:
        """The structure at `offset`; raises Malformed when `buffer` ends before it does."""
        if offset >= 0:  # struct would count a negative one from the end
            try:
                return cls(*cls.STRUCT.unpack_from(buffer, offset))
            except (struct.error, OverflowError):
                pass
        raise Malformed(f"{cls.__name__} needs {cls.SIZE} bytes at {offset} of {len(buffer)}")

    def pack_into(self, buffer: bytearray | memoryview, offset: int = 0) -> None:
        """Write the fixed part into `buffer` at `offset`."""
        self.STRUCT.pack_into(buffer, offset, *self._values(self))

    def pack(self) -> bytes:
        """The fixed part as bytes."""
        return self.STRUCT.pack(*self._values(self))


_P = TypeVar("_P", bound=Pdu)


@dataclass_transform()
def pdu(cls: type[_P]) -> type[_P]:
    """Make `cls` a slots dataclass and compile its annotations (u8 .. u64, Bytes16 ...) into `STRUCT`.

    Fields annotated `ClassVar` are not on the wire; every other annotation must be a width of this module.
    """
    made: Any = dataclass(slots=True)(cls)
    hints = get_type_hints(made, include_extras=True)
    names = [field.name for field in fields(made)]
    made.STRUCT = struct.Struct("<" + "".join(hints[name].__metadata__[0] for name in names))
    made.SIZE = made.STRUCT.size
    made._values = staticmethod(attrgetter(*names) if len(names) > 1 else lambda self: (getattr(self, names[0]),))
    return cast("type[_P]", made)


def span(packet: memoryview, offset: int, length: int, what: str = "data") -> memoryview:
    """The `length` bytes at `offset` of `packet`; raises Malformed where they are not all inside it."""
    if length == 0:
        return packet[:0]
    if offset < 0 or length < 0 or offset + length > len(packet):
        raise Malformed(f"{what}: {length} bytes at {offset} of a {len(packet)}-byte packet")
    return packet[offset : offset + length]


def text(packet: memoryview, offset: int, length: int, what: str = "name") -> str:
    """The UTF-16LE text of `length` bytes at `offset`. Unpaired surrogates are kept (Windows allows them)."""
    if length % 2:
        raise Malformed(f"{what}: {length} bytes are no UTF-16 text")
    return str(span(packet, offset, length, what), "utf-16-le", "surrogatepass")


def utf16(value: str) -> bytes:
    """`value` as UTF-16LE, unpaired surrogates kept."""
    return value.encode("utf-16-le", "surrogatepass")


def chain(packet: memoryview, smallest: int, what: str = "entry", align: int = 1) -> Iterator[memoryview]:
    """The entries of a chain in which each begins with the u32 distance to the next, 0 in the last.

    Every entry is at least `smallest` bytes long and is cut where the next begins; an entry that does not
    begin on a multiple of `align`, or a distance inside the entry or past the end, is Malformed.
    """
    if not packet:
        return
    offset = 0
    while True:
        if len(packet) - offset < max(smallest, 4):
            raise Malformed(f"{what}: {len(packet) - offset} bytes left at {offset}, {smallest} needed")
        step = int.from_bytes(packet[offset : offset + 4], "little")
        if step == 0:
            yield packet[offset:]
            return
        if step < smallest or step % align or offset + step > len(packet):
            raise Malformed(f"{what}: next at {step} from {offset} of {len(packet)}")
        yield packet[offset : offset + step]
        offset += step


def join_chain(entries: Iterable[Buffer], align: int = 8) -> bytes:
    """Entries (each with four bytes left free at its start) as a chain; all but the last padded to `align`."""
    out = bytearray()
    last = 0
    for entry in entries:
        if out:
            out += bytes(-len(out) % align)
            out[last : last + 4] = (len(out) - last).to_bytes(4, "little")
        last = len(out)
        out += entry
    return bytes(out)
