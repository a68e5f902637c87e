"""FLUSH and WRITE_THROUGH end after fdatasync: strace watches the server while a client asks for them."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server.testing import Ours, missing

smbprotocol = pytest.importorskip("smbprotocol", reason="smbprotocol is missing (pip: smbprotocol)")
from smbprotocol.open import CreateOptions  # noqa: E402

from .test_smbprotocol import opened, tree  # noqa: E402

pytestmark = [
    pytest.mark.skipif(bool(missing("strace")), reason="strace is missing (Debian: strace)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="strace may attach to the server only as root"),
]


@contextmanager
def watched(server: Ours, output: Path) -> Iterator[None]:
    """Trace the server's syncs into `output` while the block runs."""
    assert server.process is not None
    command = ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync,pwritev2", "-o", str(output)]
    tracer = subprocess.Popen([*command, "-p", str(server.process.pid)], stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    said = tracer.stderr.readline()
    if "attached" not in said:
        tracer.wait()
        pytest.skip(f"strace may not attach here: {said.strip()}")
    yield
    time.sleep(0.1)  # what strace has seen is on its way to the file
    tracer.send_signal(signal.SIGINT)
    tracer.communicate(timeout=20)


def syncs(output: Path, name: str) -> int:
    """How many calls made `name`'s data safe, and succeeded."""
    lines = [line for line in output.read_text().splitlines() if name in line]
    return sum("fdatasync(" in line or "fsync(" in line or "RWF_DSYNC" in line for line in lines)


def test_flush_ends_after_fdatasync(server: Ours, tmp_path: Path) -> None:
    with tree(server) as share:
        file = opened(share, "flushed")
        with watched(server, tmp_path / "trace"):
            file.write(b"x" * 1000, 0)
            assert syncs(tmp_path / "trace", "flushed") == 0
            file.flush()
        file.close()
    assert syncs(tmp_path / "trace", "flushed") == 1


def test_write_through_ends_after_fdatasync(server: Ours, tmp_path: Path) -> None:
    with tree(server) as share:
        file = opened(share, "through", options=CreateOptions.FILE_WRITE_THROUGH)
        with watched(server, tmp_path / "trace"):
            for turn in range(3):
                file.write(b"x" * 1000, 1000 * turn)
        file.close()
    assert syncs(tmp_path / "trace", "through") == 3


def test_write_that_asks_for_it_is_synced(server: Ours, tmp_path: Path) -> None:
    with tree(server) as share:
        file = opened(share, "asked")
        with watched(server, tmp_path / "trace"):
            file.write(b"x" * 1000, 0, write_through=True)
            file.write(b"x" * 1000, 1000)
        file.close()
    assert syncs(tmp_path / "trace", "asked") == 1
