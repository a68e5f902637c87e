"""What tests of persistent opens share: the lives of one server, whose state and files outlast each."""

import asyncio
import functools
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.client import Element, File, Settings, Tree
from server.config import Share
from server.messages.create import CreateContext, CreateRequest, CreateResponse
from server.messages.create_contexts import (
    DURABLE_PERSISTENT,
    ContextName,
    DurableReconnectV2,
    DurableRequestV2,
    DurableResponseV2,
)
from server.messages.create_contexts import Lease as LeaseContext
from server.store.base import Store
from server.store.memory import MemoryStore
from server.tests.durables import GUID, Clock, lease, make, settings
from server.tests.served import SHARE, Whole, login, pattern, whole

AVAILABLE = (Share("data", continuous_availability=True),)
Use = Callable[[Whole, Clock], Awaitable[Any]]


class Lives:
    """Of one server: each begins with what the one before has left in the state directory, or had there when it was
    killed."""

    def __init__(self, state: Path, store: Callable[[], Store] | None = None) -> None:
        self.state = state
        memory = MemoryStore()
        self._store = store or (lambda: memory)
        self.settings = settings()
        """The client's, which is the same in all lives."""

    async def live(self, use: Use, killed: bool = True, **options: Any) -> Any:
        """Let a server live while it is used; what that returns."""
        options.setdefault("shares", AVAILABLE)
        async with whole(make_store=lambda share: self._store(), state=self.state, **options) as here:
            clock = Clock(here)
            await here.server.open_state(here.server.config)
            result = await use(here, clock)
            if killed and self.state.exists() and not self._left.exists():
                self.kill()
            await here.server.stop([])
            if killed:
                self.state = self._left
            return result

    @property
    def _left(self) -> Path:
        return self.state.with_name(self.state.name + "+")

    def kill(self) -> None:
        """What the server does from now on has no effect on its next life, but for that on files."""
        shutil.copytree(self.state, self._left)

    async def tree(self, here: Whole, who: Settings | None = None) -> Tree:
        return await (await here.session(who or self.settings, login())).connect(SHARE)


def persistent(guid: bytes = GUID, milliseconds: int = 0) -> CreateContext:
    return CreateContext(ContextName.DH2Q, DurableRequestV2(milliseconds, DURABLE_PERSISTENT, 0, guid).pack())


def back(file_id: bytes, guid: bytes = GUID, flags: int = DURABLE_PERSISTENT) -> CreateContext:
    return CreateContext(ContextName.DH2C, DurableReconnectV2(file_id, guid, flags).pack())


async def create(tree: Tree, disposition: int, flags: int = 0, guid: bytes = GUID, **more: Any) -> CreateResponse:
    """Ask for a persistent handle, with flags for the request's header."""
    request = CreateRequest(more.pop("name", "file"), 0x1F01FF, disposition, contexts=[persistent(guid)], **more)
    return await (await tree.client.post_one(Element(request, tree.id, flags), tree.security)).result(CreateResponse)


def is_persistent(created: CreateResponse) -> bool | None:
    """Whether a v2 handle is; None where none was granted."""
    for context in created.contexts:
        if context.name == ContextName.DH2Q:
            return bool(DurableResponseV2.parse(context.data).flags & DURABLE_PERSISTENT)
    return None


async def again(tree: Tree, before: File, *contexts: CreateContext, name: str = "file", **more: Any) -> File:
    """The file that was open as `before` in a life that is over."""
    return await make(tree, back(before.id), *contexts, name=name, **more)


def in_lives(tmp_path: Path, *uses: Any, killed: bool = True, **options: Any) -> None:
    """Run each of `uses` in a life of its own, with what the one before has returned."""

    async def run() -> None:
        lives = Lives(tmp_path / "state")
        result: Any = None

        async def live(use: Any, here: Whole, clock: Clock) -> Any:
            return await use(lives, here, result)

        for use in uses:
            result = await lives.live(functools.partial(live, use), killed, **options)

    asyncio.run(run())


def lease_of(created: CreateResponse) -> LeaseContext:
    [context] = [context for context in created.contexts if context.name == ContextName.RQLS]
    return LeaseContext.parse(context.data)


async def first(lives: Lives, here: Whole, _: object) -> File:
    """A life in which a client has a file open, caches it and has locked some of it."""
    file = await make(await lives.tree(here), persistent(), lease())
    assert is_persistent(file.created)
    await file.write(0, pattern(4096))
    await file.lock(10, 5)
    return file
