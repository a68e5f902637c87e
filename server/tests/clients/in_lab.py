"""What the tests of the Linux kernel's client, cifs.ko, share: they run in the lab, a kernel of its own that any
program here can be run on (`hwtests/lab/lab -- COMMAND`), where there is such a kernel: LAB_KERNEL names it, or it lies
beside the repository. A program of this folder tries all mounts of a test in one run, and prints a line of JSON for
each."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence

import pytest

from server.testing import missing

from .conftest import ROOT

LAB = ROOT / "hwtests/lab/lab"
KERNEL = os.environ.get("LAB_KERNEL") or next(ROOT.parent.glob("shared/lab/linux-rdma-*.xz"), None)

LAB_ONLY = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(KERNEL is None, reason="the lab has no kernel (LAB_KERNEL names one): cifs.ko is not tried"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab runs as root"),
    pytest.mark.skipif(
        bool(missing("mount.cifs", "fio")), reason="mount.cifs or fio is missing (Debian: cifs-utils, fio)"
    ),
]


def failures_of(
    program: str, arguments: Iterable[str], mounts: Iterable[str], seconds: int, lab: Sequence[str] = ()
) -> dict[str, str]:
    """What went wrong with each of `mounts`, "" where nothing did, when `program` was run with `arguments` in the lab.

    `lab` are further options of the lab, which ends after `seconds`."""
    inside = [sys.executable, "-m", f"{__package__}.{program}", *arguments]
    command = [str(LAB), "-c", "2", "-t", str(seconds), *lab, "--", *inside]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"mount"')]
    found = {row["mount"]: row["failure"] for row in rows}
    absent = f"the lab ended before it was tried: {done.stdout[-1500:]}{done.stderr[-1500:]}"
    return {mount: found.get(mount, absent) for mount in mounts}
