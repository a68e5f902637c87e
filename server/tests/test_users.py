"""The users' file, and `smbdirect-user` as people and scripts call it."""

import io
import os
import threading
from base64 import b64encode
from pathlib import Path

import pytest
from impacket.ntlm import compute_nthash

from server import users as command
from server.config import default_state
from server.security import users
from server.security.users import User, Users, nt_hash

ALICE = User("Alice", nt_hash("secret"))
# As ksmbd.adduser writes it.
KSMBD = "alice:h4UnMsOkl5k27bg73/tXDQ==\nbob:MdbP4NFq6TG3PFnX4MCJwA==\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "users"


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("password", ["secret", "", "p\u00e4ssw\u00f6rd \U0001f600", "x" * 200])
def test_nt_hash_is_that_of_impacket(password: str) -> None:
    assert nt_hash(password) == compute_nthash(password)


def test_nt_hash_of_the_specification() -> None:
    assert nt_hash("Password").hex() == "a4f49c406510bdcab6824ee7c30fd852"  # MS-NLMP 4.2.2.1.2


def test_hash_does_not_show_in_a_log() -> None:
    assert "hash" not in repr(ALICE)


def test_file_of_ksmbd_is_read(path: Path) -> None:
    found = Users.load(written(path, KSMBD))
    assert [user.name for user in found] == ["alice", "bob"]
    assert found.find("bob") == User("bob", nt_hash(""))


def test_names_are_found_in_any_case() -> None:
    found = Users([ALICE, User("\u00dcmit", bytes(16))])
    assert found.find("ALICE") is found.find("alice") is ALICE
    assert found.find("\u00fcMIT") is not None
    assert found.find("mallory") is None


def test_comments_blank_lines_and_windows_line_ends_are_passed_over(path: Path) -> None:
    assert len(Users.load(written(path, "# one\r\n\r\n  ; two\r\n" + KSMBD.replace("\n", "\r\n")))) == 2


@pytest.mark.parametrize(
    "line", ["alice", "alice:", ":h4UnMsOkl5k27bg73/tXDQ==", "alice:h4Un", "alice:h4UnMsOkl5k27bg73/tXDQ", "alice:****"]
)
def test_a_broken_line_is_named_by_file_and_number(path: Path, line: str) -> None:
    with pytest.raises(ValueError, match=r"users:2: expected name:hash"):
        Users.load(written(path, "# comment\n" + line + "\n"))


def test_bytes_that_are_no_text_are_refused(path: Path) -> None:
    path.write_bytes(b"al\xffce:x\n")
    path.chmod(0o600)
    with pytest.raises(ValueError, match="not UTF-8 at byte 2"):
        Users.load(path)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602])
def test_file_that_everyone_may_open_is_refused(path: Path, mode: int) -> None:
    with pytest.raises(PermissionError, match="chmod 600"):
        Users.load(written(path, KSMBD, mode))


def test_file_that_a_group_may_read_is_taken(path: Path) -> None:
    assert len(Users.load(written(path, KSMBD, 0o640))) == 2


