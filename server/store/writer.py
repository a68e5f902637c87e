"""Writes that threads make: of one open file one thread at a time.

Several would wait, spinning, for the file's inode. What comes meanwhile goes with the next hop, all of it together:
fewer threads are woken, and writes through to the disk share a sync.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from smbdirect.wire import Buffer

from . import data
from .base import Identity
from .loan import Loan
from .threads import IdentityThreads, outcome

_MOST = 1 << 20
"""Bytes that go together, where it is more than one write: each is answered when all are done."""


@dataclass(slots=True, eq=False)
class _Asked:
    write: data.Write
    through: bool
    size: int
    done: Loan = field(default_factory=Loan)


class Writer:
    """Of one open file, as `who`; its descriptor is held by whoever asks. Most files are never written: it is small."""

    __slots__ = ("_busy", "_threads", "_waiting", "_who")

    def __init__(self, threads: IdentityThreads, who: Identity) -> None:
        self._threads = threads
        self._who = who
        self._waiting: list[_Asked] = []
        self._busy = False

    async def write(self, descriptor: int, parts: Sequence[Buffer], offset: int, through: bool) -> int:
        """Write all of `parts`; with `through`, return after fdatasync."""
        asked = _Asked((parts, offset), through, sum(map(len, parts)))
        self._waiting.append(asked)
        if not self._busy:
            self._begin(descriptor)
        count: int = await outcome(asked.done)
        return count

    def _begin(self, descriptor: int) -> None:
        """Have a thread write what has waited longest, and as much behind it as goes with it."""
        first, *others = self._waiting
        count, size = 1, first.size
        for asked in others:
            size += asked.size
            if asked.through != first.through or size > _MOST:
                break
            count += 1
        together = self._waiting[:count]
        del self._waiting[:count]
        self._busy = True
        writes = [asked.write for asked in together]
        loan = self._threads.start(self._who, data.write_all, descriptor, writes, first.through)
        loan.add_done_callback(lambda loan: self._end(descriptor, together, loan))

    def _end(self, descriptor: int, together: Sequence[_Asked], loan: Loan) -> None:
        problem = loan.exception()
        outcomes = [problem] * len(together) if problem is not None else loan.result()
        for asked, came in zip(together, outcomes, strict=True):
            if isinstance(came, BaseException):
                asked.done.set_exception(came)
                asked.done.exception()  # heard, although who asked may have been cancelled
            else:
                asked.done.set_result(came)
        self._busy = False
        if self._waiting:
            self._begin(descriptor)
