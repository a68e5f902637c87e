"""This server and Samba side by side on the loopback address, for the benchmarks that take turns with them."""

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from server.status import Status
from server.testing import NotStarted, Ours, Running, Samba, names
from smbdirect.wire import Malformed
from transport.base import Lost

from .grid import Grid
from .peers import OURS, SAMBA

FAILED = (Lost, Malformed, Status, OSError)
SPAN = 16 << 20
"""Bytes of each file that is read and written; all of them stay in the page cache."""
FILES = 16
WIDEST = "16M"


@dataclass(frozen=True, slots=True)
class Servers:
    """Those that take turns, started with their default settings; `wide` is this one with the largest `io size`."""

    ours: Ours
    wide: Ours
    samba: Samba | None
    """None where it cannot be started, as by anyone but root."""
    under: Path | None
    """Where the shares lie."""

    def named(self, turn: int) -> list[tuple[str, Running]]:
        """In the order of a turn, of which each second one is the other way round."""
        pair: list[tuple[str, Running]] = [(OURS, self.ours)]
        if self.samba is not None:
            pair.append((SAMBA, self.samba))
        return pair if turn % 2 == 0 else pair[::-1]


class Part(Protocol):
    """Something to be measured beside Samba in turns."""

    grids: list[Grid]

    def take(self, servers: Servers, turn: int, seconds: float) -> None:
        """One turn, each figure of which takes about so many seconds."""


class ServiceUser(Ours):
    """This server as a user without rights, whoever logs on; the account is the one that does."""

    def prepare(self) -> None:
        super().prepare()
        for place in (self.root, *self.root.iterdir()):
            shutil.chown(place, names()[0])

    def command(self) -> list[str]:
        return ["setpriv", f"--reuid={names()[0]}", f"--regid={names()[0]}", "--clear-groups", *super().command()]


@contextmanager
def started(under: Path | None) -> Iterator[Servers]:
    """All of them, each with the files of the benchmarks in its share."""
    with ExitStack() as stack:
        ours = stack.enter_context(Ours(under=under))
        wide = stack.enter_context(Ours({"io size": f'"{WIDEST}"'}, under=under))
        samba = start(Samba(under=under), stack)
        for server in filter(None, (ours, wide, samba)):
            lay(server)
        yield Servers(ours, wide, samba, under)


S = TypeVar("S", bound=Running)


def start(server: S, stack: ExitStack) -> S | None:
    """`server`, running until the end of `stack`; None where it cannot be started, and why is printed."""
    try:
        stack.enter_context(server)
        return server
    except (NotStarted, OSError, subprocess.SubprocessError) as failure:
        print(f"{type(server).__name__}: {failure}", flush=True)
        return None


def lay(server: Running, count: int = FILES) -> None:
    """The first `count` files, which belong to who logs on."""
    data = random.Random(1).randbytes(SPAN)
    for number in range(count):
        path = server.path() / file_name(number)
        path.write_bytes(data)
        if os.geteuid() == 0:
            shutil.chown(path, names()[0])


def file_name(number: int) -> str:
    return f"load {number}"


def attempt(what: str, measure: Callable[[], None]) -> None:
    """Measure, or say why that could not be done."""
    try:
        measure()
    except FAILED as failure:
        print(f"{what}: {failure}", flush=True)
