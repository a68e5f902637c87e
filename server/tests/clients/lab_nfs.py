"""The Linux kernel's client of SMB and its client of NFS at the same files; run inside the lab by test_nfs.py.

    python -m server.tests.clients.lab_nfs OPTIONS...

nfsd serves the directory that the server shares, and the lab mounts it from itself with NFS 4. What one client changes
the other reads back, and nfsd waits for what clients of SMB have not written back. A line of JSON a mount says how it
went, as lab_mounts says it.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.testing import Ours

from .lab_local import (
    changed_by_a_local_program,
    listed_again,
    locked_by_both,
    not_written_back_yet_when_it_goes,
)
from .lab_mounts import mounted, run, same

NFS = Path("/run/nfs-mount")
NFSD = Path("/proc/fs/nfsd")
CACHES = Path("/proc/net/rpc")
FOR_EVER = 2**31 - 1
GRACE = 10
"""Seconds that nfsd waits for clients to come back before it lets anybody open a file; fewer it refuses."""
NOT_SQUASHED = 0x2402
"""Of an export: a number as its root's handle, from any port, whole."""
ROUNDS = 5
"""nfsd does not wait itself: it sends its client away for a while."""


@contextmanager
def nfs(directory: Path) -> Iterator[Path]:
    """`directory` mounted with NFS. What rpc.mountd would answer nfsd is written where it would write it."""
    run("mount", "-t", "nfsd", "nfsd", NFSD)
    for name in ("nfsv4leasetime", "nfsv4gracetime"):
        (NFSD / name).write_text(f"{GRACE}\n")
    (NFSD / "versions").write_text("-3 +4\n")
    answers = {
        "auth.unix.ip": f"nfsd 127.0.0.1 {FOR_EVER} all",
        "nfsd.export": f"all {directory} {FOR_EVER} {NOT_SQUASHED} 65534 65534 0",
        "nfsd.fh": f"all 1 \\x00000000 {FOR_EVER} {directory}",
    }
    for cache, answer in answers.items():
        (CACHES / cache / "channel").write_text(f"{answer}\n")
    (NFSD / "portlist").write_text("tcp 2049\n")
    (NFSD / "threads").write_text("4\n")
    NFS.mkdir(exist_ok=True)
    run(
        "mount",
        "-i",
        "-t",
        "nfs4",
        "-o",
        "addr=127.0.0.1,clientaddr=127.0.0.1,actimeo=0,lookupcache=none",
        "127.0.0.1:/",
        NFS,
    )
    try:
        yield NFS
    finally:
        run("umount", NFS)
        (NFSD / "threads").write_text("0\n")


def changed_by_nfs(mount: Path, other: Path, disk: Path) -> None:
    changed_by_a_local_program(mount, other, ROUNDS)


def changed_by_smb(mount: Path, other: Path, disk: Path) -> None:
    for number in range(ROUNDS):
        (mount / "file").write_text(f"smb {number}")
        same(f"smb {number}", (other / "file").read_text(), "read by NFS")


def not_written_back_yet(mount: Path, other: Path, disk: Path) -> None:
    (mount / "cached").touch()
    for number in range(ROUNDS):
        with (mount / "cached").open("r+") as file:
            file.write(f"client {number}")
            file.flush()  # as far as the client's kernel
            same(f"client {number}", (other / "cached").read_text(), "read by NFS")


STEPS = (
    changed_by_nfs,
    changed_by_smb,
    not_written_back_yet,
    not_written_back_yet_when_it_goes,
    lambda mount, other, disk: listed_again(mount, other),
    lambda mount, other, disk: locked_by_both(mount, other),
)


def failure(server: Ours, other: Path, options: str) -> str:
    server.clear()
    with mounted(server, options) as mount:
        for step in STEPS:
            try:
                step(mount, other, server.path())
            except (AssertionError, OSError) as error:
                return f"{step.__name__}: {error!r}\n{server.tail()}"
    return ""


def main(*mounts: str) -> None:
    server = Ours(under=Path("/srv"))
    with server, nfs(server.path()) as other:
        (other / "grace").touch()  # is over when this has been done
        for options in mounts:
            begun = time.monotonic()
            report = {"mount": options, "failure": failure(server, other, options)}
            print(json.dumps({**report, "seconds": round(time.monotonic() - begun, 1)}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
