"""How SMB2 messages are declared: `Request` and `Response` are both parsed and packed, for both roles.

`parse(packet)` takes one message from its SMB2 header on, cut to that message (an element of a compound ends
where the next begins); offsets inside it count from there, as MS-SMB2 counts them. `parts()` gives the body
that follows the header, payload last and as given, never joined. `parse(header + b"".join(parts()))` is the
same message again. Structure sizes, offsets and lengths are checked here, meanings in `handlers/`.
"""

from abc import abstractmethod
from typing import ClassVar, Self

from smbdirect.wire import Buffer

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
