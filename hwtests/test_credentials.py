"""Opening files as other accounts in the event loop leaves its thread its devices: verbs and rdma_cm compare the
credentials a device was opened with, by their address."""

import asyncio
import os
from pathlib import Path

import pytest

from server.store.base import Wanted
from server.store.posix import PosixStore
from server.store.ring import OpeningRing
from server.tests.stores import ALICE, BOB, AtOnceStore, at_once_store
from transport.base import Reply
from transport.check_base import expect
from transport.discovery import Interface

from .pairs import OTHER_PORTS, Ends, ends

SHARES = Path("/dev/shm")
"""Where files tell of all that changes, in the lab too."""


async def carry(both: Ends, message: bytes) -> None:
    """`message` both ways."""
    for near, far in ((both.server, both.client), (both.client, both.server)):
        await near.send(Reply([message]))
        await expect(far, message)


async def open_as_others(store: AtOnceStore) -> None:
    for who in (ALICE, BOB):
        await (await PosixStore.open(store, who, Wanted(()))).file.close()
        found = store.open_nowait(who, Wanted(()))
        assert found is not None
        await found.file.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root acts as others")
def test_opens_as_others_leave_the_event_loop_its_devices(
    interface: Interface, tmp_path_factory: pytest.TempPathFactory
) -> None:
    try:
        OpeningRing().close()
    except OSError as error:
        pytest.skip(f"no io_uring here: {error}")
    root = SHARES / tmp_path_factory.mktemp("share").name
    root.mkdir()

    async def run() -> None:
        store = at_once_store(root)
        async with ends(interface) as both:
            await carry(both, b"before")
            await open_as_others(store)
            await carry(both, b"after")
            async with ends(interface, ports=OTHER_PORTS) as others:
                await open_as_others(store)
                await carry(others, b"others")
        await store.close()

    try:
        asyncio.run(run())
    finally:
        root.rmdir()
