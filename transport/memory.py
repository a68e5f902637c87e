"""Memory for payload: an `Arena` hands out `Block`s from mappings (`Slab`s) that RDMA devices register whole.

A block's payload starts on a page; `HEADROOM` bytes before it and `TAILROOM` behind let a message be sealed
and unsealed in place. A block has exactly one owner, and the owner releases it exactly once:

* a message received over TCP: the `Message`, until its payload is taken over with `detach`;
* a request being handled: its `Work`; lent to a thread or the target of RDMA READs it is still the `Work`'s,
  and returns here only when the thread has returned or the completions have come, cancelled or not;
* a block in a `Reply`: the transport, from `send` to the last byte, the completion or the failure;
* one taken for a `Keep` and released: the `Keep`, until its holder takes it again or others need the memory.

Waiting here is the server's back-pressure. It does not become a deadlock because a request takes all it needs in one
call (`take_all`), the line is first come, first served, a connection that has used up its `Share` waits in the
share's own line, and the first in line always gets its memory once nothing else is out, even where that exceeds the
limit; what is kept idle is given up before anybody waits. Whoever holds one block while waiting for another (a
message while its request is handled) takes them from two arenas. All calls are the event loop's thread's.
"""

import asyncio
import contextlib
import ctypes
import mmap
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .extents import Extents
from .kept import Keep, Kept

SMALL = 65536
"""Messages of at most so many bytes never wait for an arena."""

PAGE = mmap.PAGESIZE
HEADROOM = 512
TAILROOM = 16
KEPT_PART = 4
"""Of an arena's limit so much lies idle in keeps at most: the fourth part."""
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

    __slots__ = ("_arena", "_share", "address", "keep", "length", "slab", "view")

    def __init__(
        self, arena: "Arena", slab: Slab, offset: int, length: int, share: "Share | None", keep: "Keep | None" = None
    ) -> None:
        self._arena: Arena | None = arena
        self._share = share
        self.keep = keep
        """Who gets it when it is released; None: the arena."""
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
        """Give the memory back, to its keep or the arena; no view onto it may be used from now on."""
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


def _rounded(length: int) -> int:
    """The length of a block for a keep: a power of two, so that sizes that differ share what is kept."""
    return max(SMALL, 1 << (length - 1).bit_length())


