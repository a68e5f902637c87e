"""The Linux kernel's clients of SMB and of NFS at the same files, which its nfsd serves beside this server.

It runs in the lab."""

import pytest

from .in_lab import LAB_ONLY, failures_of

MOUNTS = ("vers=2.1,cache=strict", "vers=3.1.1,cache=strict")
FILE_SYSTEMS = {"tmpfs": (), "ext4": ("-f", "ext4")}

pytestmark = LAB_ONLY


@pytest.mark.parametrize("system", FILE_SYSTEMS)
def test_each_client_finds_what_the_other_has_done(system: str) -> None:
    failures = failures_of("lab_nfs", MOUNTS, MOUNTS, 240, FILE_SYSTEMS[system])
    assert not any(failures.values()), failures
