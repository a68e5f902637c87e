"""A run: so many frames at a time, until there are no more, while someone is told how it goes."""

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import TextIO

from .figures import Frame, Run
from .place import Place
from .schedule import Schedule
from .tasks import together


class Progress:
    """One line that is written over, on a terminal; a line each time anywhere else."""

    def __init__(self, count: int, out: TextIO) -> None:
        self._count = count
        self._out = out
        self._terminal = out.isatty()
        self._told = 0
        self._since = 0.0
        self._width = 0

    def begin(self, now: float) -> None:
        self._since = now

    def tell(self, frames: list[Frame], dropped: int, now: float) -> None:
        """How many there are, and how fast those went that came since the last time."""
        fresh = frames[self._told :]
        passed = max(now - self._since, 1e-9)
        line = f"{len(frames)} of {self._count} frames, {len(fresh) / passed:.1f} fps"
        line += f", {sum(frame.size for frame in fresh) / passed / 1e6:.1f} MB/s"
        line += f", {dropped} dropped" if dropped else ""
        before, after = ("\r", " " * (self._width - len(line))) if self._terminal else ("", "\n")
        print(before + line, end=after, file=self._out, flush=True)
        self._told, self._since, self._width = len(frames), now, len(line)

    def end(self) -> None:
        if self._terminal and self._width:
            print(file=self._out)


async def run(
    place: Place,
    schedule: Schedule,
    at_once: int,
    progress: Progress,
    interval: float,
    clock: Callable[[], float] = perf_counter,
) -> Run:
    """Transfer every frame of `schedule`; raises what `place` does."""
    frames: list[Frame] = []

    async def work() -> None:
        while (turn := schedule.take(clock())) is not None:
            await asyncio.sleep(max(0.0, turn.due - clock()))
            frames.append(await place.frame(turn.number))

    async def tell() -> None:
        while True:
            await asyncio.sleep(interval)
            progress.tell(frames, schedule.dropped, clock())

    begun = clock()
    progress.begin(begun)
    teller = asyncio.ensure_future(tell())
    try:
        await together(work() for _ in range(min(at_once, schedule.count)))
    finally:
        teller.cancel()
        progress.end()
    return Run(frames, begun, schedule.dropped)
