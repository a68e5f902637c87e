"""RPC pipes: opening, binding, requests and reads, as the specification has them."""

from collections.abc import Iterator

import pytest
from impacket.dcerpc.v5 import rpcrt, srvs
from impacket.uuid import uuidtup_to_bin

from server.rpc import packets
from server.rpc.context import Context, Share
from server.rpc.pipe import FRAGMENT, LARGEST_WRITE, MOST_CONTEXTS, SERVICES, Pipe, open_pipe
from server.status import NT, Status

from .rpc_client import (
    CONTEXT,
    FEATURES,
    NDR,
    NDR64,
    SRVSVC_SYNTAX,
    bind_packet,
    bound,
    fault_of,
    request_packet,
    results_of,
    server_info_stub,
)


# -- opening and binding ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["srvsvc", "SRVSVC", "\\srvsvc", "\\PIPE\\wkssvc"])
def test_pipes_are_found_by_any_spelling(name: str) -> None:
    assert open_pipe(name, CONTEXT).service in SERVICES


@pytest.mark.parametrize("name", ["", "lsarpc", "mdssvc", "srvsvc\\x", "MsFteWds"])
def test_other_pipes_are_not_found(name: str) -> None:
    with pytest.raises(Status) as refused:
        open_pipe(name, CONTEXT)
    assert refused.value.code == NT.OBJECT_NAME_NOT_FOUND


def test_each_proposed_context_is_judged() -> None:
    other = uuidtup_to_bin(("12345778-1234-abcd-ef00-0123456789ab", "0.0"))
    old = SRVSVC_SYNTAX[:16] + (2).to_bytes(4, "little")
    packet, _ = open_pipe("srvsvc", CONTEXT).transceive(
        bind_packet(
            (0, SRVSVC_SYNTAX, [NDR]),
            (1, SRVSVC_SYNTAX, [NDR64]),
            (2, SRVSVC_SYNTAX, [FEATURES]),
            (3, other, [NDR]),
            (4, old, [NDR]),
            (5, SRVSVC_SYNTAX, [NDR64, NDR]),
            (6, SRVSVC_SYNTAX, []),
        ),
        4096,
    )
    assert results_of(packet) == [(0, 0), (2, 2), (3, 0), (2, 1), (2, 1), (0, 0), (2, 2)]
    ack = rpcrt.MSRPCBindAck(packet)
    assert ack["SecondaryAddr"] == "\\PIPE\\srvsvc"
    assert ack["assoc_group"] != 0
    assert ack.getCtxItem(1)["TransferSyntax"] == NDR


def test_a_context_is_added_later() -> None:
    pipe = bound()
    packet, _ = pipe.transceive(bind_packet((4, SRVSVC_SYNTAX, [NDR]), kind=packets.ALTER_CONTEXT, most=0), 4096)
    assert rpcrt.MSRPCBindAck(packet)["max_tfrag"] == FRAGMENT
    assert packet[2] == packets.ALTER_CONTEXT_RESPONSE
    assert results_of(packet) == [(0, 0)]
    answer, _ = pipe.transceive(request_packet(server_info_stub(), context=4), 4096)
    assert answer[2] == packets.RESPONSE


def test_contexts_have_a_limit() -> None:
    pipe = open_pipe("srvsvc", CONTEXT)
    proposals = [(number, SRVSVC_SYNTAX, [NDR]) for number in range(MOST_CONTEXTS + 1)]
    packet, _ = pipe.transceive(bind_packet(*proposals), 4096)
    assert results_of(packet) == [(0, 0)] * MOST_CONTEXTS + [(2, 3)]


def test_a_request_in_a_context_that_is_not_bound_is_a_fault() -> None:
    answer, _ = bound().transceive(request_packet(server_info_stub(), context=9), 4096)
    assert fault_of(answer) == packets.FAULT_UNKNOWN_INTERFACE
    answer, _ = open_pipe("srvsvc", CONTEXT).transceive(request_packet(server_info_stub()), 4096)
    assert fault_of(answer) == packets.FAULT_UNKNOWN_INTERFACE


# -- requests and reads -----------------------------------------------------------------------------------------
def test_a_read_shorter_than_the_message_has_more() -> None:
    pipe = bound()
    whole, more = bound().transceive(request_packet(server_info_stub()), 4096)
    assert not more
    first, more = pipe.transceive(request_packet(server_info_stub()), 20)
    assert more
    assert pipe.available == len(whole) - 20
    rest, more = pipe.read(4096)
    assert (first + rest, more) == (whole, False)
    with pytest.raises(Status) as refused:
        pipe.read(4096)
    assert refused.value.code == NT.PIPE_EMPTY


