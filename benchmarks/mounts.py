"""The Linux client as a load: a share mounted by cifs.ko, and fio on it past every cache."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.testing import PASSWORD, names

BLOCK = 8 << 20
_GRANTED = re.compile(r",rsize=(\d+),wsize=(\d+)")


class Failed(Exception):
    """A mount or a run of fio did not succeed; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted share, and the largest READ and WRITE that client and server agreed to use."""

    at: Path
    rsize: int
    wsize: int


def options(rdma: bool, protection: str) -> str:
    """What a mount is asked for; `protection` is "", "sign" or "seal"."""
    wanted = ["vers=3.1.1", "cache=none", f"rsize={BLOCK}", f"wsize={BLOCK}"]
    return ",".join(wanted + ["rdma"] * rdma + [protection] * bool(protection))


def granted(mounts: str, at: Path) -> tuple[int, int]:
    """rsize and wsize of the mount at `at`, as /proc/mounts tells them."""
    line = next(line for line in mounts.splitlines() if line.split()[1] == str(at))
    found = _GRANTED.search(line)
    assert found is not None, line
    return int(found[1]), int(found[2])


def rate(said: str, rw: str) -> float:
    """MB/s of a job that did nothing but `rw`, from fio's JSON."""
    said = said[said.index("{") :]  # notes come before it
    job: dict[str, Any] = json.loads(said)["jobs"][0]
    return float(job[rw]["bw_bytes"]) / 1e6


def fio(at: Path, rw: str, seconds: float, size: int) -> list[str]:
    """One thread that reads or writes a file in order, block after block, for so long."""
    return [
        "fio", "--name=file", f"--directory={at}", f"--rw={rw}", f"--bs={BLOCK >> 20}m", f"--size={size >> 20}m",
        "--direct=1", "--ioengine=psync", "--time_based", f"--runtime={seconds:g}", "--fallocate=none",
        "--output-format=json",
    ]  # fmt: skip


def measure(at: Path, rw: str, seconds: float, size: int) -> float:
    """MB/s. Raises Failed."""
    done = subprocess.run(fio(at, rw, seconds, size), capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Failed(said[-1] if said else f"fio ended with {done.returncode}")
    return rate(done.stdout, rw)


@contextmanager
def mounted(address: str, wanted: str, at: Path) -> Iterator[Mount]:
    """The share `data` of the server at `address`, mounted with `wanted`. Raises Failed."""
    login = f"username={names()[0]},password={PASSWORD}"
    told = ["mount.cifs", f"//{address}/data", str(at), "-o", f"{login},{wanted}"]
    done = subprocess.run(told, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise Failed(f"mount.cifs -o {wanted}: {done.stderr.strip()}")
    try:
        yield Mount(at, *granted(Path("/proc/mounts").read_text(), at))
    finally:
        subprocess.run(["umount", str(at)], check=True, timeout=60)
