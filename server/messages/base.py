"""How SMB2 messages are declared: `Request` and `Response` are both parsed and packed, for both roles.

`parse(packet)` takes one message from its SMB2 header on, cut to that message (an element of a compound ends
where the next begins); offsets inside it count from there, as MS-SMB2 counts them. `parts()` gives the body
that follows the header, payload last and as given, never joined. `parse(header + b"".join(parts()))` is the
same message again. Structure sizes, offsets and lengths are checked here, meanings in `handlers/`.
"""

from abc import abstractmethod
from typing import ClassVar, Self, TypeVar

from smbdirect.wire import Buffer, Malformed, Pdu, pdu, u16

HEADER_SIZE = 64


class Body:
    """One direction of one command."""

    __slots__ = ()
    COMMAND: ClassVar[int]

    @classmethod
    @abstractmethod
    def parse(cls, packet: memoryview) -> Self:
        """The body of the message that `packet` is, from its header on. Raises Malformed."""

    @abstractmethod
    def parts(self) -> list[Buffer]:
        """The bytes that follow the header, payload last."""


class Request(Body):
    __slots__ = ()


class Response(Body):
    __slots__ = ()


class Fixed(Pdu):
    """A body's fixed part: all begin with the StructureSize."""

    __slots__ = ()
    structure_size: u16


_F = TypeVar("_F", bound=Fixed)


def fixed_part(layout: type[_F], packet: memoryview, size: int) -> _F:
    """The fixed part that follows the header; its StructureSize must be `size`."""
    fixed = layout.unpack_from(packet, HEADER_SIZE)
    if fixed.structure_size != size:
        raise Malformed(f"{layout.__name__.lstrip('_')}: StructureSize {fixed.structure_size}, not {size}")
    return fixed


@pdu
class _Empty(Fixed):
    structure_size: u16 = 4
    reserved: u16 = 0


class Empty(Body):
    """A body that says nothing beyond its command."""

    __slots__ = ()

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        fixed_part(_Empty, packet, 4)
        return cls()

    def parts(self) -> list[Buffer]:
        return [_Empty().pack()]
