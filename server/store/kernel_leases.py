"""Leases and delegations of the kernel (`kernel_calls.py`), under which clients may cache: whoever else on this
machine, nfsd too, opens or truncates the file, and under a delegation also renames or removes it or changes what
belongs to it, waits until we have let go, or /proc/sys/fs/lease-break-time is over. Here both are called a lease.

A lease belongs to an open file description. One for reading lets others read; it cannot be had while the file is open
for writing, by us neither. One for writing lets nobody in; it can be had only by who alone has the file open. So what
clients cache for reading lies under the stronger one where our own description is writable, and our opens of one file
share a description (`descriptions.py`): an open of our own would break our own lease.

A delegation would be broken by what we ourselves change of the file. So that is done within `changing`: meanwhile a
lease, which it does not touch, takes the delegation's place, and who opens the file finds one or the other, but for
the moment between the two; who came then shows in that the next cannot be had, or in the file's times.

The kernel tells of a break with a signal to the thread that runs the event loop, which has it blocked and reads it from
a descriptor. The calls themselves never wait: they look at the inode in memory, on network file systems too, which
grant leases only where they hold a delegation already, or never. So the event loop makes them itself.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import struct
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

from ..status import NT, Status
from . import kernel_calls, syscalls
from .kernel_calls import Lease

T = TypeVar("T")

NONE, READ, WRITE = range(3)
"""What clients may cache under a lease: nothing, what they have read, what they have written too."""
SIGNAL = signal.SIGRTMIN + 3
_SIGNALS = {SIGNAL, signal.SIGIO}
"""SIGIO comes where the kernel has no room to queue one more."""
_F_SETSIG, _F_SETOWN_EX, _F_OWNER_TID = 10, 15, 0
_OWNER = struct.Struct("=ii")
_SIGNALLED = struct.Struct("=I16xi104x")
"""struct signalfd_siginfo: the signal's number and the descriptor it is about."""
_AT_ONCE = 64
AGAIN = 0.02
"""Seconds after which a call is made again that has met a lease."""

_Inode = tuple[int, int]
"""Its device and number."""
_leases: "dict[int, KernelLease]" = {}
"""Those held, by their descriptors, of all loops of this process."""
_by_inode: "dict[_Inode, KernelLease]" = {}
_changing: Counter[_Inode] = Counter()
"""How many threads change what belongs to a file, other than its data."""
_counting = threading.Lock()

Broken = Callable[["KernelLease"], None]
"""Is told, in the event loop, that somebody else waits for the file, or has had it already."""


class KernelLease:
    """The lease of one open file description. The event loop takes and lowers it; a thread that must open the file
    anew suspends it."""

    def __init__(self, descriptor: int, writable: bool) -> None:
        self.level = NONE
        self.writable = writable
        """Whether the description is: then others cannot even read beside us."""
        self.wanted_by_others = NONE
        """What somebody waits to do, since the break began."""
        self.closed = False
        self.descriptor = descriptor
        self._held: type[Lease] = Lease
        self._kind = fcntl.F_UNLCK
        self._inode: _Inode = (0, 0)
        self._suspended = 0
        self._lock = threading.Lock()
        self._broken: Broken | None = None
        self._thread = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def lets_read(self) -> bool:
        """Whether it can be lowered so far that others may read."""
        return not self.writable

    def take(self, level: int, broken: Broken) -> int:
        """Raise it to `level`, or as far as can be; the level from now on."""
        with self._lock:
            if self.wanted_by_others:
                return NONE
            if self._suspended:
                return min(level, self.level)
            if level > self.level:
                self._broken, self._loop, self._thread = broken, asyncio.get_running_loop(), threading.get_native_id()
                self.level = next(each for each in range(level, NONE - 1, -1) if each <= self.level or self._set(each))
            return self.level

    def lower(self, level: int) -> None:
        """Hold no more than `level`; who waits goes on, once that is little enough."""
        with self._lock:
            self.wanted_by_others = NONE
            self.level = level
            if not self._suspended and not self._set(level):
                self._unset()
                self._lost()

    def close(self) -> None:
        """The description is about to be."""
        self.closed = True
        self.lower(NONE)

    def look(self) -> None:
        """A signal has come: say so where it is about what is held now."""
        with self._lock:
            if self._suspended or self._kind == fcntl.F_UNLCK or self._broken is None:
                return
            left = self._held.kind(self.descriptor)
            if left == self._kind:
                return
            self.wanted_by_others = READ if left == fcntl.F_RDLCK else WRITE
        self._broken(self)

    @contextlib.contextmanager
    def suspended(self, unchanged: bool = True) -> Iterator[None]:
        """In a thread, within: what this process opens breaks nothing. What others open meanwhile does so afterwards:
        while they have it open the lease cannot be had again, and what they have written shows in the file's times
        (`unchanged`: we ourselves do not change it). Raises BlockingIOError where the lease is being broken.
        """
        with self._lock:
            self._refuse_while_broken()
            before = _change(self.descriptor) if unchanged and self.level else None
            self._suspended += 1
            self._unset()
        try:
            yield
        finally:
            with self._lock:
                self._suspended -= 1
                if not self._suspended:
                    self._resume(before)

    def make_way(self, waits: bool) -> None:
        """In a thread that is `changing` the file: hold a lease instead of a delegation. Where that is being broken,
        who `waits` is refused with BlockingIOError; for who does not the others go on at once."""
        with self._lock:
            if self._kind == fcntl.F_UNLCK or self._held is Lease:
                return
            if waits:
                self._refuse_while_broken()
            if self._breaks():
                self._unset()
                self._lost()
            else:
                self._swap()

    def settle(self) -> None:
        """In a thread that has changed the file: hold a delegation again."""
        with self._lock:
            if self._kind != fcntl.F_UNLCK and self._held is Lease and self._may_delegate() and not self._breaks():
                self._swap()

    def _swap(self) -> None:
        before = _change(self.descriptor)
        self._unset()
        self._resume(before)

    def _resume(self, before: tuple[int, int, int] | None) -> None:
        """Hold again what was held; `before` is how the file was, where nobody but others can have changed it."""
        if (self.level and not self._set(self.level)) or (before is not None and before != _change(self.descriptor)):
            self._lost()

    def _lost(self) -> None:
        """Others may have, or have had, the file already."""
        self.wanted_by_others = WRITE
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        if self._broken is not None and self.wanted_by_others:
            self._broken(self)

    def _breaks(self) -> bool:
        return self._kind != fcntl.F_UNLCK and self._held.kind(self.descriptor) != self._kind

    def _refuse_while_broken(self) -> None:
        if self._breaks():
            raise BlockingIOError(11, "somebody else waits for the file")

    def _may_delegate(self) -> bool:
        status = os.fstat(self.descriptor)
        self._inode = status.st_dev, status.st_ino
        _by_inode[self._inode] = self  # first: who begins to change the file now finds this, and waits for our lock
        return self._inode not in _changing and kernel_calls.may_be_delegated(self.descriptor, status, self.writable)

    def _set(self, level: int) -> bool:
        if level == NONE:
            self._unset()
            return True
        kind = fcntl.F_RDLCK if level == READ and not self.writable else fcntl.F_WRLCK
        if kind != self._kind:
            begins = self._kind == fcntl.F_UNLCK
            if not (self._begin(kind) if begins else self._held.change(self.descriptor, kind)):
                return False
            self._kind = kind
            _leases[self.descriptor] = self
        return True

    def _begin(self, kind: int) -> bool:
        """Have a delegation, or else a lease."""
        with contextlib.suppress(OSError):
            fcntl.fcntl(self.descriptor, _F_SETSIG, SIGNAL)
            fcntl.fcntl(self.descriptor, _F_SETOWN_EX, _OWNER.pack(_F_OWNER_TID, self._thread))
            delegations = kernel_calls.offers_delegations() and self._may_delegate()
            for each in (kernel_calls.Delegation, Lease) if delegations else (Lease,):
                if each.put(self.descriptor, kind):
                    self._held = each
                    return True
        self._forget()
        return False

    def _unset(self) -> None:
        if self._kind == fcntl.F_UNLCK:
            return
        self._kind = fcntl.F_UNLCK
        self._forget()
        self._held.put(self.descriptor, fcntl.F_UNLCK)  # fails where its time was up

    def _forget(self) -> None:
        _leases.pop(self.descriptor, None)
        if _by_inode.get(self._inode) is self:
            del _by_inode[self._inode]


