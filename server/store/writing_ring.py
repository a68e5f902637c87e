"""Writing without a thread: the kernel's own workers do it, through io_uring, and the event loop hears of what is done.

A thread of ours costs a write several times what the write takes: it is woken, needs the interpreter's lock before and
after, and wakes the loop. The kernel writes what a file system can take without waiting (XFS, Btrfs) at once, and
leaves the rest to workers, one for a file at a time: so those who write one file do not wait spinning for its inode.

Each write is submitted by a system call of its own that never waits. Its buffer is the kernel's until it is done.
"""

import asyncio
import contextlib
import ctypes
import select
import struct

from smbdirect.wire import Buffer

from . import syscalls
from .base import Credentials
from .loan import Loan
from .ring import COUNT, SQE, Ring

_WORKERS = 64
"""As many the kernel may have at most, but not more than four for each processor."""
_MOST = 2 * _WORKERS
"""Writes under way: the completions that a ring of so many submissions has room for."""
_WRITE = 23
_BY_WORKER = 1 << 4
_LARGE = 1 << 17
"""Bytes from which on copying them takes longer than handing them to a worker."""
_COMPLETION = struct.Struct("<Qi4x")


class WritingRing(Ring):
    """For one event loop at a time."""

    def __init__(self) -> None:
        super().__init__(_WORKERS)
        self._under_way: dict[int, tuple[Loan, object]] = {}
        """By number, with what holds the buffer."""
        self._loop: asyncio.AbstractEventLoop | None = None

    def write(self, credentials: Credentials | None, descriptor: int, part: Buffer, offset: int) -> Loan | None:
        """Write `part` as an account that has been introduced, or (None) as the process. The loan's result is how many
        bytes were written, perhaps not all, or an error's number below 0. None where a thread must do it."""
        personality = 0 if credentials is None else self._personalities.get(credentials)
        length = len(part)
        if personality is None or not length or offset >> 63 or len(self._under_way) >= _MOST or not self._is_heard():
            return None
        try:
            held = ctypes.c_char.from_buffer(part)
        except TypeError:  # it cannot be written to, and ctypes tells no other's address
            return None
        loan = Loan(loop=self._loop)
        number, flags = self._submitted, _BY_WORKER if length >= _LARGE else 0
        address = ctypes.addressof(held)
        SQE.pack_into(
            self._entries, 0, _WRITE, flags, 0, descriptor, offset, address, length, 0, number, 0, personality, 0, 0, 0
        )
        self._under_way[number] = loan, held
        if not self._submit():
            del self._under_way[number]
            return None
        self._hear()
        return loan

    def _is_heard(self) -> bool:
        """Whether the running loop hears of what is done."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            if self._under_way and self._loop is not None and not self._loop.is_closed():
                return False
            loop.add_reader(self._descriptor, self._hear)
            self._loop = loop
        return True

    def _submit(self) -> bool:
        """Have the kernel take the entry; False where it does not."""
        submitted = self._submitted + 1 & COUNT
        self._words[self._tail] = submitted
        try:
            syscalls.io_uring_enter(self._descriptor, 1, 0, 0)
        except OSError:
            self._words[self._tail] = self._submitted
            return False
        self._submitted = submitted
        return True

    def _hear(self) -> None:
        """Give back what is done."""
        while self._completed != self._words[self._end]:
            at = self._results + (self._completed & self._mask) * _COMPLETION.size
            number, count = _COMPLETION.unpack_from(self._queues, at)
            self._completed = self._words[self._head] = self._completed + 1 & COUNT
            loan, _ = self._under_way.pop(number)
            with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits any more
                loan.set_result(count)

    def close(self) -> None:
        """Let what is under way end."""
        while self._under_way:
            select.select([self._descriptor], [], [])
            self._hear()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._descriptor)
        super().close()
