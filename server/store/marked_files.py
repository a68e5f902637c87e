"""Files of which it is heard, right afterwards, that another process has renamed, removed or changed them: fanotify on
their inodes; of data only where no kernel lease (`kernel_leases.py`) keeps others from it, for all that we write
ourselves is told as well.

In the event loop; marking looks at inodes in memory only.
"""

import asyncio
import logging
import os
from collections.abc import Callable

from . import fanotify

log = logging.getLogger("smbdirect.watching")

Heard = Callable[[bool], None]
"""Is told, in the event loop, whether data was changed."""
_MOVE_SELF = 0x800
_CHANGES = fanotify.ATTRIB | _MOVE_SELF
_READS = 16
"""How often events are read in a row, before others have their turn."""


class MarkedFiles:
    """Made with a running loop; raises OSError where this kernel or container does not let us."""

    def __init__(self) -> None:
        self._group = fanotify.Group(names=False)
        self._heard: dict[bytes, Heard] = {}
        self._us = os.getpid()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._group.descriptor, self._ready)

    def __len__(self) -> int:
        return len(self._heard)

    def add(self, descriptor: int, heard: Heard, data: bool = False) -> bytes | None:
        """Hear of an open file, of its `data` or not, until `remove`; None where that cannot be. Again: of both."""
        try:
            self._group.mark_file(descriptor, _CHANGES | (fanotify.MODIFY if data else 0))
            handle = fanotify.handle_of(descriptor)
        except OSError as error:
            log.debug("not heard of: %s", error)
            return None
        self._heard[handle] = heard
        return handle

    def remove(self, descriptor: int, handle: bytes) -> None:
        self._heard.pop(handle, None)
        self._group.unmark_file(descriptor, _CHANGES | fanotify.MODIFY)

    def close(self) -> None:
        self._loop.remove_reader(self._group.descriptor)
        self._group.close()

    def _ready(self) -> None:
        for _ in range(_READS):
            events = self._group.read()
            if not events:
                return
            for event in events:
                if event.mask & fanotify.OVERFLOW:
                    for heard in list(self._heard.values()):
                        heard(True)
                elif event.process != self._us and event.file is not None:
                    self._heard.get(event.file, _nobody)(bool(event.mask & fanotify.MODIFY))


def _nobody(data: bool) -> None:
    """Of a file that is not marked any more."""
