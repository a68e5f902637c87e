"""What smbtorture says is read as it means it."""

from pathlib import Path

import pytest

from torture.run import Outcome, compare, read_names, suite, summary, verdict

PASSED = "smbtorture 4.22\ntime: 2026-01-01\ntest: eof\ntime: 2026-01-01\nsuccess: eof\n"
FAILED = "test: dir\nfailure: dir [\nread.c:12: status was NT_STATUS_OK, expected NT_STATUS_X: why\n]\n"
SKIPPED = "test: dir\nskip: dir [\nno leases here\n]\n"


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (PASSED, ("pass", "")),
        (FAILED, ("fail", "read.c:12: status was NT_STATUS_OK, expected NT_STATUS_X: why")),
        (SKIPPED, ("skip", "no leases here")),
        (PASSED + FAILED, ("fail", "read.c:12: status was NT_STATUS_OK, expected NT_STATUS_X: why")),
        ("test: one\nerror: one [\nUnknown error/failure\n]\n", ("fail", "Unknown error/failure")),
        ("Failed to connect to SMB2 share\n", ("fail", "Failed to connect to SMB2 share")),
        ("", ("fail", "no output")),
    ],
)
def test_output_is_read_as_a_result_and_a_reason(output: str, expected: tuple[str, str]) -> None:
    assert verdict(output) == expected


@pytest.mark.parametrize(
    ("listed", "named"),
    [
        ("smb2.read.eof.eof", "smb2.read.eof"),
        ("smb2.connect.connect", "smb2.connect"),
        ("smb2.maxfid", "smb2.maxfid"),
        ("smb2.charset.Testing wide-a.Testing wide-a", "smb2.charset.Testing wide-a"),
        ("smb2.lock.lock.lock", "smb2.lock.lock"),
    ],
)
def test_listed_names_become_what_the_command_line_takes(listed: str, named: str) -> None:
    assert suite(listed) == named


def test_held_names_may_have_results_and_comments(tmp_path: Path) -> None:
    (tmp_path / "held").write_text("# those that pass\nsmb2.a.b.b\npass\tsmb2.c d.c d  # why\n\n")
    assert read_names(tmp_path / "held") == ["smb2.a.b.b", "smb2.c d.c d"]


def test_summary_fails_for_a_lost_test_and_for_a_server_that_suffered(tmp_path: Path) -> None:
    passed, failed = Outcome("smb2.a.a", "pass", 0.1), Outcome("smb2.b.b", "fail", 0.1)
    hurt = Outcome("smb2.c.c", "pass", 0.1, server="server died")
    assert summary([passed, failed], 1, tmp_path, held=False) == 0
    assert summary([passed], 1, tmp_path, held=True) == 0
    assert summary([passed, failed], 1, tmp_path, held=True) == 1
    assert summary([hurt], 1, tmp_path, held=False) == 1


def test_comparison_prints_what_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "before.tsv").write_text("pass\tsmb2.a.a\nfail\tsmb2.b.b\n")
    compare([Outcome("smb2.a.a", "fail", 0.1, "why"), Outcome("smb2.b.b", "fail", 0.1)], tmp_path / "before.tsv")
    said = capsys.readouterr().out
    assert "1 of 2 differ" in said
    assert "pass -> fail  smb2.a  why" in said
