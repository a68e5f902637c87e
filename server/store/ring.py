"""Calls as an account without becoming it: the personalities of io_uring, and files opened so.

An identity thread introduces the credentials it acts with. From then on the event loop's thread may open files with
them: the kernel checks the call as that account's, and the thread's own credentials stay what they are, to the pointer
(verbs compare it). Files are opened this way only where that never waits (RESOLVE_CACHED), one at a time, each
submitted and completed by one system call, so none is ever left under way.

Where there is no io_uring (a container's filter, /proc/sys/kernel/io_uring_disabled) there is no ring, and what it is
for is done in threads.
"""

import ctypes
import mmap
import os
import struct
import threading

from . import syscalls
from .base import Credentials

_MOST = 1024
"""Accounts that are known at a time; the one that came first makes room."""
_OPENAT2 = 28
_GETEVENTS = 1
_REGISTER_PERSONALITY, _UNREGISTER_PERSONALITY = 9, 10
_SQES_AT = 0x10000000
"""Where in the ring's descriptor the submissions are mapped."""
SQE = struct.Struct("<BBHiQQIIQHHiQQ")
"""struct io_uring_sqe: opcode, flags, ..., descriptor, offset or how, address, length, ..., number, ..., personality,
..."""
_DIRECTORY_AT, _HOW_AT, _PERSONALITY_AT = 1, 1, 21
"""Fields of it, in units of their own size."""
_PARAMETERS = 120
_PLACES = struct.Struct("<4xI")
"""Of struct io_uring_params: cq_entries."""
_OFFSETS = struct.Struct("<40x 8I8x 8I8x")
"""Of struct io_uring_params the offsets: head, tail, mask, entries, flags, dropped, array of submissions; head, tail,
mask, entries, overflow, entries' place of completions."""
_RESULT = struct.Struct("<8xi4x")
COUNT = 0xFFFFFFFF


class Ring:
    """One ring, of the thread that runs the event loop, for calls of which one is submitted at a time. Raises OSError
    where there can be none."""

    def __init__(self, entries: int) -> None:
        parameters = ctypes.create_string_buffer(_PARAMETERS)
        self._descriptor = syscalls.io_uring_setup(entries, parameters)
        try:
            self._map(_PLACES.unpack_from(parameters)[0], _OFFSETS.unpack_from(parameters))
        except BaseException:
            os.close(self._descriptor)
            raise
        self._submitted = self._completed = 0
        self._personalities: dict[Credentials, int] = {}
        self._lock = threading.Lock()
        """Held while an account is introduced."""

    def _map(self, places: int, offsets: tuple[int, ...]) -> None:
        """`places` is how many completions there is room for, a power of two."""
        self._results = offsets[13]
        self._queues = mmap.mmap(self._descriptor, self._results + places * _RESULT.size)
        self._entries = mmap.mmap(self._descriptor, SQE.size, offset=_SQES_AT)
        self._words = memoryview(self._queues).cast("I")
        self._tail, self._head, self._end = offsets[1] // 4, offsets[8] // 4, offsets[9] // 4
        self._mask = places - 1

    def introduce(self, credentials: Credentials) -> None:
        """In an identity thread that acts with `credentials`: have them known."""
        if credentials in self._personalities:
            return
        with self._lock:
            if credentials in self._personalities:  # another thread, that acts as they do too, was faster
                return
            while len(self._personalities) >= _MOST:
                oldest = next(iter(self._personalities))
                syscalls.io_uring_register(self._descriptor, _UNREGISTER_PERSONALITY, self._personalities.pop(oldest))
            number = syscalls.io_uring_register(self._descriptor, _REGISTER_PERSONALITY, 0)
            self._personalities[credentials] = number

    def close(self) -> None:
        os.close(self._descriptor)


class OpeningRing(Ring):
    """Opens files."""

    def __init__(self) -> None:
        super().__init__(1)
        self._path = ctypes.create_string_buffer(os.pathconf("/", "PC_PATH_MAX"))
        path, size = ctypes.addressof(self._path), syscalls.How.SIZE
        SQE.pack_into(self._entries, 0, _OPENAT2, 0, 0, 0, 0, path, size, 0, 0, 0, 0, 0, 0, 0)
        entry = memoryview(self._entries)
        self._directory, self._how, self._who = entry.cast("i"), entry.cast("Q"), entry.cast("H")

    def open(self, credentials: Credentials, directory: int, path: bytes, how: syscalls.How) -> int:
        """In the event loop's thread: openat2 as an account that has been introduced. A new descriptor, or less than 0
        where it cannot be had at once."""
        personality = self._personalities.get(credentials)
        if personality is None or len(path) >= len(self._path):
            return -1
        self._path.value = path
        self._directory[_DIRECTORY_AT], self._how[_HOW_AT], self._who[_PERSONALITY_AT] = directory, how.at, personality
        self._submitted = self._words[self._tail] = self._submitted + 1 & COUNT
        syscalls.io_uring_enter(self._descriptor, 1, 1, _GETEVENTS)
        at = self._results + (self._completed & self._mask) * _RESULT.size
        result: int = _RESULT.unpack_from(self._queues, at)[0]
        self._completed = self._words[self._head] = self._completed + 1 & COUNT
        return result
