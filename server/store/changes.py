"""When files were changed, where clients say something else than the system does.

Windows lets a client set a file's change time (FileBasicInformation) and keeps it over a rename; Linux lets nobody
set an inode's, and moves it with every rename. So what it is to be is remembered together with the system's own time
at that moment, and holds for as long as that one stays: any later change, by whomever, shows. Remembered in memory,
for the files last set, and not over a restart.
"""

import os
import threading
from collections import OrderedDict

from ..filetime import from_ns


class ChangeTimes:
    """By (device, inode)."""

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[int, int], tuple[int, int]] = OrderedDict()

    def of(self, status: os.stat_result) -> int:
        """The FILETIME at which the file was last changed."""
        if self._held:
            held = self._held.get((status.st_dev, status.st_ino))
            if held is not None and held[0] == status.st_ctime_ns:
                return held[1]
        return from_ns(status.st_ctime_ns)

    def remember(self, status: os.stat_result, time: int) -> None:
        """The file as it is now was changed at the FILETIME `time`."""
        key = status.st_dev, status.st_ino
        with self._lock:
            self._held[key] = (status.st_ctime_ns, time)
            self._held.move_to_end(key)
            if len(self._held) > self._limit:
                self._held.popitem(last=False)
