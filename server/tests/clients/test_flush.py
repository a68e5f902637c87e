"""FLUSH and WRITE_THROUGH end after fdatasync: strace watches the server while a client asks for them."""

import os
from pathlib import Path

import pytest

from server.testing import Ours, missing
from server.tests.strace import watched

smbprotocol = pytest.importorskip("smbprotocol", reason="smbprotocol is missing (pip: smbprotocol)")
from smbprotocol.open import CreateOptions  # noqa: E402

from .test_smbprotocol import opened, tree  # noqa: E402

pytestmark = [
    pytest.mark.skipif(bool(missing("strace")), reason="strace is missing (Debian: strace)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="strace may attach to the server only as root"),
]


SYNCS = "fsync,fdatasync,pwritev2"


def syncs(output: Path, name: str) -> int:
    """How many calls made `name`'s data safe, and succeeded."""
    lines = [line for line in output.read_text().splitlines() if name in line]
    return sum("fdatasync(" in line or "fsync(" in line or "RWF_DSYNC" in line for line in lines)


def test_flush_ends_after_fdatasync(server: Ours, tmp_path: Path) -> None:
    with tree(server) as share:
        file = opened(share, "flushed")
        with watched(server, tmp_path / "trace", SYNCS):
            file.write(b"x" * 1000, 0)
            assert syncs(tmp_path / "trace", "flushed") == 0
            file.flush()
        file.close()
    assert syncs(tmp_path / "trace", "flushed") == 1


def test_write_through_ends_after_fdatasync(server: Ours, tmp_path: Path) -> None:
    with tree(server) as share:
        file = opened(share, "through", options=CreateOptions.FILE_WRITE_THROUGH)
        with watched(server, tmp_path / "trace", SYNCS):
            for turn in range(3):
                file.write(b"x" * 1000, 1000 * turn)
        file.close()
    assert syncs(tmp_path / "trace", "through") == 3


def test_write_that_asks_for_it_is_synced(server: Ours, tmp_path: Path) -> None:
    with tree(server) as share:
        file = opened(share, "asked")
        with watched(server, tmp_path / "trace", SYNCS):
            file.write(b"x" * 1000, 0, write_through=True)
            file.write(b"x" * 1000, 1000)
        file.close()
    assert syncs(tmp_path / "trace", "asked") == 1
