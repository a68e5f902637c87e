"""What a server asks of the kernel, as strace sees it."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server.testing import Running


@contextmanager
def watched(server: Running, output: Path, calls: str) -> Iterator[None]:
    """Trace the server's `calls` (as strace's -e trace= has them) into `output` while the block runs."""
    assert server.process is not None
    command = ["strace", "-f", "-y", "-e", f"trace={calls}", "-o", str(output), "-p", str(server.process.pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    said = tracer.stderr.readline()
    if "attached" not in said:
        tracer.wait()
        pytest.skip(f"strace may not attach here: {said.strip()}")
    yield
    time.sleep(0.1)  # what strace has seen is on its way to the file
    tracer.send_signal(signal.SIGINT)
    tracer.communicate(timeout=20)
