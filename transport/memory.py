"""Memory for payload: an `Arena` hands out `Block`s from mappings (`Slab`s) that RDMA devices register whole.

A block's payload starts on a page; `HEADROOM` bytes before it and `TAILROOM` behind let a message be sealed
and unsealed in place. A block has exactly one owner, and the owner releases it exactly once:

* a message received over TCP: the `Message`, until its payload is taken over with `detach`;
* a request being handled: its `Work`; lent to a thread or the target of RDMA READs it is still the `Work`'s,
  and returns here only when the thread has returned or the completions have come, cancelled or not;
* a block in a `Reply`: the transport, from `send` to the last byte, the completion or the failure.

Waiting here is the server's back-pressure. It does not become a deadlock because a request takes all it needs
in one call (`take_all`), the line is first come, first served, a connection that has used up its `Share` waits
in the share's own line, and the first in line always gets its memory once nothing else is out, even where that
exceeds the limit. Whoever holds one block while waiting for another (a message while its request is handled)
takes them from two arenas. All calls are the event loop's thread's.
"""

import asyncio
import contextlib
import ctypes
import mmap
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .extents import Extents

SMALL = 65536
"""Messages of at most so many bytes never wait for an arena."""

PAGE = mmap.PAGESIZE
HEADROOM = 512
TAILROOM = 16
POISON = b"\xdb" * PAGE
"""What an arena with `poison` fills a released block's pages with."""

_SLAB_SHIFT = 32
"""Page numbers of slab n start at n << 32, so that runs of two slabs are never neighbours."""


class Slab:
    """One mapping: what an RDMA device registers. It stays where it is until the arena is closed."""

    __slots__ = ("address", "index", "size", "view")

    def __init__(self, index: int, size: int) -> None:
        mapping = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with contextlib.suppress(OSError):  # a kernel built without transparent huge pages
            mapping.madvise(mmap.MADV_HUGEPAGE)
        self.index = index
        self.size = size
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
        self.view = memoryview(mapping)


class Block:
    """`length` bytes of payload from `address` on, with room before and behind; one owner."""

    __slots__ = ("_arena", "_share", "address", "length", "slab", "view")

    def __init__(self, arena: "Arena", slab: Slab, offset: int, length: int, share: "Share | None") -> None:
        self._arena: Arena | None = arena
        self._share = share
        self.slab = slab
        self.address = slab.address + offset
        self.length = length
        self.view = slab.view[offset : offset + length]

    def around(self, before: int, after: int) -> memoryview:
        """The payload with `before` bytes of headroom and `after` bytes of tailroom."""
        assert before <= HEADROOM, "beyond the block's headroom"
        assert after <= TAILROOM, "beyond the block's tailroom"
        start = self.address - self.slab.address
        return self.slab.view[start - before : start + self.length + after]

    def release(self) -> None:
        """Give the memory back to the arena; no view onto it may be used from now on."""
        arena, self._arena = self._arena, None
        assert arena is not None, "a block was released twice"
        arena._put_back(self, self._share)


