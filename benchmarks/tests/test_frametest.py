"""The frame test itself: on a directory, against a server over TCP, and through a channel into our memory."""

import asyncio
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.client.channel import Exposed
from benchmarks.frames.figures import Run
from benchmarks.frames.mounted import mounted
from benchmarks.frames.place import Mode, Refused, Task
from benchmarks.frames.run import Progress, run
from benchmarks.frames.schedule import Schedule
from benchmarks.frames.served import Load, served
from benchmarks.frames.sizes import LARGEST
from benchmarks.frames.target import VARIABLE, Share
from benchmarks.frametest import main
from server.config import Share as Configured
from server.status import NT, Status
from server.testing import PASSWORD, Ours, names
from server.tests.served import PASSWORD as SECRET
from server.tests.served import USER, Whole, on_a_server
from smbdirect.packets import BufferDescriptor
from transport.base import Connection
from transport.loopback import ExposedMemory

KIB = 1 << 10
CLIP = Share(USER, "server", None, "data", "clip")


# -- on a mounted path ---------------------------------------------------------------------------------------


def test_frames_are_written_and_read_on_a_mounted_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = tmp_path / "clip"
    assert main(["-w", "8", "-n", "5", "-t", "2", str(clip)]) == 0
    assert sorted(path.name for path in clip.iterdir()) == [f"frame{n:06}.tst" for n in range(5)]
    assert {path.stat().st_size for path in clip.iterdir()} == {8 * KIB}
    assert "5 written" in capsys.readouterr().out
    assert main(["-r", "-n", "5", "-t", "2", str(clip)]) == 0
    assert f"5 read, {5 * 8 * KIB / 1e6:.1f} MB" in capsys.readouterr().out
    assert main(["-z", "4", "-n", "5", str(clip)]) == 0
    assert f"5 read, {5 * 4 * KIB / 1e6:.1f} MB" in capsys.readouterr().out


def test_r_takes_a_size_where_there_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["-w", "1", "-z", "8", "-n", "2", str(tmp_path)])
    for told, wanted in (([], "as long as they are"), (["8"], "of 8 KiB")):
        capsys.readouterr()
        assert main(["-r", *told, str(tmp_path), "-n", "2"]) == 0
        assert f"read 2 frames {wanted}" in capsys.readouterr().out


def test_it_says_which_way_the_data_goes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for told, wanted in (
        (["-w", "8", "--buffered"], "through the page cache, as asked"),
        (["-w", "7"], "through the page cache: 7168 bytes are not a multiple of 4096"),
        (["-w", "8"], "O_DIRECT"),
        (["-e"], "no data"),
    ):
        assert main([*told, "-n", "1", str(tmp_path)]) == 0
        assert wanted in capsys.readouterr().out


def test_a_file_system_without_o_direct_is_used_through_the_page_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = os.open

    def refusing(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_DIRECT:
            raise OSError(22, "Invalid argument")
        return plain(path, flags, mode)

    monkeypatch.setattr(os, "open", refusing)
    assert main(["-w", "8", "-n", "2", str(tmp_path)]) == 0
    assert "the file system has no O_DIRECT" in capsys.readouterr().out


def test_all_frames_of_a_stream_lie_in_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stream = tmp_path / "clip.bin"
    assert main(["-w", "8", "-s", "-i", "2", "-n", "3", str(stream)]) == 0
    assert stream.stat().st_size == 3 * 8 * KIB
    assert main(["-r", "8", "-s", "-n", "3", "-v", str(stream)]) == 0
    assert main(["-r", "8", "-s", "-n", "4", str(stream)]) == 1
    assert "a frame ends after 0 of 8192 bytes" in capsys.readouterr().err


def test_frames_of_another_name_and_of_any_length_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, size in ((8, 3), (9, 10_000), (10, 0)):
        (tmp_path / f"shot.{number:03}.exr").write_bytes(bytes(size))
    assert main(["-r", "-n", "6", "-l", "3", "-m", "-i", "3", "--name", "shot.008.exr", str(tmp_path)]) == 0
    assert "6 read" in capsys.readouterr().out


def test_empty_frames_are_made(tmp_path: Path) -> None:
    assert main(["-e", "-n", "3", str(tmp_path)]) == 0
    assert [path.stat().st_size for path in tmp_path.iterdir()] == [0, 0, 0]


def test_a_floor_decides_the_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-w", "4", "-n", "3", "--floor", "0.01", str(tmp_path)]) == 0
    assert "Floor of 0.01 fps: held" in capsys.readouterr().out
    assert main(["-r", "-n", "3", "--floor", "1000000", str(tmp_path)]) == 1
    assert "NOT held" in capsys.readouterr().out


def test_times_of_frames_go_to_a_file(tmp_path: Path) -> None:
    table = tmp_path / "times.csv"
    assert main(["-w", "4", "-n", "3", "-f", "1000", "-q", "1000", "-x", str(table), str(tmp_path / "clip")]) == 0
    lines = table.read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["frame", "0", "1", "2"]
    assert {line.split(",")[-1] for line in lines[1:]} == {str(4 * KIB)}


def test_a_frame_that_is_missing_too_short_or_huge_ends_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["-w", "4", "-n", "2", str(tmp_path)])
    assert main(["-r", "-n", "3", "-t", "3", str(tmp_path)]) == 1
    assert "frame000002.tst" in capsys.readouterr().err
    assert main(["-r", "8", "-n", "2", str(tmp_path)]) == 1
    assert "a frame ends after 4096 of 8192 bytes" in capsys.readouterr().err
    os.truncate(tmp_path / "frame000000.tst", LARGEST + 1)
    assert main(["-r", "-n", "1", str(tmp_path)]) == 1
    assert "at most" in capsys.readouterr().err


