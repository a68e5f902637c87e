"""The Linux kernel's client, cifs.ko: trees in and out of mounts of every dialect, signed and sealed.

It runs in the lab, a kernel of its own that any program here can be run on (`hwtests/lab/lab -- COMMAND`), where
there is such a kernel: LAB_KERNEL names it, or it lies beside the repository.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from server.testing import missing

from .conftest import ROOT

MOUNTS = {
    "vers=2.1": "lib/asyncio", "vers=3.0": "lib/asyncio", "vers=3.0.2": "lib/asyncio", "vers=3.1.1": "",
    "vers=2.1,sign": "lib/asyncio", "vers=3.0,seal": "lib/asyncio", "vers=3.0.2,sign": "lib/asyncio",
    "vers=3.1.1,sign": "lib/asyncio", "vers=3.1.1,seal": "lib/asyncio", "vers=3.1.1,cache=none": "lib/asyncio",
}  # fmt: skip
"""Mount options, and which of the trees below is copied there; "" is all of them."""
LAB = ROOT / "hwtests/lab/lab"
KERNEL = os.environ.get("LAB_KERNEL") or next(ROOT.parent.glob("shared/lab/linux-rdma-*.xz"), None)

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(KERNEL is None, reason="the lab has no kernel (LAB_KERNEL names one): cifs.ko is not tried"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab runs as root"),
    pytest.mark.skipif(
        bool(missing("mount.cifs", "fio")), reason="mount.cifs or fio is missing (Debian: cifs-utils, fio)"
    ),
]


@pytest.fixture(scope="module")
def trees(library: Path, clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`lib`, the Python library's sources, and `clone`, a git clone with its objects."""
    root = tmp_path_factory.mktemp("trees")
    shutil.copytree(library, root / "lib")
    shutil.copytree(clone, root / "clone")
    return root


@pytest.fixture(scope="module")
def failures(trees: Path) -> dict[str, str]:
    """What went wrong with each mount, "" where nothing did; all of them in one run of the lab."""
    inside = [sys.executable, "-m", "server.tests.clients.lab_mounts", str(trees)]
    inside += [f"{mount}:{part}" for mount, part in MOUNTS.items()]
    command = [str(LAB), "-c", "2", "-t", "590", "--", *inside]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"mount"')]
    found = {row["mount"]: row["failure"] for row in rows}
    absent = f"the lab ended before it was tried: {done.stdout[-1500:]}{done.stderr[-1500:]}"
    return {mount: found.get(mount, absent) for mount in (*MOUNTS, "end")}


@pytest.mark.parametrize("mount", MOUNTS)
def test_tree_and_verified_file_through_a_mount(failures: dict[str, str], mount: str) -> None:
    assert not failures[mount], failures[mount]


def test_server_in_the_lab_ends_cleanly(failures: dict[str, str]) -> None:
    assert not failures["end"], failures["end"]
