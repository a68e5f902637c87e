"""The Linux client over links that change: VLANs, bonds and bridges, and a channel whose link is lost in mid-copy."""

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from server.testing import Running
from server.tests.clients.conftest import digest
from server.tests.clients.conftest import pattern as written

from . import soft
from .cifs import mounted, obstacle, serving
from .kernel_log import LINK_LOST

FIRST = 20
"""The number of the first link that is made here."""
SIZE = 96 << 20
PATIENCE = 150
"""Seconds that a copy may take. What a lost channel owes is asked again over the other some 75 s later: so long
Linux 7.2's client waits in smbdirect_socket_destroy_sync for its connection manager to give the channel up (16 times
4.3 s, CMA_MAX_CM_RETRIES and CMA_CM_RESPONSE_TIMEOUT in drivers/infiniband/core/cma.c)."""
MULTICHANNEL = "vers=3.1.1,hard,multichannel,max_channels=2,echo_interval=1"
"""Mounted `hard`: else the client's own writes fail with EAGAIN when a channel goes. It asks every second whether the
server is there, or it could wait long for what a dead link owes."""
DIRECT = ("bs=1M", "status=none")
DEBUG_DATA = Path("/proc/fs/cifs/DebugData")
PACKETS = "/sys/class/infiniband/{}/ports/1/hw_counters/sent_pkts"


@pytest.fixture(scope="module")
def stacked() -> Iterator[dict[str, str]]:
    """A server that listens on every interface on top of another; the address of each, or why there is none."""
    reason = obstacle()
    if reason:
        pytest.skip(reason)
    with ExitStack() as stack:
        found = {}
        for number, (name, each) in enumerate(soft.STACKS.items(), FIRST):
            try:
                top, _ = stack.enter_context(each.made(number))
                soft.found(top)
                found[name] = soft.address_of(number)
            except soft.Refused as refusal:
                found[name] = str(refusal)
        stack.enter_context(serving())
        yield found


@pytest.mark.parametrize("name", soft.STACKS)
def test_a_mount_over_an_interface_on_top_of_another(stacked: dict[str, str], name: str, tmp_path: Path) -> None:
    address = stacked[name]
    if " " in address:
        pytest.skip(address)
    here = written(tmp_path / "file", 8 << 20)
    mount = tmp_path / "mounted"
    for options in ("vers=3.1.1,cache=none,nosharesock", "vers=3.1.1,cache=none,nosharesock,sign"):
        with mounted(address, mount, options):
            subprocess.run(["cp", here, mount / "file"], check=True)
            assert digest(mount / "file") == digest(here)


# -- multichannel --------------------------------------------------------------------------------------------------


@pytest.fixture
def two_links() -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """(interface, device) of two links with soft-RoCE, whose addresses are those of the numbers 1 and 2."""
    with ExitStack() as stack:
        made = []
        for number in (1, 2):
            netdev = stack.enter_context(soft.Link(f"smbd{number}", soft.address_of(number)).made())
            made.append((netdev, stack.enter_context(soft.device("rxe", f"smbrxe{number}", netdev))))
            soft.found(netdev)
        yield made[0], made[1]


def channels(limit: float = 10.0) -> int:
    """How many the client uses beside its first, once there is one: they are opened after the mount."""
    end = time.monotonic() + limit
    while True:
        found = sum(map(int, re.findall(r"Extra Channels: (\d+)", DEBUG_DATA.read_text())))
        if found or time.monotonic() > end:
            return found
        time.sleep(0.02)


def packets(device: str) -> int:
    return int(Path(PACKETS.format(device)).read_text())


def under_way(served: Running, name: str, limit: float = 20.0) -> bool:
    """Wait until a part of the file has arrived; whether the rest has not."""
    stored, end = served.path() / name, time.monotonic() + limit
    while time.monotonic() < end:
        if stored.exists() and stored.stat().st_size:
            return stored.stat().st_size < SIZE
        time.sleep(0.005)
    raise AssertionError("nothing of the copy arrives")


@pytest.mark.timeout(2 * PATIENCE)
def test_copies_outlive_the_link_of_one_of_their_channels(
    two_links: tuple[tuple[str, str], tuple[str, str]], tmp_path: Path
) -> None:
    """In and out at once, each with one request at a time.

    What goes through the client's page cache does not always end, against ksmbd neither. Once a send has failed and
    before the channel is marked as lost, the client may choose that channel for the next request, which then waits in
    cifs_wait_for_server_reconnect for a link that stays down."""
    _, (netdev, device) = two_links
    mount, back, source = tmp_path / "mounted", Path("/dev/shm/back"), Path("/dev/shm/source")
    written(source, SIZE)
    with ExitStack() as stack:
        for each in (back, source):
            stack.callback(each.unlink, missing_ok=True)
        served = stack.enter_context(serving(soft.address_of(1), soft.address_of(2)))
        written(served.path() / "out", SIZE)
        with mounted(soft.address_of(1), mount, MULTICHANNEL, *LINK_LOST):
            assert channels() == 1, f"{served.tail()}\n{DEBUG_DATA.read_text()}"
            before = packets(device)
            copies = [
                subprocess.Popen(["dd", f"if={mount / 'out'}", f"of={back}", "iflag=direct", *DIRECT]),
                subprocess.Popen(["dd", f"if={source}", f"of={mount / 'in'}", "oflag=direct", *DIRECT]),
            ]
            assert under_way(served, "in")
            assert packets(device) > before
            soft.run("ip", "link", "set", netdev, "down")
            assert [copy.wait(PATIENCE) for copy in copies] == [0, 0]
        assert digest(served.path() / "in") == digest(back) == digest(source)
