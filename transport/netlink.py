"""The kernel's list of IP addresses, and word when links or addresses change, over rtnetlink (rtnetlink(7)).

What the kernel sends is cut with the same care as a peer's bytes: a broken message raises Malformed.
"""

import ipaddress
import os
import socket
import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

from smbdirect.wire import Malformed

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_NEWADDR, RTM_GETADDR = 20, 22
NLM_F_REQUEST, NLM_F_DUMP = 0x001, 0x300
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR = 0x001, 0x010, 0x100

IFA_F_DADFAILED, IFA_F_DEPRECATED, IFA_F_TENTATIVE = 0x08, 0x20, 0x40
UNUSABLE = IFA_F_DADFAILED | IFA_F_DEPRECATED | IFA_F_TENTATIVE

_nlmsghdr = struct.Struct("=IHHII")
_ifaddrmsg = struct.Struct("=BBBBI")
_rtattr = struct.Struct("=HH")
_nlmsgerr = struct.Struct("=i")


class LinkAddress(NamedTuple):
    """An address of the interface with the index `link`; `flags` are IFA_F_*."""

    link: int
    address: IpAddress
    flags: int


def addresses() -> list[LinkAddress]:
    """All IP addresses of this network namespace, in the kernel's order. Raises OSError."""
    found: list[LinkAddress] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as sock:
        size = _nlmsghdr.size + _ifaddrmsg.size
        sock.send(_nlmsghdr.pack(size, RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 1, 0) + bytes(_ifaddrmsg.size))
        while True:
            for kind, body in messages(memoryview(sock.recv(1 << 16))):
                if kind == RTM_NEWADDR:
                    found += parse_address(body)
                elif kind == NLMSG_ERROR:
                    raise refusal(body)
                elif kind == NLMSG_DONE:
                    return found


def refusal(body: memoryview) -> OSError:
    """What an NLMSG_ERROR says: a negative errno."""
    if len(body) < _nlmsgerr.size:
        raise Malformed(f"netlink: an error of {len(body)} bytes")
    number = -_nlmsgerr.unpack_from(body)[0]
    return OSError(number, os.strerror(number))


def change_socket() -> socket.socket:
    """A non-blocking socket that becomes readable when a link or an address changes."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    try:
        sock.setblocking(False)
        sock.bind((0, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR))
    except OSError:
        sock.close()
        raise
    return sock


def messages(packet: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The (type, body) of each netlink message in `packet`."""
    while packet:
        if len(packet) < _nlmsghdr.size:
            raise Malformed(f"netlink: {len(packet)} bytes left for a header")
        length, kind, _, _, _ = _nlmsghdr.unpack_from(packet)
        if not _nlmsghdr.size <= length <= len(packet):
            raise Malformed(f"netlink: a message of {length} bytes in {len(packet)}")
        yield kind, packet[_nlmsghdr.size : length]
        packet = packet[_aligned(length) :]


def parse_address(body: memoryview) -> list[LinkAddress]:
    """The address that an RTM_NEWADDR body tells of; none for a family that is not IP's."""
    if len(body) < _ifaddrmsg.size:
        raise Malformed(f"netlink: an address message of {len(body)} bytes")
    family, _, flags, _, index = _ifaddrmsg.unpack_from(body)
    found = dict(_attributes(body[_ifaddrmsg.size :]))
    if IFA_FLAGS in found and len(found[IFA_FLAGS]) == 4:
        flags = int.from_bytes(found[IFA_FLAGS], sys.byteorder)
    # on a point-to-point link IFA_ADDRESS is the other end's
    packed = bytes(found.get(IFA_LOCAL) or found.get(IFA_ADDRESS) or b"")
    if (family, len(packed)) == (socket.AF_INET, 4):
        return [LinkAddress(index, ipaddress.IPv4Address(packed), flags)]
    if (family, len(packed)) == (socket.AF_INET6, 16):
        return [LinkAddress(index, ipaddress.IPv6Address(packed), flags)]
    return []


def _attributes(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    while data:
        if len(data) < _rtattr.size:
            raise Malformed(f"netlink: {len(data)} bytes left for an attribute")
        length, kind = _rtattr.unpack_from(data)
        if not _rtattr.size <= length <= len(data):
            raise Malformed(f"netlink: an attribute of {length} bytes in {len(data)}")
        yield kind, data[_rtattr.size : length]
        data = data[_aligned(length) :]


def _aligned(length: int) -> int:
    return (length + 3) & ~3
