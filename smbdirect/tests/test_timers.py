"""Time limits with a clock that only moves when told: negotiation, keepalive, credits that never come."""

import pytest

from smbdirect.connection import Connection, Role
from smbdirect.events import Lost
from smbdirect.negotiate import CLIENT_SETTINGS, Settings
from smbdirect.packets import RESPONSE_REQUESTED, DataTransfer, pack_data_head

from .ends import End, joined, settle

INTERVAL = Settings().keepalive_interval
TIMEOUT = Settings().keepalive_timeout


def flags_of(packet: bytes) -> int:
    return DataTransfer.unpack_from(packet).flags


@pytest.mark.parametrize(("role", "settings", "limit"), [
    (Role.SERVER, Settings(), 5.0),
    (Role.CLIENT, CLIENT_SETTINGS, 120.0),
])  # fmt: skip
def test_a_peer_that_never_negotiates_is_lost(role: Role, settings: Settings, limit: float) -> None:
    end = Connection(role, settings, 1000.0)
    assert end.deadline() == 1000.0 + limit
    assert end.tick(999.9 + limit) == []
    assert end.tick(1000.0 + limit) == [Lost(f"no negotiation within {limit:g} s")]
    assert end.deadline() is None
    assert end.tick(2000.0) == []


def test_a_silent_peer_is_asked_and_its_answer_starts_the_interval_anew() -> None:
    client, server = joined(now=0.0)
    assert server.connection.deadline() == INTERVAL
    assert server.connection.tick(INTERVAL - 1) == []
    assert server.post() == []
    assert server.connection.tick(INTERVAL) == []
    (ask,) = server.post()
    assert flags_of(bytes(ask.pieces[0])) == RESPONSE_REQUESTED
    assert server.connection.deadline() == INTERVAL + TIMEOUT
    client.take(INTERVAL)
    (answer,) = client.post()
    assert flags_of(bytes(answer.pieces[0])) == 0
    server.take(INTERVAL + 1)
    assert server.connection.deadline() == 2 * INTERVAL + 1
    assert settle((client, server), INTERVAL + 1) == 0


def test_a_peer_that_does_not_answer_is_lost() -> None:
    _, server = joined()
    server.connection.tick(INTERVAL)
    server.post()
    assert server.connection.tick(INTERVAL + TIMEOUT - 0.1) == []
    assert server.connection.tick(INTERVAL + TIMEOUT) == [Lost("no answer to a keepalive within 5 s")]
    assert server.connection.packets(10, INTERVAL + TIMEOUT) == []


def test_both_ends_may_ask_at_once_and_both_rest() -> None:
    ends = client, server = joined()
    for end in ends:
        end.connection.tick(INTERVAL)
    assert settle(ends, INTERVAL) <= 4
    assert client.connection.deadline() == server.connection.deadline() == 2 * INTERVAL


def test_any_packet_counts_as_an_answer() -> None:
    client, server = joined()
    server.connection.tick(INTERVAL)
    server.post()
    client.send(b"request")
    client.post(now=INTERVAL)
    server.take(INTERVAL + 1)
    assert server.connection.deadline() == 2 * INTERVAL + 1


def test_a_question_not_yet_sent_is_dropped_when_the_peer_speaks() -> None:
    client, server = joined()
    server.connection.tick(INTERVAL)
    client.send(b"request")
    client.post()
    server.take(INTERVAL)
    assert server.post() == []


def test_a_message_on_its_way_out_carries_the_question() -> None:
    _, server = joined()
    server.connection.tick(INTERVAL)
    server.send(bytes(2000))
    assert [flags_of(bytes(packet.pieces[0])) for packet in server.post()] == [RESPONSE_REQUESTED, 0]


def ask(end: End, now: float) -> None:
    """A packet to `end` that wants an answer."""
    end.inbox.append(pack_data_head(255, 1, RESPONSE_REQUESTED, 0, 1) + b"x")
    end.take(now)


def test_a_question_is_answered_at_once_and_once() -> None:
    _, server = joined()
    for _ in range(3):
        ask(server, 1.0)
    assert len(server.post()) == 1
    assert server.post() == []


def test_a_reply_is_answer_enough() -> None:
    _, server = joined()
    ask(server, 1.0)
    server.send(b"reply")
    assert len(server.post()) == 1


def test_a_peer_held_back_by_us_is_not_asked_what_it_may_not_answer() -> None:
    client, server = joined(Settings(backlog_messages=1))
    client.send(b"request")
    client.post()
    server.take(1.0)
    assert server.connection.tick(INTERVAL + 1) == []
    assert server.post() == []
    assert server.connection.deadline() == 2 * INTERVAL + 1
    server.deliver()
    assert server.connection.tick(2 * INTERVAL + 1) == []
    assert len(server.post()) == 1


def starving() -> tuple[End, End]:
    """A server with a message waiting, at time 10, for credits that its client does not grant."""
    ends = client, server = joined(client=Settings(receive_credit_max=2))
    server.send(bytes(10_000))
    client.posted, client.connection._credits.posted = 0, 0
    while server.post(now=10.0):
        pass
    assert server.connection.waiting
    return ends


def test_a_peer_that_grants_no_credits_to_a_waiting_message_is_lost() -> None:
    _, server = starving()
    assert server.connection.deadline() == 40.0
    assert server.connection.tick(39.9) == []
    assert server.connection.tick(40.0) == [Lost("no credits granted for 30 s")]


def test_a_grant_ends_the_starvation() -> None:
    _, server = starving()
    server.inbox.append(pack_data_head(255, 100, 0, 0, 1) + b"x")
    server.take(39.0)
    server.post(now=39.0)
    assert server.connection.waiting == 0
    assert server.connection.deadline() == 39.0 + INTERVAL


def test_a_grant_that_our_full_send_queue_cannot_use_yet_ends_the_starvation_too() -> None:
    _, server = starving()
    server.inbox.append(pack_data_head(255, 100, 0, 0, 1) + b"x")
    server.take(39.0)
    assert server.connection.tick(50.0) == []
    assert server.post(room=0, now=50.0) == []
    assert server.connection.deadline() == 39.0 + INTERVAL


def test_no_credits_are_no_fault_while_nothing_waits() -> None:
    _, server = joined(client=Settings(receive_credit_max=2))
    server.send(b"x")
    server.post()
    assert server.connection._credits.send == 0
    assert server.connection.waiting == 0
    assert server.connection.deadline() == INTERVAL
