"""Identity threads: where calls that take a path, change metadata or may wait for a disk are made.

A thread acts as one Unix account at a time (file-system user, group and supplementary groups, by raw calls that
touch only itself) and switches when the next call is another's. The event loop's thread never changes its
credentials: verbs compare them (design.md section 4). Started by a process that is not root, the threads act as
that process, whoever asks.

A call's buffers are lent to its thread, so a caller that is cancelled still waits until the thread has returned;
the cancellation comes after that.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from smbdirect.wire import Buffer

from ..status import NT, Status, from_os_error
from . import syscalls
from .base import Credentials, Identity
from .jobs import Jobs
from .loan import Loan
from .ring import OpeningRing, Ring
from .writing_ring import WritingRing

T = TypeVar("T")
R = TypeVar("R", bound=Ring)
_Job = tuple[Loan, Callable[..., Any], tuple[Any, ...], Identity | None]


ANYONE = Identity("anyone", -1, -1, (), frozenset(), b"", b"")
"""Asks for no identity: what was judged when a descriptor was opened need not be judged again, nor a thread switch."""


class _Acting(threading.local):
    """What the calling thread acts as; None outside the pool, and while a switch is under way or has failed."""

    credentials: Credentials | None = None
    service: Credentials | None = None


_acting = _Acting()


@contextlib.contextmanager
def as_service() -> Iterator[None]:
    """Within a call in an identity thread: act as the service itself for what the store keeps for itself. What the
    client may do must have been checked before, as the client."""
    before, service = _acting.credentials, _acting.service
    if service is None or before is None:
        yield
        return
    _become(service)
    try:
        yield
    finally:
        _become(before)


async def outcome(loan: Loan) -> Any:
    """What a call has come to; an error of the system becomes its Status."""
    try:
        return await loan
    except OSError as error:
        raise from_os_error(error) from error
    except OverflowError as error:  # an offset or size that the system's types do not hold
        raise Status(NT.INVALID_PARAMETER, str(error)) from error


class IdentityThreads:
    """A pool of threads. Make it before anything in the process switches credentials; `close` ends it."""

    def __init__(self, count: int = 16) -> None:
        self.switches = os.geteuid() == 0
        self._ring = _ring(OpeningRing) if self.switches else None
        self._writing = _ring(WritingRing)
        self._jobs: Jobs[_Job | None] = Jobs()
        self._threads = [
            threading.Thread(target=self._work, name=f"store-{number}", daemon=True) for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    async def run(
        self, who: Identity | None, function: Callable[..., T], *args: Any, undo: Callable[[T], None] | None = None
    ) -> T:
        """`function(*args)` in a thread, as `who` (None: as the service itself; ANYONE: as whoever the thread acts as);
        an OSError becomes its Status.

        Where the caller was cancelled meanwhile, `undo` gives back what the call has got.
        """
        loan = self.start(who, function, *args)
        try:
            result: T = await outcome(loan)
        except asyncio.CancelledError:
            if loan.done() and loan.exception() is None and undo is not None:
                undo(loan.result())
            raise
        return result

    def start(self, who: Identity | None, function: Callable[..., object], *args: Any) -> Loan:
        """As `run`, but nobody waits; whoever does gets the call's own error."""
        loan = Loan(loop=asyncio.get_running_loop())
        self._jobs.put((loan, function, args, who))
        return loan

    def open_nowait(self, who: Identity, directory: int, path: bytes, how: syscalls.How) -> int:
        """In the event loop: openat2 as `who` with RESOLVE_CACHED. A new descriptor; less than 0 where it cannot be had
        at once, or a thread has not acted as `who` yet."""
        if not self.switches:
            return how.open_quickly(directory, path)
        if self._ring is None:
            return -1
        try:
            return self._ring.open(who.credentials, directory, path, how)
        except OSError:
            self._ring.close()
            self._ring = None
            return -1

    def write_nowait(self, who: Identity, descriptor: int, part: Buffer, offset: int) -> Loan | None:
        """In the event loop: have the kernel write as `who`, as `WritingRing.write`; None where a thread must."""
        if self._writing is None:
            return None
        return self._writing.write(who.credentials if self.switches else None, descriptor, part, offset)

    def introduce(self) -> None:
        """In a thread of the pool: let `open_nowait` and `write_nowait` know whom it acts as."""
        if _acting.credentials is not None:
            for ring in filter(None, (self._ring, self._writing)):
                with contextlib.suppress(OSError):
                    ring.introduce(_acting.credentials)

    def close(self) -> None:
        """Let what is queued end, then the threads; waits for them."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._threads = []
        for ring in filter(None, (self._ring, self._writing)):
            ring.close()
        self._ring = self._writing = None

    def _work(self) -> None:
        """One thread's life."""
        if self.switches:
            with contextlib.suppress(OSError):
                syscalls.drop_sys_resource()
        with contextlib.suppress(OSError):
            syscalls.own_umask()
        service = (os.geteuid(), os.getegid(), tuple(os.getgroups()))
        if self.switches:
            _acting.service = service
        while (job := self._jobs.get()) is not None:
            loan, function, args, who = job
            result: Any = None
            problem: BaseException | None = None
            try:
                if self.switches and who is not ANYONE:
                    _become(service if who is None else who.credentials)
                result = function(*args)
            except BaseException as error:
                problem = error
            with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits any more
                loan.get_loop().call_soon_threadsafe(_end, loan, result, problem)
            del job, loan, function, args, who, result, problem


def _ring(kind: Callable[[], R]) -> R | None:
    try:
        return kind()
    except OSError:
        return None


def _become(wanted: Credentials) -> None:
    """Make the calling thread act as `wanted`; does nothing where it does."""
    if wanted == _acting.credentials:
        return
    _acting.credentials = None
    uid, gid, groups = wanted
    try:
        syscalls.set_groups(groups)
        syscalls.set_fs_ids(uid, gid)
    except OSError as error:
        raise Status(NT.ACCESS_DENIED, f"cannot act as user {uid}: {error}") from error
    _acting.credentials = wanted


def _end(loan: Loan, result: Any, problem: BaseException | None) -> None:
    if problem is None:
        loan.set_result(result)
    else:
        loan.set_exception(problem)
