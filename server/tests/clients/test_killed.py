"""The server is killed with SIGKILL under the Linux kernel's client, over TCP, soft-RoCE and soft-iWARP, and started
again: programs see no error, nothing is lost, and locks hold.

It runs in the lab."""

import pytest

from .in_lab import LAB_ONLY, failures_of

MOUNTS = [
    f"{where}:vers=3.1.1,{handles}"
    for where in ("tcp", "rxe", "siw")
    for handles in ("persistenthandles", "resilienthandles")
]
"""With SMB 3, the client asks for persistent handles where the share has them, whichever of both it was told."""

pytestmark = LAB_ONLY


@pytest.fixture(scope="module")
def failures() -> dict[str, str]:
    return failures_of("lab_killed", MOUNTS, MOUNTS, 500)


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_file_written_while_the_server_is_killed_is_whole_and_stays_locked(
    failures: dict[str, str], mount: str
) -> None:
    assert not failures[mount], failures[mount]
