"""Stepping: what needs not wait ends at once, what waits becomes a task, and nothing that is thrown gets lost."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from server.step import step


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def test_what_does_not_wait_ends_at_once_and_makes_no_task() -> None:
    done = []

    async def work() -> None:
        done.append(1)

    assert step(work()) is None  # without an event loop at all
    assert done == [1]


def test_what_waits_goes_on_as_a_task() -> None:
    async def main() -> None:
        log: list[object] = []
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def work() -> None:
            log.append("begun")
            log.append(await future)
            await asyncio.sleep(0)
            log.append("ended")

        task = step(work())
        assert task is not None
        assert log == ["begun"]
        future.set_result("result")
        await task
        assert log == ["begun", "result", "ended"]

    run(main())


def test_a_wait_that_is_over_before_the_task_runs_is_no_wait() -> None:
    async def main() -> None:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def work() -> None:
            assert await future == 7

        task = step(work())
        future.set_result(7)
        assert task is not None
        await task

    run(main())


def test_a_bare_yield_lets_others_run() -> None:
    async def main() -> None:
        log: list[str] = []

        async def work() -> None:
            await asyncio.sleep(0)
            log.append("work")

        task = step(work())
        log.append("other")
        assert task is not None
        await task
        assert log == ["other", "work"]

    run(main())


def test_an_exception_before_the_first_wait_reaches_the_caller() -> None:
    async def work() -> None:
        raise KeyError("early")

    with pytest.raises(KeyError, match="early"):
        step(work())


@pytest.mark.parametrize("error", [KeyError("late"), StopAsyncIteration("late")])
def test_an_exception_after_a_wait_is_the_tasks(error: Exception) -> None:
    async def main() -> None:
        async def work() -> None:
            await asyncio.sleep(0)
            raise error

        task = step(work())
        assert task is not None
        with pytest.raises(type(error), match="late"):
            await task

    run(main())


def test_what_is_waited_for_may_fail_and_be_survived() -> None:
    async def main() -> None:
        caught: list[BaseException] = []
        futures: list[asyncio.Future[None]] = [asyncio.get_running_loop().create_future() for _ in range(2)]

        async def work() -> None:
            for future in futures:
                try:
                    await future
                except KeyError as error:
                    caught.append(error)

        task = step(work())
        assert task is not None
        for number, future in enumerate(futures):
            future.set_exception(KeyError(number))
        await task
        assert [error.args for error in caught] == [(0,), (1,)]

    run(main())


@pytest.mark.parametrize("turns", [0, 1, 2])
def test_a_cancellation_reaches_the_work_whenever_it_comes(turns: int) -> None:
    """0: before the task has run at all."""

    async def main() -> None:
        log: list[str] = []
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def work() -> None:
            try:
                await future
            except asyncio.CancelledError:
                log.append("cancelled")
                await asyncio.sleep(0)  # giving back may wait too
                raise
            finally:
                log.append("given back")

        task = step(work())
        assert task is not None
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert log == ["cancelled", "given back"]

    run(main())


def test_a_cancellation_may_be_swallowed_as_in_any_task() -> None:
    async def main() -> None:
        async def work() -> None:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                await asyncio.sleep(0)

        task = step(work())
        assert task is not None
        task.cancel()
        await task
        assert not task.cancelled()

    run(main())


def test_the_work_may_be_stepped_inside_other_stepped_work() -> None:
    async def main() -> None:
        log: list[str] = []

        async def inner() -> None:
            await asyncio.sleep(0)
            log.append("inner")

        async def outer() -> None:
            task = step(inner())
            assert task is not None
            await task
            log.append("outer")

        task = step(outer())
        assert task is not None
        await task
        assert log == ["inner", "outer"]

    run(main())


def test_the_task_runs_a_coroutine_that_every_python_takes() -> None:
    async def main() -> None:
        async def work() -> None:
            await asyncio.sleep(0)

        task = step(work())
        assert task is not None
        assert isinstance(task.get_coro(), Coroutine)  # Python 3.12 takes no generator
        await task

    run(main())
