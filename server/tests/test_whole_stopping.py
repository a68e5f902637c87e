"""The server stops (SIGTERM): what is in flight finishes, but not for ever."""

import asyncio

from server.messages.header import Command
from server.messages.read_write import ReadRequest
from server.server import PATIENCE
from server.store.base import Found, Identity, Wanted
from server.store.memory import MemoryStore
from server.tests.rough import Line
from server.tests.served import SHARE, Whole, on_a_server, settle
from server.tests.test_oplock_whole import Clock


class Stuck(MemoryStore):
    """Nothing can be opened."""

    async def open(self, who: Identity, wanted: Wanted) -> Found:
        never: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        return await never


async def stop(here: Whole) -> "tuple[asyncio.Task[None], Clock]":
    """Begin to stop, and come to where only time helps."""
    clock = Clock()
    here.server.later = clock.later
    stopping = asyncio.create_task(here.server.stop([]))
    await settle()
    assert not stopping.done()
    return stopping, clock


def test_client_that_takes_no_answers_does_not_keep_the_server() -> None:
    async def test(here: Whole) -> None:
        line = Line(here.connect(), here.serving[-1])
        await line.come_to("logged on")
        body = b"".join(ReadRequest(line.file, 0, 65536).parts())
        await line.send(*(line.head(Command.READ) + body for _ in range(200)))
        stopping, clock = await stop(here)
        await clock.pass_by(PATIENCE)
        await asyncio.wait_for(stopping, 5)
        assert here.payload.idle

    on_a_server(test)


def test_file_that_cannot_be_had_does_not_keep_the_server() -> None:
    async def test(here: Whole) -> None:
        tree = await (await here.session()).connect(SHARE)
        waiting = asyncio.ensure_future(tree.create("file"))
        await settle()
        stopping, clock = await stop(here)
        await clock.pass_by(PATIENCE)
        await asyncio.wait_for(stopping, 5)
        await asyncio.gather(waiting, return_exceptions=True)

    on_a_server(test, make_store=lambda share: Stuck())
