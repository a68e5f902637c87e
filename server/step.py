"""Step a coroutine by hand to its first suspension; only what has to wait becomes a task.

Most requests finish without waiting, and a task costs more than all the rest of an ECHO. Until its first
suspension a coroutine runs in the caller's task, so code run this way uses no `asyncio.timeout`, `TaskGroup`
or `current_task`.
"""

import asyncio
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any


def step(work: Coroutine[Any, Any, None]) -> "asyncio.Task[None] | None":
    """Run `work` until it waits or ends; the task that carries on, or None when it has ended."""
    try:
        waiting = work.send(None)
    except StopIteration:
        return None
    return asyncio.get_running_loop().create_task(_rest(work, waiting))


@coroutine
def _rest(work: Coroutine[Any, Any, None], waiting: Any) -> Generator[Any, Any, None]:
    """Carry on with `work`, which is waiting for `waiting`."""
    try:
        while True:
            try:
                value = yield waiting
            except BaseException as error:  # the task's cancellation among them: `work` must see all of them
                waiting = work.throw(error)
            else:
                waiting = work.send(value)
    except StopIteration:
        return
