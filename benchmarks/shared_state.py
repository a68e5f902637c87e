"""What it costs that clients may cache and the server remembers: opens with and without leases, breaks, and the memory
of an open and of a watch.

The project's own client asks over TCP on the loopback address, in a process of its own; rates count whole rounds of
both. A round of "opens" is a CREATE and a CLOSE, each of another file; one of "breaks" is an open by a second client
that takes a lease's right to keep data, with the notification, its acknowledgment and the close. Memory is what the
server's process has more (VmRSS) when all are open, by how many there are. Run it on a quiet machine.

    python -m benchmarks.shared_state [--rounds N] [--opens N] [--watches N] [--output FILE]
"""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from server.messages.create import CreateContext, Disposition, OplockLevel
from server.messages.create_contexts import ContextName, Lease, LeaseState
from server.messages.directory import CompletionFilter
from server.messages.oplock import LeaseBreak, LeaseNotification, OplockBreakRequest, OplockBreakResponse
from server.testing import PASSWORD, Ours, names
from transport import tcp
from transport.memory import Arena

from . import results
from .client import Client, File, NtlmLogin, Session, Settings, Tree

TITLE = "Leases, breaks and watches"
FILES = 64
"""Different files that opens go round, and how many of them are under way at once."""
SECONDS = 1.0
PATIENCE = 20.0
READ_AND_KEEP = LeaseState.READ | LeaseState.HANDLE
EVERYTHING = READ_AND_KEEP | LeaseState.WRITE
SHARES = {"data": {}, "second": {"oplocks": "false"}}
PART = 500
"""Watches on one connection: of requests that wait it may have so many."""


@asynccontextmanager
async def connected(server: Ours, share: str) -> AsyncIterator[Tree]:
    """The share, over a connection of its own, as a client of its own."""
    connection = await tcp.connect("127.0.0.1", server.port, Arena(), tcp.tcp_limits(8 << 20))
    client = await Client.negotiate(connection, Settings(credits=8192))
    try:
        session = await Session.login(client, NtlmLogin(names()[0], PASSWORD))
        yield await session.connect(rf"\\127.0.0.1\{share}")
    finally:
        await client.close()


async def open_file(tree: Tree, number: int, rights: int = 0) -> File:
    """File `number`, with a lease of its own where `rights` are asked for."""
    level, contexts = OplockLevel.NONE, []
    if rights:
        lease = Lease(number.to_bytes(16, "big"), rights, parent_key=bytes(16))
        level, contexts = OplockLevel.LEASE, [CreateContext(ContextName.RQLS, lease.pack())]
    return await tree.create(f"{number}", disposition=Disposition.OPEN_IF, oplock=level, contexts=contexts)


async def rate(step: Callable[[int], Awaitable[None]]) -> float:
    """How often a second `step` is done, by `FILES` at a time with a number each."""
    begun = time.perf_counter()

    async def repeat(number: int) -> int:
        count = 0
        while time.perf_counter() < begun + SECONDS:
            await step(number)
            count += 1
        return count

    counts = await asyncio.gather(*(repeat(number) for number in range(1, FILES + 1)))
    return sum(counts) / (time.perf_counter() - begun)


# -- rates ----------------------------------------------------------------------------------------------------------
async def opens(server: Ours, share: str, rights: int) -> float:
    async with connected(server, share) as tree:

        async def step(number: int) -> None:
            await (await open_file(tree, number, rights)).close()

        return await rate(step)


async def breaks(server: Ours) -> float:
    """Of the right to keep writes, by another client's opens; each is acknowledged, and one more open takes it back."""
    async with connected(server, "data") as holding, connected(server, "data") as other:
        kept = [await open_file(holding, number, EVERYTHING) for number in range(1, FILES + 1)]
        answering = asyncio.ensure_future(acknowledge(holding))

        async def step(number: int) -> None:
            await (await open_file(other, number)).close()
            await (await open_file(holding, number, EVERYTHING)).close()

        try:
            return await rate(step)
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
            for file in kept:
                await file.close()


