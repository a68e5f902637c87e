"""The Linux kernel's client, cifs.ko: trees in and out of mounts of every dialect, signed and sealed.

It runs in the lab."""

import shutil
from pathlib import Path

import pytest

from .in_lab import LAB_ONLY, failures_of

MOUNTS = {
    "vers=2.1": "lib/asyncio", "vers=3.0": "lib/asyncio", "vers=3.0.2": "lib/asyncio", "vers=3.1.1": "",
    "vers=2.1,sign": "lib/asyncio", "vers=3.0,seal": "lib/asyncio", "vers=3.0.2,sign": "lib/asyncio",
    "vers=3.1.1,sign": "lib/asyncio", "vers=3.1.1,seal": "lib/asyncio", "vers=3.1.1,cache=none": "lib/asyncio",
}  # fmt: skip
"""Mount options, and which of the trees below is copied there; "" is all of them."""

pytestmark = LAB_ONLY


@pytest.fixture(scope="module")
def trees(library: Path, clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`lib`, the Python library's sources, and `clone`, a git clone with its objects."""
    root = tmp_path_factory.mktemp("trees")
    shutil.copytree(library, root / "lib")
    shutil.copytree(clone, root / "clone")
    return root


@pytest.fixture(scope="module")
def failures(trees: Path) -> dict[str, str]:
    arguments = [str(trees), *(f"{mount}:{part}" for mount, part in MOUNTS.items())]
    return failures_of("lab_mounts", arguments, (*MOUNTS, "end"), 590)


@pytest.mark.parametrize("mount", MOUNTS)
def test_tree_and_verified_file_through_a_mount(failures: dict[str, str], mount: str) -> None:
    assert not failures[mount], failures[mount]


def test_server_in_the_lab_ends_cleanly(failures: dict[str, str]) -> None:
    assert not failures["end"], failures["end"]
