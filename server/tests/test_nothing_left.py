"""What the status tells to be there is gone once clients have gone, whatever they have done: every count is zero."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.client import File, Tree
from server.breaks import TIMEOUT
from server.control import report
from server.messages.create import ShareAccess
from server.messages.directory import CompletionFilter
from server.server import Server
from server.store.base import Store
from server.store.memory import MemoryStore
from server.tests.durables import RH, RWH, Clock, again, back, durable, lease, make, settings
from server.tests.served import Whole, on_a_server
from server.tests.stores import posix_store
from server.tests.test_lease_storm import hurried, obey
from server.tests.test_oplock_whole import clock_of, told

CONNECTIONS, OPENS = 100, 10
MANY = {"max_connections_per_address": CONNECTIONS, "max_connections": CONNECTIONS}
ALL = ShareAccess.READ | ShareAccess.WRITE | ShareAccess.DELETE
TURNS = 10_000
"""Of the loop and a thread, in which what threads still do ends."""
LASTING = ("since", "shares", "version", "name")
"""What a report tells of the server itself."""

Options = dict[str, Any]


@pytest.fixture(params=["memory", "files"])
def options(request: pytest.FixtureRequest, tmp_path: Path) -> Options:
    """Of a server with a share in memory, or in files that local processes have too."""

    def make_store(share: object) -> Store:
        return posix_store(tmp_path) if request.param == "files" else MemoryStore()

    return {"make_store": make_store, **MANY}


def counts(server: Server) -> report.Row:
    told = report.status(server)
    arena = told.pop("arena")
    return {"used": arena["used"], "blocks": arena["blocks"]} | {
        name: count for name, count in told.items() if name not in LASTING
    }


async def until(server: Server, **expected: object) -> None:
    """Until so much is there; threads may still be at work."""
    for _ in range(TURNS):
        if expected.items() <= counts(server).items():
            return
        await asyncio.to_thread(os.sched_yield)
    there = counts(server)
    assert {name: there[name] for name in expected} == expected


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


async def watch(tree: Tree) -> None:
    """Have a watch on the share's root, and wait for what it will tell."""
    await (await tree.directory()).notify(CompletionFilter.FILE_NAME)


async def gone(here: Whole, before: report.Row) -> None:
    """All clients lose their connections; soon all there was before they came is what there is."""
    for client in here.clients:
        await client.close()
    await asyncio.gather(*here.serving)
    await until(here.server, **before)


def check(options: Options, use: Callable[[Whole], Any]) -> None:
    async def run(here: Whole) -> None:
        before = counts(here.server)
        assert all(not count for name, count in before.items() if name != "tasks")
        await use(here)
        await gone(here, before)

    on_a_server(run, **options)


def test_after_a_client_that_never_acknowledges_a_break(options: Options) -> None:
    async def use(here: Whole) -> None:
        clock = clock_of(here)
        tree = await here.tree()
        await make(tree, lease(RWH, key(1)))
        await watch(tree)
        others = [await here.tree() for _ in range(20)]
        waiting = [asyncio.ensure_future(make(tree, lease(RH, key(2 + n)))) for n, tree in enumerate(others)]
        await told(tree)
        await until(here.server, breaks=1, requests_waiting=21, watches=1)
        await clock.pass_by(TIMEOUT)
        await asyncio.gather(*waiting)
        there = counts(here.server)
        assert (there["opens"], there["leases"], there["breaks"], there["requests_waiting"]) == (22, 21, 0, 1)

    check(options, use)


def test_after_a_thousand_opens_of_one_file_from_a_hundred_connections(options: Options) -> None:
    async def open_some(tree: Tree, number: int) -> None:
        await watch(tree)
        for each in range(OPENS):
            wish = [lease(RWH, key(number))] if each % 2 else []
            file = await make(tree, *wish, share=ALL)
            await file.lock(number * OPENS + each, 1)

    async def use(here: Whole) -> None:
        here.server.opens.breaks.later = hurried
        trees = [await here.tree() for _ in range(CONNECTIONS)]
        obeying = [asyncio.ensure_future(obey(tree)) for tree in trees[::2]]
        await asyncio.gather(*(open_some(tree, number) for number, tree in enumerate(trees, 1)))
        there = counts(here.server)
        assert (there["opens"], there["locks"]) == (CONNECTIONS * (OPENS + 1), CONNECTIONS * OPENS)
        assert there["watches"] == CONNECTIONS
        for task in obeying:
            task.cancel()
        await asyncio.gather(*obeying, return_exceptions=True)

    check(options, use)


def test_after_a_storm_of_reconnects_of_which_half_never_come(options: Options) -> None:
    clients, files = 24, 4

    async def open_some(here: Whole, number: int) -> tuple[Tree, list[File]]:
        tree = await here.tree(settings())
        await watch(tree)
        made = []
        for each in range(files):
            name = number * files + each
            made.append(await make(tree, durable(key(name)), lease(RWH, key(name)), name=str(name)))
            await made[-1].lock(0, 1)
        return tree, made

    async def come_back(here: Whole, tree: Tree, had: list[File], number: int) -> None:
        tree = await again(here, tree)
        for each, file in enumerate(had):
            name = number * files + each
            file = await make(tree, back(file.id, key(name)), lease(RWH, key(name)), name=str(name))
            await file.unlock(0, 1)
            await file.close()

    async def use(here: Whole) -> None:
        clock = Clock(here)
        had = await asyncio.gather(*(open_some(here, number) for number in range(1, clients + 1)))
        for client in here.clients:
            await client.close()
        await asyncio.gather(*here.serving)
        there = counts(here.server)
        kept = clients * files
        assert (there["opens"], there["disconnected"], there["locks"], there["leases"]) == (kept, kept, kept, kept)
        assert (there["watches"], there["sessions"], there["connections"]) == (0, 0, 0)
        back_again = [come_back(here, tree, made, number) for number, (tree, made) in enumerate(had, 1) if number % 2]
        await asyncio.gather(*back_again)
        there = counts(here.server)
        assert (there["opens"], there["disconnected"], there["locks"]) == (kept // 2, kept // 2, kept // 2)
        await clock.pass_by(1000)

    check(options, use)
