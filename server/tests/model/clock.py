"""Time that passes only when it is told to."""

import heapq
from collections.abc import Callable
from typing import Any


class Clock:
    """Stands in for the loop's `call_later`."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Timer]] = []
        self._count = 0

    def later(self, delay: float, callback: Callable[..., None], *arguments: Any) -> "Timer":
        timer = Timer(callback, arguments)
        self._count += 1
        heapq.heappush(self._due, (self.now + delay, self._count, timer))
        return timer

    def pass_by(self, seconds: float) -> bool:
        """Do what is due after `seconds`; whether there was anything."""
        self.now += seconds
        done = False
        while self._due and self._due[0][0] <= self.now:
            timer = heapq.heappop(self._due)[2]
            if not timer.cancelled:
                timer.callback(*timer.arguments)
                done = True
        return done


class Timer:
    def __init__(self, callback: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self.callback, self.arguments, self.cancelled = callback, arguments, False

    def cancel(self) -> None:
        self.cancelled = True
