"""Kernel leases under what clients cache of files' data: a process of this machine that opens or truncates such a file
waits until the clients have flushed and forgotten, as another client would.

Each file that is cached has a `Guard`. It asks for the lease before anything is granted, takes from the clients what
stands in the way of who waits, and lets the lease go when they have answered. Where the share says "auto", what no
lease can be had for is granted all the same. Named streams need none, for no other program writes them; an open
without data has nothing that a lease could hang on, and nothing to keep: the first one with data asks for both.
"""

import logging
from typing import TYPE_CHECKING

from .oplock import HANDLE, READ, WRITE, Timer
from .store import kernel_leases
from .store.kernel_leases import KernelLease

if TYPE_CHECKING:
    from .breaks import Breaks
    from .open import Open, Shared

log = logging.getLogger("smbdirect.breaks")

PART = 0.8
"""How much of the kernel's patience clients have at most: what they cache must be gone before it has run out."""
_CACHED = {kernel_leases.NONE: 0, kernel_leases.READ: READ | HANDLE, kernel_leases.WRITE: READ | HANDLE | WRITE}
"""What clients may cache under a lease of each level."""


def _level(rights: int) -> int:
    if rights & WRITE:
        return kernel_leases.WRITE
    return kernel_leases.READ if rights else kernel_leases.NONE


class LocalLeases:
    """The guards' common ground: whether there are to be any, and how they hear of breaks."""

    def __init__(self, breaks: "Breaks") -> None:
        self._breaks = breaks
        self._signals: kernel_leases.Signals | None = None

    def allow(self, opened: "Open", rights: int) -> int:
        """Of the `rights` that other clients leave to `opened`, those that local processes leave it too."""
        config, shared = opened.tree.share.config, opened.shared
        if shared.guard is not None and shared.guard.lease.closed:
            shared.guard = None
        lease = opened.file.kernel_lease() or (shared.guard.lease if shared.guard is not None else None)
        if lease is None or not rights or config is None or config.kernel_oplocks == "no":
            return rights
        if self._signals is None:
            self._signals = kernel_leases.Signals()
        if shared.guard is None:
            shared.guard = Guard(shared, lease, self._breaks)
        return shared.guard.allow(lease, rights, config.kernel_oplocks == "yes")

    def close(self) -> None:
        if self._signals is not None:
            self._signals.close()
            self._signals = None


class Guard:
    """Between the clients that cache one file, and everybody else on this machine."""

    def __init__(self, shared: "Shared", lease: KernelLease, breaks: "Breaks") -> None:
        self.lease = lease
        self._shared = shared
        self._breaks = breaks
        self._strict = False
        self._kept = 0
        """What clients may go on caching beside who waits."""
        self._timer: Timer | None = None

    def allow(self, lease: KernelLease, rights: int, strict: bool) -> int:
        """Of `rights`, those that can be granted now; what others cache is taken from them where no lease for both
        can be had."""
        self._strict = self._strict or strict
        if self.lease.wanted_by_others:
            return 0
        if lease is not self.lease:  # another name of the file: two descriptions, so no lease on either
            return 0 if strict else rights
        wanted = rights
        for holder in self._shared.holders:
            wanted |= holder.rights
        level = lease.take(_level(wanted), self._broken)
        if level >= _level(wanted) or not strict:
            return rights
        self._keep(_CACHED[level])
        return rights & _CACHED[level]

    def review(self) -> None:
        """Somebody caches less than before: hold no more than is needed, and let go on who waits for that."""
        shared, lease = self._shared, self.lease
        if lease.wanted_by_others:
            self._keep(self._kept)
            if any(holder.rights & ~self._kept for holder in shared.holders):
                return
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        elif lease.level == kernel_leases.NONE:
            return
        needed = kernel_leases.NONE
        for holder in shared.holders:
            needed = max(needed, _level(holder.rights))
        if lease.wanted_by_others:
            lease.lower(needed if lease.lets_read else kernel_leases.NONE)
        elif needed < lease.level:
            lease.lower(needed)

    def _broken(self, lease: KernelLease) -> None:
        """A local process waits to open or truncate the file."""
        reads = lease.wanted_by_others == kernel_leases.READ and (lease.lets_read or not self._strict)
        self._kept = READ | HANDLE if reads else 0
        patience = kernel_leases.patience() * PART
        if self._timer is None and patience < float("inf"):
            self._timer = self._breaks.later(patience, self._give_up)
        self.review()

    def _keep(self, rights: int) -> None:
        for holder in list(self._shared.holders):
            if holder.rights & ~rights:
                self._breaks.begin(holder, holder.rights & rights)

    def _give_up(self) -> None:
        """The kernel is about to let go on who waits, whatever clients say."""
        self._timer = None
        for holder in list(self._shared.holders):
            if holder.rights & ~self._kept:
                self._breaks.give_up(holder)
