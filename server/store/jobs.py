"""Jobs for threads that wait for them: a job wakes one thread, the one that has rested for the shortest time.

`queue.SimpleQueue` wakes a second one for each job, which takes the interpreter's lock from whoever works to find that
there is nothing to do.
"""

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Rest(Generic[T]):
    """A thread that waits: its job is in `job` when the bell is free to be taken."""

    bell: threading.Lock = field(default_factory=threading.Lock)
    job: T | None = None


class Jobs(Generic[T]):
    """A queue that any thread may put into and get from."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[T] = deque()
        self._resting: list[_Rest[T]] = []

    def put(self, job: T) -> None:
        with self._lock:
            if not self._resting:
                self._waiting.append(job)
                return
            rest = self._resting.pop()
        rest.job = job
        rest.bell.release()

    def get(self) -> T:
        """The job that has waited longest; waits for one where there is none."""
        rest: _Rest[T] = _Rest()
        rest.bell.acquire()
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._resting.append(rest)
        rest.bell.acquire()
        return cast(T, rest.job)
