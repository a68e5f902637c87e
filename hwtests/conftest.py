"""Where the tests of this folder run: on the RDMA devices that are here, else inside the lab, else nowhere.

Without a device the whole run is repeated by a pytest inside the lab's kernel (`hwtests/lab/lab`), whose exit status
is this one's. Where the lab cannot be had either, every test is skipped with both reasons.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from transport.discovery import Interface, interfaces
from transport.rdma import probe

HERE = Path(__file__).parent
LAB = HERE / "lab/lab"
LIMIT = 270
"""Seconds that the run inside the lab may take."""


def reachable() -> list[Interface]:
    """One interface for each technology that can be had here, the first of its kind."""
    found: dict[str, Interface] = {}
    for interface in interfaces():
        if interface.technology is not None:
            found.setdefault(interface.technology.name, interface)
    return list(found.values())


def missing() -> str | None:
    """Why nothing can be tested here."""
    return probe() or (None if reachable() else "no RDMA device has an interface with an address")


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Run inside the lab what cannot run here."""
    if missing() is None or "LAB" in os.environ or config.option.collectonly:
        return None
    if subprocess.run([LAB, "--", "true"], capture_output=True).returncode:
        return None
    color = f"--color={'yes' if sys.stdout.isatty() else 'no'}"
    command = [sys.executable, "-m", "pytest", color, *config.invocation_params.args]
    os.environ["COLUMNS"] = str(os.get_terminal_size().columns if sys.stdout.isatty() else 100)
    return subprocess.run([LAB, "-t", str(LIMIT), "--", *command], cwd=config.invocation_params.dir).returncode


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = missing()
    if reason is None:
        return
    lab = subprocess.run([LAB, "--", "true"], capture_output=True, text=True).stderr.strip()
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.skip(f"{reason}; {lab}"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`interface` is each technology's in turn."""
    if "interface" in metafunc.fixturenames:
        found = reachable() if missing() is None else []
        names = [f"{each.technology.name}-{each.device}" for each in found if each.technology]
        metafunc.parametrize("interface", found, ids=names)
