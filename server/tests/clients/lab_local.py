"""The Linux kernel's client and local programs at the same files; run inside the lab by test_local.py.

    python -m server.tests.clients.lab_local OPTIONS...

For each mount OPTIONS: what a local program changes in the share is read back by the mount at once, what the mount has
not written back yet is there when a local program reads, and each finds the other's locks. A line of JSON a mount says
how it went, as lab_mounts says it.
"""

import fcntl
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from server.store import kernel_calls
from server.testing import Ours

from .lab_mounts import mounted, same

ROUNDS = 30
SOON = 2.0
"""Seconds in which a directory is told of what has been done in it; the client keeps one for 30 otherwise."""


def changed_by_a_local_program(mount: Path, local: Path, rounds: int = ROUNDS) -> None:
    """Between opens, and while the client has the file open and has read it.

    All it is changed to is as long: this kernel's client (7.2) may take for zeros what lies beyond the size it knew of,
    also where another client of Samba's has written there.
    """
    (mount / "file").write_text("first  0")
    for number in range(rounds):
        with (mount / "file").open() as file:
            file.read()
            (local / "file").write_text(f"local {number:2}")
            file.seek(0)
            same(f"local {number:2}", file.read(), "read from a file that was open")
        (local / "file").write_text(f"again {number:2}")
        same(f"again {number:2}", (mount / "file").read_text(), "read anew")


def not_written_back_yet(mount: Path, local: Path) -> None:
    """Each time by a new open, which caches again: who may not keep what it writes sends it when it likes, this client
    does, and is not asked for it."""
    (mount / "cached").touch()
    for number in range(ROUNDS):
        with (mount / "cached").open("r+") as file:
            file.write(f"client {number:6}")
            file.flush()  # as far as the client's kernel
            same(f"client {number:6}", (local / "cached").read_text(), "read by a local program")


def not_written_back_yet_when_it_goes(mount: Path, local: Path, disk: Path | None = None) -> None:
    """A local program that renames, links, removes or changes a file waits for what the mount has of it: its size on
    the `disk` says so, which is asked for without opening it."""
    if not kernel_calls.offers_delegations():
        return
    for number, change in enumerate(GOES):
        (mount / "going").touch()
        with (mount / "going").open("r+") as file:
            file.write("x" * number)
            file.flush()
            inode = os.open((disk or local) / "going", os.O_PATH)
            same(0, os.fstat(inode).st_size, "written back without being asked")
            change(str(local / "going"))
            same(number, os.fstat(inode).st_size, f"written back before change {number}")
            os.close(inode)
        (local / "going").unlink(missing_ok=True)


GOES: tuple[Callable[[str], None], ...] = (
    lambda path: None,
    lambda path: os.rename(path, path + " away"),
    lambda path: os.unlink(path),
    lambda path: os.chmod(path, 0o600),
    lambda path: os.chown(path, 1, 1),
    lambda path: os.link(path, path + " too"),
)


def one_writes_after_the_other(mount: Path, local: Path) -> None:
    (mount / "log").touch()
    for number in range(ROUNDS):
        with ((mount, local)[number % 2] / "log").open("a") as file:
            file.write(f"{number}\n")
    lines = "".join(f"{number}\n" for number in range(ROUNDS))
    same(lines, (local / "log").read_text(), "appended in turns")


def listed_again(mount: Path, local: Path) -> None:
    (mount / "d").mkdir()
    for number in range(ROUNDS):
        before = {path.name for path in (mount / "d").iterdir()}
        (local / "d" / f"{number}").touch()
        _soon(mount / "d", before | {f"{number}"})
        (local / "d" / f"{number}").rename(local / "d" / f"{number} renamed")
        _soon(mount / "d", before | {f"{number} renamed"})


def _soon(directory: Path, names: set[str]) -> None:
    end = time.monotonic() + SOON
    while {path.name for path in directory.iterdir()} != names:
        if time.monotonic() > end:
            raise AssertionError(f"a directory is not told within {SOON:g} s of what was done in it")
        time.sleep(0.01)


def locked_by_both(mount: Path, local: Path) -> None:
    (mount / "locked").write_text("x" * 100)
    with (mount / "locked").open("r+") as client, (local / "locked").open("r+") as program:
        _lock(client, 0, 10)
        _refused(program, 5, 10)
        _lock(program, 20, 10)
        _refused(client, 25, 10)
        fcntl.lockf(program, fcntl.LOCK_UN)
        _lock(client, 25, 10)


def _lock(file: object, begin: int, length: int) -> None:
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, length, begin)  # type: ignore[arg-type]


def _refused(file: object, begin: int, length: int) -> None:
    try:
        _lock(file, begin, length)
    except OSError:
        return
    raise AssertionError(f"{length} bytes at {begin} are locked by both sides")


STEPS = (
    changed_by_a_local_program,
    not_written_back_yet,
    not_written_back_yet_when_it_goes,
    one_writes_after_the_other,
    listed_again,
    locked_by_both,
)


def failure(server: Ours, options: str) -> str:
    server.clear()
    with mounted(server, options) as mount:
        for step in STEPS:
            try:
                step(mount, server.path())
            except (AssertionError, OSError) as error:
                return f"{step.__name__}: {error!r}\n{server.tail()}"
    return ""


def main(*mounts: str) -> None:
    server = Ours(under=Path("/srv"))
    with server:
        for mount in mounts:
            begun = time.monotonic()
            report = {"mount": mount, "failure": failure(server, mount), "seconds": round(time.monotonic() - begun, 1)}
            print(json.dumps(report), flush=True)
        status = server.stop()
        print(json.dumps({"mount": "end", "failure": "" if status == 0 else f"status {status}"}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
