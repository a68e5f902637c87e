"""What a device moves with no protocol above it: perftest's `ib_write_bw` and `ib_read_bw`.

In the lab the processor has no clock speed, from which perftest computes its figures. So it is timed from outside, by
when its lines come: the transfers lie between the head of the figures and the figures.
"""

import subprocess
import time
from collections.abc import Iterable

TOOLS = {"read": "ib_write_bw", "write": "ib_read_bw"}
"""By what a client of SMB Direct does: its READ is the server's RDMA WRITE."""
NEEDED = (*TOOLS.values(), "chrt", "stdbuf")
PORT = 18515
DEPTH = 8
STARTED = 10.0
"""Seconds a server may take to listen."""
LIMIT = 60
"""Seconds either end may take; `timeout` ends it then."""
HEAD = "#bytes"


def command(tool: str, device: str, size: int, count: int) -> list[str]:
    """One end; the client's has the address too. Both poll without rest, and so run only when the device has no work:
    on one processor the soft devices, which are kernel threads, would starve."""
    about = ["-d", device, "-p", str(PORT), "-s", str(size), "-n", str(count), "-t", str(DEPTH), "-Q", "1"]
    return ["timeout", "-k", "1", str(LIMIT), "chrt", "-i", "0", "stdbuf", "-oL", tool, "-R", "-F", *about]


def measure(tool: str, device: str, address: str, size: int, count: int) -> float:
    """MB/s of `count` transfers of `size` bytes; NaN where the tool does not run here."""
    both = command(tool, device, size, count)
    server = subprocess.Popen(both, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + STARTED
        while time.monotonic() < end and server.poll() is None:
            seconds = _client([*both, address])
            if seconds == seconds:
                return count * size / seconds / 1e6
            time.sleep(0.1)
        return float("nan")
    finally:
        server.terminate()
        server.wait()


def _client(command: list[str]) -> float:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as client:
        assert client.stdout is not None
        return span((time.perf_counter(), line) for line in client.stdout)


def span(lines: Iterable[tuple[float, str]]) -> float:
    """Seconds from the head of the figures to the figures, of lines with their times; NaN where either is missing."""
    begun = float("nan")
    for when, line in lines:
        words = line.split()
        if words[:1] == [HEAD]:
            begun = when
        elif begun == begun and words and words[0].isdigit():
            return when - begun
    return float("nan")
