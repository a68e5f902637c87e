"""Frames as files of a mounted file system, or in one file, by threads: past the page cache where that can be."""

import asyncio
import errno
import mmap
import os
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter

from .figures import Frame
from .place import Mode, Place, Refused, Task
from .sizes import LARGEST

ALIGNMENT = 4096
"""What O_DIRECT wants of memory, offsets and lengths on every disk there is."""
_FLAGS = {
    Mode.READ: os.O_RDONLY,
    Mode.WRITE: os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    Mode.EMPTY: os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
}


def aligned(length: int) -> int:
    return -(-length // ALIGNMENT) * ALIGNMENT


@asynccontextmanager
async def mounted(path: Path, task: Task, threads: int, buffered: bool) -> AsyncIterator["Mounted"]:
    """The directory or file `path`; a directory is made where frames are written. Raises OSError."""
    if task.mode is not Mode.READ and not task.stream:
        path.mkdir(exist_ok=True)
    with ThreadPoolExecutor(threads, "frames") as pool:
        place = Mounted(path, task, pool, buffered)
        try:
            yield place
        finally:
            pool.shutdown()
            place.close()


class Mounted(Place):
    """Made by `mounted`."""

    def __init__(self, path: Path, task: Task, pool: ThreadPoolExecutor, buffered: bool) -> None:
        self._path = path
        self._task = task
        self._pool = pool
        self._flags = _FLAGS[task.mode] | os.O_CLOEXEC
        self._direct, self.how = (False, "through the page cache, as asked") if buffered else self._probe()
        if self._direct:
            self._flags |= os.O_DIRECT
        self._transfer: Callable[[int, int], int] = {
            Mode.READ: self._read, Mode.WRITE: self._write, Mode.EMPTY: lambda file, offset: 0
        }[task.mode]  # fmt: skip
        self._memory = threading.local()
        self._payload = _filled(task.size or 0) if task.mode is Mode.WRITE else None
        self._file = os.open(path, self._flags, 0o666) if task.stream else -1

    async def frame(self, number: int) -> Frame:
        work = self._part if self._task.stream else self._whole
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, number)

    def close(self) -> None:
        """To be called when no frame is under way."""
        if self._file >= 0:
            os.close(self._file)

    def _probe(self) -> tuple[bool, str]:
        """Whether the page cache can be passed by, and what is to be told."""
        task = self._task
        if task.mode is Mode.EMPTY:
            return False, "no data"
        if (task.mode is Mode.WRITE or task.stream) and (task.size or 0) % ALIGNMENT:
            return False, f"through the page cache: {task.size} bytes are not a multiple of {ALIGNMENT}"
        try:
            first = self._path if task.stream else self._path / task.names.of(0)
            os.close(os.open(first, self._flags & ~os.O_TRUNC | os.O_DIRECT, 0o666))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return False, "through the page cache: the file system has no O_DIRECT"
        return True, "past the page cache (O_DIRECT)"

    # -- in threads of the pool ------------------------------------------------------------------------------

    def _whole(self, number: int) -> Frame:
        """A frame in a file of its own."""
        begun = perf_counter()
        file = os.open(self._path / self._task.names.of(number), self._flags, 0o666)
        opened = perf_counter()
        try:
            size = self._transfer(file, 0)
            moved = perf_counter()
        finally:
            os.close(file)
        return Frame(number, begun, opened - begun, moved - opened, perf_counter() - moved, size)

    def _part(self, number: int) -> Frame:
        """A frame in the one file."""
        begun = perf_counter()
        size = self._transfer(self._file, number * (self._task.size or 0))
        return Frame(number, begun, 0.0, perf_counter() - begun, 0.0, size)

    def _write(self, file: int, offset: int) -> int:
        assert self._payload is not None
        size = len(self._payload)
        for at, end in self._pieces(size):
            while at < end:
                at += os.pwrite(file, self._payload[at:end], offset + at)
        return size

    def _read(self, file: int, offset: int) -> int:
        size = self._task.size or os.fstat(file).st_size
        if size > LARGEST:
            raise Refused(f"a frame of {size} bytes: {LARGEST} at most, which -z can say")
        room = self._room(size)
        for at, end in self._pieces(aligned(size) if self._direct else size):
            while at < min(end, size):
                count = os.preadv(file, [room[at:end]], offset + at)
                if not count:
                    raise Refused(f"a frame ends after {at} of {size} bytes")
                at += count
        return size

    def _pieces(self, size: int) -> list[tuple[int, int]]:
        """Where each I/O of a frame begins and ends."""
        step = aligned(-(-size // self._task.pieces)) or ALIGNMENT
        return [(at, min(at + step, size)) for at in range(0, size, step)]

    def _room(self, size: int) -> memoryview:
        """This thread's memory for a frame."""
        room: memoryview | None = getattr(self._memory, "room", None)
        if room is None or len(room) < aligned(size):
            room = self._memory.room = memoryview(mmap.mmap(-1, aligned(size) or ALIGNMENT))
        return room


def _filled(size: int) -> memoryview:
    """Page-aligned memory with what does not compress."""
    memory = mmap.mmap(-1, size)
    memory.write(os.urandom(size))
    return memoryview(memory)
