"""Local processes and what clients cache.

Each file that is cached has a `Guard`, which holds a lease of the kernel's: a process of this machine that opens or
truncates the file, and where the kernel has delegations, one that renames, removes or changes it, waits until the
clients have flushed and forgotten, as another client would. The guard asks for the lease before anything is granted,
takes from the clients what stands in the way of who waits, and lets go of the lease when they have answered. Named
streams need none, for no other program writes them; an open without data has nothing that a lease could hang on, and
nothing to keep: the first one with data asks for both.

Each directory that is cached has a `DirectoryGuard`, for which the store says what others do in it, right afterwards.

That a file was renamed, removed or given other rights where no delegation has kept others from it is heard of right
afterwards, too: then nobody keeps it open for later. Where the share says "auto", what neither can be had for is
granted all the same; what is written then is heard of afterwards, as far as the system tells it.
"""

import logging
from typing import TYPE_CHECKING

from .changes import place_of
from .oplock import HANDLE, READ, WRITE, Timer
from .status import NT, Status
from .store import kernel_calls, kernel_leases
from .store.base import Path
from .store.following import Followed, LocalChange
from .store.kernel_leases import KernelLease
from .store.marked_files import MarkedFiles

if TYPE_CHECKING:
    from .breaks import Breaks
    from .local_changes import LocalChanges
    from .open import Open, Shared
    from .tree import Share

log = logging.getLogger("smbdirect.breaks")

PART = 0.8
"""How much of the kernel's patience clients have at most: what they cache must be gone before it has run out."""
_CACHED = {kernel_leases.NONE: 0, kernel_leases.READ: READ | HANDLE, kernel_leases.WRITE: READ | HANDLE | WRITE}
"""What clients may cache under a lease of each level."""


def _level(rights: int) -> int:
    if rights & WRITE:
        return kernel_leases.WRITE
    return kernel_leases.READ if rights else kernel_leases.NONE


def kind() -> str:
    """By what the kernel keeps local processes from files that clients cache, in words."""
    return "delegations: renames and removals wait, too" if kernel_calls.offers_delegations() else "leases"


class LocalLeases:
    """The guards' common ground: whether there are to be any, and how they hear."""

    def __init__(self, breaks: "Breaks") -> None:
        self._breaks = breaks
        self._signals: kernel_leases.Signals | None = None
        self._marks: MarkedFiles | None = None
        self._changes: LocalChanges | None = None

    def listen(self, changes: "LocalChanges") -> None:
        self._changes = changes
        changes.told, changes.lost = self._told, self._lost

    async def prepare(self, opened: "Open") -> None:
        """What takes its time before `allow` for a directory: hear of it from now on. Raises Status."""
        share, shared, changes = opened.tree.share, opened.shared, self._changes
        if opened.file.stream or changes is None:
            return
        if _says(share) == "no" or share.store is None or not share.store.shared_with_others:
            return
        if shared.guard is None or shared.guard.over:
            guard = shared.guard = DirectoryGuard(shared, changes)
            await guard.listen(opened)
            if opened.closed:
                raise Status(NT.FILE_CLOSED, "closed while it was made ready")

    def allow(self, opened: "Open", rights: int) -> int:
        """Of the `rights` that other clients leave to `opened`, those that local processes leave it too."""
        shared, says = opened.shared, _says(opened.tree.share)
        if shared.guard is not None and shared.guard.over:
            shared.guard.end()
            shared.guard = None
        lease = opened.file.kernel_lease()
        if lease is not None and shared.guard is None and rights and says != "no":
            self._listen()
            shared.guard = Guard(shared, lease, self._breaks, self._marks)
        if shared.guard is None or not rights or says == "no":
            return rights
        return shared.guard.allow(lease, rights, says == "yes")

    def close(self) -> None:
        if self._signals is not None:
            self._signals.close()
            self._signals = None
        if self._marks is not None:
            self._marks.close()
            self._marks = None

    @property
    def marked(self) -> int:
        """Files that are heard of."""
        return len(self._marks) if self._marks is not None else 0

    def _listen(self) -> None:
        if self._signals is not None:
            return
        self._signals = kernel_leases.Signals()
        try:
            self._marks = MarkedFiles()
        except (OSError, AttributeError) as error:
            log.info("who renames or removes a file that clients cache is not heard of: %s", error)

    def _told(self, location: Path, change: LocalChange) -> None:
        """A local process has changed a directory that is cached."""
        place = location + change.path
        self._breaks.directory_changed(place[:-1], None)
        if change.old:
            self._breaks.directory_changed(location + change.old[:-1], None)
            if change.directory:
                self._lost(location + change.old)

    def _lost(self, location: Path) -> None:
        """Nobody knows what has happened there."""
        for lease in self._breaks.leases.below(location):
            self._breaks.begin(lease, 0)


