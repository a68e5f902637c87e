"""rtnetlink messages: a recorded address, cut at every byte, and any bytes."""

import contextlib
import errno
import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smbdirect.wire import Malformed
from transport.netlink import (
    NLMSG_ERROR,
    RTM_NEWADDR,
    LinkAddress,
    addresses,
    change_socket,
    messages,
    parse_address,
    refusal,
)

LOOPBACK = bytes.fromhex(
    "4c000000140002000100000039300000"  # nlmsghdr: 76 bytes, RTM_NEWADDR, NLM_F_MULTI, seq 1
    "0208800001000000"  # ifaddrmsg: AF_INET, /8, permanent, host scope... index 1
    "080001007f000001"  # IFA_ADDRESS
    "080002007f000001"  # IFA_LOCAL
    "070003006c6f0000"  # IFA_LABEL "lo", padded
    "0800080080000000"  # IFA_FLAGS: permanent
    "14000600ffffffffffffffff0100000001000000"  # IFA_CACHEINFO
)  # fmt: skip


def bodies(packet: bytes) -> list[tuple[int, memoryview]]:
    return list(messages(memoryview(packet)))


def test_an_address_message_says_interface_address_and_flags() -> None:
    ((kind, body),) = bodies(LOOPBACK)
    assert kind == RTM_NEWADDR
    assert parse_address(body) == [LinkAddress(1, ipaddress.IPv4Address("127.0.0.1"), 0x80)]


def test_several_messages_in_one_packet() -> None:
    assert len(bodies(LOOPBACK * 3)) == 3


def test_on_a_point_to_point_link_the_address_is_ours_and_not_the_peers() -> None:
    body = bytes.fromhex("02208000 05000000 08000100 0a000002 08000200 0a000001".replace(" ", ""))
    assert parse_address(memoryview(body)) == [LinkAddress(5, ipaddress.IPv4Address("10.0.0.1"), 0x80)]


def test_an_ipv6_address_has_only_ifa_address() -> None:
    packed = ipaddress.IPv6Address("fd00::2").packed
    body = bytes.fromhex("0a40820004000000" + "14000100") + packed
    assert parse_address(memoryview(body)) == [LinkAddress(4, ipaddress.IPv6Address("fd00::2"), 0x82)]


def test_a_family_that_is_not_ip_is_passed_over() -> None:
    assert parse_address(memoryview(bytes.fromhex("1c00000004000000"))) == []


@pytest.mark.parametrize("length", range(1, len(LOOPBACK)))
def test_a_message_cut_short_is_malformed(length: int) -> None:
    with pytest.raises(Malformed):
        bodies(LOOPBACK[:length])


@pytest.mark.parametrize("length", [*range(8), 9, 11, 13, 15])
def test_attributes_cut_short_are_malformed(length: int) -> None:
    ((_, body),) = bodies(LOOPBACK)
    with pytest.raises(Malformed):
        parse_address(body[:length])


def test_an_error_of_the_kernel_is_an_error_and_no_empty_list() -> None:
    ((kind, body),) = bodies(
        bytes.fromhex("24000000 0200 0000 01000000 00000000 f3ffffff".replace(" ", "") + "00" * 16)
    )
    assert kind == NLMSG_ERROR
    assert refusal(body).errno == errno.EACCES
    with pytest.raises(Malformed):
        refusal(body[:3])


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_are_malformed(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        for _, body in bodies(data):
            parse_address(body)
    with contextlib.suppress(Malformed):
        parse_address(memoryview(data))


def test_the_kernels_own_list_has_what_a_socket_can_bind() -> None:
    found = [address for address in addresses() if address.address.is_loopback]
    for address in found:
        family = socket.AF_INET if address.address.version == 4 else socket.AF_INET6
        with socket.socket(family) as sock:
            sock.bind((str(address.address), 0))
        assert socket.if_indextoname(address.link) == "lo"


def test_a_change_socket_says_nothing_while_nothing_changes() -> None:
    with change_socket() as sock, pytest.raises(BlockingIOError):
        sock.recv(100)
