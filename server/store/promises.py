"""Sizes that were set but not written, on file systems without holes (vfat, exfat).

Windows sets a file's full size before it writes the data; there, ftruncate would write all of it as zeros first.
So a size beyond the end is only remembered, by inode, as long as any open holds the file: queries show it, reads
beyond the data give zeros, writes bring the file up to it. What is still missing at the last close is made then, by
the ftruncate that could not be avoided; a server that dies before leaves the file as long as its data.
"""

import threading
from dataclasses import dataclass

Key = tuple[int, int]


@dataclass(slots=True)
class _Held:
    opens: int = 0
    size: int | None = None


class Promises:
    """By (device, inode)."""

    def __init__(self) -> None:
        self._held: dict[Key, _Held] = {}
        self._lock = threading.Lock()

    def opened(self, key: Key) -> None:
        with self._lock:
            self._held.setdefault(key, _Held()).opens += 1

    def closed(self, key: Key) -> int | None:
        """One open less; with the last, the size that is left to be made, if any."""
        with self._lock:
            held = self._held[key]
            held.opens -= 1
            if held.opens:
                return None
            del self._held[key]
            return held.size

    def size(self, key: Key) -> int | None:
        """The size promised for a file; None where its own counts."""
        held = self._held.get(key) if self._held else None
        return held.size if held is not None else None

    def promise(self, key: Key, size: int | None) -> None:
        """Remember (None: forget) a size for a file that is open."""
        with self._lock:
            self._held[key].size = size
