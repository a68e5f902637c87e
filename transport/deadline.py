"""A time limit cheap enough to be set for every message that does not arrive in one piece."""

import asyncio
from collections.abc import Callable


class Deadline:
    """A time limit that is set and lifted often and hardly ever passes: one timer looks after all of them."""

    __slots__ = ("_began", "_loop", "_passed", "_seconds", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, passed: Callable[[], None]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._passed = passed
        self._began: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Set the limit, `seconds` from now, unless it is set."""
        if self._began is None:
            self._began = self._loop.time()
            if self._timer is None:
                self._timer = self._loop.call_later(self._seconds, self._look)

    def lift(self) -> None:
        """Forget the limit."""
        self._began = None

    def close(self) -> None:
        """Forget the limit and the timer."""
        self._began = None
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        if self._began is None:
            return
        left = self._began + self._seconds - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        else:
            self._passed()
