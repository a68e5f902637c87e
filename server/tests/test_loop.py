"""The server's event loop: what it looks for, and when."""

import os
import selectors
from collections.abc import Iterator
from contextlib import contextmanager

from server.loop import PASSES, Selector, new_loop


@contextmanager
def readable() -> Iterator[int]:
    reading, writing = os.pipe()
    os.write(writing, b"x")
    try:
        yield reading
    finally:
        os.close(reading)
        os.close(writing)


def test_who_has_something_to_do_is_told_of_events_after_some_passes() -> None:
    with Selector() as selector, readable() as fd:
        selector.register(fd, selectors.EVENT_READ)
        for _ in range(2):
            assert [len(selector.select(0)) for _ in range(PASSES + 1)] == [0] * PASSES + [1]


def test_who_waits_is_told_at_once_and_may_leave_events_again_then() -> None:
    with Selector() as selector, readable() as fd:
        selector.register(fd, selectors.EVENT_READ)
        assert not selector.select(0)
        assert len(selector.select(1)) == 1
        assert len(selector.select(None)) == 1
        assert [len(selector.select(0)) for _ in range(PASSES + 1)] == [0] * PASSES + [1]


def test_callbacks_without_end_keep_nobody_from_their_events() -> None:
    loop = new_loop()
    passes = 0

    def again() -> None:
        nonlocal passes
        passes += 1
        assert passes < 10 * PASSES
        loop.call_soon(again)

    try:
        with readable() as fd:
            loop.add_reader(fd, loop.stop)
            loop.call_soon(again)
            loop.run_forever()
            loop.remove_reader(fd)
    finally:
        loop.close()
