"""Interfaces from a recorded sysfs tree: Ethernet with RoCE, bonds, VLANs, iWARP, InfiniBand, and what is left out."""

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from transport.discovery import Interface, interfaces, watch
from transport.netlink import LinkAddress
from transport.technology import INFINIBAND, IWARP, ROCE


class Sysfs:
    """Builds a tree as the kernel shows it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.addresses: list[LinkAddress] = []
        (root / "class/net").mkdir(parents=True)

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")

    def link(self, name: str, index: int, *addresses: str, queues: int = 1, lower: str = "", **files: str) -> None:
        """An interface; `files` replaces or adds what its directory holds."""
        base = f"class/net/{name}"
        for file, text in {"ifindex": str(index), "flags": "0x1003", "operstate": "up", **files}.items():
            self.write(f"{base}/{file}", text)
        for queue in range(queues):
            (self.root / f"{base}/queues/rx-{queue}").mkdir(parents=True)
        for below in lower.split():
            (self.root / f"{base}/lower_{below}").symlink_to(f"../{below}")
        self.addresses += [LinkAddress(index, ipaddress.ip_address(address), 0x80) for address in addresses]

    def device(self, name: str, node_type: str, link_layer: str, *netdevs: str, state: str = "4: ACTIVE") -> None:
        """A verbs device with one port, whose GIDs belong to `netdevs`."""
        base = f"class/infiniband/{name}"
        self.write(f"{base}/node_type", node_type)
        self.write(f"{base}/ports/1/state", state)
        self.write(f"{base}/ports/1/link_layer", link_layer)
        for number, netdev in enumerate(netdevs):
            self.write(f"{base}/ports/1/gid_attrs/ndevs/{number}", netdev)

    def found(self) -> dict[str, Interface]:
        return {interface.name: interface for interface in interfaces(self.root, self.addresses)}


@pytest.fixture
def sysfs(tmp_path: Path) -> Sysfs:
    return Sysfs(tmp_path)


def test_an_interface_is_told_with_all_it_has(sysfs: Sysfs) -> None:
    sysfs.link("eth0", 4, "192.0.2.2", "2001:db8::2", queues=8, speed="25000")
    sysfs.device("mlx5_0", "1: CA", "Ethernet", "eth0")
    addresses = (ipaddress.ip_address("192.0.2.2"), ipaddress.ip_address("2001:db8::2"))
    assert sysfs.found() == {"eth0": Interface("eth0", 4, addresses, 25 * 10**9, True, "mlx5_0", ROCE)}


def test_what_no_client_can_use_is_left_out(sysfs: Sysfs) -> None:
    sysfs.link("lo", 1, "127.0.0.1", flags="0x9", operstate="unknown")
    sysfs.link("down0", 2, "192.0.2.1", flags="0x1002", operstate="down")
    sysfs.link("nocable0", 3, "192.0.2.2", operstate="down")
    sysfs.link("bare0", 4)
    sysfs.link("local0", 5, "fe80::1")
    sysfs.write("class/net/bonding_masters", "bond0")
    assert sysfs.found() == {}


def test_link_local_and_unfinished_ipv6_addresses_are_left_out(sysfs: Sysfs) -> None:
    sysfs.link("eth0", 4, "fe80::1", "192.0.2.2")
    for flags in (0x40, 0x08, 0x20):
        sysfs.addresses.append(LinkAddress(4, ipaddress.ip_address(f"2001:db8::{flags}"), flags))
    assert sysfs.found()["eth0"].addresses == (ipaddress.ip_address("192.0.2.2"),)


@pytest.mark.parametrize("speed", ["-1", "", "0", "4294967295"])
def test_a_link_that_says_no_speed_counts_as_one_gigabit(sysfs: Sysfs, speed: str) -> None:
    sysfs.link("veth0", 7, "192.0.2.2", speed=speed, operstate="unknown")
    assert sysfs.found()["veth0"].speed == 10**9
    assert not sysfs.found()["veth0"].rss


def test_a_bond_has_the_speed_queues_and_device_of_what_lies_below(sysfs: Sysfs) -> None:
    sysfs.link("eth0", 2, queues=4, speed="10000")
    sysfs.link("eth1", 3, queues=4, speed="40000")
    sysfs.link("bond0", 4, "192.0.2.2", queues=16, lower="eth0 eth1", speed="-1")
    sysfs.device("mlx5_0", "1: CA", "Ethernet", "eth0")
    sysfs.device("mlx5_1", "1: CA", "Ethernet", "eth1")
    bond = sysfs.found()["bond0"]
    assert (bond.speed, bond.rss, bond.device) == (40 * 10**9, True, "mlx5_0")
    sysfs.write("class/net/bond0/bonding/active_slave", "eth1")
    assert sysfs.found()["bond0"].device == "mlx5_1"


def test_a_bond_of_single_queue_links_has_no_rss_whatever_it_announces(sysfs: Sysfs) -> None:
    sysfs.link("eth0", 2)
    sysfs.link("bond0", 4, "192.0.2.2", queues=16, lower="eth0")
    assert not sysfs.found()["bond0"].rss


def test_a_bond_with_a_device_of_its_own_has_that_one(sysfs: Sysfs) -> None:
    sysfs.link("eth0", 2)
    sysfs.link("bond0", 4, "192.0.2.2", lower="eth0")
    sysfs.device("mlx5_0", "1: CA", "Ethernet", "eth0")
    sysfs.device("mlx5_bond_0", "1: CA", "Ethernet", "bond0")
    assert sysfs.found()["bond0"].device == "mlx5_bond_0"


def test_a_vlan_on_a_bridge_on_a_bond_reaches_down_to_the_device(sysfs: Sysfs) -> None:
    sysfs.link("eth0", 2, queues=2)
    sysfs.link("bond0", 3, lower="eth0")
    sysfs.link("br0", 4, lower="bond0")
    sysfs.link("br0.7", 5, "192.0.2.2", lower="br0", speed="10000")
    sysfs.device("rxe0", "1: CA", "Ethernet", "eth0", "eth0")
    vlan = sysfs.found()["br0.7"]
    assert (vlan.device, vlan.technology, vlan.rss) == ("rxe0", ROCE, True)


def test_iwarp_and_infiniband_by_the_pci_function(sysfs: Sysfs) -> None:
    sysfs.link("ib0", 2, "192.0.2.2", speed="100000")
    sysfs.link("eth0", 3, "198.51.100.2", dev_port="0")
    for link, device, kind, layer in (("ib0", "mlx5_0", "1: CA", "InfiniBand"), ("eth0", "iw0", "4: RNIC", "Ethernet")):
        sysfs.device(device, kind, layer)
        below = sysfs.root / f"class/net/{link}/device/infiniband"
        below.mkdir(parents=True)
        (below / device).symlink_to(sysfs.root / "class/infiniband" / device)
    found = sysfs.found()
    assert (found["ib0"].device, found["ib0"].technology) == ("mlx5_0", INFINIBAND)
    assert (found["eth0"].device, found["eth0"].technology) == ("iw0", IWARP)


def test_the_second_port_of_a_card_is_not_taken_for_the_first(sysfs: Sysfs) -> None:
    sysfs.link("ib1", 2, "192.0.2.2", dev_port="1")
    sysfs.device("mlx4_0", "1: CA", "InfiniBand")
    sysfs.write("class/infiniband/mlx4_0/ports/2/state", "4: ACTIVE")
    sysfs.write("class/infiniband/mlx4_0/ports/2/link_layer", "Ethernet")
    below = sysfs.root / "class/net/ib1/device/infiniband"
    below.mkdir(parents=True)
    (below / "mlx4_0").symlink_to(sysfs.root / "class/infiniband/mlx4_0")
    assert sysfs.found()["ib1"].technology is ROCE


@pytest.mark.parametrize(("kind", "state"), [("5: usNIC", "4: ACTIVE"), ("1: CA", "1: DOWN"), ("", "4: ACTIVE")])
def test_a_device_that_cannot_serve_is_not_told(sysfs: Sysfs, kind: str, state: str) -> None:
    sysfs.link("eth0", 2, "192.0.2.2")
    sysfs.device("dev0", kind, "Ethernet", "eth0", state=state)
    assert sysfs.found()["eth0"].device is None
    assert sysfs.found()["eth0"].technology is None


def test_the_machines_own_tree_is_read_without_error() -> None:
    for interface in interfaces():
        assert interface.addresses
        assert interface.speed > 0


@contextmanager
def watched() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The kernel's end of a netlink socket, and ours."""
    kernel, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    with kernel:
        yield kernel, ours
    assert ours.fileno() == -1, "the socket goes with the watch"


