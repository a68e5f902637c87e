"""The Linux client, cifs.ko, and the servers it is shown: this one, or ksmbd where `HWTEST_SERVER=ksmbd` says so.

The client only ever goes to ports 445 and 5445 for RDMA, so what uses this takes both, and mounts: in the lab, or where
`HWTEST_MOUNTS=1` says that nobody else wants them (CI on a machine of its own).
"""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.peers import Ksmbd, OverRdma
from server.testing import PASSWORD, Running, missing, names
from transport.discovery import Interface, interfaces

from .kernel_log import KernelLog
from .soft import load_modules

SCRATCH = Path("/srv")
KSMBD = os.environ.get("HWTEST_SERVER") == "ksmbd"
BLOCK = 8 << 20
"""What is asked for as rsize and wsize."""
SOFT_LIMITS = {"rxe": 512 * 4096, "siw": 256 * 4096}
"""The most that the client's own end registers for one READ or WRITE on a soft device: the driver's page list."""
SMB_DIRECT = Path("/proc/fs/cifs/smbd_max_frmr_depth")
"""There where the kernel's client was built with SMB Direct."""
GRANTED = re.compile(r",rsize=(\d+),wsize=(\d+)")


class Beside(Ksmbd):
    """ksmbd with what it leaves out unless told, multichannel and leases; on the interfaces of these addresses alone,
    and the loopback, where some are given: it offers all it is on for channels."""

    def __init__(self, *addresses: str) -> None:
        super().__init__(SCRATCH)
        self.on = [each.name for each in interfaces() if set(map(str, each.addresses)) & set(addresses)]

    def prepare(self) -> None:
        super().prepare()
        lines = ["[global]", "server multi channel support = yes", "smb2 leases = yes"]
        if self.on:
            lines += [f"interfaces = {' '.join(('lo', *self.on))}", "bind interfaces only = yes"]
        config = self.root / "ksmbd.conf"
        config.write_text(config.read_text().replace("[global]", "\n".join(lines), 1))


def obstacle() -> str:
    """Why the Linux client cannot be tried here; "" where it can."""
    if not os.environ.get("LAB") and not os.environ.get("HWTEST_MOUNTS"):
        return "takes ports 445 and 5445 and mounts: only in the lab, or with HWTEST_MOUNTS=1"
    if missing("mount.cifs"):
        return "mount.cifs is not installed (package cifs-utils)"
    load_modules(["cifs"])
    return "" if SMB_DIRECT.exists() else "this kernel's client has no SMB Direct (CONFIG_CIFS_SMB_DIRECT)"


class At(OverRdma):
    """This server on these addresses alone, beside the one on which its start is awaited."""

    def __init__(self, *addresses: str) -> None:
        super().__init__(SCRATCH)
        listed = ", ".join(f'"{address}"' for address in ("127.0.0.1", *addresses))
        self.settings = {**self.settings, "listen": f"[{listed}]"}


@contextmanager
def serving(*addresses: str) -> Iterator[Running]:
    """A server, on `addresses` alone where some are given; skipped where the client cannot be tried."""
    reason = obstacle()
    if reason:
        pytest.skip(reason)
    ours = At(*addresses) if addresses else OverRdma(SCRATCH)
    with Beside(*addresses) if KSMBD else ours as running:
        yield running
        assert running.stop() == 0, running.tail()
        assert "Traceback" not in running.tail(10_000)


def expected(interface: Interface, sizes: tuple[int, int]) -> bool:
    """Whether the client may use all it asked for, or as much as its device lets it."""
    most = next((each for driver, each in SOFT_LIMITS.items() if driver in str(interface.device)), BLOCK)
    return sizes == (most, most)


@contextmanager
def mounted(address: str, at: Path, options: str, *known: str) -> Iterator[Path]:
    """The share `data`, mounted at `at` with RDMA; the kernel says nothing that is not listed there or in `known`."""
    login = f"username={names()[0]},password={PASSWORD},rdma,rsize={BLOCK},wsize={BLOCK}"
    at.mkdir(parents=True, exist_ok=True)
    with KernelLog() as log:
        mount = subprocess.run(
            ["mount.cifs", f"//{address}/data", str(at), "-o", f"{login},{options}"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        alarms = log.alarms(*known)
        assert mount.returncode == 0, "\n".join((mount.stderr, *log.lines))
        try:
            assert ",rdma," in mount_line(at)
            yield at
        finally:
            subprocess.run(["umount", str(at)], check=True, timeout=60)
        alarms += log.alarms(*known)
        assert not alarms, "\n".join(log.lines)


def mount_line(at: Path) -> str:
    return next(line for line in Path("/proc/mounts").read_text().splitlines() if line.split()[1] == str(at))


def granted(at: Path) -> tuple[int, int]:
    """rsize and wsize of the mount at `at`."""
    found = GRANTED.search(mount_line(at))
    assert found is not None
    return int(found[1]), int(found[2])