def test_a_transceive_while_an_answer_is_unread_is_refused() -> None:
    pipe = bound()
    pipe.write(request_packet(server_info_stub()))
    with pytest.raises(Status) as refused:
        pipe.transceive(request_packet(server_info_stub()), 4096)
    assert refused.value.code == NT.PIPE_BUSY


def test_answers_pile_up_to_a_limit() -> None:
    pipe = bound()

    def flood() -> None:
        for _ in range(10_000):
            pipe.write(request_packet(server_info_stub()))

    with pytest.raises(Status) as refused:
        flood()
    assert refused.value.code == NT.PIPE_BUSY
    pipe.read(1 << 20)
    assert pipe.available < 1 << 20


def test_a_flood_in_one_write_disconnects() -> None:
    pipe = bound()
    with pytest.raises(Status, match="flood") as refused:
        pipe.write(request_packet(server_info_stub()) * 1000)
    assert refused.value.code == NT.PIPE_DISCONNECTED
    with pytest.raises(Status) as refused:
        bound().write(bytes(LARGEST_WRITE + 1))
    assert refused.value.code == NT.INVALID_PARAMETER


def test_two_requests_in_one_write_get_two_messages() -> None:
    pipe = bound()
    pipe.write(request_packet(server_info_stub(), call=1) + request_packet(server_info_stub(), call=2))
    calls = [int.from_bytes(pipe.read(4096)[0][12:16], "little") for _ in range(2)]
    assert calls == [1, 2]


def test_a_request_in_fragments_is_put_together() -> None:
    stub = server_info_stub()
    whole, _ = bound().transceive(request_packet(stub), 4096)
    pipe = bound()
    for start in range(0, len(stub), 8):
        flags = (1 if start == 0 else 0) | (2 if start + 8 >= len(stub) else 0)
        pipe.write(request_packet(stub[start : start + 8], flags=flags))
    assert pipe.read(4096) == (whole, False)


def test_an_object_uuid_and_an_authentication_trailer_are_passed_over() -> None:
    stub = server_info_stub()
    whole, _ = bound().transceive(request_packet(stub), 4096)
    packet = request_packet(stub, flags=3 | packets.OBJECT_UUID, extra=bytes(16))
    pad = -len(packet) % 4
    packet += bytes(pad) + bytes((10, 2, pad, 0)) + bytes(4) + b"signature of 16."
    packet = packet[:8] + len(packet).to_bytes(2, "little") + (16).to_bytes(2, "little") + packet[12:]
    assert bound().transceive(packet, 4096) == (whole, False)


def test_fragments_are_as_large_as_the_client_takes() -> None:
    many = Context([Share(f"share-{number:04}") for number in range(200)], "FILER")
    request = srvs.NetrShareEnum()
    request["ServerName"] = "\0"
    request["PreferedMaximumLength"] = 0xFFFFFFFF
    request["ResumeHandle"] = srvs.NULL
    request["InfoStruct"]["Level"] = 0
    request["InfoStruct"]["ShareInfo"]["tag"] = 0
    request["InfoStruct"]["ShareInfo"]["Level0"]["Buffer"] = srvs.NULL
    stubs = []
    for offered, taken in ((0, 1432), (2000, 2000), (65535, FRAGMENT)):
        pipe = bound(offered, many)
        pipe.write(request_packet(bytes(request.getData()), operation=15))
        fragments = list(drain(pipe))
        assert max(map(len, fragments)) in range(taken - 7, taken + 1)
        assert [packet[3] for packet in fragments] == [1] + [0] * (len(fragments) - 2) + [2]
        assert all(len(packet) % 8 == 0 for packet in fragments[:-1])
        stubs.append(b"".join(packet[24:] for packet in fragments))
    assert stubs[0] == stubs[1] == stubs[2]
    answer = srvs.NetrShareEnumResponse(stubs[0])
    assert answer["TotalEntries"] == 200


def drain(pipe: Pipe) -> Iterator[bytes]:
    while pipe.available:
        yield pipe.read(65536)[0]


def test_an_abandoned_request_may_be_followed_by_another() -> None:
    pipe = bound()
    pipe.write(request_packet(b"half", flags=packets.FIRST_FRAGMENT))
    pipe.write(packets.framed(packets.CANCEL, 7, b""))
    pipe.write(packets.framed(packets.ORPHANED, 7, b""))
    pipe.write(packets.framed(packets.AUTH3, 7, bytes(4)))
    answer, _ = pipe.transceive(request_packet(server_info_stub()), 4096)
    assert answer[2] == packets.RESPONSE
