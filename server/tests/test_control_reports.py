"""What the control socket tells: reports of a real server object, log levels, and how a person sees them."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from server.control import client, levels, report, tables
from server.durable import Handle
from server.server import Server
from smbdirect.wire import Malformed
from transport.kept import Keep

from .control_samples import (
    SINCE,
    Place,
    Sessions,
    a_server,
    add_connection,
    add_open,
    add_session,
    add_tree,
    command,
    served,
)


@pytest.fixture
def server() -> Iterator[Server]:
    with a_server() as made:
        yield made


# -- reports ---------------------------------------------------------------------------------------------------------
def test_status_counts_everything(server: Server) -> None:
    async def run() -> report.Row:
        Sessions(server)
        keep = Keep(1 << 17, lambda address: None)
        block = await server.arena.take(5000)
        (await server.arena.take(1000, keep=keep)).release()
        try:
            return report.status(server)
        finally:
            block.release()
            server.arena.end(keep)

    got = asyncio.run(run())
    assert got.pop("version") is not None
    arena = got.pop("arena")
    assert got == {
        "name": "BOX",
        "since": SINCE,
        "shares": 0,
        "connections": 3,
        "technologies": {"TCP": 2, "RoCE": 1},
        "dialects": {"3.1.1": 2, "negotiating": 1},
        "sessions": 1,
        "trees": 1,
        "opens": 1,
        "disconnected": 0,
        "persistent": 0,
        "persistent_lost": False,
        "locks": 2,
        "locks_waiting": 1,
        "oplocks": 0,
        "leases": 0,
        "breaks": 0,
        "kernel_leases": 0,
        "watches": 0,
        "requests": 1,
        "requests_waiting": 1,
        "tasks": 1,
    }
    assert arena["blocks"] == 1
    assert 5000 < arena["used"] < arena["mapped"] < arena["limit"] == 1 << 20
    assert 1000 < arena["kept"] < arena["mapped"]


def test_sessions_say_who_by_which_way_and_how_protected(server: Server) -> None:
    async def run() -> list[report.Row]:
        Sessions(server)
        return list(report.sessions(server))

    [row] = asyncio.run(run())
    assert int(row.pop("id"), 16) in server.sessions
    assert row == {
        "user": "alice",
        "guest": False,
        "anonymous": False,
        "account": "alice",
        "since": SINCE,
        "expired": False,
        "addresses": ["192.0.2.9"],
        "technologies": {"TCP": 1, "RoCE": 1},
        "channels": 2,
        "dialect": "3.1.1",
        "cipher": "AES-256-GCM",
        "encryption_required": False,
        "signing": "AES-GMAC",
        "signing_required": False,
        "trees": ["data"],
        "opens": 1,
    }


def test_a_session_that_logs_on_has_no_user_yet(server: Server) -> None:
    async def run() -> list[report.Row]:
        server.new_session(add_connection(server))
        return list(report.sessions(server))

    [row] = asyncio.run(run())
    assert (row["user"], row["dialect"], row["cipher"], row["signing"]) == (None, None, None, None)
    assert "(logging on)" in client.SHOWN["sessions"]([row])


def test_opens_say_what_is_open_and_how(server: Server) -> None:
    async def run() -> list[report.Row]:
        made = Sessions(server)
        stream = add_open(server, made.tree, Place("dir", stream="Notes"), 0, 0)
        stream.shared.delete_pending = stream.away = True
        made.open.handle = Handle(b"", "alice", durable=True, persistent=True)
        stream.handle = Handle(b"", "alice", resilient=True)
        add_open(server, made.tree, Place()).handle = Handle(b"", "alice", durable=True)
        pipe = add_open(server, add_tree(made.session, "IPC$"), Place())
        pipe.store_file, pipe.pipe = None, cast(Any, SimpleNamespace(service="srvsvc"))
        return list(report.opens(server))

    file, stream, deleted, pipe = asyncio.run(run())
    assert (file["share"], file["path"], file["user"], file["kind"]) == ("data", "/dir/name", "alice", "file")
    assert (file["access"], file["access_mask"], file["shared"], file["locks"]) == ("rwd", "0x00010003", "rd", 2)
    assert (stream["path"], stream["access"], stream["shared"], stream["locks"]) == ("/dir:Notes", "", "", 0)
    assert (file["delete_pending"], stream["delete_pending"]) == (False, True)
    assert (file["disconnected"], stream["disconnected"]) == (False, True)
    assert deleted["path"] is None
    assert [row["lasts"] for row in (file, stream, deleted, pipe)] == ["persistent", "resilient", "durable", None]
    assert (pipe["share"], pipe["path"], pipe["kind"]) == ("IPC$", "srvsvc", "pipe")
    shown = client.SHOWN["opens"]([file, stream, deleted, pipe])
    assert "(deleted)" in shown
    assert "LASTS" in shown and "persistent" in shown
    assert "Notes (to be deleted) (disconnected)" in shown


def test_an_open_closed_while_the_report_is_made_is_left_out(server: Server) -> None:
    async def run() -> list[report.Row]:
        tree = add_tree(add_session(server, add_connection(server)), "data")
        first, second = (add_open(server, tree, Place(name)) for name in ("first", "second"))
        rows = report.opens(server)
        found = [next(rows)]
        second.closed = True
        del server.opens.by_volatile[first.volatile]
        return [*found, *rows]

    assert [row["path"] for row in asyncio.run(run())] == ["/first"]


def test_interfaces_are_those_that_clients_are_told_of(server: Server) -> None:
    [row] = report.interfaces(server)
    assert row == {
        "name": "ib0",
        "index": 4,
        "addresses": ["192.0.2.7"],
        "bits_per_second": 100 * 10**9,
        "rss": True,
        "device": "mlx5_0",
        "technology": "RoCE",
    }
    shown = client.SHOWN["interfaces"]([row])
    assert shown.splitlines()[1].split() == ["ib0", "4", "100", "Gbit/s", "yes", "RoCE", "(mlx5_0)", "192.0.2.7"]


@pytest.fixture
def loggers() -> Iterator[dict[str, logging.Logger]]:
    names = ["smbdirect", "transport", *levels._known()]
    saved = {name: logging.getLogger(name) for name in names}
    before = {name: logger.level for name, logger in saved.items()}
    yield saved
    for name, logger in saved.items():
        logger.setLevel(before[name])


def debugging(loggers: dict[str, logging.Logger]) -> set[str]:
    return {name for name, logger in loggers.items() if logger.isEnabledFor(logging.DEBUG)}


def test_debug_switches_everything_or_single_components(loggers: dict[str, logging.Logger]) -> None:
    levels.switch(["off"])
    assert debugging(loggers) == set()
    assert levels.switch(["connection", "on"])["connection"] == "DEBUG"
    assert debugging(loggers) == {"smbdirect.connection"}
    levels.switch(["on"])
    assert debugging(loggers) == set(loggers)
    assert levels.switch(["connection", "off"])["connection"] == "INFO"
    assert debugging(loggers) == set(loggers) - {"smbdirect.connection"}
    levels.switch(["off"])
    assert debugging(loggers) == set()


@pytest.mark.parametrize("line", ["", "connection", "connection maybe", "kitchen on", "connection kitchen on"])
def test_a_wrong_debug_changes_nothing(loggers: dict[str, logging.Logger], line: str) -> None:
    levels.switch(["off"])
    with pytest.raises(Malformed):
        levels.switch(line.split())
    assert debugging(loggers) == set()


def test_debug_by_the_command_line(
    server: Server, tmp_path: Path, loggers: dict[str, logging.Logger], capsys: pytest.CaptureFixture[str]
) -> None:
    assert served(server, tmp_path, command(tmp_path, "debug", "connection", "server", "on")) == 0
    assert debugging(loggers) >= {"smbdirect.connection", "smbdirect.server"}
    assert ["connection", "DEBUG"] in [line.split() for line in capsys.readouterr().out.splitlines()]
    assert served(server, tmp_path, command(tmp_path, "debug", "kitchen", "off")) == 1


def test_nothing_that_a_terminal_would_obey_is_printed() -> None:
    shown = tables.table((("NAME", lambda row: row["name"]),), [{"name": "a\x1b[2J\n\u202eb\udc80\u00e4"}])
    assert shown == "NAME\na\\x1b[2J\\n\\u202eb\\udc80\u00e4"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1 << 30, "1 GiB"), (3 << 29, "1.5 GiB"), (1 << 60, "1048576 TiB")],
)
def test_sizes_read_well(count: int, text: str) -> None:
    assert tables.size(count) == text
