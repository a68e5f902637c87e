"""SPNEGO: its bytes against pyspnego's and impacket's, and the rules by which a mechanism is agreed upon."""

import contextlib
from collections.abc import Sequence

import pytest
import spnego as pyspnego
from hypothesis import given
from hypothesis import strategies as st
from impacket.spnego import SPNEGO_NegTokenInit
from spnego._context import GSSMech
from spnego._spnego import NegState, NegTokenInit, NegTokenResp, pack_mech_type_list, unpack_token

from server.security import spnego
from server.security.auth import NTLM, Acceptor, Context, Exchange, Mechanism, Outcome
from server.security.spnego import Init, Response, State
from server.status import NT, Status
from smbdirect.wire import Malformed

from .logins import NTLM_IN_IMPACKET, Pyspnego, acceptor, mechanism, step

KERBEROS = "1.2.840.113554.1.2.2"
NTLM_OID = "1.3.6.1.4.1.311.2.2.10"
BYTES = st.binary(min_size=1, max_size=300)


# -- the bytes ------------------------------------------------------------------------------------------------
@given(token=st.one_of(st.just(b""), BYTES), mic=st.one_of(st.just(b""), BYTES), hint=st.booleans())
def test_init_reads_what_pyspnego_packs(token: bytes, mic: bytes, hint: bool) -> None:
    names = [KERBEROS, NTLM_OID]
    packed = NegTokenInit(names, None, token or None, b"hint" if hint else None, None, mic or None).pack()
    offered = pack_mech_type_list(names)
    expected = Init([spnego.oid(name) for name in names], offered, token, mic)
    assert spnego.parse(packed) == expected
    bare = packed[packed.index(spnego.oid("1.3.6.1.5.5.2")) + 6 :]
    assert spnego.parse(bare) == expected


@given(state=st.sampled_from(list(NegState)), token=st.one_of(st.just(b""), BYTES), mic=st.one_of(st.just(b""), BYTES))
def test_response_is_read_and_packed_as_pyspnego_does(state: NegState, token: bytes, mic: bytes) -> None:
    packed = NegTokenResp(state, NTLM_OID, token or None, mic or None).pack()
    response = Response(int(state), NTLM, token, mic)
    assert spnego.parse(packed) == response
    assert response.pack() == packed


def test_response_without_any_field() -> None:
    assert spnego.parse(Response().pack()) == Response()


@pytest.mark.parametrize("name", [KERBEROS, NTLM_OID, "1.3.6.1.4.1.311.2.2.30", "2.39.4294967295"])
def test_object_identifiers_are_those_of_pyspnego(name: str) -> None:
    assert spnego.oid(name) == pack_mech_type_list([name])[4:]


def test_hint_names_our_mechanisms() -> None:
    hint = acceptor().hint()
    read = unpack_token(hint)
    assert (read.mech_types, read.hint_name) == ([NTLM_OID], b"not_defined_in_RFC4178@please_ignore")
    assert SPNEGO_NegTokenInit(hint)["MechTypes"] == [NTLM_IN_IMPACKET]


INIT = NegTokenInit([KERBEROS, NTLM_OID], None, b"token" * 40, b"hint", None, b"signature").pack()
RESPONSE = Response(State.ACCEPT_INCOMPLETE, NTLM, b"token" * 40, b"signature").pack()


@pytest.mark.parametrize("message", [INIT, RESPONSE], ids=["init", "response"])
def test_a_message_cut_anywhere_is_malformed(message: bytes) -> None:
    for length in range(len(message)):
        with pytest.raises(Malformed):
            spnego.parse(message[:length])


@pytest.mark.parametrize("message", [INIT, RESPONSE], ids=["init", "response"])
def test_bytes_behind_a_message_are_ignored(message: bytes) -> None:
    assert spnego.parse(message + b"behind") == spnego.parse(message)


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_are_malformed(token: bytes) -> None:
    for start in (b"", b"\x60\x81\x80\x06\x06\x2b\x06\x01\x05\x05\x02", b"\xa0", b"\xa1"):
        with contextlib.suppress(Malformed):
            spnego.parse(start + token)


