"""Install the Debian packages that a task needs, where this may; elsewhere say what is missing and how to get it.

    python3 scripts/packages.py test|bench [--backports]

Debian 12's own Samba is 4.17; its backports suite has 4.22, whose smbtorture knows more tests. With `--backports`
that suite is added beside the sources the machine has, from the same place they come from. A package that brings
a service (samba) is installed without starting it. This keeps to what Python 3.8 knows.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TEST = {
    "smbclient": "smbclient", "smbtorture": "samba-testsuite", "mount.cifs": "cifs-utils", "tshark": "tshark",
    "strace": "strace", "fio": "fio", "git": "git", "ip": "iproute2", "getfattr": "attr", "xz": "xz-utils",
    "smbd": "samba", "mkfs.ext4": "e2fsprogs", "mkfs.xfs": "xfsprogs", "mkfs.btrfs": "btrfs-progs",
    "mkfs.vfat": "dosfstools", "mkfs.exfat": "exfatprogs",
}  # fmt: skip
BENCH = {
    "smbclient": "smbclient", "smbtorture": "samba-testsuite", "smbd": "samba", "fio": "fio",
    "mount.cifs": "cifs-utils", "ip": "iproute2", "xz": "xz-utils", "ib_write_bw": "perftest",
}  # fmt: skip
UNPACKED = {"bench": ("ksmbd-tools", "libnl-genl-3-200", "libglib2.0-0")}
"""Packages that are not installed but unpacked under `TOOLS`, the first of which Debian lets nobody have beside Samba;
those after it are the libraries it needs, which are."""
TOOLS = Path(__file__).resolve().parents[1] / ".tools"
LIBRARIES = ("python3-pyverbs", "ibverbs-providers")
"""What RDMA needs; without them everything is TCP."""
TASKS: dict[str, dict[str, str]] = {"serve": {}, "test": TEST, "bench": BENCH}
"""For each task, the programs it needs and the packages they are in."""
BACKPORTED = ("smbclient", "samba-testsuite", "samba")
SUITE = "bookworm-backports"
SOURCES = Path("/etc/apt")
POLICY = Path("/usr/sbin/policy-rc.d")
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def installed(package: str) -> str:
    """The Debian package's version, "" where it is not installed."""
    if shutil.which("dpkg-query") is None:
        return ""
    command = ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", package]
    said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode()
    return said.partition(" ")[2] if said.startswith("installed ") else ""


def backported() -> bool:
    """Whether apt knows Samba in the backports suite."""
    policy = subprocess.run(["apt-cache", "policy", "samba-testsuite"], stdout=subprocess.PIPE, check=True).stdout
    return f"{SUITE}/main".encode() in policy


def add_backports() -> bool:
    """Have the backports suite of Debian 12, from where the machine's other packages come; False elsewhere."""
    if "VERSION_CODENAME=bookworm" not in Path("/etc/os-release").read_text():
        return False
    if backported():
        return True
    place = own_source()
    if place is None:
        return False
    entry = SOURCES / "sources.list.d/backports.sources"
    entry.write_text(f"Types: deb\nURIs: {place[0]}\nSuites: {SUITE}\nComponents: main\n{place[1]}")
    apt("update")
    return backported()


def own_source() -> tuple[str, str] | None:
    """The address Debian's main suite is fetched from here, and the line that names its key."""
    for path in sorted((SOURCES / "sources.list.d").glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text()):
            fields = dict(re.findall(r"^([\w-]+):[ \t]*(.*)$", stanza, re.MULTILINE))
            if "bookworm" in fields.get("Suites", "").split():
                key = fields.get("Signed-By", "")
                return fields["URIs"].split()[0], f"Signed-By: {key}\n" if key else ""
    for path in [SOURCES / "sources.list", *sorted((SOURCES / "sources.list.d").glob("*.list"))]:
        text = path.read_text() if path.exists() else ""
        for options, address in re.findall(r"^deb\s+(\[.*?\]\s+)?(\S+)\s+bookworm\s", text, re.MULTILINE):
            key = re.search(r"signed-by=([^\s\]]+)", options)
            return address, f"Signed-By: {key[1]}\n" if key else ""
    return None


def apt(*arguments: str) -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0", *arguments], env=environment).returncode == 0


def install(wanted: list[str]) -> None:
    """Install `wanted`; services they bring are neither started now nor at the next boot."""
    quiet = not POLICY.exists()
    if quiet:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        suite = ["-t", SUITE] if shutil.which("apt-cache") and backported() else []
        new = [package for package in wanted if package in BACKPORTED]
        old = [package for package in wanted if package not in BACKPORTED]
        for names, options in ((old, []), (new, suite)):
            if names and not apt("install", "-y", "--no-install-recommends", *options, *names):
                apt("update")
                apt("install", "-y", "--no-install-recommends", *options, *names)
        if "samba" in wanted and shutil.which("systemctl"):
            subprocess.run(
                ["systemctl", "disable", "--quiet", "smbd", "nmbd", "samba-ad-dc"], stderr=subprocess.DEVNULL
            )
    finally:
        if quiet:
            POLICY.unlink()


def need(wanted: list[str], *, newest: bool = False) -> None:
    """Install what of `wanted` is missing, or say how. `newest`: an older Samba than the backported is none."""

    def lacks(package: str) -> bool:
        version = installed(package)
        return not version or (newest and package in BACKPORTED and "~bpo" not in version)

    lacking = [package for package in wanted if lacks(package)]
    if lacking and os.geteuid() == 0 and shutil.which("apt-get"):
        print("installing", *lacking, flush=True)
        install(lacking)
        lacking = [package for package in lacking if lacks(package)]
    if lacking:
        names = " ".join(lacking)
        print(f"missing: {names} (on Debian and Ubuntu: sudo apt install {names})", flush=True)


def unpack(package: str) -> None:
    """Have the package's files under `TOOLS`, without installing it; best from backports."""
    place = TOOLS / package
    if place.exists() or shutil.which("apt-get") is None:
        return
    suite = ["-t", SUITE] if backported() else []
    TOOLS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as there:
        told = ["apt-get", "-qq", *suite, "download", package]
        subprocess.run(told, cwd=there, stderr=subprocess.DEVNULL)
        for archive in Path(there).glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(archive), str(place)])
    if not place.exists():
        print(f"missing: {package}, which could not be downloaded", flush=True)


def main() -> None:
    programs = TASKS[sys.argv[1]]
    newest = False
    if "--backports" in sys.argv and os.geteuid() == 0:
        newest = add_backports()
        print(f"Samba from {SUITE}" if newest else f"no {SUITE} here: Samba from the main suite", flush=True)
    lacking = [
        package
        for program, package in programs.items()
        if shutil.which(program, path=PATH) is None or (newest and package in BACKPORTED)
    ]
    unpacked, *libraries = UNPACKED.get(sys.argv[1], ("",))
    need([*lacking, *LIBRARIES, *libraries], newest=newest)
    if unpacked:
        unpack(unpacked)


if __name__ == "__main__":
    main()
