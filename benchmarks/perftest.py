"""What a device moves with no protocol above it: perftest's `ib_write_bw` and `ib_read_bw`.

In the lab the processor has no clock speed, from which perftest computes its figures. So two runs are timed from
outside, and the difference in what they moved is divided by the difference in what they took.
"""

import subprocess
import time

TOOLS = {"read": "ib_write_bw", "write": "ib_read_bw"}
"""By what a client of SMB Direct does: its READ is the server's RDMA WRITE."""
SHORT = 8
PORT = 18515
DEPTH = 8
STARTED = 10.0
"""Seconds a server may take to listen."""


def command(tool: str, device: str, size: int, count: int) -> list[str]:
    """One end, which polls without rest and so gives way to the device's work; the client's has the address too."""
    about = ["-d", device, "-p", str(PORT), "-s", str(size), "-n", str(count), "-t", str(DEPTH)]
    return ["nice", "-n19", tool, "-R", "-F", *about]


def measure(tool: str, device: str, address: str, size: int, count: int) -> float:
    """MB/s of `count` transfers of `size` bytes; NaN where the tool does not run here."""
    short, long = (_seconds(command(tool, device, size, n), address) for n in (SHORT, SHORT + count))
    return count * size / (long - short) / 1e6 if long > short else float("nan")


def _seconds(both: list[str], address: str) -> float:
    """How long the client's end took."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(both, **quiet)  # type: ignore[call-overload]
    try:
        end = time.monotonic() + STARTED
        while time.monotonic() < end and server.poll() is None:
            begun = time.perf_counter()
            if subprocess.run([*both, address], check=False, timeout=120, **quiet).returncode == 0:  # type: ignore[call-overload]
                return time.perf_counter() - begun
            time.sleep(0.2)
        return float("nan")
    finally:
        server.kill()
        server.wait()
