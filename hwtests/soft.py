"""Soft RDMA devices that tests make: rxe and siw on veth pairs of their own, and interfaces on top of those.

Making them needs root, iproute2, and a kernel that has the drivers; they carry addresses of 10.98.0.0/16 and go when
the test ends.
"""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from transport.discovery import Interface, interfaces

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


class Refused(Exception):
    """The kernel does not make it; the text is what was said."""


def run(*words: str) -> None:
    """Run a command. Raises Refused."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PATH": PATH}, check=False)
    except OSError as error:
        raise Refused(f"{words[0]}: {error.strerror}") from None
    if done.returncode:
        raise Refused(f"{' '.join(words)}: {(done.stderr or done.stdout).strip()}")


@dataclass(frozen=True)
class Link:
    """A veth `name`, whose other end `name`p is up too, with `address` unless that is ""."""

    name: str
    address: str = ""

    @contextmanager
    def made(self) -> Iterator[str]:
        other = f"{self.name}p"
        run("ip", "link", "add", self.name, "mtu", "9000", "type", "veth", "peer", "name", other, "mtu", "9000")
        try:
            for each in (self.name, other):
                run("ip", "link", "set", each, "up")
            if self.address:
                run("ip", "addr", "add", f"{self.address}/24", "dev", self.name)
            yield self.name
        finally:
            run("ip", "link", "del", self.name)


@contextmanager
def device(driver: str, name: str, netdev: str) -> Iterator[str]:
    """The verbs device `name` of `driver`, rxe or siw, on an interface."""
    run("rdma", "link", "add", name, "type", driver, "netdev", netdev)
    try:
        yield name
    finally:
        run("rdma", "link", "delete", name)


@dataclass(frozen=True)
class Stack:
    """An interface on top of a veth, and the device that serves it: on the veth, or on the interface itself."""

    driver: str
    commands: tuple[str, ...]
    """What `ip link` is told to make `top` of the veth `below`."""
    on_top: bool = False

    @contextmanager
    def made(self, number: int) -> Iterator[tuple[str, str]]:
        """The interface and the device, named by `number`; the address is `address_of(number)`."""
        below, top, name = f"smbd{number}", f"smbt{number}", f"smb{self.driver}{number}"
        with ExitStack() as stack:
            stack.enter_context(Link(below).made())
            if not self.on_top:
                stack.enter_context(device(self.driver, name, below))
            stack.callback(_gone, top)
            for command in self.commands:
                run("ip", "link", *command.format(below=below, top=top).split())
            run("ip", "link", "set", top, "up")
            run("ip", "addr", "add", f"{address_of(number)}/24", "dev", top)
            if self.on_top:
                stack.enter_context(device(self.driver, name, top))
            yield top, name


def address_of(number: int) -> str:
    return f"10.98.{number}.1"


def _gone(name: str) -> None:
    with suppress(Refused):
        run("ip", "link", "del", name)


VLAN = ("add link {below} name {top} type vlan id 7",)
BOND = ("add {top} type bond mode active-backup miimon 50", "set {below} down", "set {below} master {top}")
BRIDGE = ("add {top} type bridge", "set {below} master {top}")
STACKS = {
    "rxe under a VLAN": Stack("rxe", VLAN),
    "rxe under a bond": Stack("rxe", BOND),
    "rxe on a bond": Stack("rxe", BOND, on_top=True),
    "rxe under a bridge": Stack("rxe", BRIDGE),
    "siw on a VLAN": Stack("siw", (*VLAN, "set {top} address 02:00:00:00:00:07"), on_top=True),
    "siw on a bond": Stack("siw", BOND, on_top=True),
}
"""What the soft devices allow (Linux 7.2). rxe refuses to be made on a VLAN (EPERM), and serves the VLANs, bonds and
bridges on top of its interface; siw serves none of those, for rdma_cm takes its device for its own interface alone,
and is made on them. A VLAN has its parent's hardware address, which is all that siw's GID is made of: where the parent
has a siw too, rdma_cm takes the wrong one of the two, so here the VLAN has an address of its own."""


def found(name: str, limit: float = 5.0) -> Interface:
    """The interface, once it is up and its device works: that takes the kernel up to a second."""
    end = time.monotonic() + limit
    while True:
        one = next((each for each in interfaces() if each.name == name), None)
        if one is not None and one.device is not None:
            return one
        assert time.monotonic() < end, f"{name} was found as {one}"
        time.sleep(0.02)


@dataclass(frozen=True)
class Soft:
    """A device to make, with the interface it is on."""

    driver: str
    device: str
    link: Link


SESSION = (
    Soft("rxe", "smbdrxe0", Link("smbd0", "10.98.0.1")),
    Soft("siw", "smbdsiw0", Link("smbd1", "10.98.1.1")),
)
"""What a run makes where there is no device."""
MODULES = ("ib_uverbs", "rdma_ucm", "rdma_rxe", "siw")


def load_modules(names: Sequence[str] = MODULES) -> None:
    """Load what can be loaded; what was not shows when it is used."""
    for name in names:
        with suppress(Refused):
            run("modprobe", "-q", name)


def make(stack: ExitStack, wanted: Sequence[Soft] = SESSION) -> list[str]:
    """Make each of `wanted` that this kernel can; `stack` unmakes them. What was said of each that it cannot."""
    refusals = []
    for soft in wanted:
        with ExitStack() as one:
            try:
                netdev = one.enter_context(soft.link.made())
                one.enter_context(device(soft.driver, soft.device, netdev))
            except Refused as refusal:
                refusals.append(str(refusal))
            else:
                stack.push(one.pop_all())
    return refusals
