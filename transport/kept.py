"""Memory kept for one holder between two uses: which pages lie idle, for whom, and which to give up first.

Below `transport.memory`, without any memory of its own, as `extents` is.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Keep:
    """Blocks that one holder takes again and again, as to make memory ready for it costs more than to hold it.

    `forget` is told the address of a block's payload before that memory can become anybody else's.
    """

    limit: int
    """Bytes that may lie idle."""
    forget: Callable[[int], None]
    idle: int = 0
    """Bytes that lie idle now."""
    runs: dict[int, list[int]] = field(default_factory=dict)
    """The first pages of what lies idle, by how many pages it is."""


class Kept:
    """All that lies idle in one arena."""

    def __init__(self, page: int) -> None:
        self.size = 0
        """Bytes."""
        self._page = page
        self._runs: dict[int, tuple[Keep, int]] = {}
        """Whose it is and of how many pages, by its first page; the oldest first."""

    def __iter__(self) -> Iterator[int]:
        return iter(self._runs)

    def put(self, keep: Keep, first: int, pages: int) -> None:
        """`pages` from `first` on lie idle for `keep`."""
        self._runs[first] = keep, pages
        keep.runs.setdefault(pages, []).append(first)
        keep.idle += pages * self._page
        self.size += pages * self._page

    def remove(self, first: int) -> tuple[Keep, int]:
        """What lies there idles no more; whose it was, and of how many pages."""
        keep, pages = self._runs.pop(first)
        keep.runs[pages].remove(first)
        keep.idle -= pages * self._page
        self.size -= pages * self._page
        return keep, pages

    def latest(self, keep: Keep, pages: int) -> int | None:
        """What `keep` laid by last of that many pages."""
        runs = keep.runs.get(pages)
        return runs[-1] if runs else None

    def oldest(self, keep: Keep | None = None) -> int | None:
        """What has lain there longest, for `keep` or for anybody."""
        return next((first for first, (whose, _) in self._runs.items() if keep in (None, whose)), None)
