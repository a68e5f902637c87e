"""What the Linux kernel's client does when it loses its connection to this server; run inside the lab by test_lost.py.

    python -m server.tests.clients.lab_lost OPTIONS...

For each mount OPTIONS: a program holds a file open, writes it block after block while its connection is cut again and
again, and reads it back. It must be the file that was written, and the very open that the server had in the beginning.
A line of JSON a mount says how it went, as `lab_mounts` does.
"""

import errno
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy

from server.control.client import ask
from server.control.protocol import Request
from server.testing import PASSWORD, Ours, names

from .lab_mounts import MOUNT, run, same

BLOCK, BLOCKS, CUTS = 1 << 20, 48, 6
LOST = (errno.EAGAIN, errno.ECONNABORTED, errno.EBADF)
"""What cifs.ko says of a request that was under way when its connection was lost; EBADF, where it has then flushed
the file before it asked for that again."""


class Line:
    """A TCP port that leads to the server's, and whose connections can be cut."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            far = socket.create_connection(("127.0.0.1", self._to))
            self._ends += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 18):
                sink.sendall(data)
        for end in (source, sink):
            _end(end)

    def cut(self) -> None:
        ends, self._ends = self._ends, []
        for end in ends:
            _end(end)


def _end(end: socket.socket) -> None:
    with suppress(OSError):  # it may have ended already
        end.shutdown(socket.SHUT_RDWR)


@contextmanager
def mounted(line: Line, options: str) -> Iterator[Path]:
    who = f"username={names()[0]},password={PASSWORD},port={line.port}"
    MOUNT.mkdir(exist_ok=True)
    run("mount", "-t", "cifs", "//127.0.0.1/data", MOUNT, "-o", f"{who},{options}")
    try:
        yield MOUNT
    finally:
        run("umount", MOUNT)


def opens(server: Ours) -> list[str]:
    """The ids of what is open of the file."""
    return [row["id"] for row in ask(server.root / "state", Request("opens", ())) if row["path"] == "/file"]


def block(number: int) -> bytes:
    start = number * BLOCK
    return numpy.arange(start, start + BLOCK, 8, dtype="<u8").tobytes()


def write(file: int, number: int) -> None:
    """Write a block until it is stored: a request that the cut has met fails."""
    while True:
        try:
            os.pwrite(file, block(number), number * BLOCK)
            os.fsync(file)
            return
        except OSError as error:
            if error.errno not in LOST:
                raise


def written_through_cuts(server: Ours, line: Line, options: str) -> None:
    with mounted(line, options) as mount:
        file = os.open(mount / "file", os.O_RDWR | os.O_CREAT)
        try:
            os.write(file, block(0))
            os.fsync(file)
            before = opens(server)
            cutting = threading.Thread(target=_cut, args=(line,))
            cutting.start()
            for number in range(BLOCKS):
                write(file, number)
            cutting.join()
            for number in range(BLOCKS):
                same(True, os.pread(file, BLOCK, number * BLOCK) == block(number), f"block {number}, read back")
            same(before, opens(server), "what is open")
        finally:
            os.close(file)
    stored = (server.path() / "file").read_bytes()
    same(b"".join(map(block, range(BLOCKS))) == stored, True, "what is stored")


def _cut(line: Line) -> None:
    for _ in range(CUTS):
        time.sleep(0.4)
        line.cut()


def main(*mounts: str) -> None:
    with Ours(under=Path("/srv")) as server:
        line = Line(server.port)
        for options in mounts:
            server.clear()
            try:
                written_through_cuts(server, line, options)
                said = ""
            except (AssertionError, OSError) as error:
                said = f"{error}\n{server.tail()}"
            print(json.dumps({"mount": options, "failure": said}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