@given(st.sampled_from([INIT, RESPONSE]), st.integers(0, 200), st.integers(0, 255))
def test_a_changed_byte_parses_or_is_malformed(message: bytes, position: int, value: int) -> None:
    changed = bytearray(message)
    changed[position % len(changed)] = value
    with contextlib.suppress(Malformed):
        spnego.parse(changed)


@pytest.mark.parametrize(
    "token", [b"\x30\x80\0\0", b"\x30\x85\0\0\0\0\1\0", b"\x30\xff" + b"\xff" * 127, b"\x3f\x81\x01\x00"]
)
def test_lengths_without_end_or_beyond_all_measure_are_malformed(token: bytes) -> None:
    with pytest.raises(Malformed):
        spnego.parse(token)


def test_a_list_of_very_many_mechanisms_is_malformed() -> None:
    with pytest.raises(Malformed, match="mechanism 64"):
        spnego.parse(NegTokenInit([NTLM_OID] * 65).pack())


def test_kerberos_without_spnego_is_malformed() -> None:
    with pytest.raises(Malformed, match="neither SPNEGO nor NTLM"):
        spnego.parse(INIT.replace(spnego.oid("1.3.6.1.5.5.2"), b"\x2b\x06\x01\x05\x05\x03"))


# -- the rules ------------------------------------------------------------------------------------------------
class Unpreferred:
    """A client whose first choice is Kerberos, with a token for it; then it does NTLM."""

    def __init__(self, offered: Sequence[str] = (KERBEROS, NTLM_OID)) -> None:
        self.ntlm = Pyspnego("ntlm", "alice", "secret").context
        self.offered = pack_mech_type_list(list(offered))
        self.init = NegTokenInit(list(offered), None, b"a Kerberos token").pack()

    def until_the_end(self, exchange: Exchange) -> bytes:
        """Up to AUTHENTICATE, which is given back."""
        answer = unpack_token(step(exchange, self.init)[0])
        assert (answer.neg_state, answer.supported_mech) == (NegState.request_mic, NTLM_OID)
        assert answer.response_token is None
        answer = unpack_token(step(exchange, NegTokenResp(response_token=self.ntlm.step()).pack())[0])
        assert (answer.neg_state, answer.supported_mech) == (NegState.accept_incomplete, None)
        return self.ntlm.step(answer.response_token) or b""


def test_token_of_another_mechanism_is_passed_over_and_signatures_are_exchanged() -> None:
    exchange, client = acceptor().start(), Unpreferred()
    last = client.until_the_end(exchange)
    answer, outcome = step(exchange, NegTokenResp(None, None, last, client.ntlm.sign(client.offered)).pack())
    assert outcome is not None
    assert outcome.name == "Alice"
    read = unpack_token(answer)
    assert read.neg_state == NegState.accept_complete
    client.ntlm.verify(client.offered, read.mech_list_mic)


def test_signature_that_is_due_may_come_one_message_later() -> None:
    exchange, client = acceptor().start(), Unpreferred()
    answer, outcome = step(exchange, NegTokenResp(None, None, client.until_the_end(exchange)).pack())
    assert outcome is None
    read = unpack_token(answer)
    assert read.neg_state == NegState.accept_incomplete
    client.ntlm.verify(client.offered, read.mech_list_mic)
    answer, outcome = step(exchange, NegTokenResp(mech_list_mic=client.ntlm.sign(client.offered)).pack())
    assert outcome is not None
    assert unpack_token(answer).neg_state == NegState.accept_complete


def test_signature_that_is_due_and_never_comes_is_a_logon_failure() -> None:
    exchange, client = acceptor().start(), Unpreferred()
    step(exchange, NegTokenResp(None, None, client.until_the_end(exchange)).pack())
    assert refusal(exchange, NegTokenResp(NegState.accept_complete).pack()) == NT.LOGON_FAILURE


def test_mechanism_struck_from_the_list_on_the_way_is_a_logon_failure() -> None:
    exchange, client = acceptor().start(), Unpreferred()
    last = client.until_the_end(exchange)
    wanted = pack_mech_type_list(["1.3.6.1.4.1.311.2.2.30", KERBEROS, NTLM_OID])
    assert refusal(exchange, NegTokenResp(None, None, last, client.ntlm.sign(wanted)).pack()) == NT.LOGON_FAILURE


