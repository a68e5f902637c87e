"""Many clients want one file at once, some answer breaks and some never do: all end, and nothing is left."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.client import Tree
from server.messages.create import CreateContext, Disposition, OplockLevel, ShareAccess
from server.messages.create_contexts import ContextName, Lease
from server.messages.oplock import LeaseBreak, LeaseNotification, OplockBreak, OplockBreakRequest, OplockBreakResponse
from server.oplock import HANDLE, READ, WRITE
from server.status import NT, Status
from server.tests.served import Whole, on_a_server

CLIENTS, ROUNDS = 24, 40
LEVELS = (OplockLevel.NONE, OplockLevel.II, OplockLevel.EXCLUSIVE, OplockLevel.BATCH)
STATES = (READ, READ | HANDLE, READ | WRITE, READ | WRITE | HANDLE)
SHARES = (0, ShareAccess.READ, ShareAccess.READ | ShareAccess.WRITE | ShareAccess.DELETE)
EXPECTED = (NT.SHARING_VIOLATION, NT.INVALID_PARAMETER)
"""A refusal, and a lease key that the storm uses for another file too."""
LATE = (NT.FILE_CLOSED, NT.INVALID_OPLOCK_PROTOCOL, NT.OBJECT_NAME_NOT_FOUND, NT.UNSUCCESSFUL)
"""What an answer gets that comes after the close or after its time."""


class HurriedTimer:
    """Time passes at once, but for what is ready to run."""

    def __init__(self, callback: Callable[..., None], arguments: Any, turns: int) -> None:
        self.cancelled = False
        asyncio.get_running_loop().call_soon(self._turn, callback, arguments, turns)

    def _turn(self, callback: Callable[..., None], arguments: Any, turns: int) -> None:
        if self.cancelled:
            return
        if turns:
            asyncio.get_running_loop().call_soon(self._turn, callback, arguments, turns - 1)
        else:
            callback(*arguments)

    def cancel(self) -> None:
        self.cancelled = True


def hurried(delay: float, callback: Callable[..., None], *arguments: Any) -> HurriedTimer:
    return HurriedTimer(callback, arguments, turns=20 + int(delay * 10))


async def obey(tree: Tree) -> None:
    """Answer every break that wants an answer."""
    while True:
        notice = (await tree.client.notifications.get()).body
        body: OplockBreak | LeaseBreak
        if isinstance(notice, LeaseNotification):
            if not notice.flags:
                continue
            body = LeaseBreak(key=notice.key, state=notice.new_state)
        else:
            assert isinstance(notice, OplockBreak)
            body = notice
        try:
            await tree.call(OplockBreakRequest(body), OplockBreakResponse)
        except Status as status:
            if status.code not in LATE:
                raise


async def use(tree: Tree, dice: random.Random, key: bytes) -> None:
    """Open, use and close the file again and again, sometimes with several opens at once; leave some open."""
    kept = []
    for _ in range(ROUNDS):
        level, contexts = dice.choice(LEVELS), []
        if dice.random() < 0.5:
            level = OplockLevel.LEASE
            lease = Lease(key, dice.choice(STATES), parent_key=bytes(16))
            contexts = [CreateContext(ContextName.RQLS, lease.pack())]
        disposition = dice.choice((Disposition.OPEN_IF, Disposition.OPEN_IF, Disposition.OVERWRITE_IF))
        try:
            file = await tree.create(
                dice.choice(("file", "file", "other")), disposition=disposition, share=dice.choice(SHARES),
                oplock=level, contexts=contexts,
            )  # fmt: skip
        except Status as status:
            if status.code not in EXPECTED:
                raise
        else:
            kept.append(file)
            await file.write(0, b"data")
        if kept and dice.random() < 0.7:
            await kept.pop(dice.randrange(len(kept))).close()


@pytest.mark.parametrize("seed", range(4))
def test_a_storm_of_opens_ends_whoever_answers(seed: int) -> None:
    async def storm(here: Whole) -> None:
        here.server.opens.breaks.later = hurried
        dice = random.Random(seed)
        trees = [await here.tree() for _ in range(CLIENTS)]
        listening = [asyncio.ensure_future(obey(tree)) for tree in trees if dice.random() < 0.6]
        users = [use(tree, random.Random(dice.random()), bytes([number]) * 16) for number, tree in enumerate(trees, 1)]
        await asyncio.wait_for(asyncio.gather(*users), 60)
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)
        for shared in here.server.opens.shared.values():
            assert not shared.waiting, "somebody still waits"
            writers = [holder for holder in shared.holders if holder.rights & WRITE and not holder.breaking]
            assert len(writers) <= 1, "two may keep what they have written"

    on_a_server(storm, max_connections_per_address=CLIENTS)
