"""Compounds taken apart and put together: links, padding, and whatever bytes a peer may send."""

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.compound import Answer, link, split
from server.messages.base import HEADER_SIZE
from server.messages.header import Command, Flags, Header
from server.work import Work
from smbdirect.wire import Malformed

BODIES = st.lists(st.binary(max_size=40), min_size=1, max_size=6)


def compound(bodies: list[bytes]) -> bytes:
    """Requests as a client sends them: message ids count up, each but the last padded to 8 bytes."""
    message = b""
    for number, body in enumerate(bodies):
        last = number == len(bodies) - 1
        padding = b"" if last else bytes(-len(body) % 8)
        step = 0 if last else HEADER_SIZE + len(body) + len(padding)
        message += Header(command=Command.ECHO, message_id=number, next_command=step).pack() + body + padding
    return message


def pieces(message: bytes) -> list[tuple[Header, memoryview]]:
    return list(split(memoryview(message)))


def answer(number: int, body: bytes) -> Answer:
    return Answer(cast(Work, None), Header(command=Command.READ, message_id=number, flags=Flags.RESPONSE), [body])


# -- taken apart -------------------------------------------------------------------------------------------------------
@given(BODIES)
def test_elements_are_found_with_their_bodies(bodies: list[bytes]) -> None:
    found = pieces(compound(bodies))
    assert [header.message_id for header, _ in found] == list(range(len(bodies)))
    for (_, element), body in zip(found, bodies, strict=True):
        assert element[HEADER_SIZE:].tobytes().rstrip(b"\0") == body.rstrip(b"\0")
        assert len(element) >= HEADER_SIZE + len(body)
    assert len(found[-1][1]) == HEADER_SIZE + len(bodies[-1])  # the last is not padded


def test_elements_are_views_of_the_message_that_was_received() -> None:
    message = bytearray(compound([b"one", b"two"]))
    elements = [element for _, element in split(memoryview(message))]
    message[HEADER_SIZE] = message[-1] = 0xEE
    assert elements[0][HEADER_SIZE] == elements[1][-1] == 0xEE


@given(BODIES, st.data())
def test_cut_short_it_is_malformed_or_has_a_shorter_last_element(bodies: list[bytes], data: st.DataObject) -> None:
    message = compound(bodies)
    cut = data.draw(st.integers(0, len(message) - 1))
    last_header = len(message) - len(bodies[-1])
    if cut < last_header:
        with pytest.raises(Malformed):
            pieces(message[:cut])
    else:
        assert len(pieces(message[:cut])) == len(bodies)


@given(st.binary(max_size=300))
def test_any_bytes_are_elements_or_malformed(message: bytes) -> None:
    check(message)


@given(BODIES, st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), max_size=4))
def test_a_damaged_compound_is_elements_or_malformed(bodies: list[bytes], damages: list[tuple[int, int]]) -> None:
    message = bytearray(compound(bodies))
    for place, value in damages:
        message[place % len(message)] = value
    check(bytes(message))


@given(
    st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 40).map(lambda number: number * 8), max_size=6),
    st.binary(max_size=64),
)
def test_any_links_are_elements_or_malformed(steps: list[int], rest: bytes) -> None:
    check(b"".join(Header(next_command=step).pack() for step in steps) + rest)


def check(message: bytes) -> None:
    """Elements lie in the message one behind the other, each with a whole header, up to its very end."""
    try:
        found = pieces(message)
    except Malformed:
        return
    assert all(len(element) >= HEADER_SIZE for _, element in found)
    assert b"".join(element for _, element in found) == message


@pytest.mark.parametrize("step", [1, 8, 56, 63, 65, 68, 76, 1 << 31, (1 << 32) - 8, (1 << 32) - 1])
def test_a_link_into_a_header_unaligned_or_outside_is_malformed(step: int) -> None:
    message = Header(next_command=step).pack() + Header().pack() + bytes(64)
    with pytest.raises(Malformed, match="NextCommand"):
        pieces(message)


def test_a_link_to_the_very_end_is_malformed() -> None:
    with pytest.raises(Malformed):
        pieces(Header(next_command=HEADER_SIZE).pack())


@pytest.mark.parametrize("change", [{"protocol_id": b"\xffSMB"}, {"protocol_id": b"\xfdSMB"}, {"structure_size": 65}])
def test_what_is_no_smb2_header_is_malformed_wherever_it_stands(change: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match="no SMB2 header at 0"):
        pieces(Header(**change).pack())
    with pytest.raises(Malformed, match="no SMB2 header at 72"):
        pieces(Header(next_command=72).pack() + bytes(8) + Header(**change).pack())


# -- put together ------------------------------------------------------------------------------------------------------
@given(BODIES)
def test_linked_answers_come_apart_again(bodies: list[bytes]) -> None:
    parts: list[Any] = []
    for number, body in enumerate(bodies):
        parts += link(answer(number, body), number == len(bodies) - 1)
    message = b"".join(parts)
    assert message == b"".join(link_by_hand(bodies))
    for number, (header, element) in enumerate(pieces(message)):
        last = number == len(bodies) - 1
        padding = 0 if last else -len(bodies[number]) % 8
        assert header.message_id == number
        assert element[HEADER_SIZE:] == bodies[number] + bytes(padding)
        assert header.next_command == (0 if last else len(element))


def link_by_hand(bodies: list[bytes]) -> list[bytes]:
    padded = [body + bytes(-len(body) % 8) for body in bodies[:-1]] + bodies[-1:]
    links = [HEADER_SIZE + len(body) for body in padded[:-1]] + [0]
    heads = [
        Header(command=Command.READ, message_id=number, flags=Flags.RESPONSE, next_command=step).pack()
        for number, step in enumerate(links)
    ]
    return [head + body for head, body in zip(heads, padded, strict=True)]


def test_payload_is_linked_without_being_copied() -> None:
    payload = memoryview(bytearray(97))
    parts = link(Answer(cast(Work, None), Header(), [b"head", payload]), False)
    assert parts[2] is payload
    assert parts[3] == bytes(3)
