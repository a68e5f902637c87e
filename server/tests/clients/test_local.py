"""The Linux kernel's client and local programs at the same files, on a memory file system and on ext4.

It runs in the lab."""

import pytest

from .in_lab import LAB_ONLY, failures_of

MOUNTS = ("vers=2.1,cache=strict", "vers=3.1.1,cache=strict")
FILE_SYSTEMS = ("tmpfs", "ext4")

pytestmark = LAB_ONLY


@pytest.fixture(scope="module")
def failures() -> dict[tuple[str, str], str]:
    """By file system and mount; a run of the lab for each file system."""
    found: dict[tuple[str, str], str] = {}
    for system in FILE_SYSTEMS:
        scratch = [] if system == "tmpfs" else ["-f", system]
        said = failures_of("lab_local", MOUNTS, (*MOUNTS, "end"), 240, scratch)
        found |= {(system, mount): failure for mount, failure in said.items()}
    return found


@pytest.mark.parametrize("mount", [*MOUNTS, "end"])
@pytest.mark.parametrize("system", FILE_SYSTEMS)
def test_client_and_local_programs_find_what_the_other_has_done(
    failures: dict[tuple[str, str], str], system: str, mount: str
) -> None:
    assert not failures[system, mount], failures[system, mount]
