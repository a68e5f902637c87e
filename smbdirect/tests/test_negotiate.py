"""Negotiation (MS-SMBD 3.1.5.2, 3.1.5.3, 3.1.5.6, 3.1.5.7): what each side makes of the other's numbers."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smbdirect.negotiate import CLIENT_SETTINGS, RESERVE, Agreement, Settings, accept, agree, request, respond
from smbdirect.packets import STATUS_NOT_SUPPORTED, NegotiateRequest, NegotiateResponse
from smbdirect.wire import Malformed

OURS = Settings()
LINUX = NegotiateRequest(0x0100, 0x0100, 0, 255, 1364, 1364, 173_910)
"""What the Linux client sends at its defaults."""
ACCEPTABLE = NegotiateResponse(0x0100, 0x0100, 0x0100, 0, 255, 255, 0, 8 << 20, 1364, 1364, 173_910)


def agreed(ours: Settings = OURS, theirs: NegotiateRequest = LINUX) -> Agreement:
    outcome = agree(ours, theirs)
    assert isinstance(outcome, Agreement)
    return outcome


def test_two_sides_with_the_usual_defaults_agree_on_them() -> None:
    assert agreed() == Agreement(1364, 1364, 173_910, 173_910, 8 << 20, 255)
    assert request(CLIENT_SETTINGS) == LINUX


def test_what_the_server_answers_the_client_accepts_with_the_sizes_mirrored() -> None:
    ours = Settings(max_receive_size=8192, max_fragmented_size=1 << 20)
    server = agreed(ours)
    client = accept(CLIENT_SETTINGS, respond(ours, server, 32))
    assert client == Agreement(1364, 1364, server.max_fragmented_receive, 173_910, 8 << 20, 255, granted=32)


def test_a_server_that_could_send_more_prefers_what_the_client_receives() -> None:
    ours = Settings(max_send_size=8192, max_receive_size=8192)
    assert respond(ours, agreed(ours), 1).preferred_send_size == LINUX.max_receive_size


@pytest.mark.parametrize(("low", "high"), [(0x0101, 0x0200), (0, 0xFF), (0x0200, 0x0100)])
def test_a_version_range_without_1_0_is_refused_with_a_status(low: int, high: int) -> None:
    assert agree(OURS, replace(LINUX, min_version=low, max_version=high)) == STATUS_NOT_SUPPORTED


def test_a_refused_version_hides_whatever_else_is_wrong() -> None:
    assert agree(OURS, NegotiateRequest(0x0200, 0x0300)) == STATUS_NOT_SUPPORTED


def test_a_newer_client_that_still_speaks_1_0_is_served() -> None:
    assert agreed(theirs=replace(LINUX, min_version=0, max_version=0xFFFF, reserved=7)) == agreed()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"credits_requested": 0}, "CreditsRequested is zero"),
        ({"max_receive_size": 127}, "MaxReceiveSize 127"),
        ({"max_fragmented_size": 131_071}, "MaxFragmentedSize 131071"),
    ],
)
def test_numbers_below_the_floors_are_malformed_from_either_side(change: dict[str, int], words: str) -> None:
    with pytest.raises(Malformed, match=rf"{words}.*3\.1\.5\.6"):
        agree(OURS, replace(LINUX, **change))
    with pytest.raises(Malformed, match=rf"{words}.*3\.1\.5\.7"):
        accept(OURS, replace(ACCEPTABLE, **change))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"negotiated_version": 0x0200}, "NegotiatedVersion is 0x0200"),
        ({"credits_granted": 0}, "CreditsGranted is zero"),
        ({"preferred_send_size": 1365}, "PreferredSendSize 1365 where we receive 1364"),
    ],
)
def test_a_response_the_client_must_not_believe_is_malformed(change: dict[str, int], words: str) -> None:
    with pytest.raises(Malformed, match=words):
        accept(OURS, replace(ACCEPTABLE, **change))


def test_a_refusal_is_its_status_whatever_its_other_fields_hold() -> None:
    assert accept(OURS, NegotiateResponse(status=STATUS_NOT_SUPPORTED)) == STATUS_NOT_SUPPORTED


@pytest.mark.parametrize("preferred", [0, 1, 127, 128])
def test_a_client_that_prefers_tiny_packets_still_gets_128_byte_receives(preferred: int) -> None:
    assert agreed(theirs=replace(LINUX, preferred_send_size=preferred)).max_receive_size == 128


def test_the_fragmented_limit_is_the_one_configured_however_few_credits_carry_it() -> None:
    assert agreed(theirs=replace(LINUX, preferred_send_size=512)).max_fragmented_receive == 173_910
    assert agreed(Settings(receive_credit_max=2, max_fragmented_size=1 << 20)).max_fragmented_receive == 1 << 20


@given(*[st.integers(0, 0xFFFF)] * 4, *[st.integers(0, 0xFFFFFFFF)] * 3)
def test_any_request_is_agreed_to_within_both_limits_or_refused(
    low: int, high: int, reserved: int, credits: int, preferred: int, receives: int, fragmented: int
) -> None:
    theirs = NegotiateRequest(low, high, reserved, credits, preferred, receives, fragmented)
    try:
        outcome = agree(OURS, theirs)
    except Malformed:
        return
    if isinstance(outcome, Agreement):
        assert 128 <= outcome.max_send_size <= min(OURS.max_send_size, receives)
        assert 128 <= outcome.max_receive_size <= OURS.max_receive_size
        assert 131_072 <= outcome.max_fragmented_receive <= OURS.max_fragmented_size
        assert outcome.max_fragmented_send == fragmented
    else:
        assert outcome == STATUS_NOT_SUPPORTED


@pytest.mark.parametrize(
    "wrong",
    [
        {"receive_credit_max": 1},
        {"send_credit_target": 0x10000},
        {"untrusted_credits": 0},
        {"max_send_size": 127},
        {"max_receive_size": 0},
        {"max_fragmented_size": 131_071},
        {"backlog_messages": 0},
        {"untrusted_bytes": 0},
    ],
)
def test_settings_no_peer_could_agree_to_are_refused_when_made(wrong: dict[str, int]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        replace(OURS, **wrong)


def test_a_receive_is_posted_beyond_what_is_granted() -> None:
    assert Settings(receive_credit_max=10).receives == 10 + RESERVE
