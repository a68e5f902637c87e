"""smbtorture's timings, smb2.bench.*, as a load that is not this project's own."""

import re
import resource
import subprocess
from dataclasses import dataclass

from server.testing import PASSWORD, Running, names

from . import processes

DEPTH = 4
SECONDS = 2
_RATE = re.compile(r"\[num/s=(\d+)")


@dataclass(frozen=True, slots=True)
class Turn:
    """Requests per second; the processors that smbtorture kept busy, and the server's processor time for each request,
    in seconds, both with what smbtorture does before and after."""

    rate: float
    client: float
    cost: float


NONE = Turn(float("nan"), float("nan"), float("nan"))


def command(server: Running, name: str, *options: str) -> list[str]:
    load = [f"--option=torture:timelimit={SECONDS}", "--option=torture:nprocs=1", f"--option=torture:qdepth={DEPTH}"]
    who = ["-p", str(server.port), f"-U{names()[0]}%{PASSWORD}", "--option=torture:progress=no"]
    return ["smbtorture", "//127.0.0.1/data", *who, *load, *options, f"smb2.bench.{name}"]


def known() -> set[str]:
    """Those that the installed smbtorture has."""
    said = subprocess.run(["smbtorture", "--list"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^smb2\.bench\.([\w-]+)\.", said, re.MULTILINE))


def measure(server: Running, name: str, *options: str) -> Turn:
    """One turn of SECONDS; NONE where it failed."""
    used, own = processes.cpu(server), _own()
    try:
        done = subprocess.run(
            command(server, name, *options), capture_output=True, text=True, timeout=SECONDS + 60, check=False
        )
    except subprocess.TimeoutExpired:
        return NONE
    own, used = _own() - own, processes.cpu(server) - used
    found = _RATE.search(done.stdout + done.stderr)
    if done.returncode or found is None or not int(found[1]):
        return NONE
    return Turn(float(found[1]), own / SECONDS, used / SECONDS / float(found[1]))


def _own() -> float:
    """Processor seconds of the programs that have been run and have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime
