"""Messages into packets and packets into messages.

Payload is never joined on the way out: `Outgoing` cuts slices of the parts it was given. On the way in it is
copied once, out of the posted receive into the message's own memory, which grows only by what has arrived.
"""

from collections.abc import Sequence

from .wire import Buffer, Malformed


class Outgoing:
    """A message on its way out; `remaining` bytes of it are not cut yet. `token` is whatever the sender wants back."""

    __slots__ = ("_at", "_index", "_parts", "begun", "remaining", "token")

    def __init__(self, parts: Sequence[Buffer], token: object) -> None:
        self._parts = [memoryview(part) for part in parts if len(part)]
        self._index = 0
        self._at = 0
        self.begun = False
        self.remaining = sum(map(len, self._parts))
        self.token = token

    def cut(self, size: int) -> list[memoryview]:
        """The next pieces, `size` bytes in all or what remains."""
        if size >= self.remaining and not self.begun:
            self.remaining = 0
            return self._parts
        self.begun = True
        size = min(size, self.remaining)
        self.remaining -= size
        pieces = []
        while size:
            part = self._parts[self._index]
            piece = part[self._at : self._at + size]
            pieces.append(piece)
            size -= len(piece)
            self._at += len(piece)
            if self._at == len(part):
                self._index += 1
                self._at = 0
        return pieces


class Reassembly:
    """The message that is arriving; `missing` bytes of it are still to come (MS-SMBD 3.1.5.8)."""

    __slots__ = ("_data", "missing")

    def __init__(self) -> None:
        self._data = bytearray()
        self.missing = 0

    def check(self, length: int, remaining: int) -> None:
        """Raise Malformed where a packet with `length` bytes and `remaining` to follow does not fit in."""
        if self.missing:
            if length + remaining != self.missing and (length or remaining):
                raise Malformed(f"{length} bytes and {remaining} to follow where {self.missing} are missing")
        elif remaining and not length:
            raise Malformed(f"{remaining} bytes to follow an empty packet")

    def add(self, payload: memoryview, remaining: int) -> bytearray | None:
        """Take the payload of a checked packet; returns the message once it is whole."""
        if not len(payload):
            return None  # a packet that only grants or asks may come in the middle of a message
        if self.missing:
            self._data += payload
        else:
            self._data = bytearray(payload)
        self.missing = remaining
        if remaining:
            return None
        whole, self._data = self._data, bytearray()
        return whole
