"""What is on its way out over TCP: what is left of a reply, and small answers that wait for others."""

import asyncio
from collections import deque
from collections.abc import Sequence

from smbdirect.wire import Buffer

from .memory import Block

MOST_GATHERED = 8
"""Small answers that wait for one more."""
SMALL_ANSWER = 1024
"""Bytes of what is worth gathering."""


class Outgoing:
    """What is left to send of one reply."""

    __slots__ = ("blocks", "done", "views")

    def __init__(self, views: deque[memoryview], blocks: Sequence[Block], done: asyncio.Future[bool]) -> None:
        self.views = views
        self.blocks = blocks
        self.done = done

    def advance(self, sent: int) -> None:
        """Take `sent` bytes off the front."""
        while sent:
            first = self.views[0]
            if sent < len(first):
                self.views[0] = first[sent:]
                return
            sent -= len(first)
            self.views.popleft()


class Gathered:
    """Small answers that are to leave together, with their lengths."""

    __slots__ = ("_parts", "count")

    def __init__(self) -> None:
        self.count = 0
        self._parts: list[Buffer] = []

    def add(self, answer: Sequence[Buffer]) -> None:
        self.count += 1
        self._parts += answer

    def take(self) -> list[Buffer]:
        """All of them, in order; none is left."""
        parts, self._parts, self.count = self._parts, [], 0
        return parts
