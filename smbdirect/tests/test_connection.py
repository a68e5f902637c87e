"""Two ends in memory: what is sent arrives the same, under any schedule and with the fewest credits."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smbdirect.connection import Connection, Role
from smbdirect.events import Negotiated, Received, Refused
from smbdirect.negotiate import Settings
from smbdirect.packets import (
    RESPONSE_REQUESTED,
    STATUS_INSUFFICIENT_RESOURCES,
    STATUS_NOT_SUPPORTED,
    DataTransfer,
    NegotiateRequest,
    NegotiateResponse,
    pack_data_head,
)
from smbdirect.wire import Malformed

from .ends import End, joined, pair, settle

FEWEST = Settings(receive_credit_max=2, send_credit_target=2, max_fragmented_size=131_072, untrusted_credits=2)


def pattern(size: int) -> bytes:
    """Bytes in which every 8-byte word holds its own offset, so that a swapped piece shows."""
    return b"".join(at.to_bytes(8, "little") for at in range(0, size + 8, 8))[:size]


def server_end(settings: Settings | None = None) -> Connection:
    """A server that has agreed with a Linux client."""
    server = Connection(Role.SERVER, settings or Settings(), 0.0)
    server.posted_receives(server.settings.receives)
    server.receive(memoryview(NegotiateRequest(0x100, 0x100, 0, 255, 1364, 1364, 173_910).pack()), 0.0)
    server.packets(10, 0.0)
    return server


def transfer(payload: bytes = b"", remaining: int = 0, granted: int = 10, flags: int = 0) -> memoryview:
    """A data transfer as a peer sends it."""
    return memoryview(pack_data_head(255, granted, flags, remaining, len(payload)) + payload)


# Negotiation


def test_two_ends_agree_and_the_first_grant_is_what_an_unknown_peer_gets() -> None:
    ends = client, server = pair()
    (request,) = client.post()
    server.take()
    assert not server.post(room=0)
    (response,) = server.post()
    assert NegotiateResponse.unpack_from(bytes(response.pieces[0])).credits_granted == 32
    client.take()
    settle(ends)
    assert [type(end.events[0]) for end in ends] == [Negotiated, Negotiated]
    assert request.size == 20
    assert response.size == 32


def test_a_client_with_a_newer_version_only_is_told_so_and_the_connection_ends() -> None:
    server = Connection(Role.SERVER, Settings(), 0.0)
    server.posted_receives(10)
    events = server.receive(memoryview(NegotiateRequest(0x200, 0x200).pack()), 0.0)
    assert events == [Refused(STATUS_NOT_SUPPORTED)]
    (packet,) = server.packets(10, 0.0)
    assert NegotiateResponse.unpack_from(bytes(packet.pieces[0])) == NegotiateResponse(status=STATUS_NOT_SUPPORTED)
    assert server.receive(transfer(b"ignored"), 0.0) == []
    assert server.deadline() is None
    assert server.packets(10, 0.0) == []


def test_a_refused_client_learns_the_status() -> None:
    client = Connection(Role.CLIENT, Settings(), 0.0)
    refusal = memoryview(NegotiateResponse(status=STATUS_NOT_SUPPORTED).pack())
    assert client.receive(refusal, 0.0) == [Refused(STATUS_NOT_SUPPORTED)]


def test_a_server_without_receives_to_grant_refuses() -> None:
    server = Connection(Role.SERVER, Settings(), 0.0)
    server.posted_receives(1)
    request = NegotiateRequest(credits_requested=255, max_receive_size=1364, max_fragmented_size=131_072)
    assert server.receive(memoryview(request.pack()), 0.0) == [Refused(STATUS_INSUFFICIENT_RESOURCES)]


@pytest.mark.parametrize("role", list(Role))
def test_a_negotiation_cut_short_anywhere_is_malformed(role: Role) -> None:
    packets = {Role.SERVER: NegotiateRequest().pack(), Role.CLIENT: NegotiateResponse().pack()}
    for size in range(len(packets[role])):
        with pytest.raises(Malformed):
            Connection(role, Settings(), 0.0).receive(memoryview(packets[role])[:size], 0.0)


# Messages


@pytest.mark.parametrize("size", [1, 1339, 1340, 1341, 2680, 65_536, 131_072, 173_910])
def test_a_message_of_any_size_arrives_the_same_both_ways(size: int) -> None:
    ends = client, server = joined()
    client.send(pattern(size))
    server.send(pattern(size)[::-1])
    settle(ends)
    assert server.messages == client.sent
    assert client.messages == server.sent


def test_a_packet_is_a_gather_list_of_the_senders_own_memory() -> None:
    client, _ = joined()
    head, payload = bytearray(b"head"), bytearray(2000)
    client.connection.send([head, payload], "token")
    first, second = client.post()
    payload[0] = head[0] = 0xFF
    assert [len(piece) for piece in first.pieces] == [24, 4, 1336]
    assert bytes(first.pieces[1])[0] == bytes(first.pieces[2])[0] == 0xFF
    assert (first.token, second.token) == (None, "token")
    assert second.size == 24 + 664


def test_packets_come_one_by_one_where_the_send_queue_has_little_room() -> None:
    client, server = joined()
    client.send(pattern(5000))
    assert [len(client.post(room=1)) for _ in range(5)] == [1, 1, 1, 1, 0]
    settle((client, server))
    assert server.messages == client.sent


def test_no_message_goes_before_the_negotiation_or_beyond_the_peers_limit() -> None:
    client, _ = pair()
    with pytest.raises(AssertionError):
        client.connection.send([b"early"])
    client, _ = joined()
    with pytest.raises(AssertionError):
        client.connection.send([bytes(173_911)])


def test_a_received_message_may_be_changed_in_place_and_outlives_its_packet() -> None:
    server = server_end()
    packet = bytearray(transfer(b"hello"))
    (event,) = server.receive(memoryview(packet), 0.0)
    packet[:] = bytes(len(packet))
    assert isinstance(event, Received)
    memoryview(event.data)[0] = ord("j")
    assert event.data == bytearray(b"jello")


# Credits


def test_messages_at_the_fragmented_limit_pass_with_two_credits_each_way() -> None:
    ends = client, server = joined(FEWEST, FEWEST)
    for size in (131_072, 131_071, 1):
        client.send(pattern(size))
        server.send(pattern(size)[::-1])
    settle(ends)
    assert server.messages == client.sent
    assert client.messages == server.sent


def test_idle_ends_with_two_credits_rest() -> None:
    ends = joined(FEWEST, FEWEST)
    assert settle(ends) == 0


def test_a_refill_comes_without_a_message_to_carry_it_before_the_peer_runs_dry() -> None:
    client, server = joined()
    for _ in range(193):
        client.send(b"x")
    client.post()
    for _ in range(193):
        server.take()
        server.post_receives()
        server.deliver()
        if packets := server.post():
            break
    (packet,) = packets
    head = DataTransfer.unpack_from(bytes(packet.pieces[0]))
    assert packet.size == 20
    assert head.credits_granted >= 255 - 255 // 4


def test_a_peer_that_overruns_its_credits_is_malformed() -> None:
    server = server_end()
    for _ in range(32):
        server.receive(transfer(b"x"), 0.0)
    with pytest.raises(Malformed, match="without a credit"):
        server.receive(transfer(b"x"), 0.0)


def test_a_peer_that_grants_nothing_gets_nothing() -> None:
    server = server_end()
    server.receive(transfer(b"x", granted=0), 0.0)
    server.send([b"reply"])
    assert server.packets(10, 0.0) == []
    server.receive(transfer(granted=1), 0.0)
    assert len(server.packets(10, 0.0)) == 1


def test_a_packet_that_breaks_a_rule_changes_no_balance() -> None:
    server = server_end()
    server.receive(transfer(b"he", remaining=3), 0.0)
    for wrong in (transfer(b"l", remaining=3, granted=99), transfer(b"", remaining=1), transfer(b"", 1 << 20)):
        with pytest.raises(Malformed):
            server.receive(wrong, 0.0)
    (event,) = server.receive(transfer(b"llo"), 0.0)
    assert isinstance(event, Received)
    assert event.data == bytearray(b"hello")


# Back-pressure


def test_undelivered_messages_stop_new_credits_until_they_are_delivered() -> None:
    settings = Settings(receive_credit_max=20, backlog_messages=4)
    client, server = joined(settings)
    for _ in range(100):
        client.send(b"request")
    settle((client, server), deliver=False)
    held = len(server.undelivered)
    assert 4 <= held <= 4 + settings.receives
    assert client.connection.waiting == 100 - held
    server.send(b"replies still go")
    settle((client, server), deliver=False)
    assert client.undelivered
    settle((client, server))
    assert server.messages == client.sent


def test_an_unknown_peer_fills_little_memory_and_a_trusted_one_more() -> None:
    client, server = pair()
    settle((client, server))
    for _ in range(1000):
        client.send(bytes(1000))
    settle((client, server), deliver=False)
    unknown = len(server.undelivered)
    assert unknown <= server.connection.settings.untrusted_messages + 32
    server.connection.trust()
    settle((client, server), deliver=False)
    assert len(server.undelivered) > 4 * unknown


def test_an_unknown_peer_may_not_fragment_beyond_the_floor() -> None:
    server = server_end()
    with pytest.raises(Malformed, match="131072 allowed"):
        server.receive(transfer(b"x", remaining=131_072), 0.0)
    server.trust()
    assert server.receive(transfer(b"x", remaining=131_072), 0.0) == []


def test_a_large_message_is_no_reason_to_stop_its_own_rest() -> None:
    client, server = joined(Settings(receive_credit_max=10, backlog_bytes=1, backlog_messages=1))
    client.send(pattern(131_072))
    settle((client, server), deliver=False)
    assert len(server.undelivered) == 1


def test_pings_do_not_get_a_held_back_peer_more_credits() -> None:
    server = server_end(Settings(untrusted_messages=1))
    for number in range(32):
        server.receive(transfer(b"x", granted=int(number == 0), flags=RESPONSE_REQUESTED), 0.0)
    assert server._credits.send == 1
    assert server.packets(100, 0.0) == []
    with pytest.raises(Malformed):
        server.receive(transfer(granted=1), 0.0)


def test_two_ends_that_both_hold_back_still_empty_their_queues() -> None:
    tight = Settings(receive_credit_max=2, send_credit_target=2, backlog_messages=1, untrusted_credits=2)
    ends = client, server = joined(tight, tight)
    for end in ends:
        end.send(pattern(100_000))
        for _ in range(50):
            end.send(b"more")
    settle(ends, deliver=False)
    assert min(end.connection.waiting for end in ends) == 0
    settle(ends)
    assert server.messages == client.sent
    assert client.messages == server.sent


# Any schedule

settings = st.builds(
    Settings,
    receive_credit_max=st.sampled_from([2, 3, 4, 5, 8, 20]),
    send_credit_target=st.sampled_from([2, 3, 4, 5, 8, 255]),
    max_send_size=st.sampled_from([128, 200, 1364]),
    max_receive_size=st.sampled_from([128, 200, 1364]),
    untrusted_credits=st.sampled_from([2, 32]),
    untrusted_messages=st.integers(1, 4),
    backlog_messages=st.integers(1, 4),
    backlog_bytes=st.sampled_from([1, 1000, 1 << 20]),
)
side = st.integers(0, 1)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("send"), side, st.integers(1, 3000)),
        st.tuples(st.sampled_from(["post", "take", "post_receives"]), side, st.integers(0, 6)),
        st.tuples(st.sampled_from(["deliver", "trust"]), side, st.just(0)),
    ),
    max_size=80,
)


def step(end: End, what: str, value: int) -> None:
    if what == "send":
        end.send(pattern(value // 2), pattern(value - value // 2))
    elif what == "post":
        end.post(room=value)
    elif what == "take":
        for _ in range(value):
            end.take()
    elif what == "post_receives":
        end.post_receives(value)
    elif what == "deliver":
        end.deliver()
    else:
        end.connection.trust()


@given(settings, settings, steps)
def test_under_any_schedule_all_messages_arrive_in_order_and_the_ends_come_to_rest(
    server: Settings, client: Settings, steps: list[tuple[str, int, int]]
) -> None:
    run(pair(server, client), steps)


@given(settings, st.sampled_from([4, 5, 8, 20, 255]), steps)
def test_a_peer_that_keeps_no_receive_in_reserve_never_waits_for_ever(
    server: Settings, credits: int, steps: list[tuple[str, int, int]]
) -> None:
    server = replace(server, untrusted_credits=32, receive_credit_max=credits, send_credit_target=credits)
    client = Settings(receive_credit_max=credits, send_credit_target=credits)
    run(pair(server, client, reserve=0), steps)


def run(ends: tuple[End, End], steps: list[tuple[str, int, int]]) -> None:
    """Take the steps, holding the balances to each other after each; then everything must arrive."""
    settle(ends)
    for what, which, value in steps:
        step(ends[which], what, value)
        for end in ends:
            credits = end.connection._credits
            assert credits.send >= 0
            assert 0 <= credits.promised <= credits.posted == end.posted
            granted_on_the_wire = [DataTransfer.unpack_from(packet).credits_granted for packet in end.peer.inbox]
            assert end.peer.connection._credits.send + sum(granted_on_the_wire) + len(end.inbox) == credits.promised
    for end in ends:
        end.post_receives()
    settle(ends)
    for end in ends:
        assert end.connection.waiting == 0
        assert end.messages == end.peer.sent


# Any bytes

transfers = st.builds(
    lambda data, remaining, flags: bytes(transfer(data, remaining, 1, flags)),
    st.binary(max_size=40),
    st.integers(0, 100),
    st.integers(0, 3),
)
requests = st.builds(
    lambda credits, *sizes: NegotiateRequest(0x100, 0x100, 0, credits, *sizes).pack(),
    st.integers(0, 0xFFFF),
    *[st.integers(0, 1 << 20)] * 3,
)
packets = st.one_of(st.binary(max_size=60), transfers, requests)


@given(st.sampled_from(list(Role)), st.lists(packets, max_size=12))
def test_any_bytes_are_malformed_or_events_and_never_much_memory(role: Role, received: list[bytes]) -> None:
    end = Connection(role, Settings(), 0.0)
    end.posted_receives(end.settings.receives)
    if role is Role.CLIENT:
        end.receive(memoryview(NegotiateResponse(0x100, 0x100, 0x100, 0, 9, 9, 0, 1, 1364, 1364, 131_072).pack()), 0.0)
    total = 0
    try:
        for packet in received:
            events = end.receive(memoryview(packet), 0.0)
            total += sum(len(event.data) for event in events if isinstance(event, Received))
            end.packets(10, 0.0)
    except Malformed:
        return
    assert total <= sum(map(len, received))
