"""What tests of opens that outlive their connection share: clients that lose it and come back, and a clock."""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.client import File, Session, Settings, Tree
from server.messages.create import CreateContext, CreateResponse, Disposition, OplockLevel
from server.messages.create_contexts import (
    ContextName,
    DurableReconnect,
    DurableReconnectV2,
    DurableRequest,
    DurableRequestV2,
    DurableResponseV2,
)
from server.messages.create_contexts import Lease as LeaseContext
from server.oplock import HANDLE, READ, WRITE
from server.status import Status
from server.tests.served import SHARE, USER, Whole, login, settle

RH, RWH = READ | HANDLE, READ | WRITE | HANDLE
KEY, GUID = b"k" * 16, b"g" * 16


class Clock:
    """Stands in for the loop's: what is due later is done by `pass_by`."""

    def __init__(self, here: Whole) -> None:
        self.due: list[_Timer] = []
        here.server.durables.later = self.later

    def later(self, delay: float, callback: Callable[..., None], *arguments: Any) -> "_Timer":
        timer = _Timer(delay, callback, arguments)
        self.due.append(timer)
        return timer

    async def pass_by(self, seconds: float) -> None:
        for timer in [timer for timer in self.due if timer.delay <= seconds]:
            self.due.remove(timer)
            if not timer.cancelled:
                timer.callback(*timer.arguments)
        await settle()

    @property
    def running(self) -> list[float]:
        """The seconds of each timer that has not been cancelled."""
        return [timer.delay for timer in self.due if not timer.cancelled]


class _Timer:
    def __init__(self, delay: float, callback: Callable[..., None], arguments: Any) -> None:
        self.delay, self.callback, self.arguments, self.cancelled = delay, callback, arguments, False

    def cancel(self) -> None:
        self.cancelled = True


def lease(state: int = RWH, key: bytes = KEY) -> CreateContext:
    return CreateContext(ContextName.RQLS, LeaseContext(key, state, 0, bytes(16)).pack())


def durable(guid: bytes = GUID, milliseconds: int = 0) -> CreateContext:
    return CreateContext(ContextName.DH2Q, DurableRequestV2(milliseconds, 0, 0, guid).pack())


FIRST = CreateContext(ContextName.DHNQ, DurableRequest().pack())
"""Asks for a durable handle of version 1."""


def back(file_id: bytes, guid: bytes | None = GUID) -> CreateContext:
    """Asks for an open again; as version 1 where `guid` is None."""
    if guid is None:
        return CreateContext(ContextName.DHNC, DurableReconnect(file_id).pack())
    return CreateContext(ContextName.DH2C, DurableReconnectV2(file_id, guid, 0).pack())


async def make(tree: Tree, *contexts: CreateContext, name: str = "file", **more: Any) -> File:
    """Make or open a file that is to last: by its lease where one is among `contexts`, else by a batch oplock."""
    leased = any(context.name == ContextName.RQLS for context in contexts)
    level = OplockLevel.LEASE if leased else OplockLevel.BATCH
    more.setdefault("disposition", Disposition.OPEN_IF)
    return await tree.create(name, oplock=level, contexts=contexts, **more)


def timeout_of(created: CreateResponse) -> int | None:
    """The milliseconds that a v2 handle was promised, None where none was granted."""
    for context in created.contexts:
        if context.name == ContextName.DH2Q:
            return DurableResponseV2.parse(context.data).timeout
    return None


def settings() -> Settings:
    """A client that can be told from others, and is the same when it comes back."""
    return Settings(guid=os.urandom(16))


async def cut(here: Whole, tree: Tree) -> None:
    """The connection of `tree` is lost, and the server has seen that."""
    await tree.client.close()
    await here.serving[here.clients.index(tree.client)]


async def log_on_again(here: Whole, how: Settings, previous: int = 0, user: str = USER) -> Session:
    """A new connection and session of the client that has these settings."""
    return await Session.login(await here.client(replace(how)), login(user), previous)


async def again(here: Whole, tree: Tree, previous: int = 0, user: str = USER) -> Tree:
    """A new connection and session of the client that `tree` was of."""
    return await (await log_on_again(here, tree.client.settings, previous, user)).connect(SHARE)


async def held(here: Whole, *contexts: CreateContext, **more: Any) -> tuple[Tree, File]:
    """A client of its own, with a durable file (`contexts` say how else)."""
    tree = await here.tree(settings())
    return tree, await make(tree, *(contexts or (durable(),)), **more)


async def refused(tree: Tree, *contexts: CreateContext, name: str = "file") -> int:
    """The status that refuses the CREATE."""
    with pytest.raises(Status) as status:
        await make(tree, *contexts, name=name)
    return status.value.code
