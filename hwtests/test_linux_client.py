"""The Linux client (cifs.ko) mounting with `-o rdma`: what it copies comes back the same, and its kernel is content.

`HWTEST_SERVER=ksmbd` runs the same against ksmbd, to see what that leaves in the kernel's log. `BIG_FILE` is the size
of the large file, in bytes. `HWTEST_WHOLE=1` copies both trees whole over every technology: minutes in the lab.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest

from server.testing import Running, missing
from server.tests.clients.conftest import clone, digest, digests, library  # noqa: F401 - fixtures
from transport.check_base import pattern
from transport.discovery import Interface

from .cifs import BLOCK, expected, granted, mounted, serving

BIG_FILE = int(os.environ.get("BIG_FILE", 128 << 20))
PARTS = {"library": "asyncio", "clone": "server/messages"}
"""Of each tree, what is copied unless all of it is wanted."""
PROTECTED = {
    "3.1.1": ("vers=3.1.1", 24 << 20), "3.0": ("vers=3.0", 24 << 20), "signed": ("vers=3.1.1,sign", 3 << 20),
    "signed 3.0": ("vers=3.0,sign", 3 << 20), "sealed": ("vers=3.1.1,seal", 3 << 20),
    "sealed 3.0": ("vers=3.0,seal", 3 << 20),
}  # fmt: skip
"""Mount options, and how much is copied: what is signed or sealed goes in packets of 1364 bytes."""
FIO = (
    "fio", "--name=verify", "--rw=randwrite", "--bs=8m", "--size=64m", "--direct=1", "--ioengine=psync",
    "--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0", "--end_fsync=1", "--randseed=7", "--fallocate=none",
    "--output-format=terse",
)  # fmt: skip


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def empty(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing of other tests lies in the share: memory is short in the lab."""
    served: Running = request.getfixturevalue("served")
    served.clear()
    yield
    served.clear()


def address(interface: Interface) -> str:
    return str(interface.addresses[0])


@pytest.mark.parametrize(("options", "size"), PROTECTED.values(), ids=PROTECTED)
def test_large_files_come_back_the_same(
    served: Running, interface: Interface, options: str, size: int, tmp_path: Path
) -> None:
    with mounted(address(interface), tmp_path, f"{options},cache=none") as there:
        sizes = granted(there)
        assert expected(interface, sizes) or ("," in options and sizes < (BLOCK, BLOCK)), sizes
        payload = pattern(size + 12345)
        (there / "large").write_bytes(payload)
        stored = served.path() / "large"
        assert stored.read_bytes() == payload
        assert (there / "large").read_bytes() == payload


def written(path: Path, size: int) -> str:
    """Write a file in which every word of eight holds its own offset, block after block; its SHA-256."""
    whole = hashlib.sha256()
    with path.open("wb", buffering=0) as file:
        for start in range(0, size, BLOCK):
            block = numpy.arange(start, min(start + BLOCK, size), 8, dtype="<u8").tobytes()[: size - start]
            whole.update(block)
            assert file.write(block) == len(block)
    return whole.hexdigest()


@pytest.mark.timeout(600)
def test_a_big_file_comes_back_the_same(served: Running, interface: Interface, tmp_path: Path) -> None:
    if shutil.disk_usage(served.path()).free < BIG_FILE:
        pytest.skip(f"the share has no room for BIG_FILE={BIG_FILE}")
    with mounted(address(interface), tmp_path, "vers=3.1.1,cache=none") as there:
        wanted = written(there / "big", BIG_FILE)
        assert digest(served.path() / "big") == wanted
        with (there / "big").open("rb", buffering=0) as file:
            read = hashlib.sha256()
            while block := file.read(BLOCK):
                read.update(block)
        assert read.hexdigest() == wanted


@pytest.mark.timeout(600)
@pytest.mark.parametrize("tree", PARTS)
def test_a_tree_goes_in_and_comes_out(
    served: Running, interface: Interface, tree: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    whole: Path = request.getfixturevalue(tree)
    here = whole if os.environ.get("HWTEST_WHOLE") else whole / PARTS[tree]
    wanted = digests(here)
    assert len(wanted) > 20
    mount, back = tmp_path / "mounted", tmp_path / "back"
    with mounted(address(interface), mount, "vers=3.1.1"):
        subprocess.run(["cp", "-r", here, mount / "tree"], check=True)
    assert digests(served.path() / "tree") == wanted
    with mounted(address(interface), mount, "vers=3.1.1"):
        subprocess.run(["cp", "-r", mount / "tree", back], check=True)
    assert digests(back) == wanted


@pytest.mark.skipif(bool(missing("fio")), reason="fio is not installed")
def test_fio_finds_every_block_it_wrote(served: Running, interface: Interface, tmp_path: Path) -> None:
    for more in ((), ("--verify_only",)):
        with mounted(address(interface), tmp_path, "vers=3.1.1,cache=none") as there:
            assert expected(interface, granted(there))
            command = [*FIO, *more, f"--filename={there / 'fio'}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr[-1000:]


def test_two_mounts_at_once(served: Running, interface: Interface, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    with (
        mounted(address(interface), first, "vers=3.1.1,cache=none"),
        mounted(address(interface), second, "vers=3.1.1,cache=none,nosharesock"),
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