def test_progress_is_told_while_frames_are_under_way(tmp_path: Path) -> None:
    out = io.StringIO()

    class Telling(Progress):
        def tell(self, *told: object) -> None:
            super().tell(*told)  # type: ignore[arg-type]
            heard.set()

    async def use() -> None:
        class Slow:
            async def frame(self, number: int) -> object:
                await heard.wait()
                return await place.frame(number)

        async with mounted(tmp_path, Task(Mode.WRITE, 4 * KIB), 1, True) as place:
            await run(Slow(), Schedule(range(2)), 1, Telling(2, out), 0.001)  # type: ignore[arg-type]

    heard = asyncio.Event()
    asyncio.run(use())
    assert out.getvalue().startswith("0 of 2 frames, 0.0 fps, 0.0 MB/s\n")


# -- the command line ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (["-w", "8"], "where to"),
        (["-w", "8", "-r", "8", "/x"], "not allowed with"),
        (["-w", "3k", "/x"], "no size of a frame"),
        (["-w", "8", "-z", "0", "/x"], "no size of a frame"),
        (["-w", "8", "-c", "50", "/x"], "unrecognized arguments: -c"),
        (["-w", "8", "--verbose", "/x"], "unrecognized arguments: --verbose"),
        (["-w", "8", "--buf", "/x"], "unrecognized arguments: --buf"),
        (["-w", "8", "-n", "0", "/x"], "0 is not within"),
        (["-w", "8", "--floor", "nan", "/x"], "nan is not within"),
        (["-w", "8", "-q", "5", "/x"], "-q goes with -f"),
        (["-r", "-s", "/x"], "-s goes with"),
        (["-r", "--name", "a.exr", "/x"], "counted up"),
        (["-r", "--rdma", "/x"], "--rdma is for smb://"),
        (["-r", "--connections", "2", "/x"], "--connections is for smb://"),
        (["-r", "-i", "2", "smb://u@h/s"], "-i is for mounted paths"),
        (["-r", "--io-size", "32M", "smb://u@h/s"], "is not within"),
        (["-r", "smb://u:p@h/s"], "a password is not to stand on the command line"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(
    told: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(told)
    assert ended.value.code == 2
    assert why in capsys.readouterr().err


# -- over TCP, to a server that runs -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[Ours]:
    with Ours() as running:
        yield running


def test_frames_go_to_a_share_and_come_back_over_tcp(
    server: Ours, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, PASSWORD)
    url = f"smb://{names()[0]}@127.0.0.1:{server.port}/data/clip"
    told = ["-n", "4", "-t", "2", "--connections", "3", "--io-size", "64K", "-a", "2"]
    assert main(["-w", "300", *told, url]) == 0
    assert "TCP, 3 connections, 2 requests of 64K in flight on each" in capsys.readouterr().out
    assert sorted(path.stat().st_size for path in (server.path() / "clip").iterdir()) == [300 * KIB] * 4
    assert main(["-r", *told, "--floor", "0.01", url]) == 0
    assert f"4 read, {4 * 300 * KIB / 1e6:.1f} MB" in capsys.readouterr().out


def test_a_share_refuses_in_a_line(
    server: Ours, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"smb://{names()[0]}@127.0.0.1:{server.port}/data/none"
    for password, told, why in (
        ("wrong", ["-r"], "LOGON_FAILURE"),
        (PASSWORD, ["-r"], "OBJECT_PATH_NOT_FOUND"),
        (PASSWORD, ["-r", "--io-size", "16M"], "the server takes 8M at most"),
        (PASSWORD, ["-w", "4", "--connections", "32", "-a", "256"], "more than 1G would be in flight"),
    ):
        monkeypatch.setenv(VARIABLE, password)
        assert main([*told, url]) == 1
        assert why in capsys.readouterr().err


# -- in one process, with memory that the server reaches -----------------------------------------------------


async def transfer(here: Whole, task: Task, where: Share = CLIP) -> Run:
    """Three frames, two at a time, over two connections."""

    async def dial() -> tuple[Connection, Exposed | None]:
        near = here.connect()
        return near, near.memory

    async with served(where, SECRET, task, Load(2, 2, 64 * KIB), dial, here.clients_arena) as place:
        return await run(place, Schedule(range(3)), 2, Progress(3, io.StringIO()), 60)


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes the server wrote into our memory, or read from it, each time."""
    counts: list[int] = []
    reach = ExposedMemory.reach

    def counting(self: ExposedMemory, descriptor: BufferDescriptor) -> memoryview:
        counts.append(descriptor.length)
        return reach(self, descriptor)

    monkeypatch.setattr(ExposedMemory, "reach", counting)
    return counts


def test_frames_go_through_our_memory_both_ways(reached: list[int]) -> None:
    async def use(here: Whole) -> None:
        assert (await transfer(here, Task(Mode.WRITE, 200 * KIB))).size == 3 * 200 * KIB
        assert len(reached) == 3 * 4
        assert (await transfer(here, Task(Mode.READ))).size == 3 * 200 * KIB
        assert len(reached) == 2 * 3 * 4
        file = await (await here.tree()).create(r"clip\frame000001.tst")
        data = await file.read(0, 200 * KIB)
        assert len(data) == 200 * KIB
        assert data[: 64 * KIB] == data[64 * KIB : 128 * KIB] != bytes(64 * KIB)
        await file.close()

    on_a_server(use)


def test_a_stream_is_one_file_of_the_share() -> None:
    async def use(here: Whole) -> None:
        stream = CLIP._replace(path="clip.bin")
        await transfer(here, Task(Mode.WRITE, 100 * KIB, stream=True), where=stream)
        assert (await transfer(here, Task(Mode.READ, 100 * KIB, stream=True), where=stream)).size == 3 * 100 * KIB
        with pytest.raises(Refused, match="ends before byte"):
            await transfer(here, Task(Mode.READ, 101 * KIB, stream=True), where=stream)

    on_a_server(use)


@pytest.mark.parametrize("options", [{"encryption": "required"}, {"signing": "required"}], ids=["sealed", "signed"])
def test_payload_goes_inline_where_it_must_be_protected(options: dict[str, str], reached: list[int]) -> None:
    async def use(here: Whole) -> None:
        await transfer(here, Task(Mode.WRITE, 200 * KIB))
        assert (await transfer(here, Task(Mode.READ))).size == 3 * 200 * KIB
        assert not reached

    on_a_server(use, **options)


def test_a_failure_leaves_nothing_behind_on_either_side() -> None:
    async def use(here: Whole) -> None:
        with pytest.raises(Status) as refused:
            await transfer(here, Task(Mode.WRITE, 200 * KIB), where=CLIP._replace(path=r"none\clip"))
        assert refused.value.code == NT.OBJECT_PATH_NOT_FOUND
        with pytest.raises(Status):
            await transfer(here, Task(Mode.READ))

    on_a_server(use)


def test_a_read_only_share_is_not_written() -> None:
    async def use(here: Whole) -> None:
        with pytest.raises(Status) as refused:
            await transfer(here, Task(Mode.EMPTY))
        assert refused.value.code in (NT.ACCESS_DENIED, NT.MEDIA_WRITE_PROTECTED)

    on_a_server(use, shares=[Configured("data", read_only=True)])
