"""The frame test over SMB Direct, to a server process of this project: frames go and come back, and the floor counts.

The server takes ports 445 and 5445, so this runs in the lab alone.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.frames.target import VARIABLE
from benchmarks.frametest import main
from server.testing import PASSWORD, Ours, names
from transport.discovery import Interface

FRAME = 1684 << 10


@pytest.fixture(scope="module")
def served() -> Iterator[Ours]:
    if "LAB" not in os.environ:
        pytest.skip("takes ports 445 and 5445, which only the lab may")
    with Ours({"listen": '["0.0.0.0"]', "rdma": '"require"'}, under=Path("/srv"), port=445) as running:
        yield running
        assert running.stop() == 0, running.tail()


@pytest.mark.parametrize("connections", [1, 2])
def test_frames_go_and_come_back_over_smb_direct(
    served: Ours,
    interface: Interface,
    connections: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(VARIABLE, PASSWORD)
    served.clear()
    url = f"smb://{names()[0]}@{interface.addresses[0]}/data/clip"
    told = ["-n", "4", "-t", "2", "--rdma", "--connections", str(connections), "--io-size", "512K", "-a", "4"]
    assert main(["-w", "sd", *told, url]) == 0, capsys.readouterr().err
    assert f"SMB Direct, {connections} connection" in capsys.readouterr().out
    frames = sorted((served.path() / "clip").iterdir())
    assert [path.stat().st_size for path in frames] == [FRAME] * 4
    data = frames[3].read_bytes()
    assert data[: 1 << 19] == data[1 << 19 : 1 << 20] != bytes(1 << 19)
    assert main(["-r", *told, "--floor", "0.1", url]) == 0, capsys.readouterr().err
    assert "4 read" in capsys.readouterr().out
    assert main(["-r", *told, "--floor", "100000", url]) == 1