async def acknowledge(tree: Tree) -> None:
    """Answer every break of a lease."""
    while True:
        notice = (await tree.client.notifications.get()).body
        assert isinstance(notice, LeaseNotification)
        body = LeaseBreak(key=notice.key, state=notice.new_state)
        await tree.call(OplockBreakRequest(body), OplockBreakResponse)


# -- memory ---------------------------------------------------------------------------------------------------------
def resident(server: Ours) -> int:
    """Bytes of the server's process that are in memory."""
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) * 1024


async def memory_of_opens(server: Ours, count: int, rights: int) -> float:
    """Bytes for each of `count` opens of as many files."""
    async with connected(server, "data") as tree:
        await (await open_file(tree, 1, rights)).close()
        before = resident(server)
        files = [await open_file(tree, number, rights) for number in range(1, count + 1)]
        grown = resident(server) - before
        for file in files:
            await file.close()
        return grown / count


async def memory_of_watches(server: Ours, count: int) -> float:
    """Bytes for each of `count` watches of as many directories, their opens and waiting requests among them."""
    async with connected(server, "data") as tree:
        for number in range(count):
            await (await tree.directory(f"watched {number}", Disposition.OPEN_IF)).close()
    before = resident(server)
    return await _watch(server, count, before, 0)


async def _watch(server: Ours, count: int, before: int, done: int) -> float:
    if done == count:
        return (resident(server) - before) / count
    async with connected(server, "data") as tree:
        part = min(PART, count - done)
        for number in range(done, done + part):
            directory = await tree.directory(f"watched {number}")
            call = await directory.notify(CompletionFilter.FILE_NAME)
            await asyncio.wait_for(call.interim.wait(), PATIENCE)
        return await _watch(server, count, before, done + part)


# -- the table ------------------------------------------------------------------------------------------------------
def measure(rounds: int, open_count: int, watch_count: int) -> list[tuple[str, str]]:
    """Every line of the table; each turn has a server of its own."""
    lines: list[tuple[str, Callable[[Ours], Awaitable[float]], str]] = [
        ("opens, no lease asked for", lambda server: opens(server, "data", 0), "/s"),
        ("opens, a lease on each", lambda server: opens(server, "data", EVERYTHING), "/s"),
        ("opens, a lease asked for, `oplocks = no`", lambda server: opens(server, "second", EVERYTHING), "/s"),
        ("breaks, acknowledged", breaks, "/s"),
        ("memory of an open", lambda server: memory_of_opens(server, open_count, 0), "bytes"),
        ("memory of an open with its lease", lambda server: memory_of_opens(server, open_count, EVERYTHING), "bytes"),
        ("memory of a watch", lambda server: memory_of_watches(server, watch_count), "bytes"),
    ]
    table = []
    for what, figure, unit in lines:
        turns = []
        for _ in range(rounds):
            with Ours(shares=SHARES) as server:
                turns.append(asyncio.run(_awaited(figure(server))))
        table.append((what, f"{results.median(turns):.0f} {unit}"))
        print(f"{what}: {table[-1][1]}", flush=True)
    return table


async def _awaited(figure: Awaitable[float]) -> float:
    return await figure


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shared_state", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--opens", type=int, default=2000, help="open at once, for their memory (default 2000)")
    parser.add_argument("--watches", type=int, default=1000, help="at once, for their memory (default 1000)")
    parser.add_argument("--output", type=Path, help="also write the table to its section of this file")
    options = parser.parse_args(argv)
    table = measure(options.rounds, options.opens, options.watches)
    about = f"Medians of {options.rounds} turns each, {results.machine()}"
    about += f"; {options.opens} opens and {options.watches} watches for their memory."
    said = f"{about}\n\n{results.table(['', 'figure'], table)}\n"
    if options.output:
        results.record(options.output, TITLE, said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
