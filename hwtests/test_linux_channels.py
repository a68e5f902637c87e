"""The Linux client over two links at once, multichannel, one of which is lost in mid-copy."""

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
from .cifs import mounted, serving
from .kernel_log import LINK_LOST

SIZE = 96 << 20
PATIENCE = 100
"""Seconds that a copy may take. What was under way over the lost channel is asked again over the other some 75 s later:
so long Linux 7.2's client waits in smbdirect_socket_destroy_sync for its connection manager to give the channel up (16
times 4.3 s: CMA_MAX_CM_RETRIES and CMA_CM_RESPONSE_TIMEOUT in drivers/infiniband/core/cma.c)."""
WAITING = "cifs_wait_for_server_reconnect"
"""Where a request waits that the client sends, or repeats, over a channel whose loss it has found but not yet marked:
mounted `hard`, as long as the link is down. Against ksmbd it does the same."""
MULTICHANNEL = "vers=3.1.1,hard,multichannel,max_channels=2,echo_interval=1"
"""Mounted `soft`, the client's own requests would fail with EAGAIN instead. It asks every second whether the server is
there, or it could wait long for what a dead link owes."""
DIRECT = ("bs=1M", "status=none")
DEBUG_DATA = Path("/proc/fs/cifs/DebugData")
PACKETS = "/sys/class/infiniband/{}/ports/1/hw_counters/sent_pkts"


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


def settled(copies: list[subprocess.Popen[bytes]], patience: float = PATIENCE) -> list[bool]:
    """Which of the copies have ended, none of them in an error; the others are ended, and must have been WAITING."""
    end, ended = time.monotonic() + patience, []
    for copy in copies:
        try:
            assert copy.wait(max(0.0, end - time.monotonic())) == 0
            ended.append(True)
        except subprocess.TimeoutExpired:
            assert WAITING in Path(f"/proc/{copy.pid}/stack").read_text()
            copy.kill()
            copy.wait(10)
            ended.append(False)
    return ended


@pytest.mark.timeout(2 * PATIENCE)
def test_copies_lose_nothing_with_the_link_of_one_of_their_channels(
    two_links: tuple[tuple[str, str], tuple[str, str]], tmp_path: Path
) -> None:
    """In and out at once, each with one request at a time: none sees an error, what ends has all, and the other channel
    goes on."""
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
            read, wrote = settled(copies)
            assert not read or digest(back) == digest(source)
            assert not wrote or digest(served.path() / "in") == digest(source)
            again = subprocess.run(["cp", mount / "out", back], timeout=60, check=False)
            assert again.returncode == 0
            assert digest(back) == digest(source)
