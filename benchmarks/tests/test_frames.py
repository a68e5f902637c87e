"""What the frame test knows of sizes, names, order and pace, and what it makes of times."""

import io
from collections.abc import Sequence

import pytest

from benchmarks.frames.figures import Frame, Run, brackets, spread
from benchmarks.frames.place import Mode, Names
from benchmarks.frames.report import export, histogram, report, verdict
from benchmarks.frames.run import Progress
from benchmarks.frames.schedule import Pace, Schedule, backwards, in_order, shuffled
from benchmarks.frames.sizes import frame_size
from benchmarks.frames.target import VARIABLE, Share, password, share


@pytest.mark.parametrize(
    ("text", "kib"),
    [("sd", 1684), ("hd", 8164), ("2k", 12512), ("2K", 12512), ("uhd", 32464), ("4k", 49856), ("8k", 129664), ("7", 7)],
)
def test_frames_are_as_large_as_frametest_has_them(text: str, kib: int) -> None:
    assert frame_size(text) == kib << 10


@pytest.mark.parametrize("text", ["", "0", "-1", "3k", "1.5", "1M", "\u0663", str(1 << 21)])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        frame_size(text)


@pytest.mark.parametrize(
    ("first", "third"),
    [
        ("frame000000.tst", "frame000002.tst"),
        ("shot-172.000099.exr", "shot-172.000101.exr"),
        ("take1.0008.mp4", "take1.0010.mp4"),
        ("a.9", "a.11"),
        ("007", "009"),
    ],
)
def test_names_count_up_from_the_first(first: str, third: str) -> None:
    names = Names.like(first)
    assert (names.of(0), names.of(2)) == (first, third)


@pytest.mark.parametrize("name", ["", "frame.exr", "../1.exr", "a\\1.exr", "x"])
def test_a_name_without_a_number_or_with_a_path_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="counted up"):
        Names.like(name)


def test_orders_hold_every_frame_once_and_the_random_one_repeats() -> None:
    assert in_order(4) == [0, 1, 2, 3]
    assert backwards(4) == [3, 2, 1, 0]
    assert sorted(shuffled(100)) == in_order(100) != shuffled(100)
    assert shuffled(100) == shuffled(100)


def test_without_a_pace_every_frame_is_due_when_it_is_asked_for() -> None:
    schedule = Schedule([3, 1])
    assert schedule.take(5.0) == (3, 5.0)
    assert schedule.take(6.0) == (1, 6.0)
    assert schedule.take(7.0) is None


def test_the_clock_of_a_pace_starts_behind_the_prebuffered_frames() -> None:
    schedule = Schedule(range(5), Pace(10, prebuffer=2))
    taken = [schedule.take(now) for now in (1.0, 1.5, 2.0, 2.0, 2.0)]
    assert [turn.due for turn in taken if turn] == pytest.approx([1.0, 1.5, 2.0, 2.1, 2.2])
    assert schedule.dropped == 0


def test_a_late_reader_drops_what_the_queue_has_no_room_for() -> None:
    schedule = Schedule(range(100), Pace(10, queue=2, prebuffer=0))
    assert schedule.take(0.0) == (0, 0.0)
    late = schedule.take(1.05)  # frames 0 to 10 are due: two of them may wait
    assert late is not None and late.number == 9
    assert schedule.dropped == 8
    assert Schedule(range(100), Pace(10, queue=2)).take(99.0) == (0, 99.0), "the clock has not started"


def test_a_reader_that_comes_long_after_the_end_gets_the_last_frames() -> None:
    schedule = Schedule(range(10), Pace(10, queue=3, prebuffer=0))
    schedule.take(0.0)
    left = [turn.number for turn in iter(lambda: schedule.take(99.0), None)]
    assert left == [7, 8, 9]
    assert schedule.dropped == 6


def test_without_a_queue_nothing_is_dropped() -> None:
    schedule = Schedule(range(10), Pace(10, prebuffer=0))
    schedule.take(0.0)
    late = schedule.take(99.0)
    assert late is not None and late.number == 1


def frames(ends: Sequence[float], taken: float = 0.01, size: int = 1000) -> list[Frame]:
    return [Frame(n, end - taken, taken / 4, taken / 2, taken / 4, size) for n, end in enumerate(ends)]


def evenly(rate: float, seconds: float, start: float = 0.0) -> list[float]:
    return [start + (n + 1) / rate for n in range(round(seconds * rate))]


def test_rates_are_over_the_time_from_the_beginning_to_the_last_end() -> None:
    run = Run(frames([5.1, 5.2, 5.5, 5.4]), 5.0)
    assert run.seconds == pytest.approx(0.5)
    assert run.rate == pytest.approx(8)
    assert run.bandwidth == pytest.approx(8000)
    assert run.slowest_second is None


