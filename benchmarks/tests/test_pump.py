"""The pump against a server of its own process."""

from collections.abc import Iterator

import pytest

from benchmarks import processes
from benchmarks.beside import SPAN, file_name, lay
from benchmarks.client import Settings
from benchmarks.pump import primed, run
from benchmarks.throughput import PROTECTIONS, local
from server.status import NT, Status
from server.testing import Ours
from transport.base import Lost

SECONDS = 0.02


@pytest.fixture(scope="module")
def server() -> Iterator[Ours]:
    with Ours() as server:
        lay(server, 3)
        yield server


@pytest.mark.parametrize("size", [4096, 1 << 20])
@pytest.mark.parametrize("protection", PROTECTIONS)
def test_what_is_counted_has_been_moved(server: Ours, protection: str, size: int) -> None:
    with primed(server, [file_name(0)], Settings(**PROTECTIONS[protection])) as (each,):
        for order in (each.pump.reads(each.file_id, size, SPAN), each.pump.writes(each.file_id, size, SPAN)):
            done = run([(each.pump, order)], 4, SECONDS)
            assert done.requests >= 4
            assert done.moved == done.requests * size
    assert (server.path() / file_name(0)).read_bytes()[:size] == bytes(range(256)) * (size // 256)


@pytest.mark.parametrize("bound", [False, True])
def test_connections_pump_at_once(server: Ours, bound: bool) -> None:
    with primed(server, [file_name(number) for number in range(3)], Settings(), bound) as made:
        done = run([(each.pump, each.pump.reads(each.file_id, 65536, SPAN)) for each in made], 2, SECONDS)
        assert done.requests >= 3 * 2
        assert len({each.pump._security.session_id for each in made}) == (1 if bound else 3)


def test_each_request_is_timed(server: Ours) -> None:
    with primed(server, [file_name(0)], Settings()) as (each,):
        for taken in (
            each.pump.times(each.pump.echoes(), SECONDS),
            each.pump.open_and_close_times(file_name(1), SECONDS),
        ):
            assert taken and all(time > 0 for time in taken)
            assert sum(taken) >= SECONDS


def test_a_refused_request_is_an_error(server: Ours) -> None:
    with primed(server, [file_name(0)], Settings()) as (each,):
        order = each.pump.reads(each.file_id, 4096, SPAN)
        with pytest.raises(Status) as raised:
            each.pump.ask(order, SPAN.to_bytes(8, "little"))
        assert raised.value.code == NT.END_OF_FILE


def test_a_request_that_there_are_no_credits_for_is_not_waited_for(server: Ours) -> None:
    with primed(server, [file_name(0)], Settings()) as (each,):
        order = each.pump.reads(each.file_id, 1 << 20, SPAN)
        order.charge = 100_000
        with pytest.raises(Lost):
            each.pump.run(order, 1, SECONDS)


def test_a_servers_processes_are_found(server: Ours) -> None:
    assert processes.count(server) == 1
    assert processes.memory(server) > 1 << 20
    before = processes.cpu(server)
    with primed(server, [file_name(0)], Settings()) as (each,):
        run([(each.pump, each.pump.reads(each.file_id, 1 << 20, SPAN))], 4, 10 * SECONDS)
    assert processes.cpu(server) >= before > 0


def test_the_local_file_system_has_a_figure(server: Ours) -> None:
    assert all(local(server.path() / file_name(2), work, 65536, SECONDS) > 0 for work in ("read", "write"))
