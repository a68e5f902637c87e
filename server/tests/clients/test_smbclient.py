"""Samba's smbclient: what a person does with it, on every dialect, signed and sealed, byte for byte."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.testing import PASSWORD, Ours, missing, names

from .conftest import credentials, digest, digests, pattern, start

pytestmark = pytest.mark.skipif(bool(missing("smbclient")), reason="smbclient is missing (Debian: smbclient)")

DIALECTS = ("SMB2_02", "SMB2_10", "SMB3_00", "SMB3_02", "SMB3_11")
PROTECTION = ("off", "sign", "encrypt")
BIG = int(os.environ.get("BIG_FILE", 1 << 30))
"""Bytes; the environment may ask for several GiB."""


def smbclient(
    server: Ours, command: str, *options: str, share: str = "data", user: str | None = None
) -> subprocess.CompletedProcess[str]:
    who = ["-U", credentials() if user is None else user] if user != "" else ["-N"]
    line = ["smbclient", f"//127.0.0.1/{share}", "-p", str(server.port), *who, *options, "-c", command]
    return subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)


def done(server: Ours, command: str, *options: str, share: str = "data") -> str:
    """What `command` printed; it must have gone well."""
    result = smbclient(server, command, *options, share=share)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "NT_STATUS" not in result.stdout + result.stderr
    return result.stdout


@pytest.fixture(autouse=True)
def _empty_share(server: Ours) -> Iterator[None]:
    server.clear()
    yield
    assert server.alive, server.tail()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_put_and_get_on_each_dialect(server: Ours, tmp_path: Path, dialect: str) -> None:
    sent = pattern(tmp_path / "sent", (9 << 20) + 3)
    limits = ("-m", dialect, f"--option=client min protocol={dialect}")
    done(server, f"put {sent} here; get here {tmp_path / 'back'}", *limits)
    assert digest(server.path() / "here") == digest(sent) == digest(tmp_path / "back")


@pytest.mark.parametrize("protection", PROTECTION)
@pytest.mark.parametrize("dialect", ["SMB3_00", "SMB3_11"])
def test_put_and_get_signed_and_sealed(server: Ours, tmp_path: Path, dialect: str, protection: str) -> None:
    sent = pattern(tmp_path / "sent", (9 << 20) + 3)
    done(server, f"put {sent} here; get here {tmp_path / 'back'}", "-m", dialect, f"--client-protection={protection}")
    assert digest(server.path() / "here") == digest(sent) == digest(tmp_path / "back")


@pytest.mark.parametrize("cipher", ["aes-128-gcm", "aes-128-ccm", "aes-256-gcm", "aes-256-ccm"])
def test_sealed_with_each_cipher(server: Ours, tmp_path: Path, cipher: str) -> None:
    sent = pattern(tmp_path / "sent", 3 << 20)
    option = f"--option=client smb3 encryption algorithms={cipher}"
    done(server, f"put {sent} here; get here {tmp_path / 'back'}", "--client-protection=encrypt", option)
    assert digest(tmp_path / "back") == digest(sent)


@pytest.mark.parametrize("algorithm", ["hmac-sha-256", "aes-128-cmac", "aes-128-gmac"])
def test_signed_with_each_algorithm(server: Ours, tmp_path: Path, algorithm: str) -> None:
    sent = pattern(tmp_path / "sent", 3 << 20)
    option = f"--option=client smb3 signing algorithms={algorithm}"
    done(server, f"put {sent} here; get here {tmp_path / 'back'}", "--client-protection=sign", option)
    assert digest(tmp_path / "back") == digest(sent)


@pytest.mark.parametrize("size", [0, 1, 7, 65535, 65536, 65537, (8 << 20) - 1, 8 << 20, (8 << 20) + 1])
def test_sizes_around_the_limits(server: Ours, tmp_path: Path, size: int) -> None:
    sent = pattern(tmp_path / "sent", size)
    done(server, f"put {sent} here; get here {tmp_path / 'back'}")
    assert (tmp_path / "back").read_bytes() == sent.read_bytes()


def test_large_file_there_and_back(server: Ours, tmp_path: Path) -> None:
    sent = pattern(tmp_path / "sent", BIG)
    done(server, f"put {sent} here; get here {tmp_path / 'back'}")
    assert (server.path() / "here").stat().st_size == BIG
    assert digest(tmp_path / "back") == digest(sent)


@pytest.mark.parametrize("protection", PROTECTION)
def test_library_there_and_back(server: Ours, library: Path, tmp_path: Path, protection: str) -> None:
    expected = digests(library)
    option = f"--client-protection={protection}"
    done(server, f"recurse ON; prompt OFF; lcd {library}; mput *", option)
    assert digests(server.path()) == expected
    done(server, f"recurse ON; prompt OFF; lcd {tmp_path}; mget *", option)
    assert digests(tmp_path) == expected


def test_clone_there_and_back(server: Ours, clone: Path, tmp_path: Path) -> None:
    expected = digests(clone)
    done(server, f"recurse ON; prompt OFF; lcd {clone}; mput *")
    assert digests(server.path()) == expected
    done(server, f"recurse ON; prompt OFF; lcd {tmp_path}; mget *")
    assert digests(tmp_path) == expected
    subprocess.run(["git", "-C", str(tmp_path), "-c", "safe.directory=*", "fsck", "--full"], check=True)


def test_listing_shows_what_is_there(server: Ours) -> None:
    (server.path() / "a file").write_bytes(b"12345")
    (server.path() / "a directory").mkdir()
    (server.path() / ".hidden").touch()
    lines = {line[2:37].strip(): line[37:].split() for line in done(server, "ls").splitlines() if line.startswith("  ")}
    assert lines["a file"][:2] == ["N", "5"] or lines["a file"][:2] == ["A", "5"]
    assert lines["a directory"][0] == "D"
    assert "H" in lines[".hidden"][0]


def test_listing_of_ten_thousand_files_is_whole(server: Ours) -> None:
    (server.path() / "many").mkdir()
    for number in range(10_000):
        (server.path() / "many" / f"file-{number:05}").touch()
    said = done(server, "cd many; ls file-*")
    assert sum(line.startswith("  file-") for line in said.splitlines()) == 10_000


def test_wildcards_choose(server: Ours) -> None:
    for name in ("one.txt", "two.TXT", "three.doc", "noext"):
        (server.path() / name).touch()
    shown = done(server, "ls *.txt")
    assert [name for name in ("one.txt", "two.TXT", "three.doc", "noext") if name in shown] == ["one.txt", "two.TXT"]


def test_delete_rename_and_directories(server: Ours) -> None:
    for name in ("gone", "old", "both"):
        (server.path() / name).write_text(name)
    done(server, "del gone; rename old new; mkdir sub; rename both sub\\moved; mkdir empty; rmdir empty")
    assert sorted(digests(server.path())) == ["new", "sub", "sub/moved"]
    assert (server.path() / "sub/moved").read_text() == "both"


def test_deltree_removes_a_tree(server: Ours) -> None:
    (server.path() / "tree/deep/deeper").mkdir(parents=True)
    for entry in ("tree", "tree/deep", "tree/deep/deeper"):
        (server.path() / entry / "file").write_text("x")
        shutil.chown(server.path() / entry, names()[0])
    done(server, "deltree tree")
    assert not (server.path() / "tree").exists()


def test_allinfo_tells_times_attributes_and_streams(server: Ours, tmp_path: Path) -> None:
    (tmp_path / "sent").write_bytes(b"data")
    done(server, f"put {tmp_path / 'sent'} here; put {tmp_path / 'sent'} here:extra:$DATA")
    said = smbclient(server, "allinfo here").stdout
    for word in ("create_time:", "access_time:", "write_time:", "attributes:", "stream: [::$DATA], 4 bytes"):
        assert word in said
    assert "stream: [:extra:$DATA], 4 bytes" in said


def test_names_keep_their_case_and_match_without(server: Ours, tmp_path: Path) -> None:
    (tmp_path / "sent").write_text("x")
    done(server, f"put {tmp_path / 'sent'} MiXeD; get mixed {tmp_path / 'back'}; get MIXED {tmp_path / 'again'}")
    assert os.listdir(server.path()) == ["MiXeD"]


@pytest.mark.parametrize("name", ["größe.txt", "日本語", "emoji-😀", "a b  c", "x" * 200, "-dash", "ﬁ"])
def test_unusual_names_go_both_ways(server: Ours, tmp_path: Path, name: str) -> None:
    (tmp_path / "sent").write_text(name)
    done(server, f'put "{tmp_path / "sent"}" "{name}"; get "{name}" "{tmp_path / "back"}"')
    assert os.listdir(server.path()) == [name]
    assert (tmp_path / "back").read_text() == name


def test_attributes_can_be_set(server: Ours) -> None:
    (server.path() / "file").touch()
    shutil.chown(server.path() / "file", names()[0])
    done(server, "setmode file +rhs")
    said = smbclient(server, "allinfo file").stdout
    assert "attributes: RHS" in said or "attributes: HSR" in said


def test_shares_are_listed_with_comments_and_hidden_ones_are_not(server: Ours) -> None:
    command = ["smbclient", "-g", "-L", "127.0.0.1", "-p", str(server.port), "-U", credentials()]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "Disk|data|" in said
    assert "Disk|guest|For everyone" in said
    assert "IPC|IPC$|" in said
    assert "hidden" not in said


@pytest.mark.parametrize(
    ("user", "share", "status"),
    [
        (f"{names()[0]}%wrong", "data", "LOGON_FAILURE"),
        ("", "data", "ACCESS_DENIED"),
        ("stranger%guess", "data", "ACCESS_DENIED"),
        (None, "absent", "BAD_NETWORK_NAME"),
        (None, "private", "ACCESS_DENIED"),
    ],
)
def test_who_may_not_is_refused(server: Ours, user: str | None, share: str, status: str) -> None:
    result = smbclient(server, "ls", share=share, user=user)
    assert result.returncode != 0
    assert f"NT_STATUS_{status}" in result.stdout + result.stderr


def test_who_may_gets_in(server: Ours) -> None:
    for user, share in ((f"{names()[1]}%{PASSWORD}", "private"), ("stranger%guess", "guest"), (None, "hidden")):
        result = smbclient(server, "ls", share=share, user=user)
        assert result.returncode == 0, (user, share, result.stdout + result.stderr)


def test_read_only_share_is_read_and_not_written(server: Ours, tmp_path: Path) -> None:
    (server.path("ro") / "there").write_text("x")
    done(server, f"get there {tmp_path / 'back'}", share="ro")
    for command in (f"put {tmp_path / 'back'} new", "del there", "mkdir new", "rename there else"):
        result = smbclient(server, command, share="ro")
        assert "NT_STATUS_ACCESS_DENIED" in result.stdout + result.stderr, command
    assert os.listdir(server.path("ro")) == ["there"]


def test_sealed_share_wants_a_dialect_that_can(server: Ours) -> None:
    done(server, "ls", share="sealed")
    result = smbclient(server, "ls", "-m", "SMB2_10", share="sealed")
    assert "NT_STATUS_ACCESS_DENIED" in result.stdout + result.stderr


@pytest.mark.parametrize(
    "command", ["get ..\\log", "get ../../etc/passwd", "cd ..\\..", "ls ..\\*", "put /etc/hosts ..\\x"]
)
def test_nothing_above_the_share_is_reached(server: Ours, command: str) -> None:
    smbclient(server, command)
    assert not (server.root / "x").exists()
    assert not (server.root / "passwd").exists()


def test_symbolic_link_out_of_the_share_is_not_followed(server: Ours, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    for path in (outside, *outside.parents[:3]):
        path.chmod(0o777)
    (server.path() / "out").symlink_to(outside)
    (server.path() / "file").symlink_to(outside / "secret")
    for command in (f"get file {tmp_path / 'f'}", f"get out\\secret {tmp_path / 'p'}", "put /etc/hosts out\\planted"):
        smbclient(server, command)
    assert not [name for name in ("f", "p") if (tmp_path / name).exists() and (tmp_path / name).stat().st_size]
    assert os.listdir(outside) == ["secret"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only a server of root's changes identity")
def test_files_belong_to_the_account_that_made_them(server: Ours, tmp_path: Path) -> None:
    (tmp_path / "sent").write_text("x")
    done(server, f"put {tmp_path / 'sent'} file; mkdir directory")
    assert {(server.path() / name).owner() for name in ("file", "directory")} == {names()[0]}


@pytest.mark.skipif(os.geteuid() != 0, reason="only a server of root's changes identity")
def test_files_of_others_stay_theirs(server: Ours, tmp_path: Path) -> None:
    secret = server.path() / "secret"
    secret.write_text("root's")
    secret.chmod(0o600)
    result = smbclient(server, f"get secret {tmp_path / 'back'}")
    assert "NT_STATUS_ACCESS_DENIED" in result.stdout + result.stderr


@pytest.fixture(scope="module")
def strict() -> Iterator[Ours]:
    """A server that insists: everything sealed, nothing below 3.1.1."""
    yield from start({"encryption": '"required"', "signing": '"required"', "min protocol": '"3.1.1"'})


def test_server_that_insists_is_reached_sealed_only(strict: Ours, tmp_path: Path) -> None:
    sent = pattern(tmp_path / "sent", 1 << 20)
    done(strict, f"put {sent} here; get here {tmp_path / 'back'}")
    assert digest(tmp_path / "back") == digest(sent)
    assert smbclient(strict, "ls", "-m", "SMB3_02").returncode != 0
