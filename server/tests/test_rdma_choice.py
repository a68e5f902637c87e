"""`--rdma off`, `auto` and `require`, where RDMA can be had and where it cannot: who listens, and the one line said."""

import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from server import main
from server.config import Config
from server.testing import Ours
from transport import rdma
from transport.base import Lost
from transport.memory import Arena

MISSING = (
    "the module pyverbs is missing: install python3-pyverbs; a venv needs --system-site-packages",
    "a library is missing: librdmacm.so.1: cannot open shared object file; install librdmacm1",
    "the system has no RDMA device",
    "only 8192 KiB of memory may be locked (RLIMIT_MEMLOCK): set LimitMEMLOCK=infinity or ulimit -l",
)
"""What `rdma.probe` says: transport/tests/test_rdma_listen.py."""
ROOT = Path(__file__).parents[2]


def listeners(choice: str, **config: Any) -> Sequence[object]:
    return main._listen_rdma(Config(rdma=choice, **config), Arena(), Arena())


@pytest.mark.parametrize("line", MISSING)
def test_auto_serves_tcp_alone_and_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, line: str
) -> None:
    monkeypatch.setattr(rdma, "probe", lambda: line)
    with caplog.at_level(logging.INFO):
        assert listeners("auto") == []
    assert [record.getMessage() for record in caplog.records] == [f"serving TCP alone: {line}"]


@pytest.mark.parametrize("line", MISSING)
def test_require_refuses_to_start_and_says_why(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setattr(rdma, "probe", lambda: line)
    with pytest.raises(Lost) as refused:
        listeners("require")
    assert str(refused.value) == f"RDMA is required and cannot be had: {line}"


def test_off_does_not_even_look(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def probe() -> None:
        raise AssertionError("looked")

    monkeypatch.setattr(rdma, "probe", probe)
    with caplog.at_level(logging.INFO):
        assert listeners("off") == []
    assert not caplog.records


@pytest.mark.parametrize("choice", ["auto", "require"])
def test_addresses_that_cannot_be_had_count_as_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, choice: str
) -> None:
    def listen(*args: object, **options: object) -> None:
        raise Lost("no address for RDMA could be had")

    monkeypatch.setattr(rdma, "probe", lambda: None)
    monkeypatch.setattr(rdma, "listen", listen)
    with caplog.at_level(logging.INFO):
        if choice == "auto":
            assert listeners(choice) == []
            assert "serving TCP alone: no address for RDMA could be had" in caplog.text
        else:
            with pytest.raises(Lost, match="required and cannot be had: no address for RDMA could be had"):
                listeners(choice)


def test_where_rdma_can_be_had_it_listens_where_tcp_does(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    listener = object()

    def listen(arena: Arena, settings: object, addresses: Sequence[str], **options: object) -> object:
        asked.append(addresses)
        return listener

    monkeypatch.setattr(rdma, "probe", lambda: None)
    monkeypatch.setattr(rdma, "listen", listen)
    assert listeners("auto", listen=("192.0.2.1",)) == listeners("require", listen=("192.0.2.1",)) == [listener]
    assert listeners("auto") == [listener]
    assert asked == [("192.0.2.1",), ("192.0.2.1",), ("0.0.0.0", "::")]


# -- the whole program ---------------------------------------------------------------------------------------------

DEVICELESS = f"""
import sys
from transport import rdma
rdma.probe = lambda: {MISSING[2]!r}
from server.main import main
sys.exit(main(sys.argv[1:]))
"""


class Deviceless(Ours):
    """A server on a machine without an RDMA device."""

    def command(self) -> list[str]:
        return [sys.executable, "-c", DEVICELESS, *super().command()[1:]]

    def _spawn(self, log: Any) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self.command(), stdout=log, stderr=log, cwd=ROOT, start_new_session=True)


def test_a_server_without_a_device_starts_with_auto_and_says_one_line() -> None:
    with Deviceless({"rdma": '"auto"'}) as server:
        said = [line for line in server.log.read_text().splitlines() if "RDMA" in line or "SMB Direct" in line]
        assert said == [f"INFO smbdirect: serving TCP alone: {MISSING[2]}"]
        assert server.stop() == 0


def test_a_server_without_a_device_ends_with_require_and_says_one_line() -> None:
    server = Deviceless({"rdma": '"require"'})
    try:
        server.prepare()
        done = subprocess.run(server.command(), capture_output=True, text=True, cwd=ROOT, timeout=60)
    finally:
        server.remove()
    assert done.returncode == 1
    assert done.stderr == f"smbdirect-serve: RDMA is required and cannot be had: {MISSING[2]}\n"
