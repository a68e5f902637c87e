"""The contract of `transport.base` as a suite that any transport runs: `check_connection(make_pair)`.

Each check gets a fresh pair over arenas that poison released memory, so a view that outlives its block shows,
and ends with both arenas idle. Payload is a pattern in which each 8-byte word holds its own offset: a swapped
descriptor or a lost piece shows. Checks of remote memory are left out where the pair has none. No test runner
is needed; a failure is an AssertionError that begins with the check's name.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from . import check_messages, check_remote
from .base import Connection
from .check_base import Check, ClientMemory, Ends, pattern, settled
from .memory import Arena

__all__ = ["CHECKS", "REMOTE_CHECKS", "ClientMemory", "MakePair", "Pair", "check_connection", "pattern", "run_check"]

PATIENCE = 30.0
"""Seconds a check may take before it counts as hung."""

Pair = tuple[Connection, Connection, ClientMemory | None]
MakePair = Callable[[Arena, Arena], AbstractAsyncContextManager[Pair]]
"""(the server's arena, the client's) -> the server's end, the client's, and the client's memory or None."""


CHECKS: dict[str, Check] = {getattr(check, "__name__", ""): check for check in check_messages.CHECKS}
REMOTE_CHECKS: dict[str, Check] = {getattr(check, "__name__", ""): check for check in check_remote.CHECKS}


async def check_connection(make_pair: MakePair) -> list[str]:
    """Run every check that applies; the names of those run. Raises AssertionError at the first that fails."""
    server_arena, client_arena = _arena(), _arena()
    async with make_pair(server_arena, client_arena) as (_, _, memory):
        names = [*CHECKS, *(REMOTE_CHECKS if memory is not None else ())]
    for name in names:
        await run_check(name, make_pair)
    return names


async def run_check(name: str, make_pair: MakePair) -> None:
    """Run one check. Raises AssertionError beginning with its name."""
    check = CHECKS.get(name) or REMOTE_CHECKS[name]
    server_arena, client_arena = _arena(), _arena()
    try:
        async with asyncio.timeout(PATIENCE):
            async with make_pair(server_arena, client_arena) as (server, client, memory):
                server.trust(server.limits.max_message)
                client.trust(client.limits.max_message)
                await check(Ends(server, client, memory, server_arena, client_arena))
                await server.close()
                await client.close()
            await settled(server_arena)
            await settled(client_arena)
    except TimeoutError:
        raise AssertionError(f"{name}: not done after {PATIENCE} seconds") from None
    except Exception as error:
        raise AssertionError(f"{name}: {type(error).__name__}: {error}") from error
    server_arena.close()
    client_arena.close()


def _arena() -> Arena:
    return Arena(limit=256 << 20, slab=4 << 20, poison=True)
