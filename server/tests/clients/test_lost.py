"""The Linux kernel's client loses its connection again and again while it writes, and comes back to the open file.

It runs in the lab, as test_linux.py does."""

import json
import subprocess
import sys

import pytest

from . import test_linux
from .conftest import ROOT

MOUNTS = ("vers=2.1,hard", "vers=3.1.1,hard", "vers=3.1.1,hard,seal", "vers=3.1.1,hard,cache=none,resilienthandles")

pytestmark = test_linux.pytestmark


@pytest.fixture(scope="module")
def failures() -> dict[str, str]:
    """What went wrong with each mount, "" where nothing did; all of them in one run of the lab."""
    command = [
        str(test_linux.LAB),
        "-c",
        "2",
        "-t",
        "290",
        "--",
        sys.executable,
        "-m",
        "server.tests.clients.lab_lost",
        *MOUNTS,
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"mount"')]
    found = {row["mount"]: row["failure"] for row in rows}
    absent = f"the lab ended before it was tried: {done.stdout[-1500:]}{done.stderr[-1500:]}"
    return {mount: found.get(mount, absent) for mount in MOUNTS}


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_file_written_through_lost_connections_is_whole_and_was_never_closed(
    failures: dict[str, str], mount: str
) -> None:
    assert not failures[mount], failures[mount]
