"""NTLM's messages: what our challenge says, what the client's last word must prove, and hostile bytes."""

import contextlib
import hmac
import struct

import pytest
import spnego
from hypothesis import given
from hypothesis import strategies as st
from impacket import ntlm as impacket_ntlm
from spnego._ntlm_raw.messages import Authenticate, AvId, Challenge, Negotiate, NegotiateFlags

from server.security.auth import Exchange
from server.security.tokens import authentication, has_mic, negotiate_flags
from server.status import NT, Status
from smbdirect.wire import Malformed

from .logins import NOW, Pyspnego, acceptor, step

ASKED = (
    NegotiateFlags.unicode
    | NegotiateFlags.sign
    | NegotiateFlags.seal
    | NegotiateFlags.key_128
    | NegotiateFlags.key_56
    | NegotiateFlags.key_exch
    | NegotiateFlags.extended_session_security
    | NegotiateFlags.version
)


def challenge(flags: int) -> Challenge:
    return Challenge.unpack(step(acceptor().start(), Negotiate(flags).pack())[0])


def test_challenge_grants_what_the_client_asks_for() -> None:
    answer = challenge(ASKED)
    assert answer.flags & ASKED == ASKED
    for flag in ("target_info", "request_target", "target_type_server", "ntlm"):
        assert answer.flags & NegotiateFlags[flag]
    assert answer.target_name == "SERVER"
    assert answer.version is not None
    assert struct.pack("BBHBBBB", 6, 1, 0, 0, 0, 0, 15) == answer.version.pack()


@pytest.mark.parametrize("flag", ["sign", "seal", "key_128", "key_56", "key_exch", "version", "always_sign"])
def test_challenge_grants_nothing_the_client_did_not_ask_for(flag: str) -> None:
    assert not challenge(NegotiateFlags.unicode).flags & NegotiateFlags[flag]


@pytest.mark.parametrize("flag", ["lm_key", "oem", "datagram", "identity", "non_nt_session_key", "target_type_domain"])
def test_challenge_never_grants_what_we_do_not_do(flag: str) -> None:
    assert not challenge(0xFFFFFFFF).flags & NegotiateFlags[flag]


def test_target_info_has_names_and_time_in_windows_order() -> None:
    pairs = challenge(ASKED).target_info
    assert pairs is not None
    assert list(pairs)[:5] == [
        AvId.nb_domain_name, AvId.nb_computer_name, AvId.dns_domain_name, AvId.dns_computer_name, AvId.timestamp
    ]  # fmt: skip
    assert [pairs[key] for key in list(pairs)[:4]] == ["GROUP", "SERVER", "lan", "server.lan"]
    assert struct.unpack("<Q", pairs[AvId.timestamp].pack())[0] == int((NOW + 11_644_473_600) * 10_000_000)


def test_impacket_reads_our_target_info() -> None:
    answer = impacket_ntlm.NTLMAuthChallenge(step(acceptor().start(), Negotiate(ASKED).pack())[0])
    pairs = impacket_ntlm.AV_PAIRS(answer["TargetInfoFields"])
    assert pairs[impacket_ntlm.NTLMSSP_AV_DNS_HOSTNAME][1].decode("utf-16le") == "server.lan"


def test_every_challenge_has_another_nonce() -> None:
    assert len({challenge(ASKED).server_challenge for _ in range(50)}) == 50


def test_client_without_unicode_is_an_invalid_parameter() -> None:
    with pytest.raises(Status) as caught:
        challenge(NegotiateFlags.oem)
    assert caught.value.code == NT.INVALID_PARAMETER


# -- the last word --------------------------------------------------------------------------------------------
def last_word(user: str = "alice") -> tuple[Exchange, bytes]:
    """An exchange, and the AUTHENTICATE that would log in there."""
    exchange, client = acceptor().start(), Pyspnego("ntlm", user, "secret")
    return exchange, client.step(step(exchange, client.step(None))[0])


def refusal(exchange: Exchange, token: bytes) -> int:
    with pytest.raises(Status) as caught:
        step(exchange, token)
    return caught.value.code


def test_client_that_says_it_signed_must_have() -> None:
    exchange, token = last_word()
    message = Authenticate.unpack(token)
    assert has_mic((message.nt_challenge_response or b"")[16:])
    message.mic = bytes(16)
    assert refusal(exchange, message.pack()) == NT.LOGON_FAILURE


def test_first_message_changed_on_the_way_is_a_logon_failure() -> None:
    exchange, client = acceptor().start(), Pyspnego("ntlm", "alice", "secret")
    first = bytearray(client.step(None))
    first[-1] ^= 1  # of the version, which nobody reads
    assert refusal(exchange, client.step(step(exchange, bytes(first))[0])) == NT.LOGON_FAILURE


def test_challenge_changed_on_the_way_is_a_logon_failure() -> None:
    exchange, client = acceptor().start(), Pyspnego("ntlm", "alice", "secret")
    answer = Challenge.unpack(step(exchange, client.step(None))[0])
    answer.flags &= ~NegotiateFlags.seal
    assert refusal(exchange, client.step(answer.pack())) == NT.LOGON_FAILURE


