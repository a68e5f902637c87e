"""The Linux kernel's client loses its connection again and again while it writes, and comes back to the open file.

It runs in the lab."""

import pytest

from .in_lab import LAB_ONLY, failures_of

MOUNTS = ("vers=2.1,hard", "vers=3.1.1,hard", "vers=3.1.1,hard,seal", "vers=3.1.1,hard,cache=none,resilienthandles")

pytestmark = LAB_ONLY


@pytest.fixture(scope="module")
def failures() -> dict[str, str]:
    return failures_of("lab_lost", MOUNTS, MOUNTS, 290)


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_file_written_through_lost_connections_is_whole_and_was_never_closed(
    failures: dict[str, str], mount: str
) -> None:
    assert not failures[mount], failures[mount]