def test_an_even_rate_holds_its_own_floor_and_none_above() -> None:
    run = Run(frames(evenly(25, 10)), 0.0)
    assert run.slowest_second in (24, 25)
    assert run.holds(24.99)
    assert not run.holds(25.5)


def test_a_floor_is_not_held_by_a_run_with_one_slow_second() -> None:
    ends = [*evenly(60, 3), *evenly(20, 1, 3.0), *evenly(60, 3, 4.0)]
    run = Run(frames(ends), 0.0)
    assert run.rate > 24
    assert run.slowest_second == 20
    assert not run.holds(24)
    assert run.holds(21)
    assert "NOT held" in verdict(run, 24)
    assert "20 frames in the slowest second" in verdict(run, 24)


def test_a_run_that_takes_too_long_to_begin_does_not_hold_a_floor() -> None:
    run = Run(frames(evenly(100, 5, start=1.5)), 0.0)
    assert run.slowest_second == 0
    assert not run.holds(24)


def test_times_fall_into_brackets_by_their_upper_edges() -> None:
    counts = brackets([0.00005, 0.0001, 0.00011, 0.015, 0.999, 1.001, 9.0])
    assert counts == [2, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2]


def test_the_spread_of_one_time_is_that_time() -> None:
    assert spread([3.0]) == (3.0, 3.0, 3.0, 3.0, 3.0)
    assert spread([4.0, 1.0, 1.0]) == (1.0, 2.0, 1.0, 4.0, 4.0)


def test_the_report_tells_rates_times_and_brackets() -> None:
    run = Run(frames([0.1, 0.2, 0.3, 0.4], taken=0.02, size=1_000_000), 0.0, dropped=3)
    lines = report(run, Mode.WRITE).splitlines()
    assert lines[0] == "Frames     4 written, 4.0 MB, in 0.40 s"
    assert lines[1] == "Rate       10.00 fps, 10.0 MB/s"
    assert lines[2] == "Dropped    3"
    assert next(line for line in lines if "overall " in line).split() == ["overall", *["20.000"] * 5]
    shown = {line[:18].strip(): line[18:].split() for line in histogram(run.frames).splitlines()[1:]}
    assert shown["5 to 10"][:2] == ["4", "0"]
    assert shown["10 to 20"] == ["0", "4", "#" * 40]
    assert len(shown) == 14


def test_the_table_has_a_line_for_each_frame_in_the_order_of_beginning() -> None:
    out = io.StringIO()
    export(Run(frames([2.5, 1.5]), 1.0), out)
    head, *lines = out.getvalue().splitlines()
    assert head == "frame,begun s,open ms,disk ms,close ms,overall ms,bytes"
    assert lines == ["1,0.490000,2.500,5.000,2.500,10.000,1000", "0,1.490000,2.500,5.000,2.500,10.000,1000"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_one_line_on_a_terminal_and_several_elsewhere() -> None:
    for out, wanted in (
        (io.StringIO(), "2 of 9 frames, 1.0 fps, 0.0 MB/s\n3 of 9 frames, 0.5 fps, 0.0 MB/s, 1 dropped\n"),
        (
            Terminal(),
            "\r2 of 9 frames, 1.0 fps, 0.0 MB/s\r3 of 9 frames, 0.5 fps, 0.0 MB/s, 1 dropped\n",
        ),
    ):
        progress = Progress(9, out)
        progress.begin(10.0)
        progress.tell(frames([11, 12]), 0, 12.0)
        progress.tell(frames([11, 12, 13]), 1, 14.0)
        progress.end()
        assert out.getvalue() == wanted


def test_a_url_names_user_host_port_share_and_path() -> None:
    assert share("smb://al%40ice@host:4455/my%20data/a/b/") == Share("al@ice", "host", 4455, "my data", "a\\b")
    assert share("smb://bob@[fe80::1]/data") == Share("bob", "fe80::1", None, "data", "")


@pytest.mark.parametrize(
    "url", ["smb://host/data", "smb://u@/data", "smb://u@host", "smb://u@host:x/d", "smb://u@h/d?x"]
)
def test_a_url_that_names_too_little_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"is not smb://|Port could"):
        share(url)


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="command line") as refused:
        share("smb://user:hush@host/data")
    assert "hush" not in str(refused.value)


def test_the_password_comes_from_the_environment_a_prompt_or_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def prompt(text: str) -> str:
        asked.append(text)
        return "prompted"

    monkeypatch.setattr("benchmarks.frames.target.getpass", prompt)
    assert password("alice", {VARIABLE: "set"}, Terminal()) == "set"
    assert password("alice", {}, io.StringIO("piped \r\nmore\n")) == "piped "
    assert not asked
    assert password("alice", {}, Terminal()) == "prompted"
    assert "alice" in asked[0]
