"""What came back for one request: its header, its bytes, and the response read from them."""

from dataclasses import dataclass
from typing import TypeVar

from server.messages.base import HEADER_SIZE, Response
from server.messages.header import Command, ErrorResponse, Header
from server.messages.registry import RESPONSES
from server.status import NT, Status
from smbdirect.wire import Malformed
from transport.base import Message

R = TypeVar("R", bound=Response)

IOCTL_RESPONSE_SIZE = 49


@dataclass(slots=True)
class Answer:
    """A response as it lies in its message; `release` it once nothing of it is needed."""

    header: Header
    packet: memoryview
    """From the SMB2 header on; it lives until `release`."""
    message: Message
    sealed: bool = False

    @property
    def status(self) -> int:
        return self.header.status

    @property
    def is_error(self) -> bool:
        """Whether the body is an ERROR response (MS-SMB2 2.2.2) and not the command's own."""
        status, command = self.header.status, self.header.command
        if status == NT.MORE_PROCESSING_REQUIRED:
            return command != Command.SESSION_SETUP
        if command == Command.IOCTL and self.packet[HEADER_SIZE] == IOCTL_RESPONSE_SIZE:
            return False  # COPYCHUNK tells its limits, and how far it came, beside an error: 3.3.5.15.6
        return status >> 30 == 3 or (status >> 30 == 2 and status != NT.BUFFER_OVERFLOW)

    def error(self) -> ErrorResponse:
        return ErrorResponse.parse(self.packet)

    def read(self, kind: type[R]) -> R:
        """The response, whose payload is a view of this answer; raises Status where it is an error."""
        if RESPONSES[self.header.command] is not kind:
            raise Malformed(f"{kind.__name__} expected, command {self.header.command} answered")
        if self.is_error:
            raise Status(self.status, f"{kind.__name__}", bytes(self.error().data))
        return kind.parse(self.packet)

    def keep(self) -> "Answer":
        """The same in bytes of its own, its message released."""
        if self.message.block is not None:
            self.packet = memoryview(bytes(self.packet))
            self.message.release()
        return self

    def release(self) -> None:
        self.message.release()
