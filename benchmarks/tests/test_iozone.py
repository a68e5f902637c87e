"""The tree of calls, and how the figures of the Linux client's mount are told."""

import os
from itertools import count
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import fileop, iozone, mounts
from benchmarks.peers import KSMBD, OURS, SAMBA


def steady() -> fileop.Timed:
    """Every call takes half a second."""
    ticks = count(0, 1)
    return fileop.Timed(lambda: next(ticks) / 2)


def test_every_call_of_the_tree_is_timed_and_nothing_is_left(tmp_path: Path) -> None:
    rates = fileop.measure(tmp_path, 2, steady())
    assert set(rates) == set(fileop.CALLS)
    assert set(rates.values()) == {2.0}
    assert not list(tmp_path.iterdir())


def test_a_file_system_without_links_has_no_figure_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    rates = fileop.measure(tmp_path, 2, steady())
    assert rates["link"] != rates["link"]
    assert rates["unlink"] == 2.0 and not list(tmp_path.iterdir())


def test_a_call_that_fails_does_not_count(tmp_path: Path) -> None:
    timed = steady()
    with pytest.raises(FileNotFoundError):
        timed("stat", os.stat, tmp_path / "none")
    assert timed.rates()["stat"] != timed.rates()["stat"]


def test_fio_has_a_job_for_every_operation_and_record() -> None:
    jobs = iozone.jobs()
    assert len({job.name for job in jobs}) == len(jobs) == len(iozone.OPERATIONS) * len(iozone.RECORDS)
    backward = next(job for job in jobs if job.name == "backward read, 64K")
    assert (backward.rw, backward.block, backward.file) == ("read:-131072", 65536, mounts.OLD)


def test_behind_a_peers_figure_stands_how_much_faster_this_server_was() -> None:
    figures = iozone.Figures("MB/s")
    for who, value in ((OURS, 30.0), (OURS, 10.0), (OURS, 20.0), (KSMBD, 10.0), (iozone.LOCAL, 100.0)):
        figures.add(who, {"write": value})
    cells = [figures.cell(who, "write") for who in (OURS, KSMBD, SAMBA, iozone.LOCAL)]
    assert cells == ["20", "10 (2.00)", "- (-)", "100"]


def test_pictures_are_well_formed_without_any_figure() -> None:
    drawn = iozone.pictures(iozone.Figures("MB/s"), iozone.Figures("calls a second"))
    for picture in drawn.values():
        assert len([each for each in ElementTree.fromstring(picture) if each.tag.endswith("svg")]) > 1
