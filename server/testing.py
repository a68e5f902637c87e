"""Servers as processes of their own, for tests and benchmarks that use real clients: this one, and Samba beside it.

`Ours` and `Samba` are started on a free port of the loopback address with a fresh directory, a share and two
accounts, and leave nothing behind. The accounts are ones that every Debian has (`daemon`, `bin`), because a
server that runs as root acts as its session's Unix account; a server of anyone else acts as that one.
"""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

PASSWORD = "Secret-4-tests"


def names() -> tuple[str, str]:
    """The two accounts a test server knows; the first owns the share's directory."""
    return ("daemon", "bin") if os.geteuid() == 0 else (getpass.getuser(), "second")


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class NotStarted(Exception):
    """The server ended, or did not answer in time; the text holds the end of its log."""


@dataclass
class Running(ABC):
    """A server process with shares `data` and `second`, both of `settings`, in a directory of its own."""

    settings: Mapping[str, str] = field(default_factory=dict)
    """Further settings of the server, in its own configuration's words."""
    shares: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Further settings of each share, and further shares."""
    under: Path | None = None
    """Where the directory is made; None: the system's place for temporary files."""
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="smbdirect-test-", dir=self.under))
        self.root.chmod(0o755)
        self.log = self.root / "log"
        for name in self.share_names:
            self.path(name).mkdir()
            if os.geteuid() == 0:
                shutil.chown(self.path(name), names()[0])

    @property
    def share_names(self) -> list[str]:
        return list(dict.fromkeys(["data", "second", *self.shares]))

    def path(self, share: str = "data") -> Path:
        """The directory that `share` serves."""
        return self.root / f"share-{share}"

    def clear(self) -> None:
        """Empty the shares."""
        for entry in (entry for name in self.share_names for entry in self.path(name).iterdir()):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink()

    @abstractmethod
    def prepare(self) -> None:
        """Write the configuration and the users."""

    @abstractmethod
    def command(self) -> list[str]:
        """What is run, in the foreground."""

    def start(self, patience: float = 20) -> None:
        """Start it and wait until it listens; raises NotStarted."""
        if not (self.root / "ready").exists():
            self.prepare()
            (self.root / "ready").touch()
        with self.log.open("ab") as log:
            self.process = self._spawn(log)
        end = time.monotonic() + patience
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise NotStarted(f"{self.command()[0]}: {self.tail()}")
            time.sleep(0.02)

    def _spawn(self, log: IO[bytes]) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.root, start_new_session=True
        )

    def answers(self) -> bool:
        """Whether a connection can be made."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=2):
            return True
        return False

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def tail(self, lines: int = 30) -> str:
        """The end of its log."""
        if not self.log.exists():
            return "no log"
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:])

    def stop(self, patience: float = 10) -> int:
        """End it as a person would, and return its exit status; killed after `patience` seconds."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        self.kill()
        return int(self.process.returncode)

    def kill(self) -> None:
        """End it and all it started, at once."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def remove(self) -> None:
        """Kill it where it still runs, and remove its directory."""
        self.kill()
        shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


class Ours(Running):
    """This project's server."""

    def prepare(self) -> None:
        lines = ["[server]", f"port = {self.port}", f'users = "{self.root / "users"}"']
        lines += [f'state = "{self.root / "state"}"']
        lines += _toml({"listen": '["127.0.0.1"]', "rdma": '"off"', **self.settings})
        for name in self.share_names:
            lines += [f'[share."{name}"]', f'path = "{self.path(name)}"', *_toml(self.shares.get(name, {}))]
        (self.root / "config.toml").write_text("\n".join(lines) + "\n")
        for name in names():
            subprocess.run(
                [program("smbdirect-user"), "add", name, "--users", str(self.root / "users")],
                input=f"{PASSWORD}\n".encode(), check=True, capture_output=True,
            )  # fmt: skip

    def command(self) -> list[str]:
        return [program("smbdirect-serve"), "--config", str(self.root / "config.toml")]


class Samba(Running):
    """Samba's smbd, with every path of its own under the server's directory. Only root can run it."""

    def prepare(self) -> None:
        places = ("lock", "state", "cache", "pid", "private")
        lines = ["[global]", "interfaces = 127.0.0.1/8", "bind interfaces only = yes", f"smb ports = {self.port}"]
        lines += [f"{place} directory = {self.root / place}" for place in places]
        lines += [f"ncalrpc dir = {self.root / 'ncalrpc'}"]
        lines += ["workgroup = WORKGROUP", "netbios name = localhost", "server role = standalone server"]
        lines += ["passdb backend = tdbsam", "load printers = no", "disable spoolss = yes", "log level = 1"]
        lines += [f"{key} = {value}" for key, value in self.settings.items()]
        for name in self.share_names:
            lines += [f"[{name}]", f"path = {self.path(name)}", "read only = no"]
            lines += [f"{key} = {value}" for key, value in self.shares.get(name, {}).items()]
        for place in (*places, "ncalrpc"):
            (self.root / place).mkdir(mode=0o755)
        (self.root / "smb.conf").write_text("\n".join(lines) + "\n")
        for name in names():
            subprocess.run(
                ["smbpasswd", "-c", str(self.root / "smb.conf"), "-L", "-s", "-a", name],
                input=f"{PASSWORD}\n{PASSWORD}\n".encode(), check=True, capture_output=True,
            )  # fmt: skip

    def command(self) -> list[str]:
        return ["smbd", "--foreground", "--no-process-group", "--debug-stdout", "-s", str(self.root / "smb.conf")]


def missing(*programs: str) -> list[str]:
    """Those of `programs` that are not installed."""
    found = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin:/sbin"
    return [name for name in programs if shutil.which(name, path=found) is None]


def program(name: str) -> str:
    """A program this project installs, of the same environment as the running interpreter."""
    return str(Path(sys.executable).with_name(name))


def _toml(settings: Mapping[str, str]) -> list[str]:
    return [f'"{key}" = {value}' for key, value in settings.items()]
