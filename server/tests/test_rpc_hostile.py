"""RPC pipes with clients that keep to no rules, and NDR with any bytes."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from impacket.dcerpc.v5 import srvs

from server.rpc import packets
from server.rpc.ndr import Reader, Writer, size_of
from server.rpc.pipe import LARGEST_STUB, SERVICES, Pipe, open_pipe
from server.status import NT, Status
from smbdirect.wire import Buffer, Malformed

from .rpc_client import CONTEXT, INTERFACES, NDR, SRVSVC_SYNTAX, bind_packet, bound, fault_of, request_packet


# -- hostile ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("operation", [0, 15, 16, 21, 28, 36])
def test_a_stub_cut_anywhere_is_a_fault(operation: int) -> None:
    requests = {
        15: srvs.NetrShareEnum, 36: srvs.NetrShareEnumSticky, 16: srvs.NetrShareGetInfo, 21: srvs.NetrServerGetInfo,
    }  # fmt: skip
    if operation not in requests:
        answer, _ = bound().transceive(request_packet(b"", operation), 4096)
        assert answer[2] == (packets.FAULT if operation == 0 else packets.RESPONSE)
        return
    request = requests[operation]()
    request["ServerName"] = "\\\\FILER\0"
    if operation == 16:
        request["NetName"] = "public\0"
    if operation in (15, 36):
        request["InfoStruct"]["Level"] = 1
        request["InfoStruct"]["ShareInfo"]["tag"] = 1
        request["InfoStruct"]["ShareInfo"]["Level1"]["Buffer"] = srvs.NULL
        request["ResumeHandle"] = 0
    else:
        request["Level"] = 100 if operation == 21 else 1
    stub = bytes(request.getData())
    pipe = bound()
    for length in range(len(stub)):
        answer, _ = pipe.transceive(request_packet(stub[:length], operation), 4096)
        assert fault_of(answer) == packets.FAULT_BAD_STUB
    answer, _ = pipe.transceive(request_packet(stub, operation), 4096)
    assert answer[2] == packets.RESPONSE


def enum_stub(*words: int) -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in words)


@pytest.mark.parametrize(
    "stub",
    [
        enum_stub(0, 1, 2, 1, 0, 0, 0xFFFFFFFF, 0),  # the union's tag is another level
        enum_stub(0, 7, 7, 1, 0, 0, 0xFFFFFFFF, 0),  # no such level
        enum_stub(0, 1, 1, 1, 5, 0, 0xFFFFFFFF, 0),  # entries without a buffer
        enum_stub(0, 1, 1, 1, 0, 1, 5, 0xFFFFFFFF, 0),  # a buffer with entries
        enum_stub(1, 0xFFFFFFFF, 0, 0xFFFFFFFF),  # a string of 8 GiB
        enum_stub(1, 1, 1, 1, 0),  # a string that begins behind its start
        enum_stub(1, 1, 0, 2, 0),  # a string longer than its array
    ],
)
def test_a_wrong_stub_is_a_fault(stub: bytes) -> None:
    answer, _ = bound().transceive(request_packet(stub, 15), 4096)
    assert fault_of(answer) == packets.FAULT_BAD_STUB


@pytest.mark.parametrize("words", [(0, 1, 1, 0, 0xFFFFFFFF, 0), (0, 1, 1, 1, 0, 1, 0, 0xFFFFFFFF, 0)])
def test_an_empty_container_may_be_spelled_in_several_ways(words: tuple[int, ...]) -> None:
    answer, _ = bound().transceive(request_packet(enum_stub(*words), 15), 4096)
    assert answer[2] == packets.RESPONSE


def half() -> bytes:
    return request_packet(b"", flags=packets.FIRST_FRAGMENT)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"\5\2" + bind_packet()[2:],
        bind_packet()[:4] + b"\0" + bind_packet()[5:],
        packets.framed(packets.BIND, 1, b""),
        packets.framed(packets.BIND, 1, bytes(8) + b"\xff\0\0\0"),
        packets.framed(packets.BIND_ACK, 1, bytes(40)),
        packets.framed(99, 1, b""),
        packets.Header(type=packets.BIND, length=15).pack(),
        packets.framed(packets.REQUEST, 1, bytes(7)),
        packets.framed(packets.REQUEST, 1, bytes(8), 3 | packets.OBJECT_UUID),
        packets.Header(type=packets.REQUEST, length=24, auth_length=1).pack() + bytes(8),
        packets.Header(type=packets.REQUEST, length=40, auth_length=8).pack() + bytes(10) + b"\xff" + bytes(13),
        half() + half(),
        request_packet(b"", flags=packets.LAST_FRAGMENT),
        half() + request_packet(b"", call=8, flags=0),
        half() + request_packet(bytes(40_000), flags=0) * 2,
    ],
)
def test_what_is_no_rpc_disconnects_the_pipe(data: bytes) -> None:
    pipe = bound()
    for action in (lambda: pipe.write(data), lambda: pipe.write(b""), lambda: pipe.read(10)):
        with pytest.raises(Status) as refused:
            action()
        assert refused.value.code == NT.PIPE_DISCONNECTED


def refusal(pipe: Pipe, data: Buffer) -> int:
    """With what status the pipe refuses `data`."""
    try:
        pipe.write(data)
    except Status as refused:
        return refused.code
    return NT.SUCCESS


@given(st.binary(max_size=200))
def test_any_bytes_are_taken_or_disconnect(data: bytes) -> None:
    assert refusal(bound(), data) in (NT.SUCCESS, NT.PIPE_DISCONNECTED)


@given(st.sampled_from(sorted(SERVICES)), st.integers(0, 40), st.binary(max_size=120))
def test_any_stub_is_answered_or_faulted(service: str, operation: int, stub: bytes) -> None:
    pipe = open_pipe(service, CONTEXT)
    pipe.transceive(bind_packet((0, INTERFACES[service], [NDR])), 4096)
    answer, _ = pipe.transceive(request_packet(stub, operation), 1 << 16)
    assert answer[2] in (packets.RESPONSE, packets.FAULT)


@given(st.integers(0, 71), st.integers(0, 255))
def test_a_bind_with_one_wrong_byte_is_answered_or_disconnects(at: int, value: int) -> None:
    packet = bytearray(bind_packet((0, SRVSVC_SYNTAX, [NDR])))
    packet[at] = value
    assert refusal(open_pipe("srvsvc", CONTEXT), packet) in (NT.SUCCESS, NT.PIPE_DISCONNECTED)


def test_a_request_may_be_as_large_as_the_limit() -> None:
    pipe = bound()
    quarter = bytes(LARGEST_STUB // 4)
    for number in range(4):
        pipe.write(request_packet(quarter, 16, flags=(1 if number == 0 else 0) | (2 if number == 3 else 0)))
    assert pipe.read(4096)[0][2] == packets.RESPONSE


# -- NDR --------------------------------------------------------------------------------------------------------
@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.none()))
def test_strings_survive(values: list[str | None]) -> None:
    writer = Writer()
    for value in values:
        writer.structures([[value]])
    reader = Reader(writer.getvalue())
    assert [reader.unique_string() for _ in values] == values


@given(st.lists(st.integers(0, 9) | st.text(max_size=5) | st.none(), max_size=5))
def test_a_structure_is_never_larger_than_said(row: list[int | str | None]) -> None:
    writer = Writer()
    writer.structures([row])
    assert len(writer.getvalue()) <= size_of(row)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_string_or_malformed(data: bytes) -> None:
    try:
        value = Reader(data).string()
    except Malformed:
        return
    assert 2 * len(value) <= len(data)


def test_the_syntaxes_are_those_registered() -> None:
    assert SERVICES["srvsvc"][0].uuid == UUID("4b324fc8-1670-01d3-1278-5a47bf6ee188").bytes_le
    assert bytes(packets.NDR.uuid) + packets.NDR.version.to_bytes(4, "little") == NDR
