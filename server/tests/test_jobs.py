"""Jobs for threads: who gets which."""

import os
import threading

from server.store.jobs import Jobs


def rest(jobs: Jobs[str], taken: list[tuple[int, str]], number: int) -> threading.Thread:
    """A thread that rests for one job, after all that rest before it."""

    def take() -> None:
        taken.append((number, jobs.get()))

    thread = threading.Thread(target=take)
    thread.start()
    while len(jobs._resting) <= number:
        os.sched_yield()
    return thread


def test_jobs_that_wait_are_taken_in_their_order() -> None:
    jobs: Jobs[str] = Jobs()
    for job in ("a", "b", "c"):
        jobs.put(job)
    assert [jobs.get() for _ in range(3)] == ["a", "b", "c"]


def test_a_job_goes_to_the_thread_that_has_rested_least_and_the_others_rest_on() -> None:
    jobs: Jobs[str] = Jobs()
    taken: list[tuple[int, str]] = []
    threads = [rest(jobs, taken, number) for number in range(3)]
    for number in (2, 1, 0):
        jobs.put(f"job {number}")
        threads[number].join()
        assert taken[-1] == (number, f"job {number}")
        assert [thread.is_alive() for thread in threads] == [True] * number + [False] * (3 - number)


def test_no_job_is_lost_or_taken_twice_where_many_put_and_many_take() -> None:
    jobs: Jobs[int] = Jobs()
    taken: list[int] = []

    def take() -> None:
        while (job := jobs.get()) >= 0:
            taken.append(job)

    def put(first: int) -> None:
        for job in range(first, first + 500):
            jobs.put(job)

    takers = [threading.Thread(target=take) for _ in range(4)]
    putters = [threading.Thread(target=put, args=(first,)) for first in range(0, 2000, 500)]
    for thread in (*takers, *putters):
        thread.start()
    for thread in putters:
        thread.join()
    for _ in takers:
        jobs.put(-1)
    for thread in takers:
        thread.join()
    assert sorted(taken) == list(range(2000))
