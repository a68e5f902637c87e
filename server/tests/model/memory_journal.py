"""The journal of persistent opens, without a disk and its thread."""

from pathlib import Path

from server.journal import Row


class MemoryJournal:
    """Stands in for `journal.Journal` in all lives of a server: nothing is waited for."""

    def __init__(self) -> None:
        self._kept: dict[bytes, Row] = {}
        self.rows: list[Row] = []
        self.guid = bytes(16)
        self.lost = 0
        self.behind = False

    def __call__(self, path: Path, guid: bytes) -> "MemoryJournal":
        self.rows = list(self._kept.values())
        return self

    def put(self, row: Row) -> None:
        self._kept[row.persistent] = row

    def drop(self, persistent: bytes) -> None:
        self._kept.pop(persistent, None)

    async def committed(self) -> None:
        """At once."""

    def close(self) -> None:
        """What is kept is for the next."""
