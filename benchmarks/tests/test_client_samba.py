"""The client against Samba: that it is right by more than our own server's word."""

import asyncio
import os
from collections.abc import Iterator

import pytest

from benchmarks.client import Client, NtlmLogin, Session, Settings
from benchmarks.client.compound import PREVIOUS
from benchmarks.tests.test_client_served import SETTINGS, name
from server.messages import fscc_file as fscc
from server.messages.create import CreateRequest, Disposition
from server.messages.entries import DirectoryClass
from server.messages.file import CloseRequest
from server.messages.negotiate import Dialect
from server.messages.read_write import ReadRequest, ReadResponse
from server.status import NT
from server.testing import PASSWORD, Samba, missing, names
from server.tests.served import pattern
from transport.memory import Arena
from transport.tcp import connect, tcp_limits


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    if os.geteuid() != 0:
        pytest.skip("only root can run smbd")
    if missing("smbd", "smbpasswd"):
        pytest.skip("Samba is not installed")
    with Samba() as server:
        yield server.port


@pytest.mark.parametrize("settings", SETTINGS, ids=name)
def test_samba_understands_it_whatever_was_negotiated(port: int, settings: Settings) -> None:
    async def use() -> None:
        arena = Arena(slab=32 << 20)
        connection = await connect("127.0.0.1", port, arena, tcp_limits(8 << 20))
        client = await Client.negotiate(connection, settings)
        session = await Session.login(client, NtlmLogin(names()[0], PASSWORD))
        tree = await session.connect(r"\\localhost\data")
        if client.agreement.dialect < Dialect.SMB311:
            await session.validate_negotiate(tree)
        file = await tree.create("file", disposition=Disposition.OVERWRITE_IF)
        data = pattern(min(client.agreement.max_write, 1_000_000))
        assert await file.write(0, data) == len(data)
        calls = [await tree.post(ReadRequest(file.id, at, 16384)) for at in range(0, len(data), 16384)]
        assert b"".join([bytes((await call.result(ReadResponse)).data) for call in calls]) == data
        every = fscc.All.parse(memoryview(await file.query(fscc.FileClass.ALL)))
        assert (every.standard.size, every.name) == (len(data), "\\file")
        await file.close()
        chain = tree.compound().add(CreateRequest("file", 1)).add(ReadRequest(PREVIOUS, 0, 16), related=True)
        answers = await chain.add(CloseRequest(PREVIOUS), related=True).send()
        assert [answer.status for answer in answers] == [NT.SUCCESS] * 3
        found = await (await tree.directory()).listing(info_class=DirectoryClass.ID_FULL)
        assert {entry.name: entry.size for entry in found}["file"] == len(data)
        await session.logoff()
        await client.close()
        assert arena.idle

    asyncio.run(use())
