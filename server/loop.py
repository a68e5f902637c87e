"""The event loop that the server runs in: asyncio's, which looks for events only when it has nothing else to do.

asyncio asks the system for events in each of its passes, also where the next callbacks wait already. Every future that
is awaited costs such a pass, and a request over RDMA has several: without a system call they cost next to nothing.
"""

import asyncio
import selectors

PASSES = 4
"""Passes in a row that may leave new events where they are: nobody waits longer for their turn."""


class Selector(selectors.EpollSelector):
    """Tells of no events to a loop that has something to do, some passes long."""

    def __init__(self) -> None:
        super().__init__()
        self._passes = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout == 0 and self._passes < PASSES:
            self._passes += 1
            return []
        self._passes = 0
        return super().select(timeout)


def new_loop() -> asyncio.AbstractEventLoop:
    """For `asyncio.Runner`."""
    return asyncio.SelectorEventLoop(Selector())
