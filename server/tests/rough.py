"""A client without manners for the tests: whatever bytes it is given, sent on a connection that has come to a stage."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from benchmarks.client import AnonymousLogin, Client, Session, Settings
from server.messages.create import Disposition
from server.messages.header import PROTOCOL_ID, Header
from server.security.sealing import Sealer
from server.tests.message_samples import FILE_ID, REQUESTS
from server.tests.served import SHARE, Whole, login, pattern, settle
from smbdirect.wire import Malformed
from transport.base import Lost, Reply
from transport.loopback import LoopbackConnection

ANONYMOUS = "anonymous"
STAGES = ("before negotiate", "negotiated", "logged on", "sealed")
BODIES = [b"".join(request.parts()) for request in REQUESTS]


class Line:
    """A connection. On a session, requests name its tree and an open file; `sealed`, they are sealed as well."""

    def __init__(self, connection: LoopbackConnection, serving: "asyncio.Future[None]") -> None:
        self.connection = connection
        self.serving = serving
        self.heard: list[bytes] = []
        """What the server said, from its header on."""
        self.session = self.tree = self.next = 0
        self.file = FILE_ID
        self.seals = False
        self._client: Client | None = None
        self._sealer: Sealer | None = None

    @property
    def ended(self) -> bool:
        """Whether the server has closed the connection."""
        return self.serving.done()

    async def come_to(self, stage: str) -> None:
        """Speak as a proper client up to `stage`."""
        if stage == "before negotiate":
            return
        client = await Client.negotiate(self.connection, Settings(credits=512, encrypt=stage == "sealed"))
        if stage == ANONYMOUS:
            self.session = (await Session.login(client, AnonymousLogin())).id
        elif stage != "negotiated":
            session = await Session.login(client, login())
            tree = await session.connect(SHARE)
            file = await tree.create("file", disposition=Disposition.OPEN_IF)
            await file.write(0, pattern(100_000))
            self.session, self.tree, self.file = session.id, tree.id, file.id
            self.seals = stage == "sealed"
            self._sealer = session.security.sealer
        client._reader.cancel()
        await asyncio.gather(client._reader, return_exceptions=True)
        self.next = client.window.next

    def head(self, command: int, **fields: int) -> bytes:
        """A proper header with the next message id, but for `fields`."""
        header = Header(
            command=command, message_id=self.next, credit_charge=1, credits=1, session_id=self.session,
            async_or_ids=self.tree << 32,
        )  # fmt: skip
        self.next += 1
        for name, value in fields.items():
            setattr(header, name, value)
        return header.pack()

    def request(self, number: int) -> bytes:
        """One of the sample requests as this client would send it."""
        return self.head(REQUESTS[number].COMMAND) + BODIES[number].replace(FILE_ID, self.file)

    def seal(self, message: bytes) -> bytes:
        assert self._sealer is not None
        return b"".join(self._sealer.seal([message], self.session))

    async def send(self, *messages: bytes) -> None:
        """Send each and let the server do with it what it does."""
        for message in messages:
            sealed = self.seals and message[:4] == PROTOCOL_ID
            with contextlib.suppress(Lost):
                await self.connection.send(Reply([self.seal(message) if sealed else message]))
            await settle()

    async def listen(self) -> None:
        """Take what comes, so that the server never waits for this client."""
        with contextlib.suppress(Lost, Malformed):
            while (message := await self.connection.receive()) is not None:
                self.heard.append(bytes(message.view))
                message.release()


@contextlib.asynccontextmanager
async def rough(here: Whole, stage: str) -> AsyncIterator[Line]:
    """A new connection to `here` that has come to `stage`."""
    connection = here.connect()
    line = Line(connection, here.serving[-1])
    await line.come_to(stage)
    listening = asyncio.ensure_future(line.listen())
    try:
        yield line
    finally:
        await connection.close()
        await listening
