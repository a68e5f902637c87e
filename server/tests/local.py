"""What the tests of local changes share: a share on the disk, what is heard of it, and processes that change it."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path as OnDisk

import pytest

from server.store import fanotify, watching
from server.store.fanotify import Group
from server.store.following import Followed, LocalChange, LocalKind
from server.store.posix import PosixStore
from server.store.watching import Watching
from server.tests.stores import posix_store

ADDED, REMOVED, RENAMED, WRITTEN, SET = LocalKind
PATIENCE = 30
"""Seconds after which something that should be heard is not waited for any more."""


def _hears(directory: OnDisk) -> bool:
    """Whether this kernel lets us, and the file system there has what it takes."""
    try:
        group = Group()
    except (OSError, AttributeError):
        return False
    descriptor = os.open(directory, os.O_PATH)
    try:
        fanotify.handle_of(descriptor)
        group.mark(descriptor)
    except OSError:
        return False
    finally:
        os.close(descriptor)
        group.close()
    return True


NEEDS_FANOTIFY = pytest.mark.skipif(
    not _hears(OnDisk(tempfile.gettempdir())), reason="no fanotify with names for this process here"
)


def run(directory: OnDisk, *command: str) -> None:
    """All of it has happened when this returns, and nothing has been heard of it yet."""
    subprocess.run(command, cwd=directory, check=True)


class Here:
    """A share in a directory, what is heard of it, and another process that changes it."""

    def __init__(self, directory: OnDisk, most: int = watching.MOST, **settings: object) -> None:
        self.directory = directory
        self.store: PosixStore = posix_store(directory, **settings)
        self.changes: list[LocalChange] = []
        self.losses = 0
        self._more = asyncio.Event()
        follower = Watching(
            Group(), self.store.resolver, self.store.threads, self.store.vetoed, self._heard, self._lost, most
        )
        self.follower = follower

    def _heard(self, changes: Sequence[LocalChange]) -> None:
        self.changes += changes
        self._more.set()

    def _lost(self) -> None:
        self.losses += 1

    async def quiet(self) -> None:
        """Once what was to be looked at has been looked at."""
        while self.follower._task is not None:
            await asyncio.wait([self.follower._task])

    async def follow(self, *path: str, tree: bool = False) -> Followed:
        followed = await self.follower.follow(path, tree)
        assert followed is not None
        return followed

    async def shell(self, script: str) -> list[LocalChange]:
        """What is heard of a script, which is run by another process."""
        return await self.process("sh", "-ec", script)

    async def python(self, script: str) -> list[LocalChange]:
        """The same in Python: all is done by one process, so that the kernel may merge it."""
        return await self.process(sys.executable, "-c", script)

    async def process(self, *command: str) -> list[LocalChange]:
        """Everything up to a last mark in the share's root has been heard when this returns."""
        run(self.directory, *command)
        run(self.directory, "mkdir", "end")
        async with asyncio.timeout(PATIENCE):
            while not any(change.path == ("end",) for change in self.changes):
                self._more.clear()
                await self._more.wait()
        run(self.directory, "rmdir", "end")
        async with asyncio.timeout(PATIENCE):
            while not any(change.path == ("end",) and change.kind is REMOVED for change in self.changes):
                self._more.clear()
                await self._more.wait()
        found = [change for change in self.changes if change.path != ("end",)]
        self.changes.clear()
        return found


def hearing(test: Callable[[Here], Awaitable[None]], directory: OnDisk, **settings: object) -> None:
    """Run `test` with a share in `directory` whose root is followed alone."""

    async def use() -> None:
        here = Here(directory, **settings)  # type: ignore[arg-type]
        root = await here.follow()
        try:
            await test(here)
        finally:
            root.close()
            await here.quiet()
            assert not here.follower.tree.by_handle, "a directory is still followed"
            here.follower.close()
            here.follower.close()
            await here.store.close()
        assert len(asyncio.all_tasks()) == 1

    before = set(os.listdir("/proc/self/fd"))
    asyncio.run(use())
    assert set(os.listdir("/proc/self/fd")) == before, "a descriptor was left open"


def said(changes: Sequence[LocalChange]) -> list[tuple[LocalKind, str]]:
    return [(change.kind, "/".join(change.path)) for change in changes]
