import asyncio

import pytest

from server.security.throttle import (
    FORGOTTEN_AFTER,
    FREE,
    LONGEST_FOR_NAME,
    LONGEST_FOR_PEER,
    LONGEST_KEY,
    MOST,
    Failures,
    Throttle,
)

from .logins import Sleeps


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def fail(throttle: Throttle, peer: str, name: str, times: int = 1) -> None:
    for _ in range(times):
        asyncio.run(throttle.failed(peer, name))


def delay(throttle: Throttle, sleeps: Sleeps, peer: str, name: str) -> float:
    """What one more failure waits; it counts too."""
    sleeps.clear()
    fail(throttle, peer, name)
    return sum(sleeps)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sleeps() -> Sleeps:
    return Sleeps()


@pytest.fixture
def throttle(clock: Clock, sleeps: Sleeps) -> Throttle:
    return Throttle(clock, sleeps)


def test_first_failures_cost_nothing_then_the_delay_doubles_to_its_end() -> None:
    failures = Failures(longest=4.0)
    seen = []
    for _ in range(FREE + 6):
        seen.append(failures.delay("a", 0.0))
        failures.add("a", 0.0)
    assert seen == [0.0] * FREE + [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_very_many_failures_wait_no_longer_than_the_longest() -> None:
    failures = Failures(longest=4.0)
    for _ in range(5000):
        failures.add("a", 0.0)
    assert failures.delay("a", 0.0) == 4.0


def test_a_name_waits_less_than_an_address(throttle: Throttle, sleeps: Sleeps) -> None:
    for number in range(50):
        fail(throttle, f"192.0.2.{number}", "alice")
        fail(throttle, "198.51.100.1", f"user{number}")
    assert delay(throttle, sleeps, "203.0.113.1", "ALICE") == LONGEST_FOR_NAME
    assert delay(throttle, sleeps, "198.51.100.1", "bob") == LONGEST_FOR_PEER
    assert delay(throttle, sleeps, "203.0.113.1", "bob") == 0


def test_success_clears_the_name_and_not_the_address(throttle: Throttle, sleeps: Sleeps) -> None:
    fail(throttle, "192.0.2.1", "alice", times=20)
    throttle.succeeded("Alice")
    assert delay(throttle, sleeps, "192.0.2.2", "alice") == 0
    assert delay(throttle, sleeps, "192.0.2.1", "alice") == LONGEST_FOR_PEER


def test_failures_are_forgotten_in_time(throttle: Throttle, sleeps: Sleeps, clock: Clock) -> None:
    fail(throttle, "192.0.2.1", "alice", times=20)
    clock.now += FORGOTTEN_AFTER - 1
    assert delay(throttle, sleeps, "192.0.2.1", "alice") == LONGEST_FOR_PEER
    clock.now += FORGOTTEN_AFTER
    assert delay(throttle, sleeps, "192.0.2.1", "alice") == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [("2001:db8::1", "2001:db8::ffff:2"), ("::ffff:192.0.2.1", "192.0.2.1"), ("fe80::1%eth0", "fe80::1%eth1")],
)
def test_addresses_of_one_host_count_as_one(throttle: Throttle, sleeps: Sleeps, one: str, other: str) -> None:
    fail(throttle, one, "x", times=20)
    assert delay(throttle, sleeps, other, "y") == LONGEST_FOR_PEER


@pytest.mark.parametrize(("one", "other"), [("2001:db8::1", "2001:db8:0:1::1"), ("192.0.2.1", "192.0.2.2")])
def test_addresses_of_two_hosts_do_not(throttle: Throttle, sleeps: Sleeps, one: str, other: str) -> None:
    fail(throttle, one, "x", times=20)
    assert delay(throttle, sleeps, other, "y") == 0


def test_what_is_no_address_counts_as_it_is(throttle: Throttle, sleeps: Sleeps) -> None:
    fail(throttle, "loopback", "x", times=20)
    assert delay(throttle, sleeps, "loopback", "y") == LONGEST_FOR_PEER


def test_memory_has_an_end_and_the_oldest_failure_goes_first() -> None:
    failures = Failures(longest=4.0)
    for _ in range(FREE):
        failures.add("old", 0.0)
        failures.add("kept", 0.0)
    for number in range(MOST - 2):
        failures.add(f"name{number}", 0.0)
    failures.add("kept", 0.0)
    failures.add("one too many", 0.0)
    assert len(failures._by_key) == MOST
    assert failures.delay("old", 0.0) == 0
    assert failures.delay("kept", 0.0) > 0


def test_very_long_names_are_not_kept_whole(throttle: Throttle, sleeps: Sleeps) -> None:
    for number in range(20):
        fail(throttle, f"192.0.2.{number}", "x" * 30_000)
    assert delay(throttle, sleeps, "203.0.113.1", "X" * 30_000) == LONGEST_FOR_NAME
    assert max(map(len, throttle._names._by_key)) == LONGEST_KEY
