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
    rest = _rest(work, waiting)
    rest.send(None)  # begins it: one not begun would end at the task's cancellation without a word to `work`
    return asyncio.get_running_loop().create_task(rest)


async def _rest(work: Coroutine[Any, Any, None], waiting: Any) -> None:
    """`_carry_on` as a coroutine: from Python 3.12 on a task takes no generator."""
    await _carry_on(work, waiting)


@coroutine
def _carry_on(work: Coroutine[Any, Any, None], waiting: Any) -> Generator[Any, Any, None]:
    """Carry on with `work`, which is waiting for `waiting`; the first yield is the beginning that `step` makes."""
    try:
        try:
            yield
        except BaseException as error:
            waiting = work.throw(error)
        while True:
            try:
                value = yield waiting
            except BaseException as error:  # the task's cancellation among them: `work` must see all of them
                waiting = work.throw(error)
            else:
                waiting = work.send(value)
    except StopIteration:
        return
