"""Which device serves an interface on top of another, as the kernel shows it, and that it does."""

import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

from transport.tests.test_discovery_kernel import (  # noqa: F401 - this kernel may make what another does not
    test_an_interface_on_top_of_another_follows_it,
    test_links_and_addresses_come_and_go,
    test_several_queues_show_through_what_is_on_top,
)

from . import soft

ROOT = Path(__file__).parents[1]
NUMBER = 40


@pytest.mark.parametrize("name", soft.STACKS)
def test_an_interface_on_top_of_another_has_the_device_that_serves_it(name: str) -> None:
    stack = soft.STACKS[name]
    try:
        with stack.made(NUMBER) as (top, device):
            interface = soft.found(top)
            assert interface.device == device
            assert interface.technology is not None
            assert interface.technology.name == ("iWARP" if stack.driver == "siw" else "RoCE")
            assert interface.addresses == (ip_address(soft.address_of(NUMBER)),)
            command = [sys.executable, "-m", "hwtests.carry", top]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, done.stderr
    except soft.Refused as refusal:
        pytest.skip(str(refusal))
