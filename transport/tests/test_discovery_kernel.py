"""Interfaces as a real kernel shows them, in a network namespace: veth, VLAN, bond, bridge, macvlan, while they change.

Each step is some `ip` commands, after which what is found must come to what is expected by the kernel's events alone.
A kind of link that this kernel does not make is skipped.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio, json, subprocess, sys
from transport.discovery import interfaces, watch

def found():
    return {one.name: [*map(str, one.addresses), one.speed // 10**6, one.rss] for one in interfaces()}

async def main():
    changes = watch(look=60)
    for commands, expected in json.loads(sys.argv[1]):
        for command in commands:
            done = subprocess.run(["ip", *command.split()], capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"ip {command}: {done.stderr}")
        while found() != expected:
            try:
                await asyncio.wait_for(anext(changes), 10)
            except TimeoutError:
                sys.exit(f"{found()}, expected {expected}, after {commands}")

asyncio.run(main())
"""
VETH = ["link add near0 type veth peer name far0", "link set lo up", "link set near0 up", "link set far0 up"]
SPEED = 10_000
"""Megabits a second that a veth says."""

Step = tuple[list[str], dict[str, list[Any]]]


def told(address: str, *more: str, rss: bool = False) -> list[Any]:
    return [address, *more, SPEED, rss]


def runs(*steps: Step) -> None:
    """The steps in a network namespace of their own."""
    namespace = ["unshare", "--net", "--mount", "sh", "-c", 'mount -t sysfs sysfs /sys && exec "$0" "$@"']
    if (
        os.geteuid()
        or shutil.which("ip") is None
        or subprocess.run([*namespace, "true"], capture_output=True).returncode
    ):
        pytest.skip("a network namespace cannot be made here")
    command = [*namespace, sys.executable, "-c", PROGRAM, json.dumps(steps)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    if "Unknown device type" in done.stderr:
        pytest.skip(f"this kernel does not make it: {done.stderr.splitlines()[0]}")
    assert not done.returncode, done.stderr


def test_links_and_addresses_come_and_go() -> None:
    first, second = ["192.0.2.1", "2001:db8::1"]
    runs(
        (VETH, {}),
        ([f"addr add {first}/24 dev near0"], {"near0": told(first)}),
        ([f"addr add {second}/64 dev near0 nodad"], {"near0": told(first, second)}),
        (["link set near0 down"], {}),
        (
            ["link set near0 up", "addr add 198.51.100.1/24 dev far0"],
            {"near0": told(first), "far0": told("198.51.100.1")},
        ),
        (["link set far0 down"], {}),  # and so a has no carrier
        (["link set far0 up"], {"near0": told(first), "far0": told("198.51.100.1")}),
        ([f"addr del {first}/24 dev near0"], {"far0": told("198.51.100.1")}),
        (["link del near0"], {}),
    )


STACKED = {
    "VLAN": ["link add link near0 name top type vlan id 7"],
    "macvlan": ["link add link near0 name top type macvlan mode bridge"],
    "bridge": ["link add top type bridge", "link set near0 master top"],
    "bond": ["link add top type bond mode active-backup miimon 50", "link set near0 down", "link set near0 master top"],
    "VLAN on a bond": [
        "link add low type bond mode active-backup miimon 50", "link set near0 down", "link set near0 master low",
        "link set low up", "link add link low name top type vlan id 7",
    ],
    "VLAN on a bridge": [
        "link add low type bridge", "link set near0 master low",
        "link set low up", "link add link low name top type vlan id 7",
    ],
}  # fmt: skip


@pytest.mark.parametrize("commands", STACKED.values(), ids=STACKED)
def test_an_interface_on_top_of_another_follows_it(commands: list[str]) -> None:
    up = [*commands, "link set top up", "addr add 192.0.2.1/24 dev top"]
    runs(
        (VETH, {}),
        (up, {"top": told("192.0.2.1")}),
        (["link set far0 down"], {}),
        (["link set far0 up"], {"top": told("192.0.2.1")}),
        (["link del top"], {}),
    )


def test_several_queues_show_through_what_is_on_top() -> None:
    runs(
        (["link add numrxqueues 4 name near0 type veth peer name far0", *VETH[1:]], {}),
        (
            ["link add link near0 name top type macvlan", "link set top up", "addr add 192.0.2.1/24 dev top"],
            {"top": told("192.0.2.1", rss=True)},
        ),
    )