def test_many_changes_at_once_are_one() -> None:
    async def main() -> None:
        with watched() as (kernel, ours):
            changes = watch(ours)
            await anext(changes)
            for _ in range(5):
                kernel.send(b"RTM_NEWLINK")
            await anext(changes)
            following = asyncio.ensure_future(anext(changes))
            await asyncio.sleep(0)
            assert not following.done()
            kernel.send(b"RTM_NEWADDR")
            await following
            await changes.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())


def test_the_first_look_needs_no_change_and_misses_none() -> None:
    async def main() -> None:
        with watched() as (kernel, ours):
            changes = watch(ours)
            await anext(changes)
            kernel.send(b"RTM_NEWLINK")  # while the interfaces are read
            await anext(changes)
            await changes.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())


def test_without_a_change_the_next_look_comes_by_itself() -> None:
    async def main() -> None:
        with watched() as (_, ours):
            changes = watch(ours, look=0)
            for _ in range(3):
                await anext(changes)
            await changes.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())


class Failing:
    """A loop's `sock_recv` that fails."""

    def __init__(self, number: int) -> None:
        self.number = number

    async def __call__(self, sock: socket.socket, size: int) -> bytes:
        raise OSError(self.number, errno.errorcode[self.number])


def test_more_changes_than_the_socket_holds_are_a_change_and_other_errors_are_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with watched() as (_, ours):
            changes = watch(ours)
            await anext(changes)
            monkeypatch.setattr(loop, "sock_recv", Failing(errno.ENOBUFS))
            await anext(changes)
            monkeypatch.setattr(loop, "sock_recv", Failing(errno.EBADF))
            with pytest.raises(OSError, match="EBADF"):
                await anext(changes)

    asyncio.run(main())
