"""Repeating a benchmark inside the project's lab: a Linux kernel with soft RDMA devices, cifs.ko and ksmbd."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

LAB = Path(__file__).parents[1] / "hwtests/lab/lab"
ADDRESSES = {"TCP": "10.99.9.1", "rxe": "10.99.0.1", "siw": "10.99.2.1"}
"""By what clients come over; the lab's interfaces."""
SCRATCH = Path("/srv")
"""The lab's own file system; the root is this machine's."""


def inside() -> bool:
    return "LAB" in os.environ


def repeat(module: str, arguments: Sequence[str], seconds: int, cpus: int = 1, memory: str = "4G") -> int:
    """Run `python -m module arguments` in the lab, within `seconds`; its exit status, or the lab's where it fails.

    On one processor, because with two the same figure varies tenfold as soon as the machine does anything else; and
    on one of this machine's as well: every system call in there goes from one process out here to another and back,
    and where each has a processor of its own, that is the time they take to wake.
    """
    if os.geteuid() != 0:
        print("the lab needs root; without it these figures are left out")
        return 0
    boot = [str(LAB), "-c", str(cpus), "-m", memory, "-t", str(seconds), "--"]
    if cpus == 1:
        boot = ["taskset", "-c", str(max(os.sched_getaffinity(0))), *boot]
    return subprocess.run([*boot, sys.executable, "-m", module, *arguments], check=False).returncode