def _says(share: "Share") -> str:
    return share.config.kernel_oplocks if share.config is not None else "no"


class DirectoryGuard:
    """Between the clients that cache one directory, and everybody else on this machine."""

    def __init__(self, shared: "Shared", changes: "LocalChanges") -> None:
        self.over = False
        self._shared = shared
        self._changes = changes
        self._followed: Followed | None = None
        self._above = 0
        """How many of the names of its place are not the store's to say."""
        self._begins = False

    async def listen(self, opened: "Open") -> None:
        """Hear what others do in the directory that is open as `opened`, until nobody caches it any more."""
        self._begins = True
        try:
            self._above = len(place_of(opened.tree, ()))
            self._followed = await self._changes.hear(opened, self)
        finally:
            self._begins = False
            if opened.closed:
                self.review()

    def allow(self, lease: KernelLease | None, rights: int, strict: bool) -> int:
        return rights if self._followed is not None or not strict else 0

    def review(self) -> None:
        """Somebody caches less than before; with the last that does, nothing is heard any more."""
        if not self._begins and not self.over and not any(holder.rights for holder in self._shared.holders):
            self.over = True
            self._changes.leave(self)

    def end(self) -> None:
        """It has ended with its review."""

    def move(self, place: Path) -> None:
        """The directory is at `place` now."""
        if self._followed is not None:
            self._followed.move(place[self._above :])


class Guard:
    """Between the clients that cache one file, and everybody else on this machine."""

    def __init__(self, shared: "Shared", lease: KernelLease, breaks: "Breaks", marks: "MarkedFiles | None") -> None:
        self.lease = lease
        self._marks = marks
        self._mark: bytes | None = None
        self._shared = shared
        self._breaks = breaks
        self._strict = False
        self._kept = 0
        """What clients may go on caching beside who waits."""
        self._timer: Timer | None = None

    @property
    def over(self) -> bool:
        """Whether nothing can be held by it any more."""
        return self.lease.closed

    def allow(self, lease: KernelLease | None, rights: int, strict: bool) -> int:
        """Of `rights`, those that can be granted now; what others cache is taken from them where no lease for both
        can be had."""
        self._strict = self._strict or strict
        if self.lease.wanted_by_others:
            return 0
        if lease not in (None, self.lease):  # another name of the file: two descriptions, so no lease on either
            return 0 if strict else rights
        if self._mark is None:
            self._hear(data=False)
        wanted = rights
        for holder in self._shared.holders:
            wanted |= holder.rights
        level = self.lease.take(_level(wanted), self._broken)
        if level >= _level(wanted):
            return rights
        if not strict:
            self._hear(data=True)
            return rights
        self._keep(_CACHED[level])
        return rights & _CACHED[level]

    def move(self, place: Path) -> None:
        """The lease goes with the file wherever that goes."""

    def review(self) -> None:
        """Somebody caches less than before: hold no more than is needed, and let go on who waits for that."""
        shared, lease = self._shared, self.lease
        if not any(opened.file.kernel_lease() is lease for opened in shared.opens):
            self.end()  # other names may be open: their descriptors are not this one, which is about to be closed
        if lease.wanted_by_others:
            self._keep(self._kept)
            if any(holder.rights & ~self._kept for holder in shared.holders):
                return
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        needed = kernel_leases.NONE
        for holder in shared.holders:
            needed = max(needed, _level(holder.rights))
        if needed == kernel_leases.NONE:
            self.end()
        if lease.wanted_by_others:
            lease.lower(needed if lease.lets_read else kernel_leases.NONE)
        elif needed < lease.level:
            lease.lower(needed)

    def end(self) -> None:
        """Nobody caches the file, or has it open by this name: nothing has to be heard of it."""
        if self._marks is not None and self._mark is not None:
            self._marks.remove(self.lease.descriptor, self._mark)
            self._mark = None

    def _hear(self, data: bool) -> None:
        if self._marks is not None:
            self._mark = self._marks.add(self.lease.descriptor, self._changed, data)

    def _changed(self, data: bool) -> None:
        """A local process has renamed, linked or removed the file, or given it another owner, mode or attribute; or
        it has written, where no lease has kept it from that."""
        self._keep(0 if data else READ | WRITE)

    def _broken(self, lease: KernelLease) -> None:
        """A local process waits to open or truncate the file."""
        reads = lease.wanted_by_others == kernel_leases.READ and (lease.lets_read or not self._strict)
        self._kept = READ | HANDLE if reads else 0
        if reads and not lease.lets_read:
            self._hear(data=True)
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
