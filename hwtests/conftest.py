"""Where the tests of this folder run: on the RDMA devices that are here, else on soft ones made for the run, else
inside the lab, else nowhere.

On soft devices and in the lab the whole run is repeated by another pytest, whose exit status is this one's: the lab is
a kernel of its own (`hwtests/lab/lab`), and a soft device goes only when no process holds it any more. Where the lab
cannot be had either, every test is skipped with all reasons.
"""

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from transport.discovery import Interface, interfaces
from transport.rdma import probe

from . import soft

HERE = Path(__file__).parent
LAB = HERE / "lab/lab"
LIMIT = 680
"""Seconds that the run inside the lab may take."""
CPUS = min(2, os.cpu_count() or 1)
MEMORY = "3G"
PATIENCE = 5.0
"""Seconds that a link may take to come up."""

REASON = pytest.StashKey[str]()
"""Why nothing can be tested."""


def reachable() -> list[Interface]:
    """One interface for each technology that can be had here, the first of its kind."""
    found: dict[str, Interface] = {}
    for interface in interfaces():
        if interface.technology is not None:
            found.setdefault(interface.technology.name, interface)
    return list(found.values())


def missing() -> str:
    """Why nothing can be tested here; "" where it can."""
    return probe() or ("" if reachable() else "no RDMA device has an interface with an address")


def make(stack: ExitStack) -> str:
    """Make soft devices, which `stack` unmakes; why that was of no use, "" where it was."""
    if os.geteuid() != 0:
        return "only root can make a soft device"
    soft.load_modules()
    refusals = soft.make(stack)
    end = time.monotonic() + PATIENCE
    while len(refusals) < len(soft.SESSION) and missing() and time.monotonic() < end:
        time.sleep(0.05)
    return missing() and "; ".join(refusals or [missing()])


def lab_refuses() -> str:
    """Why there is no lab; "" where there is."""
    done = subprocess.run([LAB, "--", "true"], capture_output=True, text=True, check=False)
    return (done.stderr.strip() or f"the lab ended with {done.returncode}") if done.returncode else ""


def repeat(config: pytest.Config, *before: str | Path) -> int:
    """Repeat this run in another process, whose command comes after `before`; its exit status."""
    color = f"--color={'yes' if sys.stdout.isatty() else 'no'}"
    command = [*before, sys.executable, "-m", "pytest", color, *config.invocation_params.args]
    os.environ["COLUMNS"] = str(os.get_terminal_size().columns if sys.stdout.isatty() else 100)
    return subprocess.run(command, cwd=config.invocation_params.dir, check=False).returncode


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Choose where to run."""
    reason = missing()
    if not reason or config.option.collectonly:
        return None
    reasons = [reason]
    if "LAB" not in os.environ:
        with ExitStack() as stack:
            reasons.append(make(stack))
            if not reasons[-1]:
                return repeat(config)
        reasons.append(lab_refuses())
        if not reasons[-1]:
            return repeat(config, LAB, "-c", str(CPUS), "-m", MEMORY, "-t", str(LIMIT), "--")
    config.stash[REASON] = "; ".join(reasons)
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    reason = config.stash.get(REASON, "")
    if reason:
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`interface` is each technology's in turn."""
    if "interface" in metafunc.fixturenames:
        found = [] if missing() else reachable()
        names = [f"{each.technology.name}-{each.device}" for each in found if each.technology]
        metafunc.parametrize("interface", found, ids=names)
