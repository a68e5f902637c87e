"""Opens by the names their clients gave them: create GUIDs, under which a CREATE is repeated (MS-SMB2 3.3.5.9.10),
and application instances (3.3.5.9.13).

A CREATE is repeated when its answer may have been lost with its channel. While the first is under way the repetition
is refused, to be tried again; once there has been another request for the open its client has had the answer, and
what comes with the GUID from then on is a new CREATE (Open.IsReplayEligible).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .status import NT, Status

if TYPE_CHECKING:
    from .open import Open

Key = tuple[bytes, bytes]
"""The GUID of a client, and that of a CREATE of its."""


class Handles:
    def __init__(self) -> None:
        self.under_way: set[Key] = set()
        self.eligible: dict[Key, Open] = {}
        """Opens whose CREATE may be repeated."""
        self.instances: dict[bytes, set[Open]] = {}
        """By the id of an application instance."""
        self.gone: Callable[[Open], None] = lambda opened: None
        """Told of each open that is closed."""

    @contextmanager
    def creating(self, key: Key) -> Iterator[None]:
        """Within: the CREATE with this name is under way. Raises FILE_NOT_AVAILABLE where one is already."""
        if key in self.under_way:
            raise Status(NT.FILE_NOT_AVAILABLE, "this CREATE is under way")
        self.under_way.add(key)
        try:
            yield
        finally:
            self.under_way.discard(key)

    def add(self, opened: "Open") -> None:
        """`opened`, whose CREATE is about to be answered, may be asked for by its names."""
        handle = opened.handle
        if handle is None:
            return
        if handle.create_guid is not None:
            self.eligible[handle.client_guid, handle.create_guid] = opened
            opened.unused = True
        if handle.app_instance is not None:
            self.instances.setdefault(handle.app_instance, set()).add(opened)

    def used(self, opened: "Open") -> None:
        """There was another request for `opened`: its CREATE is not repeated any more, but a persistent one's."""
        if opened.handle is None or not opened.handle.persistent:
            self._forget(opened)

    def _forget(self, opened: "Open") -> None:
        handle = opened.handle
        opened.unused = False
        if handle is not None and handle.create_guid is not None:
            key = handle.client_guid, handle.create_guid
            if self.eligible.get(key) is opened:
                del self.eligible[key]

    def remove(self, opened: "Open") -> None:
        """`opened` is closed."""
        if opened.unused:
            self._forget(opened)
        self.gone(opened)
        handle = opened.handle
        if handle is not None and handle.app_instance is not None:
            alike = self.instances.get(handle.app_instance, set())
            alike.discard(opened)
            if not alike:
                self.instances.pop(handle.app_instance, None)
