"""The server as a process: as another user than root, ended by SIGTERM, reloaded by SIGHUP."""

import asyncio
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.client import Element, Session, Tree
from server.messages.create import Disposition
from server.messages.directory import CompletionFilter
from server.messages.file import EchoRequest
from server.messages.read_write import ReadRequest
from server.status import NT
from server.testing import PASSWORD, Ours, missing, names, program
from server.tests.dialled import dialled, tree_of
from server.tests.served import login, pattern
from server.tests.stores import ROOT, refused
from transport.base import Lost


@pytest.fixture
def server() -> Iterator[Ours]:
    with Ours() as running:
        yield running


def hang_up(server: Ours, number: int) -> None:
    assert server.process is not None
    server.process.send_signal(number)


def await_log(server: Ours, text: str) -> None:
    """Wait until `text` stands in the server's log."""
    while text not in server.log.read_text():
        assert server.alive, server.tail()
        time.sleep(0.005)


class OfNobody(Ours):
    """A server that does not run as root."""

    def prepare(self) -> None:
        super().prepare()
        for place in (self.root, *self.root.iterdir()):
            os.chown(place, 65534, 65534)

    def command(self) -> list[str]:
        return [*AS_NOBODY, *super().command()]


AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


@pytest.mark.skipif(not ROOT, reason="only root can start a server as another user")
@pytest.mark.skipif(bool(missing("setpriv")), reason="setpriv is missing (Debian: util-linux)")
def test_a_server_that_is_not_root_acts_as_its_own_account_whoever_asks() -> None:
    async def use(server: Ours) -> None:
        async with dialled(server) as client:
            for name in names():
                tree = await tree_of(client, name)
                await tree.create(name, disposition=Disposition.CREATE)
                assert server.path().joinpath(name).stat().st_uid == 65534
                with refused(NT.ACCESS_DENIED):
                    await tree.create("private", 1)

    server = OfNobody()
    try:
        if subprocess.run([*AS_NOBODY, sys.executable, "-c", ""], check=False, capture_output=True).returncode:
            pytest.skip("another user may not run this environment's Python")
        (server.path() / "private").touch(mode=0o600)
        with server:
            asyncio.run(use(server))
    finally:
        server.remove()


def test_sigterm_finishes_what_is_in_flight_and_ends_what_waits(server: Ours) -> None:
    data = pattern(8 << 20)

    async def use() -> None:
        async with dialled(server) as client:
            tree = await tree_of(client)
            file = await tree.create("file", disposition=Disposition.CREATE)
            await file.write(0, data)
            await file.flush()
            directory = await tree.directory()
            notify = await directory.notify(CompletionFilter.SIZE)
            await notify.interim.wait()
            reads = [await tree.post(ReadRequest(file.id, 0, len(data))) for _ in range(2)]
            first = await reads[0].answer()
            hang_up(server, signal.SIGTERM)
            assert first.status == NT.SUCCESS
            second = await reads[1].answer()
            assert second.packet[-len(data) :] == data
            for answer in (first, second):
                answer.release()
            assert (await notify.answer()).status == NT.CANCELLED
            with pytest.raises(Lost):
                await asyncio.gather(*[client.post_one(Element(EchoRequest())) for _ in range(10_000)])

    asyncio.run(use())
    assert server.process is not None
    assert server.process.wait(10) == 0
    assert "Traceback" not in server.log.read_text()


def test_sighup_changes_shares_and_users_and_drops_nobody(server: Ours, tmp_path: Path) -> None:
    config = server.root / "config.toml"
    before = config.read_text()
    third = server.root / "share-third"
    third.mkdir()
    third.chmod(0o777)

    async def use() -> None:
        async with dialled(server) as client:
            tree = await tree_of(client)
            second = await tree_of(client, share="second")
            file = await tree.create("file", disposition=Disposition.CREATE)
            with refused(NT.BAD_NETWORK_NAME):
                await tree_of(client, share="third")
            with refused(NT.LOGON_FAILURE):
                await Session.login(client, login("games", PASSWORD))
            _add_user(server, "games")
            without_second = before[: before.index('[share."second"]')]
            config.write_text(f'{without_second}\n[share."third"]\npath = "{third}"\n')
            hang_up(server, signal.SIGHUP)
            await asyncio.to_thread(await_log, server, " reloaded:")
            await (await tree_of(client, share="third")).create("there", disposition=Disposition.CREATE)
            await Session.login(client, login("games", PASSWORD))
            with refused(NT.BAD_NETWORK_NAME):
                await tree_of(client, share="second")
            await _still_works(second)
            await file.write(0, b"still")
            assert await file.read(0, 5) == b"still"

    asyncio.run(use())
    assert (third / "there").exists()


def _add_user(server: Ours, name: str) -> None:
    command = [program("smbdirect-user"), "add", name, "--users", str(server.root / "users")]
    subprocess.run(command, input=f"{PASSWORD}\n".encode(), check=True, capture_output=True)


async def _still_works(tree: Tree) -> None:
    """A share that has gone from the configuration serves whoever is connected."""
    await tree.create("still", disposition=Disposition.CREATE)


def test_garbage_on_sockets_leaves_no_traceback_and_everyone_else_alone(server: Ours) -> None:
    choose = random.Random(7)
    sockets = []
    for number in range(30):
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        message = choose.choice([b"", b"\xfeSMB", b"\xfdSMB", b"\xffSMB", b"GET /"]) + choose.randbytes(number * 9)
        length = choose.choice([len(message), len(message) + 1, 0, 1 << 16, (1 << 24) - 1])
        connection.sendall(length.to_bytes(4, "big") + message)
        sockets.append(connection)

    async def use() -> None:
        async with dialled(server) as client:
            await (await tree_of(client)).create("file", disposition=Disposition.CREATE)

    asyncio.run(use())
    for connection in sockets:
        connection.close()
    assert server.alive
    assert "Traceback" not in server.log.read_text()


def test_the_server_may_have_as_many_descriptors_as_the_system_lets_it(server: Ours) -> None:
    assert server.process is not None
    soft, hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    assert soft == hard


def test_a_broken_configuration_on_sighup_changes_nothing(server: Ours) -> None:
    async def use() -> None:
        async with dialled(server) as client:
            tree = await tree_of(client)
            (server.root / "config.toml").write_text("[server]\nno_such_key = 1\n")
            hang_up(server, signal.SIGHUP)
            await asyncio.to_thread(await_log, server, "not reloaded")
            await tree.create("file", disposition=Disposition.CREATE)
            await tree_of(client, share="second")

    asyncio.run(use())
    assert "no_such_key" in server.log.read_text()
