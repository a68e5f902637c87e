"""Message ids and credits of one connection, as the client has them (MS-SMB2 3.2.4.1.2, 3.2.4.1.3)."""

import asyncio
from collections import deque

from transport.base import Lost


class Window:
    """The ids that may be used: each credit is the right to use the next one."""

    def __init__(self) -> None:
        self.next = 0
        self.credits = 1
        self._line: deque[tuple[int, asyncio.Future[int]]] = deque()
        self._lost: Lost | None = None

    async def take(self, charge: int) -> int:
        """The first of `charge` ids in a row, once there are credits for all of them. Raises Lost."""
        if self._lost is not None:
            raise self._lost
        if not self._line and self.credits >= charge:
            return self._use(charge)
        waiting: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._line.append((charge, waiting))
        return await waiting

    def grant(self, count: int) -> None:
        """The server grants `count` credits; whoever waits for them gets its ids in turn."""
        self.credits += count
        while self._line and (self._line[0][1].done() or self.credits >= self._line[0][0]):
            charge, waiting = self._line.popleft()
            if not waiting.done():
                waiting.set_result(self._use(charge))

    def lose(self, reason: Lost) -> None:
        """No more credits will come."""
        self._lost = reason
        for _, waiting in self._line:
            if not waiting.done():
                waiting.set_exception(reason)
        self._line.clear()

    def _use(self, charge: int) -> int:
        first = self.next
        self.next += charge
        self.credits -= charge
        return first