def test_absent_file_is_said(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Users.load(path)


def test_reload_sees_the_new_file_and_keeps_the_old_users_where_it_is_broken(path: Path) -> None:
    found = Users.load(written(path, KSMBD))
    users.remove(path, "alice")
    found.reload()
    assert found.find("alice") is None
    written(path, "broken\n")
    with pytest.raises(ValueError, match="expected name:hash"):
        found.reload()
    assert found.find("bob") is not None


def test_users_of_no_file_reload_to_themselves() -> None:
    found = Users([ALICE])
    found.reload()
    assert found.find("alice") is ALICE


def test_changes_are_written_for_the_owner_only_and_keep_the_rest(path: Path) -> None:
    written(path, "# ours\n" + KSMBD, 0o640)
    users.add(path, User("carol", bytes(range(16))))
    users.replace(path, User("BOB", bytes(16)))
    users.remove(path, "Alice")
    assert path.stat().st_mode & 0o777 == 0o600
    encoded = b64encode(bytes(range(16))).decode()
    assert path.read_text() == f"# ours\nbob:{b64encode(bytes(16)).decode()}\ncarol:{encoded}\n"
    assert os.listdir(path.parent) == ["users"]


def test_a_name_that_is_there_cannot_be_added_in_any_case(path: Path) -> None:
    users.add(path, ALICE)
    with pytest.raises(ValueError, match=r"ALICE is in .*users already"):
        users.add(path, User("ALICE", bytes(16)))


def test_a_name_that_is_not_there_cannot_be_changed_or_removed(path: Path) -> None:
    users.add(path, ALICE)
    with pytest.raises(ValueError, match="no user bob"):
        users.replace(path, User("bob", bytes(16)))
    with pytest.raises(ValueError, match="no user bob"):
        users.remove(path, "bob")


@pytest.mark.parametrize(
    "name", ["", " a", "a ", "a:b", "a\nb", "DOM\\a", "a/b", "#a", ";a", "x" * 257, "a\0", "\ud800"]
)
def test_names_that_would_break_the_file_or_a_path_are_refused(path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="user name"):
        users.add(path, User(name, bytes(16)))
    assert not path.exists()


def test_failure_in_the_middle_leaves_the_file_and_nothing_else(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(path, KSMBD)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        users.add(path, User("carol", bytes(16)))
    assert path.read_text() == KSMBD
    assert os.listdir(path.parent) == ["users"]


def test_a_symbolic_link_to_the_file_stays_one(path: Path) -> None:
    real = written(path.with_name("real"), KSMBD)
    path.symlink_to("real")
    users.remove(path, "alice")
    assert path.is_symlink()
    assert len(Users.load(real)) == 1


def test_changes_at_once_lose_nothing(path: Path) -> None:
    names = [f"user{number}" for number in range(12)]
    threads = [threading.Thread(target=users.add, args=(path, User(name, bytes(16)))) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(user.name for user in Users.load(path)) == sorted(names)


# -- the command ----------------------------------------------------------------------------------------------
def run(monkeypatch: pytest.MonkeyPatch, stdin: str, *arguments: object) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
    return command.main([str(argument) for argument in arguments])


def test_add_passwd_list_remove(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "secret\n", "add", "alice", "--users", path) == 0
    assert run(monkeypatch, "other\r\nignored\n", "add", "Bob", "--users", path) == 0
    assert Users.load(path).find("alice") == User("alice", nt_hash("secret"))
    assert run(monkeypatch, "changed", "passwd", "BOB", "--users", path) == 0
    assert Users.load(path).find("bob") == User("Bob", nt_hash("changed"))
    assert run(monkeypatch, "", "list", "--users", path) == 0
    assert capsys.readouterr().out == "alice\nBob\n"
    assert run(monkeypatch, "", "remove", "alice", "--users", path) == 0
    assert [user.name for user in Users.load(path)] == ["Bob"]


@pytest.mark.parametrize(
    ("stdin", "arguments", "said"),
    [
        ("x\n", ("add", "alice"), "user alice is in"),
        ("x\n", ("passwd", "bob"), "there is no user bob"),
        ("", ("remove", "bob"), "there is no user bob"),
        ("\n", ("add", "bob"), "the password is empty"),
        ("", ("add", "bob"), "the password is empty"),
        ("x\n", ("add", "a:b"), "':' may not be in it"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stdin: str,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    users.add(path, ALICE)
    assert run(monkeypatch, stdin, *arguments, "--users", path) == 1
    error = capsys.readouterr().err
    assert error.startswith("smbdirect-user: ")
    assert said in error
    assert error.count("\n") == 1
    assert len(Users.load(path)) == 1


def test_absent_file_is_said_by_the_command(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "", "list", "--users", path) == 1
    assert "No such file" in capsys.readouterr().err


def test_a_password_on_the_command_line_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, "", "add", "alice", "secret")
    assert caught.value.code == 2
    assert "usage: smbdirect-user" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def at_the_terminal(monkeypatch: pytest.MonkeyPatch, *typed: str) -> None:
    answers = iter(typed)
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr(command, "getpass", lambda prompt: next(answers))


def test_a_prompt_asks_twice(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_the_terminal(monkeypatch, "secret", "secret")
    assert command.main(["add", "alice", "--users", str(path)]) == 0
    assert Users.load(path).find("alice") == User("alice", nt_hash("secret"))


def test_two_answers_that_differ_change_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at_the_terminal(monkeypatch, "secret", "sceret")
    assert command.main(["add", "alice", "--users", str(path)]) == 1
    assert "differ" in capsys.readouterr().err
    assert not path.exists()


def test_the_default_file_is_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert command._parser().parse_args(["list"]).users == default_state() / "users"
