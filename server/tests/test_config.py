"""The configuration: every setting by its names, and a refusal that names file, line, key and expectation."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.config import Config, ConfigError, Share, default_state, from_arguments, load
from server.options import shown, size_of


def written(tmp_path: Path, text: str) -> Path:
    (tmp_path / "data").mkdir(exist_ok=True)
    path = tmp_path / "smb.toml"
    path.write_text(text)
    return path


def server(tmp_path: Path, settings: str) -> Config:
    return load(written(tmp_path, f"[server]\n{settings}\n[share.d]\npath = 'data'\n"))


def share(tmp_path: Path, settings: str) -> Share:
    return load(written(tmp_path, f"[share.d]\npath = 'data'\n{settings}\n")).shares[0]


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path)
    return str(caught.value)


SERVER = [
    ("listen = ['127.0.0.1', '::1']", "listen", ("127.0.0.1", "::1")),
    ("listen = '127.0.0.1, ::1'", "listen", ("127.0.0.1", "::1")),
    ("port = 4455", "port", 4455),
    ("'tcp port' = '4455'", "port", 4455),
    ("rdma = 'require'", "rdma", "require"),
    ("io_size = '16M'", "io_size", 16 << 20),
    ("io-size = 65536", "io_size", 65536),
    ("'smb2 max read' = '4MB'", "io_size", 4 << 20),
    ("smbd_max_io_size = '1M'\n'SMB2 max write' = '1024K'", "io_size", 1 << 20),
    ("server_name = 'NAS'", "server_name", "NAS"),
    ("'netbios name' = 'NAS'", "server_name", "NAS"),
    ("workgroup = 'HOME'", "workgroup", "HOME"),
    ("'server string' = ''", "comment", ""),
    ("signing = 'required'", "signing", "required"),
    ("'server signing' = 'mandatory'", "signing", "required"),
    ("encryption = 'off'", "encryption", "off"),
    ("'smb3 encryption' = 'mandatory'", "encryption", "required"),
    ("min_protocol = '3.0'", "min_protocol", 0x0300),
    ("'server max protocol' = 'SMB3_02'", "max_protocol", 0x0302),
    ("max_connections = 7", "max_connections", 7),
    ("'max ip connections' = 7", "max_connections_per_address", 7),
    ("'smb2 max credits' = 512", "max_credits", 512),
    ("guest_account = 'root'", "guest_account", "root"),
    ("'map to guest' = 'bad user'", "map_to_guest", "bad user"),
    ("'durable handles' = 'no'", "durable_handles", False),
    ("durable_timeout = 60", "durable_timeout", 60),
    ("admin_users = ['alice', '@wheel']", "admin_users", ("alice", "@wheel")),
]

SHARE = [
    ("comment = 'things'", "comment", "things"),
    ("read_only = true", "read_only", True),
    ("'read only' = 'yes'", "read_only", True),
    ("writable = false", "read_only", True),
    ("'write ok' = 'yes'", "read_only", False),
    ("'guest ok' = true", "guest_ok", True),
    ("browseable = 'no'", "browseable", False),
    ("encryption_required = true", "encryption_required", True),
    ("'valid users' = 'alice, @staff bob'", "valid_users", ("alice", "@staff", "bob")),
    ("invalid_users = ['mallory']", "invalid_users", ("mallory",)),
    ("read_list = ['a']\nwrite_list = []", "read_list", ("a",)),
    ("write_list = 'a'", "write_list", ("a",)),
    ("create_mask = 0o640", "create_mask", 0o640),
    ("'directory mask' = '0750'", "directory_mask", 0o750),
    ("force_create_mode = '0020'", "force_create_mode", 0o020),
    ("force_directory_mode = 0o20", "force_directory_mode", 0o020),
    ("force_user = 'root'", "force_user", "root"),
    ("force_group = 'root'", "force_group", "root"),
    ("inherit_owner = 'on'", "inherit_owner", True),
    ("hide_dot_files = false", "hide_dot_files", False),
    ("'hide unreadable' = 'yes'", "hide_unreadable", True),
    ("'veto files' = '/.DS_Store/*.tmp/'", "veto_files", (".DS_Store", "*.tmp")),
    ("veto_files = ['a b']", "veto_files", ("a b",)),
    ("store_dos_attributes = false", "store_dos_attributes", False),
    ("oplocks = false", "oplocks", False),
    ("'durable handles' = 'no'", "durable_handles", False),
    ("'continuous availability' = 'yes'", "continuous_availability", True),
    ("'kernel change notify' = 'no'", "kernel_change_notify", False),
    ("'kernel oplocks' = 'Auto'", "kernel_oplocks", "auto"),
    ("kernel_oplocks = false", "kernel_oplocks", "no"),
    ("'posix locking' = 'no'", "posix_locking", False),
    ("'max connections' = 3", "max_connections", 3),
]


@pytest.mark.parametrize(("text", "name", "value"), SERVER)
def test_server_setting_by_each_name_and_form(tmp_path: Path, text: str, name: str, value: object) -> None:
    assert getattr(server(tmp_path, text), name) == value


@pytest.mark.parametrize(("text", "name", "value"), SHARE)
def test_share_setting_by_each_name_and_form(tmp_path: Path, text: str, name: str, value: object) -> None:
    assert getattr(share(tmp_path, text), name) == value


def test_every_setting_is_tried_above() -> None:
    tried = {name for _, name, _ in SERVER + SHARE} | {"users", "state", "shares", "name", "path"}
    assert {*Config.__dataclass_fields__, *Share.__dataclass_fields__} <= tried


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    config = server(tmp_path, "users = 'pw'\nstate = 'run'")
    assert config.users_file == tmp_path / "pw"
    assert config.state_directory == tmp_path / "run"
    assert config.shares[0].path == tmp_path / "data"


def test_defaults(tmp_path: Path) -> None:
    config = server(tmp_path, "")
    assert (config.port, config.io_size, config.max_credits) == (445, 8 << 20, 8192)
    assert config.users_file == default_state() / "users"
    assert config.name == config.name.upper()
    assert 0 < len(config.name) <= 15


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server]\nprot = 1", "smb.toml:2: [server]: prot: unknown; expected one of admin_users, comment, "),
        ("[server]\n\nport = 'ssh'", "smb.toml:3: [server]: port: 'ssh'; expected a whole number from 1 to 65535"),
        ("[server]\nport = true", "port: True; expected a whole number"),
        ("[server]\nport = 70000", "port: 70000; expected a whole number from 1 to 65535"),
        ("[server]\nio_size = '32M'", "io_size: '32M'; expected a size from 64K to 16M in steps of 4K"),
        ("[server]\nio_size = 65537", "io_size: 65537; expected a size"),
        ("[server]\nsigning = 'disabled'", "signing: 'disabled'; expected one of auto, required"),
        ("[server]\nlisten = ['eth0']", "listen: ['eth0']; expected a list of IPv4 or IPv6 addresses"),
        ("[server]\nlisten = 5", "listen: 5; expected a list"),
        ("[server]\nguest_account = 'no-such-account-x'", "expected a Unix account of this machine"),
        ("[server]\nworkgroup = ''", "workgroup: ''; expected text that is not empty"),
        ("[server]\n'smb2 max read' = '1M'\n'smb2 max write' = '2M'", ":3: [server]: smb2 max write: '2M' contradicts"),
        ("[server]\nmin_protocol = '3.1.1'\nmax_protocol = '2.1'", ":2: [server]: min protocol: is above"),
        ("[server]\nencryption = 'required'\nmax_protocol = '2.1'", ":2: [server]: encryption: required, which no"),
        ("[server]\nmax_credits = 0", "expected a whole number from 1"),
        ("[serve]\nport = 1", "smb.toml:1: [serve]: unknown; expected the tables [server] and [share.NAME]"),
        ("server = 1", "smb.toml:1: server: stands outside a table; expected the tables"),
        ("[share]\nd = 1", "[share]: d: expected a table [share.NAME]"),
        ("[share.d]\ncomment = 'x'", "smb.toml:1: [share.d]: path: is missing; expected a directory"),
        ("[share.d]\npath = 'nowhere'", "nowhere is no directory; expected one that exists"),
        ("[share.d]\npath = 'smb.toml'", "smb.toml is no directory"),
        ("[share.d]\npath = 'data'\ncreate_mask = '0999'", "expected octal permission bits"),
        ("[share.d]\npath = 'data'\ncreate_mask = 0o17777", "expected octal permission bits"),
        ("[share.d]\npath = 'data'\nread_only = 'maybe'", ":3: [share.d]: read_only: 'maybe'; expected true or false"),
        ("[share.d]\npath = 'data'\nforce_group = 'no-such-group-x'", "expected a Unix group"),
        ("[share.d]\npath = 'data'\nvalid_users = [1]", "expected a list of names"),
        ('[share."a/b"]\npath = "data"', "share 'a/b': expected a name of 1 to 80 characters"),
        ('[share."IPC$"]\npath = "data"', "share 'IPC$': expected a name"),
        ("[share.d]\npath = 'data'\n[share.D]\npath = 'data'", "share 'D': is there twice"),
        ("[share.d]\npath = 'data'\nread_only = true\nwritable = true", "writable: True contradicts"),
        ("[server]\nport = 4455", "share: there is none; expected --share NAME=PATH"),
        ("[server]\nport = \n", "(at line 2, column 8); expected a TOML file"),
    ],
)
def test_refusal_says_where_what_and_what_was_expected(tmp_path: Path, text: str, said: str) -> None:
    message = refusal(written(tmp_path, text))
    assert said in message
    assert str(tmp_path / "smb.toml") in message


def test_file_that_is_absent_is_refused(tmp_path: Path) -> None:
    assert "nope.toml" in refusal(tmp_path / "nope.toml")


def test_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert "expected a TOML file" in refusal(tmp_path / "binary")


def test_command_line_alone(tmp_path: Path) -> None:
    shares = ["--share", f"a={tmp_path}", "--share", f"b={tmp_path},ro,guest"]
    where = ["--port", "4455", "--listen", "127.0.0.1", "--listen", "::1", "--users", "/u", "--state", "/s"]
    config = from_arguments([*shares, *where, "--io-size", "1M", "--rdma", "off"])
    assert [(s.name, s.path, s.read_only, s.guest_ok) for s in config.shares] == [
        ("a", tmp_path, False, False),
        ("b", tmp_path, True, True),
    ]
    assert (config.io_size, config.port, config.listen, config.rdma) == (1 << 20, 4455, ("127.0.0.1", "::1"), "off")
    assert (config.users_file, config.state_directory) == (Path("/u"), Path("/s"))


def test_command_line_wins_over_the_file_and_keeps_the_rest(tmp_path: Path) -> None:
    path = written(tmp_path, "[server]\nport = 1\nworkgroup = 'W'\n[share.d]\npath = 'data'\n[share.e]\npath = 'data'")
    config = from_arguments(["--config", str(path), "--port", "2", "--share", f"D={tmp_path},ro"])
    assert (config.port, config.workgroup) == (2, "W")
    assert [(s.name, s.read_only) for s in config.shares] == [("e", False), ("D", True)]


def test_share_path_may_hold_commas_and_equals_signs(tmp_path: Path) -> None:
    odd = tmp_path / "a,b=c"
    odd.mkdir()
    made = from_arguments(["--share", f"x={odd},ro"]).shares[0]
    assert (made.path, made.read_only) == (odd, True)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--share", "data"], "--share data: expected NAME=PATH[,ro][,guest]"),
        (["--share", "x=/no/such/dir,rw"], "/no/such/dir,rw is no directory"),
        (["--share", "x=/", "--share", "X=/"], "share 'X': is there twice"),
        (["--share", "x=/", "--io-size", "5"], "--io-size: '5'; expected a size from 64K to 16M"),
        (["--share", "x=/", "--port", "0"], "--port: '0'; expected"),
        (["--share", "x=/", "--listen", "here"], "expected a list of IPv4 or IPv6 addresses"),
        (["--share", "x=/", "--rdma", "maybe"], "--rdma: 'maybe'; expected one of auto, off, require"),
        (["--sharp", "x=/"], "unrecognized arguments: --sharp"),
        ([], "there is none; expected --share NAME=PATH"),
    ],
)
def test_command_line_refusals(argv: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_arguments(argv)
    assert said in str(caught.value)
    assert str(caught.value).startswith("command line: ")


@given(st.integers(0, 1 << 50))
def test_sizes_are_read_as_shown(count: int) -> None:
    assert size_of(shown(count)) == count


@given(st.text(max_size=200))
def test_any_text_is_a_configuration_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigError):
        load(path)
