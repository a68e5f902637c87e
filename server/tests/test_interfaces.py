"""Which interfaces clients are told of, while they change, and how QUERY_NETWORK_INTERFACE_INFO answers."""

import asyncio
import ipaddress
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from benchmarks.client import Settings, Tree
from server import interfaces
from server.interfaces import Interfaces
from server.messages.fsctl import (
    INTERFACE_RDMA_CAPABLE,
    INTERFACE_RSS_CAPABLE,
    INTERFACE_SIZE,
    NetworkInterface,
    unpack_interfaces,
)
from server.messages.ioctl import NO_FILE, Fsctl, IoctlRequest, IoctlResponse
from server.messages.negotiate import Dialect
from server.status import NT
from server.tests.served import Whole, on_a_server
from server.tests.stores import refused
from transport.discovery import Interface
from transport.netlink import IpAddress
from transport.technology import ROCE, Technology


def link(name: str, index: int, *addresses: str, rss: bool = False, technology: Technology | None = None) -> Interface:
    parsed: tuple[IpAddress, ...] = tuple(map(ipaddress.ip_address, addresses))
    return Interface(name, index, parsed, 10**10, rss, "mlx5_0" if technology else None, technology)


PLAIN = link("eth0", 2, "192.0.2.1", "2001:db8::1", rss=True)
FAST = link("eth1", 3, "198.51.100.1", technology=ROCE)


def having(patch: pytest.MonkeyPatch, *found: Any) -> None:
    """Discovery finds these, one after the other; an exception is raised."""
    answers = iter(found)

    def answer() -> list[Interface]:
        now = next(answers)
        if isinstance(now, Exception):
            raise now
        return list(now)

    async def turns() -> AsyncIterator[None]:
        for _ in range(len(found) - 1):
            yield

    patch.setattr(interfaces, "interfaces", answer)
    patch.setattr(interfaces, "watch", turns)


def test_what_changed_before_the_watch_began_is_seen_too(monkeypatch: pytest.MonkeyPatch) -> None:
    having(monkeypatch, [PLAIN], [PLAIN, FAST])
    found = Interfaces()
    assert found.current == [PLAIN]
    asyncio.run(found.follow())
    assert found.current == [PLAIN, FAST]


def test_a_look_that_fails_is_said_and_the_next_counts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    having(monkeypatch, [PLAIN], OSError("no buffer space"), [FAST])
    found = Interfaces()
    with caplog.at_level(logging.INFO):
        asyncio.run(found.follow())
    assert found.current == [FAST]
    assert [record.message for record in caplog.records] == [
        "the interfaces cannot be listed: no buffer space", "interfaces: eth1"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("listening", "told"),
    [
        ((), ["192.0.2.1", "2001:db8::1", "198.51.100.1"]),
        (("0.0.0.0",), ["192.0.2.1", "198.51.100.1"]),
        (("::",), ["2001:db8::1"]),
        (("198.51.100.1", "2001:DB8:0::1"), ["2001:db8::1", "198.51.100.1"]),
        (("192.0.2.7",), []),
        (("127.0.0.1",), ["127.0.0.1"]),
        (("::1", "198.51.100.1", "127.0.0.1"), ["127.0.0.1", "::1", "198.51.100.1"]),
    ],
)
def test_addresses_that_nobody_listens_on_are_not_told(
    monkeypatch: pytest.MonkeyPatch, listening: tuple[str, ...], told: list[str]
) -> None:
    having(monkeypatch, [PLAIN, FAST])
    current = Interfaces(listening).current
    assert [str(address) for each in current for address in each.addresses] == told
    assert all(each.addresses for each in current)


def test_a_server_of_tcp_alone_tells_of_no_rdma(monkeypatch: pytest.MonkeyPatch) -> None:
    having(monkeypatch, [FAST])
    (only,) = Interfaces(rdma=False).current
    assert (only.name, only.device, only.technology) == ("eth1", None, None)


# -- the answer ----------------------------------------------------------------------------------------------------


def asked(found: list[Interface], check: "Callable[[Tree], Any]", settings: Settings | None = None) -> None:
    """Run `check` with a tree of a server that has these interfaces."""

    async def use(here: Whole) -> None:
        here.server.interfaces.current = found
        await check(await here.tree(settings))

    on_a_server(use)


async def answer(tree: Tree, room: int = 65536) -> list[NetworkInterface]:
    request = IoctlRequest(Fsctl.QUERY_NETWORK_INTERFACE_INFO, NO_FILE, max_output=room)
    output = (await tree.call(request, IoctlResponse)).output
    assert len(output) <= room
    return unpack_interfaces(memoryview(output))


def test_rdma_has_entries_of_its_own() -> None:
    async def check(tree: Tree) -> None:
        addresses = [*PLAIN.addresses, *FAST.addresses, *FAST.addresses]
        kinds = [INTERFACE_RSS_CAPABLE, INTERFACE_RSS_CAPABLE, 0, INTERFACE_RDMA_CAPABLE]
        assert await answer(tree) == [
            NetworkInterface(index, kind, 10**10, address)
            for index, kind, address in zip((2, 2, 3, 3), kinds, addresses, strict=True)
        ]

    asked([PLAIN, FAST], check)


def test_no_interface_is_an_empty_answer() -> None:
    async def check(tree: Tree) -> None:
        assert await answer(tree) == []

    asked([], check)


def test_an_answer_stays_within_the_callers_buffer() -> None:
    async def check(tree: Tree) -> None:
        assert len(await answer(tree, 4 * INTERFACE_SIZE)) == 4
        for room in (4 * INTERFACE_SIZE - 1, INTERFACE_SIZE, 0):
            with refused(NT.BUFFER_TOO_SMALL):
                await answer(tree, room)

    asked([PLAIN, FAST], check)


def test_before_dialect_3_there_is_no_such_question() -> None:
    async def check(tree: Tree) -> None:
        with refused(NT.NOT_SUPPORTED):
            await answer(tree)

    asked([PLAIN], check, Settings(dialects=(Dialect.SMB210,)))