@dataclass(slots=True, eq=False)
class _Wanted:
    """A request for blocks that has to wait, in its share's line (not yet counted there) or in the arena's."""

    lengths: Sequence[int]
    share: Share | None
    size: int
    keep: Keep | None = None
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
        self._kept = Kept(PAGE)
        self._line: deque[_Wanted] = deque()
        self._watchers: list[Callable[[Slab], None]] = []

    @property
    def idle(self) -> bool:
        """Whether no block is out, and none kept."""
        return self.used == 0 and self._kept.size == 0

    def take_nowait(self, length: int, share: Share | None = None, keep: Keep | None = None) -> Block | None:
        """As `take`, or None where one would have to wait."""
        length = length if keep is None else _rounded(length)
        blocks = self._at_once((length,), share, _payload(length), keep)
        return blocks[0] if blocks else None

    async def take(self, length: int, share: Share | None = None, keep: Keep | None = None) -> Block:
        """A block of `length` payload bytes, or more for a `keep`, which gets it back. Contents are arbitrary."""
        block = self.take_nowait(length, share, keep)
        if block is not None:
            return block
        length = length if keep is None else _rounded(length)
        return (await self._wait((length,), share, _payload(length), keep))[0]

    async def take_all(self, lengths: Sequence[int], share: Share | None = None) -> list[Block]:
        """A block for each length, all at once: nobody waits here while holding a part of what it asked for."""
        size = sum(map(_payload, lengths))
        return self._at_once(lengths, share, size) or await self._wait(lengths, share, size)

    @property
    def kept(self) -> int:
        """Bytes of the mappings that lie idle for those who take them again."""
        return self._kept.size

    def end(self, keep: Keep) -> None:
        """Nothing is kept for `keep` any more: neither what lies idle nor what is still to come back."""
        keep.limit = 0
        self._trim(keep)
        self._serve()

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
        for first in list(self._kept):
            self._give_up(first)
        self._free = Extents()
        self.limit = 0
        self.slabs.clear()
        self._watchers.clear()

    # -- taking ----------------------------------------------------------------------------------------------

    def _at_once(
        self, lengths: Sequence[int], share: Share | None, size: int, keep: Keep | None = None
    ) -> list[Block] | None:
        if self._line or (share is not None and (share.line or not share.admits(size))):
            return None
        blocks = self._carve(lengths, share, keep)
        if blocks is not None and share is not None:
            share.used += size
        return blocks

    async def _wait(
        self, lengths: Sequence[int], share: Share | None, size: int, keep: Keep | None = None
    ) -> list[Block]:
        wanted = _Wanted(lengths, share, size, keep)
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
                blocks = self._carve(wanted.lengths, wanted.share, wanted.keep)
                if blocks is None:
                    return
                wanted.granted.set_result(blocks)
            self._line.popleft()

    def _carve(self, lengths: Sequence[int], share: Share | None, keep: Keep | None) -> list[Block] | None:
        """Blocks of all `lengths`, or None and nothing taken."""
        alone = self.used == 0
        runs: list[int] = []
        for length in lengths:
            first = self._run(_pages(length), keep, alone)
            if first is None:
                for taken, part in zip(runs, lengths, strict=False):
                    self._free.give(taken, _pages(part))
                return None
            runs.append(first)
        return [self._block(first, length, share, keep) for first, length in zip(runs, lengths, strict=True)]

    def _run(self, pages: int, keep: Keep | None, alone: bool) -> int | None:
        """The first of so many pages: kept for `keep`, or free, if need be newly mapped or kept for others so far."""
        first = None if keep is None else self._again(keep, pages)
        if first is None:
            first = self._free.take(pages)
        if first is None and self._grow(pages):
            first = self._free.take(pages)
        while first is None and (oldest := self._kept.oldest()) is not None:
            self._give_up(oldest)
            first = self._free.take(pages)
        if first is None and alone:
            self._map(pages)
            first = self._free.take(pages)
        return first

    def _block(self, first: int, length: int, share: Share | None, keep: Keep | None) -> Block:
        slab, pages = self._memory(first, _pages(length))
        self.used += len(pages)
        self.blocks += 1
        if self._poison:
            assert pages.tobytes() == POISON * (len(pages) // PAGE), "memory was written after its block was released"
        return Block(self, slab, _start(first) + PAGE, length, share, keep)

    def _memory(self, first: int, pages: int) -> tuple[Slab, memoryview]:
        """What lies in these pages, and where."""
        slab, start = self.slabs[first >> _SLAB_SHIFT], _start(first)
        return slab, slab.view[start : start + pages * PAGE]

    def _grow(self, pages: int) -> bool:
        """Map one more slab that holds `pages`, if the limit allows it."""
        if self.mapped + max(self._slab_size, pages * PAGE) > self.limit:
            return False
        self._map(pages)
        return True

    def _map(self, pages: int) -> None:
        """Map one more slab that holds `pages`."""
        slab = Slab(len(self.slabs), max(self._slab_size, pages * PAGE))
        if self._poison:
            slab.view[:] = POISON * (slab.size // PAGE)
        for callback in self._watchers:
            callback(slab)
        self.slabs.append(slab)
        self.mapped += slab.size
        self._free.give(slab.index << _SLAB_SHIFT, slab.size // PAGE)

    # -- giving back -----------------------------------------------------------------------------------------

    def _put_back(self, block: Block, share: Share | None) -> None:
        first = (block.slab.index << _SLAB_SHIFT) + (block.address - block.slab.address) // PAGE - 1
        pages = _pages(block.length)
        self.used -= pages * PAGE
        self.blocks -= 1
        if block.keep is not None and self.slabs:
            self._kept.put(block.keep, first, pages)
            self._trim(block.keep)
        else:
            self._give(block.slab, first, pages)
        if share is not None:
            share.used -= _payload(block.length)
            if share.line:
                self._admit(share)
        if self._line:
            self._serve()

    def _give(self, slab: Slab, first: int, pages: int) -> None:
        """These pages are free."""
        if self._poison:
            slab.view[_start(first) : _start(first) + pages * PAGE] = POISON * pages
        if self.slabs:  # else the arena is closed and the mapping goes with the last view
            self._free.give(first, pages)

    # -- keeping ---------------------------------------------------------------------------------------------

    def _again(self, keep: Keep, pages: int) -> int | None:
        """So many pages that lie idle for `keep`; None where it has none."""
        first = self._kept.latest(keep, pages)
        if first is not None:
            self._kept.remove(first)
            if self._poison:
                self._memory(first, pages)[1][:] = POISON * pages
        return first

    def _trim(self, keep: Keep) -> None:
        """Give up what is more than `keep`, or all together, may have."""
        while keep.idle > keep.limit and (oldest := self._kept.oldest(keep)) is not None:
            self._give_up(oldest)
        while self._kept.size > self.limit // KEPT_PART and (oldest := self._kept.oldest()) is not None:
            self._give_up(oldest)

    def _give_up(self, first: int) -> None:
        """What lies idle there is free for everybody; its keep forgets it first."""
        keep, pages = self._kept.remove(first)
        slab = self.slabs[first >> _SLAB_SHIFT]
        keep.forget(slab.address + _start(first) + PAGE)
        self._give(slab, first, pages)


def _start(first: int) -> int:
    """Where a page begins in its slab, in bytes."""
    return (first & ((1 << _SLAB_SHIFT) - 1)) * PAGE
