"""The Linux client over links on top of others: VLANs, bonds and bridges."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from server.tests.clients.conftest import digest
from server.tests.clients.conftest import pattern as written

from . import soft
from .cifs import mounted, obstacle, serving

FIRST = 20
"""The number of the first link that is made here."""


@pytest.fixture(scope="module")
def stacked() -> Iterator[dict[str, str]]:
    """A server that listens on every interface on top of another; the address of each, or why there is none."""
    reason = obstacle()
    if reason:
        pytest.skip(reason)
    with ExitStack() as stack:
        found = {}
        for number, (name, each) in enumerate(soft.STACKS.items(), FIRST):
            try:
                top, _ = stack.enter_context(each.made(number))
                soft.found(top)
                found[name] = soft.address_of(number)
            except soft.Refused as refusal:
                found[name] = str(refusal)
        stack.enter_context(serving())
        yield found


@pytest.mark.parametrize("name", soft.STACKS)
def test_a_mount_over_an_interface_on_top_of_another(stacked: dict[str, str], name: str, tmp_path: Path) -> None:
    address = stacked[name]
    if " " in address:
        pytest.skip(address)
    here = written(tmp_path / "file", 3 << 20)
    mount = tmp_path / "mounted"
    for options in ("vers=3.1.1,cache=none,nosharesock", "vers=3.1.1,cache=none,nosharesock,sign"):
        with mounted(address, mount, options):
            subprocess.run(["cp", here, mount / "file"], check=True)
            assert digest(mount / "file") == digest(here)
