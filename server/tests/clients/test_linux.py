"""The Linux kernel's client, cifs.ko: trees in and out of mounts of every dialect, signed and sealed.

It runs in a lab, a kernel of its own that any program here can be run on (`lab -- COMMAND`): the one named by
SMBDIRECT_LAB, or the repository's or its neighbour's.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from server.testing import missing

from .conftest import ROOT

MOUNTS = {
    "vers=2.1": "asyncio", "vers=3.0": "asyncio", "vers=3.0.2": "asyncio", "vers=3.1.1": "",
    "vers=2.1,sign": "asyncio", "vers=3.0,seal": "asyncio", "vers=3.0.2,sign": "asyncio",
    "vers=3.1.1,sign": "asyncio", "vers=3.1.1,seal": "", "vers=3.1.1,cache=none": "asyncio",
}  # fmt: skip
"""Mount options, and the part of the library that is copied there; "" is the whole."""
PLACES = (os.environ.get("SMBDIRECT_LAB", ""), ROOT / "hwtests/lab/lab", ROOT.parent / "shared/lab/lab")
LAB = next((Path(place) for place in PLACES if place and Path(place).is_file()), None)

pytestmark = [
    pytest.mark.skipif(LAB is None, reason="no lab (SMBDIRECT_LAB names one): cifs.ko is not tried"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab runs as root"),
    pytest.mark.skipif(
        bool(missing("mount.cifs", "fio")), reason="mount.cifs or fio is missing (Debian: cifs-utils, fio)"
    ),
]


@pytest.fixture(scope="module")
def failures(library: Path) -> dict[str, str]:
    """What went wrong with each mount, "" where nothing did; all of them in one run of the lab."""
    inside = [sys.executable, "-m", "server.tests.clients.lab_mounts", str(library)]
    inside += [f"{mount}:{part}" for mount, part in MOUNTS.items()]
    command = [str(LAB), "-c", "2", "-t", "600", "--", *inside]
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
