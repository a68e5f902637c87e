"""Channel sequence numbers (MS-SMB2 3.3.1.10, 3.3.5.2.10): no request that a client gave up for lost with its channel
changes a file after one that was sent later.

A client counts its session's channels lost and puts the count into each request. Of an open's requests those of the
newest count are told from those before: what a late one of these would change is refused, and a repeated request waits
(the client repeats it again) until all of these have ended, for one of them may be the same.
"""

import asyncio
from dataclasses import dataclass, field

HALF = 0x7FFF
"""As far ahead, in 16 bits that wrap, a number counts as newer and not as older."""


@dataclass(slots=True)
class ChannelSequence:
    """The counts of one open, whose CREATE came with `number` (ChannelSequence)."""

    number: int = 0
    turn: int = 0
    """How often `number` has changed: it wraps, and this does not."""
    under_way: int = 0
    """Requests being handled that came with `number` (OutstandingRequestCount)."""
    before: int = 0
    """Those that came with an earlier one (OutstandingPreRequestCount)."""
    waiting: "list[asyncio.Future[None]]" = field(default_factory=list)
    """What is done once all have ended."""

    def begin(self, number: int, replay: bool) -> int | None:
        """Count a request in; what to `end` it with, or None where it is not counted and may change nothing."""
        ahead = (number - self.number) & 0xFFFF
        if ahead > HALF:
            return None
        if ahead:
            self.number = number
            self.turn += 1
            self.before += self.under_way
            self.under_way = 0
        if replay and self.before:
            return None
        self.under_way += 1
        return self.turn

    def end(self, turn: int) -> None:
        """A request that was counted in has ended, however it has."""
        if turn == self.turn:
            self.under_way -= 1
        else:
            self.before -= 1
        if not self.busy:
            waiting, self.waiting = self.waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    @property
    def busy(self) -> bool:
        return self.under_way + self.before > 0

    def idle(self) -> "asyncio.Future[None]":
        """Done once all that is under way has ended."""
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        return future

    def restart(self, number: int) -> None:
        """The client is there again, over channels that it counts from `number` on."""
        self.number = number
        self.turn += 1
