"""The Linux kernel's client and local programs at the same files, on a memory file system and on ext4.

It runs in the lab, as test_linux.py does."""

import json
import subprocess
import sys

import pytest

from . import test_linux
from .conftest import ROOT

MOUNTS = ("vers=2.1,cache=strict", "vers=3.1.1,cache=strict")
FILE_SYSTEMS = ("tmpfs", "ext4")

pytestmark = test_linux.pytestmark


@pytest.fixture(scope="module")
def failures() -> dict[tuple[str, str], str]:
    """What went wrong with each file system and mount, "" where nothing did; a run of the lab for each file system."""
    found: dict[tuple[str, str], str] = {}
    for system in FILE_SYSTEMS:
        scratch = [] if system == "tmpfs" else ["-f", system]
        inside = [sys.executable, "-m", "server.tests.clients.lab_local", *MOUNTS]
        command = [str(test_linux.LAB), "-c", "2", "-t", "240", *scratch, "--", *inside]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"mount"')]
        said = {row["mount"]: row["failure"] for row in rows}
        absent = f"the lab ended before it was tried: {done.stdout[-1500:]}{done.stderr[-1500:]}"
        found |= {(system, mount): said.get(mount, absent) for mount in (*MOUNTS, "end")}
    return found


@pytest.mark.parametrize("mount", [*MOUNTS, "end"])
@pytest.mark.parametrize("system", FILE_SYSTEMS)
def test_client_and_local_programs_find_what_the_other_has_done(
    failures: dict[tuple[str, str], str], system: str, mount: str
) -> None:
    assert not failures[system, mount], failures[system, mount]
