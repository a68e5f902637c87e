"""The server is killed with SIGKILL under the Linux kernel's client, over TCP, soft-RoCE and soft-iWARP, and started
again: programs see no error, nothing is lost, and locks hold.

It runs in the lab, as test_linux.py does."""

import json
import subprocess
import sys

import pytest

from . import test_linux
from .conftest import ROOT

MOUNTS = [
    f"{where}:vers=3.1.1,{handles}"
    for where in ("tcp", "rxe", "siw")
    for handles in ("persistenthandles", "resilienthandles")
]
"""With SMB 3, the client asks for persistent handles where the share has them, whichever of both it was told."""

pytestmark = test_linux.pytestmark


@pytest.fixture(scope="module")
def failures() -> dict[str, str]:
    """What went wrong with each mount, "" where nothing did; all of them in one run of the lab."""
    inside = [sys.executable, "-m", "server.tests.clients.lab_killed", *MOUNTS]
    command = [str(test_linux.LAB), "-c", "2", "-t", "500", "--", *inside]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"mount"')]
    found = {row["mount"]: row["failure"] for row in rows}
    absent = f"the lab ended before it was tried: {done.stdout[-1500:]}{done.stderr[-1500:]}"
    return {mount: found.get(mount, absent) for mount in MOUNTS}


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_file_written_while_the_server_is_killed_is_whole_and_stays_locked(
    failures: dict[str, str], mount: str
) -> None:
    assert not failures[mount], failures[mount]
