"""`make serve`: a share, a user and a running server from nothing, and the lines a person types next.

The share is made where it is absent, and then belongs to the Unix account that the user acts as. The user's
password is random; it is printed when it is made, and kept with the rest of the state in a directory that only
its owner can read.
"""

import argparse
import errno
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .config import Config

PORT, OTHER_PORT = 445, 4455
NAME = "smb"
"""The user where there is no person's account to name it after: root's quick start without sudo."""


def user_name() -> str:
    """The person who started this; never root, whom no password over the network should be."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    return os.environ.get("SUDO_USER") or NAME


def make_share(path: Path, user: str) -> None:
    """Make the directory where it is absent; as root, for the account that `user` acts as."""
    if path.is_dir():
        return
    path.mkdir(parents=True)
    if os.geteuid() == 0:
        accounts = {entry.pw_name for entry in pwd.getpwall()}
        owner = pwd.getpwnam(user if user in accounts else Config().guest_account)
        os.chown(path, owner.pw_uid, owner.pw_gid)


def make_user(state: Path, user: str) -> str:
    """Have `user` in the users' file; its new password, or "" where it has one already."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    state.chmod(0o700)
    kept = state / "password"
    if kept.exists() and (state / "users").exists():
        return ""
    password = secrets.token_urlsafe(12)
    command = [str(Path(sys.executable).with_name("smbdirect-user")), "add", user, "--users", str(state / "users")]
    subprocess.run(command, input=f"{password}\n".encode(), check=True, stdout=subprocess.DEVNULL)
    with os.fdopen(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(f"{password}\n")
    return password


def usable_port() -> int:
    """445 where this process may listen there and nobody does, else 4455."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", PORT))
        except OSError as error:
            reason = "is taken" if error.errno == errno.EADDRINUSE else "may not be bound by this user"
            print(f"Port {PORT} {reason}; this is port {OTHER_PORT}.")
            return OTHER_PORT
    return PORT


def own_address() -> str:
    """The address by which this machine reaches others; no packet is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def instructions(host: str, share: str, user: str, port: int) -> str:
    """What to type on each kind of client; all of them ask for the password."""
    other = port != PORT
    windows = f"net use Z: \\\\{host}\\{share} /user:{user} *" + (f" /tcpport:{port}" if other else "")
    rows = [
        ("smbclient", f"smbclient //{host}/{share} -U {user}" + (f" -p {port}" if other else "")),
        ("Linux", f"sudo mount -t cifs //{host}/{share} /mnt -o username={user},uid=$(id -u),gid=$(id -g)"
                  + (f",port={port}" if other else "")),
        ("Windows", windows + ("   (Windows 11 24H2 or Server 2025)" if other else "")),
        ("macOS", f"open smb://{user}@{host}{f':{port}' if other else ''}/{share}"),
    ]  # fmt: skip
    return "\n".join(f"  {system:10} {line}" for system, line in rows)


def main(argv: Sequence[str] | None = None) -> None:
    """Prepare, print, and become `smbdirect-serve`."""
    parser = argparse.ArgumentParser(prog="make serve", description=__doc__)
    parser.add_argument("--share", type=Path, default=Path("export"), help="the directory to serve (default ./export)")
    parser.add_argument("--state", type=Path, default=Path(".state"), help="where users and state are kept")
    options = parser.parse_args(argv)
    path, state = options.share.absolute(), options.state.absolute()
    name = path.name or "export"
    user = user_name()
    make_share(path, user)
    password = make_user(state, user)
    port = usable_port()
    said = f"Its password is {password} (kept in {state / 'password'})" if password else f"See {state / 'password'}"
    print(f"Serving {path} as {name} on port {port} for the user {user}. {said}.\nFrom a client:")
    print(instructions(own_address(), name, user, port))
    if shutil.which("smbclient") is None:
        print("  (smbclient: sudo apt install smbclient; mount -t cifs: sudo apt install cifs-utils)")
    sys.stdout.flush()
    serve = str(Path(sys.executable).with_name("smbdirect-serve"))
    arguments = [
        "--share",
        f"{name}={path}",
        "--port",
        str(port),
        "--users",
        str(state / "users"),
        "--state",
        str(state),
    ]
    os.execv(serve, [serve, *arguments])


if __name__ == "__main__":
    main()
