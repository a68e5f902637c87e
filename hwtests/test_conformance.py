"""The transport contract's suite over every RDMA technology here."""

import asyncio

import pytest

from transport.discovery import Interface
from transport.testing import CHECKS, REMOTE_CHECKS, run_check

from .pairs import maker


@pytest.mark.parametrize("name", [*CHECKS, *REMOTE_CHECKS])
def test_conformance(interface: Interface, name: str) -> None:
    asyncio.run(run_check(name, maker(interface)))