def _change(descriptor: int) -> tuple[int, int, int]:
    status = os.fstat(descriptor)
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size


def changing(descriptor: int, waits: bool = True) -> contextlib.AbstractContextManager[None]:
    """In a thread, within: what it changes of an open file, other than its data, breaks no delegation of ours. While
    others wait for the file, BlockingIOError is raised; unless we do not wait (`waits`): then they go on at once."""
    if not kernel_calls.offers_delegations():
        return contextlib.nullcontext()
    return changing_what(os.fstat(descriptor), waits)


@contextlib.contextmanager
def changing_what(status: os.stat_result, waits: bool = True) -> Iterator[None]:
    """`changing`, of a file that need not be open, but whose `status` is known."""
    inode = status.st_dev, status.st_ino
    with _counting:
        _changing[inode] += 1
    try:
        lease = _by_inode.get(inode)
        if lease is not None:
            lease.make_way(waits)
        yield
    finally:
        with _counting:
            _changing[inode] -= 1
            if not _changing[inode]:
                del _changing[inode]
        lease = _by_inode.get(inode)
        if lease is not None:
            lease.settle()


class Signals:
    """Hears of breaks in the running event loop, whose thread made it; `close` ends that."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        self._descriptor = syscalls.signalfd(_SIGNALS)
        self._loop.add_reader(self._descriptor, self._ready)

    def close(self) -> None:
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)

    def _ready(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for number, descriptor in _SIGNALLED.iter_unpack(os.read(self._descriptor, _AT_ONCE * _SIGNALLED.size)):
                one = _leases.get(descriptor)
                for lease in list(_leases.values()) if number == signal.SIGIO else [one] if one is not None else []:
                    lease.look()


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """What `call` gives. Where it meets a lease that is being broken (another process's for us, or ours for another
    process), it is tried again until that is over. Raises Status."""
    deadline: float | None = None
    while True:
        try:
            return await call()
        except Status as status:
            if status.code != NT.RETRY:
                raise
        now = asyncio.get_running_loop().time()
        if deadline is None:
            deadline = now + patience() + 1
        elif now > deadline:
            raise Status(NT.SHARING_VIOLATION, "leased to another process")
        await asyncio.sleep(AGAIN)


def held() -> int:
    """How many leases this process has."""
    return len(_leases)


def patience() -> float:
    """Seconds after which the kernel takes a lease away from who does not let it go."""
    try:
        seconds = int(Path("/proc/sys/fs/lease-break-time").read_text())
    except (OSError, ValueError):
        return float("inf")
    return seconds or float("inf")
