"""The Linux client (cifs.ko) mounting this server with `-o rdma`: what it copies comes back the same.

The client only ever goes to ports 445 and 5445, so these tests take both; they run in the lab alone, where nobody
else wants them and the kernel has the client with SMB Direct.
"""

import filecmp
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server.testing import PASSWORD, Ours, missing, names
from transport.check_base import pattern
from transport.discovery import Interface

SOURCES = Path(__file__).parents[1]
ALARMS = re.compile(r"WARNING:|BUG:|Oops|Call Trace|use-after-free|lockdep|CIFS: .*[Ee]rror -?\d+")


class OverRdma(Ours):
    """This server on every address and the ports that Linux goes to, refusing to start without RDMA."""

    def prepare(self) -> None:
        super().prepare()
        config = self.root / "config.toml"
        config.write_text(config.read_text().replace('listen = ["127.0.0.1"]', 'listen = ["0.0.0.0"]'))


@pytest.fixture(scope="module")
def served() -> Iterator[OverRdma]:
    if "LAB" not in os.environ:
        pytest.skip("takes ports 445 and 5445 and mounts, which only the lab may")
    if missing("mount.cifs"):
        pytest.skip("mount.cifs is not installed (package cifs-utils)")
    with OverRdma({"rdma": '"require"'}, under=Path("/srv"), port=445) as running:
        yield running
        assert running.stop() == 0, running.tail()


@contextmanager
def mounted(served: OverRdma, interface: Interface, options: str, at: Path) -> Iterator[Path]:
    """The share `data`, mounted at `at` over the interface; the kernel has nothing to complain of."""
    served.clear()
    before = _kernel_log()
    login = f"username={names()[0]},password={PASSWORD},cache=none,rdma"
    told = ["mount.cifs", f"//{interface.addresses[0]}/data", str(at), "-o", f"{login}{options}"]
    mount = subprocess.run(told, capture_output=True, text=True, timeout=30)
    assert mount.returncode == 0, f"{mount.stderr}\n{_kernel_log()[-800:]}\n{served.tail()}"
    try:
        assert ",rdma," in next(line for line in Path("/proc/mounts").read_text().splitlines() if f" {at} " in line)
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True, timeout=30)
    assert not ALARMS.findall(_kernel_log()[len(before) :]), _kernel_log()[len(before) :]


def _kernel_log() -> str:
    return subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("options", "size"),
    [(",vers=3.1.1", 24 << 20), (",vers=3.0", 24 << 20), (",vers=3.1.1,sign", 3 << 20), (",vers=3.1.1,seal", 3 << 20)],
    ids=["3.1.1", "3.0", "signed", "sealed"],
)
def test_large_files_come_back_the_same(
    served: OverRdma, interface: Interface, options: str, size: int, tmp_path: Path
) -> None:
    with mounted(served, interface, options, tmp_path) as there:
        payload = pattern(size + 12345)
        (there / "large").write_bytes(payload)
        stored = served.path() / "large"
        assert stored.read_bytes() == payload
        assert (there / "large").read_bytes() == payload


def test_a_tree_goes_in_and_comes_out(served: OverRdma, interface: Interface, tmp_path: Path) -> None:
    here, out = SOURCES / "transport", tmp_path / "out"
    there = tmp_path / "mounted"
    there.mkdir()
    with mounted(served, interface, ",vers=3.1.1", there):
        subprocess.run(["cp", "-r", str(here), str(there / "in")], check=True)
        subprocess.run(["cp", "-r", str(there / "in"), str(out)], check=True)
        compared = filecmp.dircmp(here, out)
        assert not _differences(compared)


def _differences(compared: "filecmp.dircmp[str]") -> list[str]:
    own = [*compared.left_only, *compared.right_only, *compared.diff_files, *compared.funny_files]
    return own + [name for inner in compared.subdirs.values() for name in _differences(inner)]


def test_two_mounts_at_once(served: OverRdma, interface: Interface, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with (
        mounted(served, interface, ",vers=3.1.1", first),
        mounted(served, interface, ",vers=3.1.1,nosharesock", second),
    ):
        copies = [
            subprocess.Popen(
                ["dd", "if=/dev/urandom", f"of={at / 'file'}-{number}", "bs=1M", "count=6"], stderr=subprocess.DEVNULL
            )
            for number, at in enumerate((first, second))
        ]
        assert [copy.wait(60) for copy in copies] == [0, 0]
        for number, at in enumerate((second, first)):  # each reads what the other wrote
            assert (at / f"file-{number}").read_bytes() == (served.path() / f"file-{number}").read_bytes()
