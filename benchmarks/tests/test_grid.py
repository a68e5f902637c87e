"""What is worked out of the figures that were taken beside Samba: medians, ratios, percentiles, memory, pictures."""

from xml.etree import ElementTree

import pytest

from benchmarks import charts, latency, processes, throughput
from benchmarks.grid import Grid
from benchmarks.peers import OURS, SAMBA

NAN = float("nan")
SMAPS = """\
55d0c0000000-55d0c0010000 r-xp 00001000 08:01 4711                       /usr/lib/a library.so
Size:                 64 kB
Rss:                  60 kB
Pss:                  20 kB
Anonymous:             4 kB
7f0000000000-7f0000010000 rw-p 00000000 00:00 0                          [heap]
Size:                 64 kB
Rss:                  64 kB
Pss:                  64 kB
Anonymous:            64 kB
"""


def grid(**settings: object) -> Grid:
    """Two places, the second of which Samba did not manage."""
    made = Grid("Title", "MB/s", "size", "file.svg", ("read",), ("4K", "16M"), **settings)  # type: ignore[arg-type]
    for figure in (30.0, 10.0, NAN, 20.0):
        made.add("read", OURS, "4K", figure, client=0.5)
    made.add("read", SAMBA, "4K", 10.0, client=0.75)
    made.add("read", OURS, "16M", 50.0)
    return made


def test_a_table_shows_medians_and_how_many_times_better_they_are() -> None:
    said = grid().text()
    assert "| read, this server | 20 | 50 |" in said
    assert "| read, Samba | 10 | - |" in said
    assert "| **read, ratio** | 2.00 | - |" in said
    assert "at most 50% of a processor with this server, 75% of a processor with Samba." in said


def test_a_ratio_of_times_is_over_one_where_they_are_shorter() -> None:
    assert "| **read, ratio** | 0.50 | - |" in grid(larger_is_better=False).text()


def test_a_gain_is_that_of_one_place_against_another() -> None:
    said = grid(gain=("16M", "4K")).text()
    assert "| MB/s by size | 4K | 16M | 16M / 4K |" in said
    assert "| read, this server | 20 | 50 | 2.50 |" in said
    assert "| read, Samba | 10 | - | - |" in said


def test_a_client_that_was_not_watched_is_not_mentioned() -> None:
    made = Grid("Title", "s", "size", "file.svg", ("read",), ("4K",))
    made.add("read", OURS, "4K", 1.0)
    assert "client" not in made.text()


@pytest.mark.parametrize("bars", [False, True])
@pytest.mark.parametrize("logarithmic", [False, True])
def test_a_picture_stays_within_its_frame(bars: bool, logarithmic: bool) -> None:
    found = ElementTree.fromstring(grid(bars=bars, logarithmic=logarithmic).picture())
    marks = [each for each in found.iter() if each.attrib.get("fill") in charts.COLOURS]
    tops = [float(mark.attrib["y" if bars else "cy"]) for mark in marks]
    assert len(tops) == 3
    assert all(charts.TOP <= top <= charts.HEIGHT - charts.BOTTOM for top in tops)


def test_a_logarithmic_axis_holds_equal_distances_for_equal_ratios() -> None:
    axis = charts._axis({"line": [3.0, 0.0, 250.0, NAN]}, logarithmic=True)
    assert axis.levels == (1.0, 10.0, 100.0, 1000.0)
    assert axis.y(1) - axis.y(10) == pytest.approx(axis.y(100) - axis.y(1000))
    assert axis.y(0) == axis.y(1)


def test_a_picture_without_any_figure_is_still_one() -> None:
    for logarithmic in (False, True):
        drawn = charts.line_chart("", "", "", ["1"], {"line": [NAN]}, logarithmic=logarithmic)
        assert ElementTree.fromstring(drawn).tag.endswith("svg")


@pytest.mark.parametrize(("share", "right"), [(50, 50), (90, 90), (99, 99), (99.9, 100), (0, 1)])
def test_percentiles_are_times_that_were_measured(share: float, right: float) -> None:
    assert latency.percentile([float(time) for time in range(100, 0, -1)], share) == right


def test_the_only_time_is_every_percentile() -> None:
    assert [latency.percentile([3.0], share) for share in latency.PERCENTILES.values()] == [3.0] * 4


def test_of_a_mapped_file_counts_what_is_the_files() -> None:
    assert list(processes.mappings(SMAPS)) == [(("08:01", "4711", "00001000", "r-xp"), 56)]


def test_no_connection_has_more_under_way_than_memory_allows() -> None:
    for size in (4096, 1 << 20, 8 << 20, 16 << 20):
        depth = throughput.depth_of(size)
        assert 1 <= depth <= throughput.DEPTH
        assert depth * size <= throughput.IN_FLIGHT