def test_signature_is_checked_where_none_is_due() -> None:
    exchange, client = acceptor().start(), Pyspnego("ntlm", "alice", "secret").context
    answer, _ = step(exchange, NegTokenInit([NTLM_OID], None, client.step()).pack())
    last = client.step(unpack_token(answer).response_token)
    assert refusal(exchange, NegTokenResp(None, None, last, bytes(16)).pack()) == NT.LOGON_FAILURE


def test_mechanism_without_a_token_is_agreed_upon_first() -> None:
    exchange, client = acceptor().start(), Pyspnego("ntlm", "alice", "secret").context
    answer, _ = step(exchange, NegTokenInit([NTLM_OID]).pack())
    read = unpack_token(answer)
    assert (read.neg_state, read.supported_mech) == (NegState.accept_incomplete, NTLM_OID)
    answer, _ = step(exchange, NegTokenResp(response_token=client.step()).pack())
    last = client.step(unpack_token(answer).response_token)
    assert step(exchange, NegTokenResp(response_token=last).pack())[1] is not None


def refusal(exchange: Exchange, token: bytes) -> int:
    with pytest.raises(Status) as caught:
        step(exchange, token)
    return caught.value.code


@pytest.mark.parametrize("names", [[], [KERBEROS]])
def test_no_common_mechanism_is_a_logon_failure(names: list[str]) -> None:
    assert refusal(acceptor().start(), NegTokenInit(names, None, b"token").pack()) == NT.LOGON_FAILURE


def test_client_that_rejects_ends_the_login() -> None:
    exchange = acceptor().start()
    step(exchange, NegTokenInit([NTLM_OID]).pack())
    assert refusal(exchange, NegTokenResp(NegState.reject).pack()) == NT.LOGON_FAILURE


def test_tokens_out_of_turn_are_an_invalid_parameter() -> None:
    assert refusal(acceptor().start(), RESPONSE) == NT.INVALID_PARAMETER
    exchange = acceptor().start()
    step(exchange, NegTokenInit([NTLM_OID]).pack())
    assert refusal(exchange, INIT) == NT.INVALID_PARAMETER


class Ticket(Mechanism):
    """Stands for a mechanism that is done in one step, as Kerberos is."""

    oids = (spnego.oid("1.2.840.48018.1.2.2"), spnego.oid(KERBEROS))

    def start(self, peer: str) -> Context:
        return TicketContext()


class TicketContext(Context):
    async def step(self, token: bytes) -> tuple[bytes, Outcome | None]:
        return b"reply", Outcome(token.decode(), "REALM", bytes(16), bytes(32))

    def sign(self, message: bytes) -> bytes | None:
        return b"ours" + message

    def verify(self, message: bytes, signature: bytes) -> bool:
        return signature == b"theirs" + message


def test_mechanism_of_one_step_ends_with_the_first_message() -> None:
    server = Acceptor([Ticket(), mechanism()])
    answer, outcome = step(server.start(), NegTokenInit([KERBEROS, NTLM_OID], None, b"alice").pack())
    assert outcome is not None
    assert outcome.name == "alice"
    read = unpack_token(answer)
    assert (read.neg_state, read.supported_mech) == (NegState.accept_complete, KERBEROS)
    assert (read.response_token, read.mech_list_mic) == (b"reply", None)


def test_a_mechanism_by_its_other_name_is_still_the_preferred_one() -> None:
    server = Acceptor([Ticket()])
    offered = ["1.2.840.48018.1.2.2", KERBEROS]
    mic = b"theirs" + pack_mech_type_list(offered)
    answer, outcome = step(server.start(), NegTokenInit(offered, None, b"alice", None, None, mic).pack())
    assert outcome is not None
    assert unpack_token(answer).mech_list_mic == b"ours" + pack_mech_type_list(offered)


def test_the_hint_lists_all_names_in_order() -> None:
    read = unpack_token(Acceptor([Ticket(), mechanism()]).hint())
    assert read.mech_types == ["1.2.840.48018.1.2.2", KERBEROS, NTLM_OID]
    assert GSSMech.ntlm.value == NTLM_OID


def test_ntlm_without_spnego_is_answered_without_it() -> None:
    client = pyspnego.client("alice", "secret", protocol="ntlm")
    answer, _ = step(acceptor().start(), client.step() or b"")
    assert answer.startswith(b"NTLMSSP\0\2\0\0\0")
