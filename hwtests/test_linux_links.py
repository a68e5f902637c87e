"""The Linux client over links that change: VLANs, bonds and bridges, and a channel whose link is lost in mid-copy."""

import os
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
PATIENCE = 300
"""Seconds that a copy may take. Where it ended, that was 75 s after the link was lost: so long cifs.ko 7.2 waits in
smbdirect_socket_destroy_sync for its connection manager to give the channel up. Then it connects to that channel's
address again and again. A write that was meant for it waits for that in cifs_wait_for_server_reconnect (its stack was
read there); mounted `hard` it does so as long as the link is down. A copy ends where no write is caught so."""
MULTICHANNEL = "vers=3.1.1,hard,multichannel,max_channels=2,echo_interval=1"
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
@pytest.mark.skipif(
    not os.environ.get("HWTEST_WHOLE"), reason="takes minutes and does not always end: HWTEST_WHOLE=1 runs it"
)
def test_a_copy_outlives_the_link_of_one_of_its_channels(
    two_links: tuple[tuple[str, str], tuple[str, str]], tmp_path: Path
) -> None:
    """In and out at once. Mounted `hard`: else the client's own writes fail with EAGAIN when a channel goes, against
    ksmbd as well. It asks every second whether the server is there, or it could wait long for what a dead link owes."""
    _, (netdev, device) = two_links
    mount, back, source = tmp_path / "mounted", Path("/dev/shm/back"), Path("/dev/shm/source")
    written(source, SIZE)
    with ExitStack() as stack:
        for each in (back, source):
            stack.callback(each.unlink, missing_ok=True)
        served = stack.enter_context(serving(soft.address_of(1), soft.address_of(2)))
        written(served.path() / "out", SIZE)
        with mounted(
            soft.address_of(1), mount, "vers=3.1.1,hard,multichannel,max_channels=2,echo_interval=1", *LINK_LOST
        ):
            assert channels() == 1, f"{served.tail()}\n{DEBUG_DATA.read_text()}"
            before = packets(device)
            copies = [
                subprocess.Popen(["cp", mount / "out", back]),
                subprocess.Popen(f"cp {source} {mount}/in && sync -f {mount}/in", shell=True),
            ]
            assert under_way(served, "in")
            assert packets(device) > before
            soft.run("ip", "link", "set", netdev, "down")
            assert [copy.wait(PATIENCE) for copy in copies] == [0, 0]
        assert digest(served.path() / "in") == digest(back) == digest(source)
