"""Deadlines on a clock of the test's own."""

import asyncio
from collections.abc import Callable
from typing import Any

from transport.deadline import Deadline


class Clock:
    """The part of an event loop that a deadline uses, with time that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[list[Any]] = []
        self.made = 0

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None]) -> asyncio.Handle:
        entry = [self.now + delay, callback]
        self.timers.append(entry)
        self.made += 1
        timers = self.timers

        class Timer:
            def cancel(self) -> None:
                timers.remove(entry)

        return Timer()  # type: ignore[return-value]

    def move(self, seconds: float) -> None:
        self.now += seconds
        for entry in [entry for entry in self.timers if entry[0] <= self.now]:
            self.timers.remove(entry)
            entry[1]()


def made() -> tuple[Clock, Deadline, list[float]]:
    clock, passed = Clock(), list[float]()
    return clock, Deadline(clock, 60.0, lambda: passed.append(clock.now)), passed  # type: ignore[arg-type]


def test_it_passes_once_after_its_seconds() -> None:
    clock, deadline, passed = made()
    deadline.start()
    clock.move(59)
    deadline.start()
    assert passed == []
    clock.move(1)
    clock.move(100)
    assert passed == [160.0]


def test_lifted_it_never_passes() -> None:
    clock, deadline, passed = made()
    deadline.start()
    deadline.lift()
    clock.move(1000)
    assert passed == []
    assert clock.timers == []


def test_set_again_it_counts_from_then() -> None:
    clock, deadline, passed = made()
    deadline.start()
    clock.move(50)
    deadline.lift()
    deadline.start()
    clock.move(59)
    assert passed == []
    clock.move(1)
    assert passed == [210.0]


def test_ten_thousand_messages_cost_one_timer() -> None:
    clock, deadline, _ = made()
    for _ in range(10_000):
        deadline.start()
        deadline.lift()
    assert clock.made == 1


def test_closed_it_leaves_no_timer() -> None:
    clock, deadline, passed = made()
    deadline.close()
    deadline.start()
    deadline.close()
    assert clock.timers == []
    assert passed == []