class Share:
    """One connection's part of an arena: at most `limit` bytes out at a time.

    A single request for more than `limit` is let through when nothing else of the share is out.
    """

    __slots__ = ("limit", "line", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.line: deque[_Wanted] = deque()

    def admits(self, size: int) -> bool:
        """Whether `size` more bytes may go out now."""
        return self.used == 0 or self.used + size <= self.limit


@dataclass(slots=True, eq=False)
class _Wanted:
    """A request for blocks that has to wait, in its share's line (not yet counted there) or in the arena's."""

    lengths: Sequence[int]
    share: Share | None
    size: int
    counted: bool = False
    granted: asyncio.Future[list[Block]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


def _payload(length: int) -> int:
    """What `length` bytes count for in a share: whole pages."""
    return -(-length // PAGE) * PAGE


def _pages(length: int) -> int:
    """Pages of a block: one before the payload for the headroom, then payload and tailroom."""
    return 1 + -(-(length + TAILROOM) // PAGE)


class Arena:
    """Where blocks come from: up to `limit` bytes of mappings, made `slab` bytes at a time when needed.

    With `poison`, for tests, a released block is filled with `POISON`, and taking a block asserts that its
    pages still hold it: a view used after its block's release, for reading or writing, shows.
    """

    def __init__(self, limit: int = 1 << 30, slab: int = 64 << 20, poison: bool = False) -> None:
        self.used = 0
        """Bytes of the mappings that lie in blocks now out."""
        self.blocks = 0
        """Blocks now out."""
        self.mapped = 0
        """Bytes of all mappings."""
        self.limit = limit
        self.slabs: list[Slab] = []
        self._slab_size = slab
        self._poison = poison
        self._free = Extents()
        self._line: deque[_Wanted] = deque()
        self._watchers: list[Callable[[Slab], None]] = []

    @property
    def idle(self) -> bool:
        """Whether no block is out."""
        return self.used == 0

    def take_nowait(self, length: int, share: Share | None = None) -> Block | None:
        """A block of `length` payload bytes, or None where one would have to wait. Contents are arbitrary."""
        blocks = self._at_once((length,), share, _payload(length))
        return blocks[0] if blocks else None

    async def take(self, length: int, share: Share | None = None) -> Block:
        """A block of `length` payload bytes. Contents are arbitrary."""
        block = self.take_nowait(length, share)
        return block if block is not None else (await self._wait((length,), share, _payload(length)))[0]

    async def take_all(self, lengths: Sequence[int], share: Share | None = None) -> list[Block]:
        """A block for each length, all at once: nobody waits here while holding a part of what it asked for."""
        size = sum(map(_payload, lengths))
        return self._at_once(lengths, share, size) or await self._wait(lengths, share, size)

    def on_slab(self, callback: Callable[[Slab], None]) -> Callable[[], None]:
        """Call `callback` with every slab, those there now and each new one before any block of it is out.

        Returns the function that ends this; it does not undo what `callback` did.
        """
        for slab in self.slabs:
            callback(slab)
        self._watchers.append(callback)
        return lambda: self._watchers.remove(callback)

    def close(self) -> None:
        """Give the mappings up; one goes when the last view of it does. Nothing may be taken any more."""
        assert not self._line, "an arena was closed while requests wait for it"
        self._free = Extents()
        self.limit = 0
        self.slabs.clear()
        self._watchers.clear()

    # -- taking ----------------------------------------------------------------------------------------------

    def _at_once(self, lengths: Sequence[int], share: Share | None, size: int) -> list[Block] | None:
        if self._line or (share is not None and (share.line or not share.admits(size))):
            return None
        blocks = self._carve(lengths, share)
        if blocks is not None and share is not None:
            share.used += size
        return blocks

    async def _wait(self, lengths: Sequence[int], share: Share | None, size: int) -> list[Block]:
        wanted = _Wanted(lengths, share, size)
        if share is None:
            self._line.append(wanted)
        else:
            share.line.append(wanted)
            self._admit(share)
        self._serve()
        try:
            return await wanted.granted
        except asyncio.CancelledError:
            self._abandon(wanted)
            raise

    def _abandon(self, wanted: _Wanted) -> None:
        """Its waiter was cancelled, perhaps after the blocks had been granted. Lines drop it when they reach it."""
        share = wanted.share
        if not wanted.granted.cancelled():
            for block in wanted.granted.result():
                block.release()
        elif share is not None and wanted.counted:
            share.used -= wanted.size
        if share is not None:
            self._admit(share)
        self._serve()

    def _admit(self, share: Share) -> None:
        """Move from the share's line to the arena's what the share has room for."""
        while share.line:
            wanted = share.line[0]
            if not wanted.granted.done():
                if not share.admits(wanted.size):
                    return
                share.used += wanted.size
                wanted.counted = True
                self._line.append(wanted)
            share.line.popleft()

    def _serve(self) -> None:
        """Grant what stands first in line as long as there is memory for it."""
        while self._line:
            wanted = self._line[0]
            if not wanted.granted.done():
                blocks = self._carve(wanted.lengths, wanted.share)
                if blocks is None:
                    return
                wanted.granted.set_result(blocks)
            self._line.popleft()

    def _carve(self, lengths: Sequence[int], share: Share | None) -> list[Block] | None:
        """Blocks of all `lengths`, or None and nothing taken."""
        alone = self.idle
        runs: list[int] = []
        for length in lengths:
            pages = _pages(length)
            first = self._free.take(pages)
            if first is None and self._grow(pages, alone):
                first = self._free.take(pages)
            if first is None:
                for taken, part in zip(runs, lengths, strict=False):
                    self._free.give(taken, _pages(part))
                return None
            runs.append(first)
        return [self._block(first, length, share) for first, length in zip(runs, lengths, strict=True)]

    def _block(self, first: int, length: int, share: Share | None) -> Block:
        slab = self.slabs[first >> _SLAB_SHIFT]
        start = (first & ((1 << _SLAB_SHIFT) - 1)) * PAGE
        pages = _pages(length)
        self.used += pages * PAGE
        self.blocks += 1
        if self._poison:
            pattern = slab.view[start : start + pages * PAGE]
            assert pattern.tobytes() == POISON * pages, "memory was written after its block was released"
        return Block(self, slab, start + PAGE, length, share)

    def _grow(self, pages: int, alone: bool) -> bool:
        """Map one more slab that holds `pages`, if the limit allows it or nothing else is out."""
        size = max(self._slab_size, pages * PAGE)
        if self.mapped + size > self.limit and not alone:
            return False
        slab = Slab(len(self.slabs), size)
        if self._poison:
            slab.view[:] = POISON * (size // PAGE)
        for callback in self._watchers:
            callback(slab)
        self.slabs.append(slab)
        self.mapped += size
        self._free.give(slab.index << _SLAB_SHIFT, size // PAGE)
        return True

    # -- giving back -----------------------------------------------------------------------------------------

    def _put_back(self, block: Block, share: Share | None) -> None:
        start = block.address - block.slab.address - PAGE
        pages = _pages(block.length)
        self.used -= pages * PAGE
        self.blocks -= 1
        if self._poison:
            block.slab.view[start : start + pages * PAGE] = POISON * pages
        if self.slabs:  # else the arena is closed and the mapping goes with the last view
            self._free.give((block.slab.index << _SLAB_SHIFT) + start // PAGE, pages)
        if share is not None:
            share.used -= _payload(block.length)
            if share.line:
                self._admit(share)
        if self._line:
            self._serve()
