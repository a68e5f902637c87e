"""Which network interfaces clients can reach, and what each can do, as the server tells them (MS-SMB2 2.2.32.5).

Read from sysfs and rtnetlink, so no RDMA library is needed to know that there is RDMA. An interface on top of
others (bond, VLAN, bridge) has the RDMA device of its own GIDs, else that of an interface below it. Everything
here comes from the kernel while links come and go: what cannot be read is taken as not there.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from errno import ENOBUFS
from pathlib import Path

from . import netlink
from .netlink import IpAddress, LinkAddress
from .technology import (
    LINK_ETHERNET,
    LINK_INFINIBAND,
    LINK_UNSPECIFIED,
    TRANSPORT_IB,
    TRANSPORT_IWARP,
    Technology,
    technology_of,
)

SYSFS = Path("/sys")
UNKNOWN_SPEED = 10**9
"""Bits a second of a link that does not say."""
LOOK = 5.0
"""Seconds between two looks for what no event tells of: verbs devices that come and go."""

IFF_UP, IFF_LOOPBACK = 0x1, 0x8
RUNNING = ("up", "unknown")
"""What operstate says where IFF_RUNNING is set; a driver without link detection says unknown."""
TRANSPORTS = {"1": TRANSPORT_IB, "4": TRANSPORT_IWARP}
"""node_type of the verbs devices that rdma_cm works with (channel adapter, RNIC): their transport."""
LINK_LAYERS = {"InfiniBand": LINK_INFINIBAND, "Ethernet": LINK_ETHERNET}
FIRST_GIDS = 32
"""GIDs looked at: a port's own interface has the first ones, those on top of it are found from above."""
ACTIVE = "4"
"""What the state file of a verbs port that works begins with."""


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface with an address that clients can use. `speed` is in bits a second."""

    name: str
    index: int
    addresses: tuple[IpAddress, ...]
    """IPv4 and IPv6, without IPv6 link-local ones: clients cannot know their scope."""
    speed: int
    rss: bool
    """Whether the hardware spreads connections over several receive queues."""
    device: str | None = None
    """The verbs device, where there is one that works."""
    technology: Technology | None = None


@dataclass(frozen=True, slots=True)
class _Port:
    device: str
    technology: Technology


def interfaces(sysfs: Path = SYSFS, addresses: Sequence[LinkAddress] | None = None) -> list[Interface]:
    """Every interface that is up, running, not the loopback and has an address, by index. Raises OSError."""
    found: dict[int, list[IpAddress]] = {}
    for index, address, flags in netlink.addresses() if addresses is None else addresses:
        if not flags & netlink.UNUSABLE and not (address.version == 6 and address.is_link_local):
            found.setdefault(index, []).append(address)
    ports = _ports_by_netdev(sysfs)
    made = []
    for link in _entries(sysfs / "class/net"):
        index = int(_read(link / "ifindex") or 0)
        if index in found and _usable(link):
            port = _port(link, ports)
            made.append(
                Interface(
                    link.name,
                    index,
                    tuple(found[index]),
                    _speed(link),
                    _rss(link),
                    port.device if port else None,
                    port.technology if port else None,
                )
            )
    return sorted(made, key=lambda interface: interface.index)


async def watch(changes: socket.socket | None = None, look: float = LOOK) -> AsyncIterator[None]:
    """Yields at once, each time links or addresses have changed, and after `look` seconds without a change.

    Several changes at once are one; none after the first turn is missed.
    """
    with changes or netlink.change_socket() as sock:
        while True:
            yield
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(look):
                    await _change(sock)


async def _change(sock: socket.socket) -> None:
    """Wait for a change, and take all that have been told by then."""
    try:
        await asyncio.get_running_loop().sock_recv(sock, 1 << 16)
        while sock.recv(1 << 16):
            pass
    except BlockingIOError:
        pass
    except OSError as error:  # more changes than the socket holds are a change too
        if error.errno != ENOBUFS:
            raise


# -- one interface -------------------------------------------------------------------------------------------------


def _usable(link: Path) -> bool:
    flags = int(_read(link / "flags") or "0", 16)
    return bool(flags & IFF_UP) and not flags & IFF_LOOPBACK and _read(link / "operstate") in RUNNING


def _lower(link: Path) -> list[Path]:
    """The interfaces directly below, a bond's active one first."""
    active = f"lower_{_read(link / 'bonding/active_slave')}"
    return sorted(_entries(link, "lower_"), key=lambda path: (path.name != active, path.name))


def _speed(link: Path) -> int:
    return _own_speed(link) or UNKNOWN_SPEED


def _own_speed(link: Path) -> int:
    """Bits a second by the link's own word, or that of the fastest below; 0 where nobody says."""
    text = _read(link / "speed")
    megabits = int(text) if text.isdigit() else 0
    if 0 < megabits < 0xFFFFFFFF:  # SPEED_UNKNOWN is -1
        return megabits * 10**6
    return max(map(_own_speed, _lower(link)), default=0)


def _rss(link: Path) -> bool:
    """An interface on top of others announces queues that no hardware has: what counts lies below."""
    below = _lower(link)
    if below:
        return any(map(_rss, below))
    return len(_entries(link / "queues", "rx-")) > 1


def _port(link: Path, ports: dict[str, _Port]) -> _Port | None:
    """The RDMA port of an interface, or of the first below that has one."""
    own = ports.get(_name(link)) or _port_of_hardware(link)
    if own is not None:
        return own
    return next(filter(None, (_port(lower, ports) for lower in _lower(link))), None)


def _name(link: Path) -> str:
    return link.name.removeprefix("lower_")


# -- verbs devices -------------------------------------------------------------------------------------------------


def _ports_by_netdev(sysfs: Path) -> dict[str, _Port]:
    """The working verbs ports by the interfaces that their GIDs belong to."""
    found: dict[str, _Port] = {}
    for device in _entries(sysfs / "class/infiniband"):
        for path in _entries(device / "ports"):
            port = _working_port(path)
            if port is not None:
                names = (_read(path / f"gid_attrs/ndevs/{number}") for number in range(FIRST_GIDS))
                found = dict.fromkeys(filter(None, names), port) | found
    return found


def _port_of_hardware(link: Path) -> _Port | None:
    """The verbs port on the same PCI function: InfiniBand's GIDs, and older iWARP drivers', name no interface."""
    number = int(_read(link / "dev_port") or 0) + 1
    for device in _entries(link / "device/infiniband"):
        port = _working_port(device / f"ports/{number}")
        if port is not None:
            return port
    return None


def _working_port(path: Path) -> _Port | None:
    device = path.parent.parent
    transport = TRANSPORTS.get(_read(device / "node_type").partition(":")[0])
    if transport is None or _read(path / "state").partition(":")[0] != ACTIVE:
        return None
    link_layer = LINK_LAYERS.get(_read(path / "link_layer"), LINK_UNSPECIFIED)
    return _Port(device.name, technology_of(transport, link_layer))


def _read(path: Path) -> str:
    """A sysfs file's text; "" where it is not there or cannot be read now."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _entries(directory: Path, prefix: str = "") -> list[Path]:
    """What lies in a sysfs directory, by name; nothing where it is not there or going away."""
    try:
        return [directory / name for name in sorted(os.listdir(directory)) if name.startswith(prefix)]
    except OSError:
        return []
