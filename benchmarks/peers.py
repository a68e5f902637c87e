"""Servers for the lab, one at a time on the ports that the Linux client goes to: this one, ksmbd, and Samba."""

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from server.testing import PASSWORD, Ours, Running, Samba, missing, names

from . import lab

PORT = 445
TOOLS = Path(__file__).parents[1] / ".tools/ksmbd-tools/usr/sbin"
"""Where `scripts/packages.py bench` unpacks ksmbd-tools, which Debian lets nobody install beside Samba."""
SIZE = 8 << 20
"""The largest READ and WRITE, which is ksmbd's limit."""
OURS, KSMBD, SAMBA = "this server", "ksmbd", "Samba"
PACKAGES = "ksmbd-tools, samba, fio and cifs-utils"


def tool(name: str) -> str:
    """One of ksmbd's programs: the unpacked one, where there is one."""
    return str(TOOLS / name) if (TOOLS / name).exists() else name


class OverRdma(Ours):
    """This server on every address, refusing to start without RDMA."""

    def __init__(self, under: Path, io_size: str = "8M") -> None:
        settings = {"listen": '["0.0.0.0"]', "rdma": '"require"', "io size": f'"{io_size}"'}
        super().__init__(settings, under=under, port=PORT)


class Ksmbd(Running):
    """ksmbd and its mountd (ksmbd-tools 3.5). The kernel has only one: nothing else may serve meanwhile."""

    def __init__(self, under: Path) -> None:
        super().__init__(under=under, port=PORT)

    @property
    def _files(self) -> list[str]:
        return ["-C", str(self.root / "ksmbd.conf"), "-P", str(self.root / "ksmbdpwd.db")]

    def prepare(self) -> None:
        sizes = [f"{name} = {SIZE >> 20}MB" for name in ("smb2 max read", "smb2 max write", "smbd max io size")]
        lines = ["[global]", "netbios name = KSMBD", "workgroup = WORKGROUP", *sizes]
        for name in self.share_names:
            lines += [f"[{name}]", f"path = {self.path(name)}", "read only = no"]
        (self.root / "ksmbd.conf").write_text("\n".join(lines) + "\n")
        for name in names():
            subprocess.run(
                [tool("ksmbd.adduser"), *self._files, "-a", "-p", PASSWORD, name], check=True, capture_output=True
            )  # fmt: skip

    def command(self) -> list[str]:
        return [tool("ksmbd.mountd"), "-n", "-p", str(self.port), *self._files]

    def stop(self, patience: float = 10) -> int:
        """Have the kernel's part stop too: killing mountd alone would leave its ports taken."""
        assert self.process is not None
        subprocess.run([tool("ksmbd.control"), "-s"], check=False, capture_output=True)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        self.kill()
        end = time.monotonic() + patience
        while self.answers() and time.monotonic() < end:
            time.sleep(0.05)
        return int(self.process.returncode)


class OverTcp(Samba):
    """Samba, which has no SMB Direct."""

    def __init__(self, under: Path) -> None:
        super().__init__({"interfaces": "lo eth0"}, under=under, port=PORT)


SERVERS: Mapping[str, type[OverRdma] | type[Ksmbd] | type[OverTcp]] = {OURS: OverRdma, KSMBD: Ksmbd, SAMBA: OverTcp}


def serves(who: str, way: str) -> bool:
    """Whether this server can be reached by that one of `lab.ADDRESSES`."""
    return way == "TCP" or who != SAMBA


def order(number: int) -> list[str]:
    """The servers' names as they take their turns in round `number`: each is first as often as the others."""
    everyone = list(SERVERS)
    at = number % len(everyone)
    return everyone[at:] + everyone[:at]


@contextmanager
def started(who: str) -> Iterator[Running]:
    """One of SERVERS, which nothing is left of afterwards. Raises NotStarted."""
    server = SERVERS[who](lab.SCRATCH)
    try:
        server.start()
        yield server
    finally:
        if server.process is not None:
            server.stop()
        server.remove()


def absent() -> list[str]:
    """What of the peers' and the client's programs is not there."""
    return missing(tool("ksmbd.mountd"), "fio", "mount.cifs", "smbd", "smbpasswd")


def versions() -> dict[str, str]:
    """The peers' and the load's."""
    samba = subprocess.run(["smbd", "-V"], capture_output=True, text=True, check=True).stdout.split()[-1]
    told = subprocess.run([tool("ksmbd.control"), "-V"], capture_output=True, text=True, check=False)
    fio = subprocess.run(["fio", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return {"Samba": samba, "ksmbd-tools": (told.stdout + told.stderr).split()[-1], "fio": fio.removeprefix("fio-")}
