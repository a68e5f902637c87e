"""The control socket: a real server object, a real Unix socket, and `smbdirect-ctl` at its other end."""

import asyncio
import json
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.config import ConfigError
from server.control import client, service
from server.control.protocol import MAX_REQUEST, Request, parse, socket_path
from server.server import Server
from server.status import NT, Status
from smbdirect.wire import Malformed

from .control_samples import (
    Calls,
    Place,
    Sessions,
    a_server,
    add_connection,
    add_open,
    add_session,
    add_tree,
    command,
    control,
    raw,
    served,
)


@pytest.fixture
def server() -> Iterator[Server]:
    with a_server() as made:
        yield made


@pytest.mark.parametrize("what", ["status", "sessions", "opens", "interfaces"])
def test_each_report_is_a_table_and_as_json_the_same_values(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    async def both(_: Calls) -> tuple[int, int]:
        Sessions(server)
        return await command(tmp_path, what)(_), await command(tmp_path, what, "--json")(_)

    assert served(server, tmp_path, both) == (0, 0)
    printed = capsys.readouterr().out
    shown, _, values = printed.partition("\n{" if what == "status" else "\n[")
    known = {"status": "1 RoCE, 2 TCP; 2 3.1.1, 1 negotiating", "sessions": "AES-256-GCM", "opens": "/dir/name"}
    assert known.get(what, "RoCE (mlx5_0)") in shown
    answer = json.loads(printed[len(shown) :])
    assert values
    assert answer if what == "status" else len(answer) == 1


def test_more_opens_than_one_batch_are_all_reported(server: Server, tmp_path: Path) -> None:
    async def run(calls: Calls) -> Any:
        tree = add_tree(add_session(server, add_connection(server)), "data")
        for number in range(3 * service.BATCH + 1):
            add_open(server, tree, Place(f"file {number}"))
        return await raw(tmp_path, Request("opens").line())(calls)

    rows = served(server, tmp_path, run)["answer"]
    assert [row["path"] for row in rows] == [f"/file {number}" for number in range(3 * service.BATCH + 1)]


def test_socket_and_directory_are_the_servers_alone_and_the_socket_goes_with_it(server: Server, tmp_path: Path) -> None:
    state = tmp_path / "run" / "state"

    async def look(_: Calls) -> tuple[int, int]:
        return stat.S_IMODE(state.stat().st_mode), stat.S_IMODE(socket_path(state).stat().st_mode)

    assert served(server, state, look) == (0o700, 0o600)
    assert list(state.iterdir()) == []


def test_reload_is_called_and_says_what_there_is(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run(calls: Calls) -> tuple[int, list[str]]:
        return await command(tmp_path, "reload")(calls), calls.made

    assert served(server, tmp_path, run) == (0, ["reload"])
    assert capsys.readouterr().out == "reloaded: 0 shares\n"


REFUSALS = [ConfigError("f.toml:3: no"), FileNotFoundError(2, "gone"), Status(NT.NO_MEMORY)]


@pytest.mark.parametrize("error", REFUSALS)
def test_a_refused_reload_is_a_failure_with_its_reason(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    assert served(server, tmp_path, command(tmp_path, "reload"), error) == 1
    assert capsys.readouterr().err == f"smbdirect-ctl: {error}\n"


def test_a_bug_in_a_command_is_logged_and_answered(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert served(server, tmp_path, command(tmp_path, "reload"), ZeroDivisionError()) == 1
    assert "internal error" in capsys.readouterr().err
    assert caplog.records[-1].exc_info is not None


def test_stop_is_answered_when_the_server_has_stopped(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run() -> tuple[bool, int]:
        calls = Calls()
        made = control(server, tmp_path, calls)
        await made.start()
        asked = asyncio.create_task(asyncio.to_thread(client.main, ["stop", "--state", str(tmp_path)]))
        await calls.stopped.wait()
        early = asked.done()
        await made.close()
        return early, await asked

    assert asyncio.run(run()) == (False, 0)
    assert capsys.readouterr().out == "stopped\n"


@pytest.mark.parametrize("words", [["status"], ["--json", "stop"]])
def test_without_a_server_the_client_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert client.main([*words, "--state", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"smbdirect-ctl: no server runs with the state directory {tmp_path}\n"


def test_a_server_that_ends_without_an_answer_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def run() -> int:
        async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        async with await asyncio.start_unix_server(hang_up, str(socket_path(tmp_path))):
            return await asyncio.to_thread(client.main, ["--state", str(tmp_path), "status"])

    assert asyncio.run(run()) == 1
    assert capsys.readouterr().err.startswith("smbdirect-ctl: ")


def leave_stale(path: Path) -> None:
    """The socket of a server that was killed."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


def test_a_stale_socket_is_replaced(server: Server, tmp_path: Path) -> None:
    leave_stale(socket_path(tmp_path))
    assert served(server, tmp_path, command(tmp_path, "status")) == 0


def test_a_live_one_is_refused_and_stays(server: Server, tmp_path: Path) -> None:
    async def run(calls: Calls) -> int:
        with pytest.raises(OSError, match="another server runs"):
            await control(server, tmp_path, calls).start()
        return await command(tmp_path, "status")(calls)

    assert served(server, tmp_path, run) == 0


def test_what_is_no_socket_is_not_removed(server: Server, tmp_path: Path) -> None:
    socket_path(tmp_path).write_text("precious")

    async def run() -> None:
        with pytest.raises(FileExistsError):
            await control(server, tmp_path, Calls()).start()

    asyncio.run(run())
    assert socket_path(tmp_path).read_text() == "precious"


def test_a_socket_that_another_server_has_put_there_is_left_to_it(server: Server, tmp_path: Path) -> None:
    async def replace(_: Calls) -> None:
        socket_path(tmp_path).unlink()
        leave_stale(socket_path(tmp_path))

    served(server, tmp_path, replace)
    assert socket_path(tmp_path).exists()


def test_where_there_can_be_no_socket_the_server_says_so_once_and_serves_on(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()

    async def served_on(_: Calls) -> str:
        return "served"

    assert served(server, tmp_path / "file" / "state", served_on) == "served"
    [record] = [record for record in caplog.records if record.name == "smbdirect.control"]
    assert "no control socket" in record.getMessage()


def test_too_long_a_path_is_said_and_survived(server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def nothing(_: Calls) -> None: ...

    served(server, tmp_path / ("d" * 120), nothing)
    assert "too long" in caplog.text


def test_another_users_process_is_refused(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "_UCRED", SimpleNamespace(size=12, unpack=lambda _: (1, os.geteuid() + 1, 0)))
    answer = served(server, tmp_path, raw(tmp_path, Request("stop").line()))
    assert answer == {"error": "ACCESS_DENIED: only root and the server's own account may ask"}
    assert f"uid {os.geteuid() + 1} refused" in caplog.text


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"", "no end of line"),
        (b'{"command": "status"}', "no end of line"),
        (b"\n", "one line of JSON"),
        (b"\xff\n", "one line of JSON"),
        (b"[" * (MAX_REQUEST - 1) + b"\n", "one line of JSON"),
        (b" " * 2 * MAX_REQUEST, "more than 4096 bytes"),
        (b" " * 2 * MAX_REQUEST + b"\n", "more than 4096 bytes"),
        (b"[]\n", "JSON object"),
        (b"{}\n", '"command"'),
        (b'{"command": 1}\n', '"command"'),
        (b'{"command": "debug", "arguments": "on"}\n', '"arguments"'),
        (b'{"command": "debug", "arguments": [1]}\n', '"arguments"'),
        (b'{"command": "debug"}\n', "on|off"),
        (b'{"command": "dance"}\n', "no command 'dance'"),
        (b'{"command": "opens", "arguments": ["all"]}\n', "takes no arguments"),
        (b'{"command": "stop", "arguments": ["all"]}\n', "takes no arguments"),
    ],
)
def test_a_wrong_request_is_told_why(server: Server, tmp_path: Path, sent: bytes, why: str) -> None:
    assert why in served(server, tmp_path, raw(tmp_path, sent))["error"]


def test_one_command_a_connection(server: Server, tmp_path: Path) -> None:
    async def twice(_: Calls) -> int:
        reader, writer = await asyncio.open_unix_connection(str(socket_path(tmp_path)))
        writer.write(Request("interfaces").line() * 2)
        lines = (await reader.read()).splitlines()
        writer.transport.abort()
        return len(lines)

    assert served(server, tmp_path, twice) == 1


def test_a_client_that_says_nothing_is_told_so_in_time(server: Server, tmp_path: Path) -> None:
    async def run() -> Any:
        calls = Calls()
        made = control(server, tmp_path, calls, patience=0)
        await made.start()
        answer = await raw(tmp_path, b"", end=False)(calls)
        await made.close()
        return answer

    assert asyncio.run(run()) == {"error": "no request within 0 s"}


def test_a_client_that_says_nothing_does_not_hold_up_the_end(server: Server, tmp_path: Path) -> None:
    async def run() -> bytes:
        calls = Calls()
        made = control(server, tmp_path, calls, last_words=0)
        await made.start()
        reader, writer = await asyncio.open_unix_connection(str(socket_path(tmp_path)))
        await raw(tmp_path, Request("status").line())(calls)  # answered after the silent one was let in
        await made.close()
        rest = await reader.read()
        writer.transport.abort()
        return rest

    assert asyncio.run(run()) == b""


def test_a_client_that_leaves_without_its_answer_harms_nobody(server: Server, tmp_path: Path) -> None:
    async def run(calls: Calls) -> int:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(socket_path(tmp_path)))
            sock.sendall(Request("status").line())
        return await command(tmp_path, "status")(calls)

    assert served(server, tmp_path, run) == 0


# -- requests, levels, tables ------------------------------------------------------------------------------------------
@given(st.text(), st.lists(st.text()))
def test_requests_arrive_as_they_were_sent(word: str, arguments: list[str]) -> None:
    request = Request(word, tuple(arguments))
    assert request.line().count(b"\n") == 1
    assert parse(request.line()) == request


@given(st.binary() | st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["command", "arguments"]), inner)).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_bytes_are_a_request_or_malformed(line: bytes) -> None:
    try:
        parse(line)
    except Malformed:
        return
