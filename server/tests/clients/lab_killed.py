"""What the Linux kernel's client does when this server is killed under it; run in the lab by test_killed.py.

    python -m server.tests.clients.lab_killed WHERE:OPTIONS...

For each mount, WHERE being tcp, rxe or siw: a program locks a byte of a file, writes block after block, and reads all
of it back, while the server is killed and started again, twice, in the middle of it. It must see no error (but see
`synced`), and what is stored must be what it wrote. Another client, a mount of its own, has the file open all the time:
the byte must be locked for it all the while, and free once the program has ended. A line of JSON a mount says how it
went.
"""

import errno
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy

from benchmarks.peers import OverRdma
from server.control.client import Failed, ask
from server.control.protocol import Request
from server.testing import PASSWORD, names

from .lab_mounts import run, same

BLOCK, BLOCKS, SYNCED, KILLS = 1 << 20, 64, 4, (16, 40)
"""Bytes, how many are written, after how many there is an fsync, and at which of them the server is killed."""
LOCKED = 1 << 40
ADDRESSES = {"tcp": "10.99.9.1", "rxe": "10.99.0.1", "siw": "10.99.2.1"}
PATIENCE = 90
"""Seconds that the program may take for the rest when the server is there again."""


def block(number: int) -> bytes:
    start = number * BLOCK
    return numpy.arange(start, start + BLOCK, 8, dtype="<u8").tobytes()


def write(path: str) -> None:
    """The program. It says each block that it has written, and ends when it is told."""
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.lockf(file, fcntl.LOCK_EX, 1, LOCKED)
    for first in range(0, BLOCKS, SYNCED):
        numbers = range(first, first + SYNCED)
        for number in numbers:
            put(file, number)
            print(number, flush=True)
        while not synced(file):
            for number in numbers:
                put(file, number)
    assert all(os.pread(file, BLOCK, number * BLOCK) == block(number) for number in range(BLOCKS)), "read back"
    print("whole", flush=True)
    sys.stdin.read()
    os.close(file)


def put(file: int, number: int) -> None:
    assert os.pwrite(file, block(number), number * BLOCK) == BLOCK


def synced(file: int) -> bool:
    """Whether an fsync worked. One that finds the connection just lost may fail with EAGAIN (Linux 7.2, one run in some
    five; with Samba more often): then the kernel has given up what was still to be written, and a program has to write
    it again. `cifs_issue_write` ends a write so whose connection has just gone, and does not mark it for repetition."""
    try:
        os.fsync(file)
    except BlockingIOError:
        time.sleep(0.1)
        return False
    return True


@contextmanager
def mounted(where: str, options: str, at: Path) -> Iterator[Path]:
    """Not shared with other mounts: a client of its own."""
    who = f"username={names()[0]},password={PASSWORD}"
    rdma = "" if where == "tcp" else ",rdma"
    at.mkdir(exist_ok=True)
    run("mount", "-t", "cifs", f"//{ADDRESSES[where]}/data", at, "-o", f"{who},hard,nosharesock,{options}{rdma}")
    try:
        yield at
    finally:
        run("umount", at)


def opens(server: OverRdma) -> list[tuple[str, int]]:
    """For each open of the file whether it is its client's, and how many locks it has; of a server just started too."""
    end = time.monotonic() + 10
    while True:
        with suppress(Failed):
            rows = ask(server.root / "state", Request("opens", ()))
            return sorted((row["disconnected"], row["locks"]) for row in rows if row["path"] == "/file")
        if time.monotonic() > end:
            raise AssertionError("the server does not answer")
        time.sleep(0.05)


def is_free(file: int) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, LOCKED)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    fcntl.lockf(file, fcntl.LOCK_UN, 1, LOCKED)
    return True


def written_through_kills(server: OverRdma, where: str, options: str) -> None:
    with ExitStack() as stack:
        mine = stack.enter_context(mounted(where, options, Path("/run/mine")))
        theirs = stack.enter_context(mounted(where, options, Path("/run/theirs")))
        (server.path() / "file").touch()
        (server.path() / "file").chmod(0o666)
        other = os.open(theirs / "file", os.O_RDWR)
        stack.callback(os.close, other)
        program = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, "--write", str(mine / "file")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        stack.callback(program.kill)
        assert program.stdout is not None
        for kill in KILLS:
            _until(program, str(kill))
            same([(False, 0), (False, 1)], opens(server), "before the server is killed")
            server.kill()
            server.start()
            same([0, 1], [locks for _, locks in opens(server)], "the locks when it is there again")
        same(False, is_free(other), "whether the byte is free")
        _until(program, "whole")
        _, complaints = program.communicate(timeout=PATIENCE)
        same((0, ""), (program.returncode, complaints), "how the program ended")
        same(True, is_free(other), "whether the byte is free in the end")
    same(True, (server.path() / "file").read_bytes() == b"".join(map(block, range(BLOCKS))), "what is stored")


def _until(program: "subprocess.Popen[str]", said: str) -> None:
    """Read what it says up to that."""
    assert program.stdout is not None and program.stderr is not None
    for line in program.stdout:
        if line.strip() == said:
            return
    raise AssertionError(f"the program ended with {program.wait()} before {said}: {program.stderr.read()}")


def main(*mounts: str) -> None:
    if mounts[:1] == ("--write",):
        write(mounts[1])
        return
    server = OverRdma(Path("/srv"))
    server.shares = {"data": {"continuous availability": "true"}}
    with server:
        for mount in mounts:
            where, _, options = mount.partition(":")
            server.clear()
            try:
                written_through_kills(server, where, options)
                said = ""
            except (AssertionError, OSError, subprocess.SubprocessError) as error:
                said = f"{error}\n{server.tail()}"
            print(json.dumps({"mount": mount, "failure": said}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
