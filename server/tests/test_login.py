"""Logins as a whole: clients written by others against our acceptor, in memory."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from server.security import ntlm
from server.security.auth import Acceptor, Outcome
from server.security.throttle import Throttle
from server.security.users import Users
from server.status import NT, Status

from .logins import Client, Impacket, Pyspnego, Samba, Sleeps, acceptor, log_in, mechanism, step

CLIENTS: dict[str, Callable[[str, str], Client]] = {
    "pyspnego bare": lambda user, password: Pyspnego("ntlm", user, password),
    "pyspnego": lambda user, password: Pyspnego("negotiate", user, password),
    "impacket": Impacket,
    "impacket without signing": lambda user, password: Impacket(user, password, sign=False),
    "samba bare": lambda user, password: Samba("ntlmssp-client-1", user, password),
    "samba": lambda user, password: Samba("gss-spnego-client", user, password),
    "samba that must sign": lambda user, password: Samba("gss-spnego-client", user, password, sign=True),
}


@pytest.fixture(params=CLIENTS)
def make_client(request: pytest.FixtureRequest) -> Iterator[Callable[[str, str], Client]]:
    made: list[Client] = []

    def make(user: str, password: str) -> Client:
        made.append(CLIENTS[request.param](user, password))
        return made[-1]

    yield make
    for client in made:
        if isinstance(client, Samba):
            client.close()


def refused(server_options: dict[str, Any], client: Client) -> int:
    with pytest.raises(Status) as caught:
        log_in(acceptor(**server_options), client)
    return caught.value.code


def test_user_logs_in_and_both_have_the_same_key(make_client: Callable[[str, str], Client]) -> None:
    client = make_client("alice", "secret")
    outcome = log_in(acceptor(), client)
    assert outcome.name == "Alice"  # as the file spells it
    assert (outcome.guest, outcome.anonymous, outcome.expires) == (False, False, None)
    assert len(outcome.session_key) == 16
    assert outcome.session_key == outcome.full_key == client.key


def test_password_beyond_latin_logs_in(make_client: Callable[[str, str], Client]) -> None:
    assert log_in(acceptor(), make_client("BOB", "p\u00e4ssw\u00f6rd \U0001f600")).name == "bob"


def test_wrong_password_is_a_logon_failure(make_client: Callable[[str, str], Client]) -> None:
    assert refused({}, make_client("alice", "wrong")) == NT.LOGON_FAILURE


def test_unknown_user_is_a_logon_failure(make_client: Callable[[str, str], Client]) -> None:
    assert refused({}, make_client("mallory", "secret")) == NT.LOGON_FAILURE


def test_domain_may_be_any() -> None:
    outcome = log_in(acceptor(), Pyspnego("negotiate", "ELSEWHERE\\alice", "secret"))
    assert outcome.domain == "ELSEWHERE"


def test_ntlm_v1_is_refused_with_the_right_password() -> None:
    assert refused({}, Impacket("alice", "secret", v2=False)) == NT.LOGON_FAILURE


def test_ntlm_v1_is_refused_where_unknown_users_are_guests() -> None:
    assert refused({"unknown_is_guest": True}, Impacket("mallory", "secret", v2=False)) == NT.LOGON_FAILURE


@pytest.mark.parametrize("client", ["impacket", "impacket without signing"])
def test_no_name_and_no_password_is_anonymous(client: str) -> None:
    anonymous = CLIENTS[client]("", "")
    outcome = log_in(acceptor(), anonymous)
    assert outcome == Outcome("", outcome.domain, anonymous.key, anonymous.key, anonymous=True)


@pytest.mark.parametrize("make_client", [name for name in CLIENTS if "must sign" not in name], indirect=True)
def test_unknown_user_becomes_guest_where_configured(make_client: Callable[[str, str], Client]) -> None:
    outcome = log_in(acceptor(unknown_is_guest=True), make_client("mallory", "whatever"))
    assert outcome == Outcome("mallory", outcome.domain, b"", b"", guest=True)


def test_known_user_with_a_wrong_password_never_becomes_guest() -> None:
    assert refused({"unknown_is_guest": True}, Pyspnego("negotiate", "alice", "wrong")) == NT.LOGON_FAILURE


def test_unknown_user_costs_what_a_wrong_password_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    real = ntlm.hmac_md5

    def counted(key: bytes, data: bytes) -> bytes:
        calls.append(len(key))
        return real(key, data)

    monkeypatch.setattr(ntlm, "hmac_md5", counted)
    seen = []
    for user in ("alice", "mallory"):
        calls.clear()
        assert refused({}, Pyspnego("ntlm", user, "wrong")) == NT.LOGON_FAILURE
        seen.append(list(calls))
    assert seen[0] == seen[1] == [16, 16, 16]


def test_upper_case_is_one_character_for_one() -> None:
    assert ntlm.ntowf_v2(bytes(16), "stra\u00dfe", "") == ntlm.ntowf_v2(bytes(16), "STRA\u00dfE", "")
    assert ntlm.ntowf_v2(bytes(16), "strasse", "") != ntlm.ntowf_v2(bytes(16), "stra\u00dfe", "")


def test_repeated_failures_slow_down_and_success_clears_the_name() -> None:
    sleeps = Sleeps()
    server = acceptor(throttle=Throttle(lambda: 0.0, sleeps))
    for attempt in range(6):
        with pytest.raises(Status):
            log_in(server, Pyspnego("ntlm", "alice", "wrong"), peer=f"192.0.2.{attempt}")
    assert sleeps == [0.5, 1.0, 2.0]
    assert log_in(server, Pyspnego("ntlm", "alice", "secret"), peer="192.0.2.100").name == "Alice"
    with pytest.raises(Status):
        log_in(server, Pyspnego("ntlm", "alice", "wrong"), peer="192.0.2.101")
    assert len(sleeps) == 3


def test_who_has_the_password_is_answered_at_once_whatever_others_at_the_address_did() -> None:
    sleeps = Sleeps()
    server = acceptor(throttle=Throttle(lambda: 0.0, sleeps))
    for attempt in range(20):
        with pytest.raises(Status):
            log_in(server, Pyspnego("ntlm", f"user{attempt}", "wrong"))
    sleeps.clear()
    assert log_in(server, Pyspnego("ntlm", "alice", "secret")).name == "Alice"
    assert not sleeps


def test_unknown_names_slow_down_as_known_ones_do() -> None:
    waits = []
    for user in ("alice", "mallory"):
        sleeps = Sleeps()
        server = acceptor(throttle=Throttle(lambda: 0.0, sleeps))
        for _ in range(10):
            with pytest.raises(Status):
                log_in(server, Pyspnego("ntlm", user, "wrong"))
        waits.append(list(sleeps))
    assert waits[0] == waits[1] != []


def test_guessing_many_names_from_one_address_slows_down() -> None:
    sleeps = Sleeps()
    server = acceptor(throttle=Throttle(lambda: 0.0, sleeps))
    for attempt in range(12):
        with pytest.raises(Status):
            log_in(server, Pyspnego("ntlm", f"user{attempt}", "wrong"))
    assert sleeps == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0, 15.0]


def test_users_that_are_reloaded_count_from_the_next_login() -> None:
    method = mechanism()
    server = Acceptor([method])
    method.users = Users()
    with pytest.raises(Status):
        log_in(server, Pyspnego("ntlm", "alice", "secret"))


def test_nothing_is_taken_after_the_end() -> None:
    server = acceptor()
    client = Pyspnego("ntlm", "alice", "secret")
    exchange = server.start()
    challenge, _ = step(exchange, client.step(None))
    last = client.step(challenge)
    assert step(exchange, last)[1] is not None
    with pytest.raises(Status) as caught:
        step(exchange, last)
    assert caught.value.code == NT.INVALID_PARAMETER


def test_nothing_is_taken_after_a_refusal() -> None:
    exchange = acceptor().start()
    client = Pyspnego("ntlm", "alice", "wrong")
    challenge, _ = step(exchange, client.step(None))
    with pytest.raises(Status):
        step(exchange, client.step(challenge))
    with pytest.raises(Status) as caught:
        step(exchange, Pyspnego("ntlm", "alice", "secret").step(challenge))
    assert caught.value.code == NT.INVALID_PARAMETER
