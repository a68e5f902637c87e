"""Repeated login failures slow down, for each address and for each name.

What waits is the answer to a failure; who has the right password is answered at once, whatever others at the same
address (behind one NAT, on one host) have done. A guesser who does not wait for the answer gains little: the
connection counts against its address's limit until the wait is over. The delay doubles with every failure after the
first few; an address's grows further than a name's. What failed long ago is forgotten, and the tables have an end,
so a guesser cannot fill memory.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from ipaddress import IPv6Address, ip_address

FREE = 3
"""Failures that cost nothing: people mistype, clients try what they have stored."""

FIRST = 0.5
LONGEST_FOR_NAME = 2.0
LONGEST_FOR_PEER = 15.0
FORGOTTEN_AFTER = 900.0
"""Seconds."""

MOST = 4096
"""Addresses, and names, remembered."""

LONGEST_KEY = 64
"""Characters of a name that tell it from another here; a client may send tens of thousands."""


class Failures:
    """Failures by key, and the delay they earn."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._by_key: dict[str, tuple[int, float]] = {}

    def delay(self, key: str, now: float) -> float:
        """Seconds that the answer to the next failure of `key` waits."""
        count = self._count(key, now)
        return min(FIRST * 2.0 ** min(count - FREE, 32), self._longest) if count >= FREE else 0.0

    def add(self, key: str, now: float) -> None:
        count = self._count(key, now)
        self._by_key.pop(key, None)
        self._by_key[key] = (count + 1, now)
        if len(self._by_key) > MOST:
            del self._by_key[next(iter(self._by_key))]  # the one that failed longest ago

    def forget(self, key: str) -> None:
        self._by_key.pop(key, None)

    def _count(self, key: str, now: float) -> int:
        count, last = self._by_key.get(key, (0, now))
        return count if now - last < FORGOTTEN_AFTER else 0


class Throttle:
    """`clock` in seconds, only ever growing; `sleep` waits so many of them."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._peers = Failures(LONGEST_FOR_PEER)
        self._names = Failures(LONGEST_FOR_NAME)

    async def failed(self, peer: str, name: str) -> None:
        """Count a failure, and wait as long as those before it demand; not at all after the first few."""
        now = self._clock()
        network, name = _network(peer), _folded(name)
        delay = max(self._peers.delay(network, now), self._names.delay(name, now))
        self._peers.add(network, now)
        self._names.add(name, now)
        if delay:
            await self._sleep(delay)

    def succeeded(self, name: str) -> None:
        """Clears the name. The address keeps its failures, or a guesser with one account could clear them."""
        self._names.forget(_folded(name))


def _folded(name: str) -> str:
    return name[:LONGEST_KEY].casefold()


def _network(peer: str) -> str:
    """What counts as one address: an IPv6 host has a whole /64 to choose from."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or int(address) >> 64)
    return str(address)