def test_last_word_changed_on_the_way_is_a_logon_failure() -> None:
    exchange, token = last_word()
    message = Authenticate.unpack(token)
    message.flags ^= NegotiateFlags.version
    assert refusal(exchange, message.pack()) == NT.LOGON_FAILURE


def test_bytes_received_are_what_the_mic_covers() -> None:
    """A client may lay out its message as it likes: junk between the fields and behind them is signed too."""
    exchange, client = acceptor().start(), spnego.client("alice", "secret", protocol="ntlm")
    first = client.step() or b""
    answer, _ = step(exchange, first)
    message = Authenticate.unpack((client.step(answer) or b"") + b"junk")
    message.mic = bytes(16)
    covered = first + answer + message.pack()
    message.mic = hmac.digest(client.session_key, covered, "md5")
    outcome = step(exchange, message.pack())[1]
    assert outcome is not None
    assert outcome.name == "Alice"


@pytest.mark.parametrize("key", [b"", b"\0", bytes(15), bytes(17)])
def test_exchanged_key_of_another_size_is_an_invalid_parameter(key: bytes) -> None:
    exchange = acceptor().start()
    step(exchange, Negotiate(ASKED).pack())
    anonymous = Authenticate(int(ASKED), b"\0", b"", encrypted_session_key=key)
    assert refusal(exchange, anonymous.pack()) == NT.INVALID_PARAMETER


@pytest.mark.parametrize("lm", [b"", b"\0"])
def test_anonymous_without_key_exchange_has_the_zero_key(lm: bytes) -> None:
    exchange = acceptor().start()
    step(exchange, Negotiate(NegotiateFlags.unicode).pack())
    outcome = step(exchange, Authenticate(int(NegotiateFlags.unicode), lm, b"").pack())[1]
    assert outcome is not None
    assert (outcome.anonymous, outcome.session_key) == (True, bytes(16))


def test_no_name_with_a_response_is_not_anonymous() -> None:
    exchange = acceptor().start()
    step(exchange, Negotiate(ASKED).pack())
    assert refusal(exchange, Authenticate(int(ASKED), bytes(24), bytes(60)).pack()) == NT.LOGON_FAILURE


def test_name_without_a_response_is_a_logon_failure() -> None:
    exchange = acceptor().start()
    step(exchange, Negotiate(ASKED).pack())
    assert refusal(exchange, Authenticate(int(ASKED), b"", b"", username="alice").pack()) == NT.LOGON_FAILURE


# -- hostile bytes --------------------------------------------------------------------------------------------
def survives(exchange: Exchange, token: bytes) -> None:
    with contextlib.suppress(Malformed, Status):
        outcome = step(exchange, token)[1]
        assert outcome is None or outcome.anonymous


FIRST = Pyspnego("ntlm", "alice", "secret").step(None)
SPNEGO_FIRST = Pyspnego("negotiate", "alice", "secret").step(None)
LAST = last_word("mallory")[1]


@given(st.binary(max_size=300))
def test_any_first_token_is_answered_or_refused(token: bytes) -> None:
    for start in (b"", b"NTLMSSP\0", b"NTLMSSP\0\1\0\0\0", SPNEGO_FIRST[:30]):
        survives(acceptor().start(), start + token)


@given(st.binary(max_size=300))
def test_any_second_token_is_answered_or_refused(token: bytes) -> None:
    for start in (b"", b"NTLMSSP\0\3\0\0\0", LAST[:64], LAST[:-20]):
        exchange = acceptor().start()
        step(exchange, FIRST)
        survives(exchange, start + token)


@given(st.integers(0, len(LAST) - 1), st.integers(0, 255))
def test_a_changed_byte_in_the_last_word_never_lets_in(position: int, value: int) -> None:
    changed = bytearray(LAST)
    changed[position] = value
    exchange = acceptor().start()
    step(exchange, FIRST)
    survives(exchange, bytes(changed))


def test_a_token_cut_anywhere_is_refused() -> None:
    for length in range(len(LAST)):
        exchange, token = acceptor().start(), LAST[:length]
        step(exchange, FIRST)
        with pytest.raises((Malformed, Status)):
            step(exchange, token)
    for length in range(16):
        with pytest.raises(Malformed):
            step(acceptor().start(), FIRST[:length])


def test_messages_of_another_type_are_malformed() -> None:
    answer, _ = step(acceptor().start(), FIRST)
    for wrong in (answer, LAST):
        with pytest.raises(Malformed):
            negotiate_flags(wrong)
    for wrong in (answer, FIRST):
        with pytest.raises(Malformed):
            authentication(wrong)


def test_av_pairs_without_end_are_malformed() -> None:
    with pytest.raises(Malformed, match="AV pairs"):
        has_mic(bytes(28) + b"\7\0\x08\0" + bytes(8))


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        (b"\0\0\0\0", False),
        (b"\0\0\0\0\6\0\4\0\2\0\0\0", False),
        (b"\6\0\4\0\2\0\0\0\0\0\0\0", True),
        (b"\6\0\4\0\1\0\0\0\0\0\0\0", False),
        (b"\1\0\4\0abcd\6\0\4\0\3\0\0\0\0\0\0\0", True),
    ],
)
def test_av_flags_say_whether_there_is_a_mic(pairs: bytes, expected: bool) -> None:
    assert has_mic(bytes(28) + pairs) is expected
