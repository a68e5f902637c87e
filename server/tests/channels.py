"""A session over several connections of `served`'s server, for tests to add some and to cut some."""

from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.client import Client, File, Session, SessionChannel, Settings
from server.messages.create import Disposition
from server.open import Open
from server.tests.served import SHARE, Whole, login, on_a_server
from transport.loopback import LoopbackConnection

Test = Callable[[Whole, Session, File], Awaitable[None]]


async def further(here: Whole, session: Session, remote: bool = False) -> SessionChannel:
    """One more channel; over one that is `remote` the server reaches the client's memory."""
    near = here.connect(remote_memory=remote)
    client = await Client.negotiate(near, session.client.settings)
    here.clients.append(client)
    return await session.bind(client, login(), near.memory if remote else None)


def end_of(channel: SessionChannel) -> LoopbackConnection:
    connection = channel.client.connection
    assert isinstance(connection, LoopbackConnection)
    return connection


def kill(channel: SessionChannel) -> None:
    end_of(channel).lose("cut")


def on_a_session(test: Test, settings: Settings | None = None, **options: Any) -> None:
    """Run `test` with a session and an open file; it is to bind what it needs."""

    async def use(here: Whole) -> None:
        session = await here.session(settings)
        await test(here, session, await (await session.connect(SHARE)).create("file", disposition=Disposition.CREATE))

    on_a_server(use, **options)


def carrying(session: Session) -> SessionChannel:
    """The one channel that has something under way."""
    (found,) = (channel for channel in session.channels.alive if channel.client.under_way)
    return found


def opened(here: Whole) -> Open:
    """The one open there is."""
    (found,) = here.server.opens.by_volatile.values()
    return found


def quiet(here: Whole) -> bool:
    """Whether no request counts any more in the sequence of the one open."""
    sequence = opened(here).sequence
    return (sequence.under_way, sequence.before) == (0, 0)
