"""The Linux client as a load: a share mounted by cifs.ko, and fio on it past every cache."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.testing import PASSWORD, names

BLOCK = 8 << 20
OLD, NEW = "old", "new"
"""The file that is there, and the one that is written from nothing."""
UNCACHED = ("actimeo=0", "closetimeo=0")
"""Options with which every call is asked of the server, and every close is one."""
FIO = ["fio", "--eta=never", "--output-format=json"]
PATIENCE = 300
"""Seconds that any one program may take here."""
_GRANTED = re.compile(r",rsize=(\d+),wsize=(\d+)")


class Failed(Exception):
    """A mount or a run of fio did not succeed; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted share, and the largest READ and WRITE that client and server agreed to use."""

    at: Path
    rsize: int
    wsize: int


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work for fio, in its own words of `rw`; `file` is OLD, gone through again and again, or NEW."""

    name: str
    rw: str
    block: int
    file: str = OLD


def options(rdma: bool, protection: str, further: Sequence[str] = ()) -> str:
    """What a mount is asked for; `protection` is "", "sign" or "seal"."""
    wanted = ["vers=3.1.1", "cache=none", f"rsize={BLOCK}", f"wsize={BLOCK}", *further]
    return ",".join(wanted + ["rdma"] * rdma + [protection] * bool(protection))


def granted(mounts: str, at: Path) -> tuple[int, int]:
    """rsize and wsize of the mount at `at`, as /proc/mounts tells them."""
    line = next(line for line in mounts.splitlines() if line.split()[1] == str(at))
    found = _GRANTED.search(line)
    assert found is not None, line
    return int(found[1]), int(found[2])


@contextmanager
def mounted(address: str, wanted: str, at: Path) -> Iterator[Mount]:
    """The share `data` of the server at `address`, mounted with `wanted`. Raises Failed."""
    login = f"username={names()[0]},password={PASSWORD}"
    done = _run(["mount.cifs", f"//{address}/data", str(at), "-o", f"{login},{wanted}"])
    if done.returncode:
        raise Failed(f"mount.cifs -o {wanted}: {done.stderr.strip()}")
    try:
        yield Mount(at, *granted(Path("/proc/mounts").read_text(), at))
    finally:
        _run(["umount", str(at)])


# -- fio ------------------------------------------------------------------------------------------------------------
def lay(at: Path, size: int, owner: str = "") -> None:
    """Make OLD, of `size` bytes, there, for `owner` to write."""
    block = os.urandom(1 << 20)
    with (at / OLD).open("wb") as file:
        for _ in range(size >> 20):
            file.write(block)
    if owner:
        shutil.chown(at / OLD, owner)


def job_file(at: Path, jobs: Sequence[Job], seconds: float, size: int) -> str:
    """fio's instructions: one thread does one job after the other, for so long each, on files of `size` bytes."""
    lines = ["[global]", f"directory={at}", "direct=1", "ioengine=psync", "thread", "fallocate=none"]
    lines += [f"size={size}", f"runtime={seconds * 1000:.0f}ms"]
    for job in jobs:
        lines += [f"[{job.name}]", "stonewall", f"filename={job.file}", f"rw={job.rw}", f"bs={job.block}"]
        lines += ["time_based"] if job.file == OLD else ["unlink=1"]
    return "\n".join(lines) + "\n"


def measure(at: Path, jobs: Sequence[Job], seconds: float, size: int) -> Mapping[str, float]:
    """MB/s by the job's name; NaN where it failed, with what fio said of that printed. Raises Failed."""
    done = _run([*FIO, "-"], job_file(at, jobs, seconds, size))
    if done.returncode:
        print(*[line for line in done.stderr.splitlines() if line.strip()][-1:], flush=True)
    return rates(done.stdout)


def rates(said: str) -> Mapping[str, float]:
    """MB/s by job, of jobs that only read or only write, from fio's JSON. Raises Failed."""
    told: dict[str, Any] = json.loads(said[said.index("{") :]) if "{" in said else {}  # notes come before it
    if "jobs" not in told:
        raise Failed(f"fio said nothing: {said[:200]!r}")
    return {job["jobname"]: float("nan") if job["error"] else _rate(job) for job in told["jobs"]}


def _rate(job: Mapping[str, Any]) -> float:
    return float(job["read"]["bw_bytes"] + job["write"]["bw_bytes"]) / 1e6


def _run(command: list[str], told: str = "") -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            command, input=told, capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False
        )  # fmt: skip
    except subprocess.TimeoutExpired as slow:
        raise Failed(str(slow)) from slow
