"""The configuration: what may be set, from which file or command line, and the words that refuse the rest.

Each setting is one field of `Server` options in `Config` or of `Share`, declared once with its kind and the names
it goes by; the TOML loader, the command line and the refusals all read that declaration. A setting stands here
only when the server honours it. ksmbd.conf's names are accepted where they mean the same, in any case and with
spaces, dashes or underscores, so `"smb2 max credits" = 4096` and `max_credits = 4096` are one. Whatever is
unknown, of the wrong type, out of range or said twice differently is a `ConfigError` before anything listens.
"""

import argparse
import os
import re
import socket
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NoReturn

from . import options
from .options import Kind, Option, option, plain

DIALECTS = {"2.0.2": 0x0202, "2.1": 0x0210, "3.0": 0x0300, "3.0.2": 0x0302, "3.1.1": 0x0311}
_DIALECT = options.choice(DIALECTS, SMB2="2.0.2", SMB2_02="2.0.2", SMB2_10="2.1", SMB3="3.1.1", SMB3_00="3.0",
                          SMB3_02="3.0.2", SMB3_11="3.1.1")  # fmt: skip
_SIGNING = options.choice(("auto", "required"), mandatory="required")
_ENCRYPTION = options.choice(("auto", "required", "off"), mandatory="required", disabled="off")
_RDMA = options.choice(("auto", "off", "require"))
_MAP_TO_GUEST = options.choice(("never", "bad user"))
_IO_SIZE = options.size(64 << 10, 16 << 20, 4 << 10)
_KERNEL_OPLOCKS = options.switch("auto")
_FORBIDDEN = re.compile(r'["/\\\[\]:|<>+=;,*?\x00-\x1f]')
_FLAGS = {"ro": {"read_only": True}, "guest": {"guest_ok": True}}


class ConfigError(Exception):
    """The configuration is refused; the text says where it stands, what is wrong and what was expected."""


@dataclass(frozen=True, slots=True)
class _Source:
    """Where settings stand: a file (its `text`, to find lines in) or the command line."""

    name: str
    text: str = ""
    base: Path = Path()
    """What relative paths are relative to."""

    def refuse(self, table: str, key: str, problem: str) -> NoReturn:
        line = _line(self.text, table, key)
        where = f"{self.name}:{line}" if line else self.name
        raise ConfigError(f"{where}: " + ": ".join(part for part in (table and f"[{table}]", key, problem) if part))


_COMMAND_LINE = _Source("command line")


@dataclass(frozen=True, slots=True)
class Share:
    """One share. The lists hold names of users, and of groups behind "@"; without case."""

    name: str
    path: Path = option(options.PATH, Path())  # noqa: RUF009  (it is a dataclass field)
    comment: str = option(options.TEXT, "")
    read_only: bool = option(options.BOOLEAN, False, "!writable", "!writeable", "!write ok")
    guest_ok: bool = option(options.BOOLEAN, False, "public")
    browseable: bool = option(options.BOOLEAN, True, "browsable")
    encryption_required: bool = option(options.BOOLEAN, False)
    valid_users: tuple[str, ...] = option(options.NAMES, ())
    """Who may connect; empty: everyone but `invalid_users`."""
    invalid_users: tuple[str, ...] = option(options.NAMES, ())
    read_list: tuple[str, ...] = option(options.NAMES, ())
    """Who may only read, whatever `read_only` says."""
    write_list: tuple[str, ...] = option(options.NAMES, ())
    """Who may write, whatever `read_only` says; wins over `read_list`."""
    create_mask: int = option(options.MODE, 0o744)
    """Permission bits a new file may have; `force_create_mode` are those it has in any case."""
    directory_mask: int = option(options.MODE, 0o755)
    force_create_mode: int = option(options.MODE, 0)
    force_directory_mode: int = option(options.MODE, 0)
    force_user: str = option(options.ACCOUNT, "")
    force_group: str = option(options.GROUP, "")
    inherit_owner: bool = option(options.BOOLEAN, False)
    hide_dot_files: bool = option(options.BOOLEAN, True)
    hide_unreadable: bool = option(options.BOOLEAN, False)
    """Listings leave out what the user may not read (access-based enumeration); CHANGE_NOTIFY names it all the same
    (MS-FSA 2.1.4.1 leaves nothing out)."""
    veto_files: tuple[str, ...] = option(options.PATTERNS, ())
    """Patterns with * and ? of names that are neither shown nor opened."""
    store_dos_attributes: bool = option(options.BOOLEAN, True)
    oplocks: bool = option(options.BOOLEAN, True)
    durable_handles: bool = option(options.BOOLEAN, True)
    """Whether opens outlive their connection for a while: durable and resilient ones."""
    continuous_availability: bool = option(options.BOOLEAN, False)
    """Whether there are persistent handles: opens that outlive the server. They are kept under `state`."""
    kernel_oplocks: str = option(_KERNEL_OPLOCKS, "yes")
    """yes: clients cache data only where a kernel lease keeps local processes from the file; auto: also elsewhere."""
    posix_locking: bool = option(options.BOOLEAN, True)
    """Whether local processes see clients' byte-range locks, and clients theirs."""
    kernel_change_notify: bool = option(options.BOOLEAN, True)
    """Whether CHANGE_NOTIFY also tells what other processes of this machine do."""
    max_connections: int = option(options.number(0, 65536), 0)
    """Most tree connects at once; 0: no limit."""


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration. Sizes in bytes, dialects as on the wire (0x0311)."""

    shares: tuple[Share, ...] = ()
    listen: tuple[str, ...] = option(options.ADDRESSES, ())
    """Addresses to listen on; empty: all."""
    port: int = option(options.number(1, 65535), 445, "tcp port")
    rdma: str = option(_RDMA, "auto")
    io_size: int = option(_IO_SIZE, 8 << 20, "smb2 max read", "smb2 max write", "smbd max io size")
    """MaxReadSize, MaxWriteSize and SMB Direct's max_read_write_size."""
    users: Path | None = option(options.PATH, None)  # noqa: RUF009  (it is a dataclass field)
    """The users' file, in ksmbdpwd.db's format; None: `users` under `state`."""
    state: Path | None = option(options.PATH, None)  # noqa: RUF009  (it is a dataclass field)
    """Where the server keeps what outlives it; None: `default_state()`."""
    server_name: str = option(options.WORD, "", "netbios name")
    """Empty: the host's name."""
    workgroup: str = option(options.WORD, "WORKGROUP")
    comment: str = option(options.TEXT, "SMB Direct server", "server string")
    signing: str = option(_SIGNING, "auto", "server signing")
    """auto: signed where the client asks; required: unsigned requests are refused."""
    encryption: str = option(_ENCRYPTION, "auto", "smb3 encryption")
    """off: never offered; auto: where the client or a share asks; required: all sessions."""
    min_protocol: int = option(_DIALECT, 0x0202, "server min protocol")
    max_protocol: int = option(_DIALECT, 0x0311, "server max protocol")
    max_connections: int = option(options.number(1, 65536), 256)
    max_connections_per_address: int = option(options.number(1, 65536), 64, "max ip connections")
    """As in ksmbd: a session of 32 channels, and all of them once more while the dead ones are not known to be dead."""
    max_credits: int = option(options.number(1, 65535), 8192, "smb2 max credits")
    """Most credits a connection holds."""
    durable_handles: bool = option(options.BOOLEAN, True)
    """As for shares, and for all of them."""
    durable_timeout: int = option(options.number(1, 3600), 300)
    """Most seconds for which an open is kept for a client that is away."""
    guest_account: str = option(options.ACCOUNT, "nobody")
    """The Unix account of guests, and of users that have none of their own."""
    map_to_guest: str = option(_MAP_TO_GUEST, "never")
    """bad user: a name not in the users' file is let in as guest."""
    admin_users: tuple[str, ...] = option(options.NAMES, ())
    """Who acts as root on every share."""

    @property
    def state_directory(self) -> Path:
        return self.state or default_state()

    @property
    def users_file(self) -> Path:
        return self.users or self.state_directory / "users"

    @property
    def name(self) -> str:
        """The server's NetBIOS name: at most 15 characters, upper case."""
        return (self.server_name or socket.gethostname().partition(".")[0])[:15].upper()


def default_state() -> Path:
    """/var/lib/smbdirect for root; for anyone else a directory of their own."""
    if os.geteuid() == 0:
        return Path("/var/lib/smbdirect")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "smbdirect"


_OPTIONS: dict[type, dict[str, Option]] = {
    kind: {field.name: field.metadata["option"] for field in fields(kind) if "option" in field.metadata}
    for kind in (Config, Share)
}
_NAMES: dict[type, dict[str, tuple[str, bool]]] = {
    kind: {
        plain(name.removeprefix("!")): (own, name.startswith("!"))
        for own, entry in table.items()
        for name in (own, *entry.names)
    }
    for kind, table in _OPTIONS.items()
}
"""For each name without case and separators, the field it sets and whether it says the opposite."""


def load(path: Path | str) -> Config:
    """The configuration in the TOML file `path`; raises ConfigError."""
    return _checked(*_load(Path(path)))


def from_arguments(argv: Sequence[str]) -> Config:
    """The configuration that `smbdirect-serve`'s arguments give; what they say wins over their --config file.

    Raises ConfigError; `--help` prints and raises SystemExit.
    """
    arguments = vars(_parser().parse_args(argv))
    file = arguments.pop("config")
    named = [_share_argument(text) for text in arguments.pop("share")]
    config, source = _load(Path(file)) if file else (Config(), _COMMAND_LINE)
    said = {
        name: _value(_COMMAND_LINE, "", "--" + name.replace("_", "-"), _OPTIONS[Config][name].kind, value)
        for name, value in arguments.items()
        if value
    }
    _refuse_twins(named, _COMMAND_LINE)
    over = {share.name.lower() for share in named}
    kept = tuple(share for share in config.shares if share.name.lower() not in over)
    return _checked(replace(config, shares=kept + tuple(named), **said), source)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _COMMAND_LINE.refuse("", "", f"{message}; {self.format_usage().strip()}")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="smbdirect-serve", allow_abbrev=False, description="Serve directories over SMB3.")
    add = parser.add_argument
    add("--config", metavar="FILE", help="a TOML file with the tables [server] and [share.NAME]")
    add("--share", metavar="NAME=PATH[,ro][,guest]", action="append", default=[], help="may be given many times")
    add("--io-size", metavar="SIZE", help=f"largest READ and WRITE, {_IO_SIZE.expected}; default 8M")
    add("--port", help="the TCP port, default 445; SMB Direct's are fixed")
    add("--listen", metavar="ADDR", action="append", default=[], help="an address to listen on; default all")
    add("--rdma", metavar="auto|off|require", help="SMB Direct where a device is found, never, or without fail")
    add("--users", metavar="FILE", help="the users' file, as smbdirect-user writes it (ksmbdpwd.db's format)")
    add("--state", metavar="DIR", help=f"what outlives the server is kept here; default {default_state()}")
    return parser


def _share_argument(text: str) -> Share:
    """The share in NAME=PATH[,ro][,guest]; a comma before anything else belongs to the path."""
    name, equals, rest = text.partition("=")
    if not equals:
        _COMMAND_LINE.refuse("", f"--share {text}", "expected NAME=PATH[,ro][,guest]")
    given: dict[str, Any] = {}
    path, comma, flag = rest.rpartition(",")
    while comma and flag in _FLAGS:
        given |= _FLAGS[flag]
        rest = path
        path, comma, flag = rest.rpartition(",")
    return _share(_COMMAND_LINE, "", name, {"path": rest, **given})


def _load(path: Path) -> tuple[Config, _Source]:
    source = _Source(str(path))
    try:
        text = path.read_text("utf-8")
        tables = tomllib.loads(text)
    except (OSError, ValueError) as error:
        source.refuse("", "", f"{error}; expected a TOML file")
    source = _Source(str(path), text, path.absolute().parent)
    for key, value in tables.items():
        if not isinstance(value, dict):
            source.refuse("", key, "stands outside a table; expected the tables [server] and [share.NAME]")
        if key not in ("server", "share"):
            source.refuse(key, "", "unknown; expected the tables [server] and [share.NAME]")
    shares = []
    for name, table in tables.get("share", {}).items():
        if not isinstance(table, dict):
            source.refuse("share", name, "expected a table [share.NAME]")
        shares.append(_share(source, f"share.{name}", name, table))
    _refuse_twins(shares, source)
    return Config(shares=tuple(shares), **_settings(source, "server", Config, tables.get("server", {}))), source


def _share(source: _Source, table: str, name: str, settings: dict[str, Any]) -> Share:
    """One share, its name and its directory checked."""
    if not 0 < len(name) <= 80 or _FORBIDDEN.search(name) or name.lower() == "ipc$":
        expected = 'expected a name of 1 to 80 characters, not IPC$, without " / \\ [ ] : | < > + = ; , * ?'
        source.refuse(table, f"share {name!r}", expected)
    values = _settings(source, table, Share, settings)
    if "path" not in values:
        source.refuse(table, "path", "is missing; expected a directory")
    if not values["path"].is_dir():
        source.refuse(table, "path", f"{values['path']} is no directory; expected one that exists")
    return Share(name=name, **values)


def _settings(source: _Source, table: str, kind: type, given: dict[str, Any]) -> dict[str, Any]:
    """The fields of `kind` that `given` sets, each by one of its names and read by its kind."""
    names = _NAMES[kind]
    values: dict[str, Any] = {}
    for key, value in given.items():
        if plain(key) not in names:
            source.refuse(table, key, f"unknown; expected one of {', '.join(sorted(_OPTIONS[kind]))}")
        name, opposite = names[plain(key)]
        read = _value(source, table, key, _OPTIONS[kind][name].kind, value)
        if opposite:
            read = not read
        if values.setdefault(name, read) != read:
            source.refuse(table, key, f"{value!r} contradicts what was said for the same setting, {name}, before")
    return values


def _value(source: _Source, table: str, key: str, kind: Kind, value: object) -> Any:
    try:
        read = kind.read(value)
    except ValueError:
        source.refuse(table, key, f"{value!r}; expected {kind.expected}")
    return (source.base / read).absolute() if isinstance(read, Path) else read


def _refuse_twins(shares: Sequence[Share], source: _Source) -> None:
    seen: set[str] = set()
    for share in shares:
        if share.name.lower() in seen:
            source.refuse("", f"share {share.name!r}", "is there twice; expected names that differ in more than case")
        seen.add(share.name.lower())


def _checked(config: Config, source: _Source) -> Config:
    """What no setting alone can show."""
    if config.min_protocol > config.max_protocol:
        source.refuse("server", "min protocol", "is above max protocol; expected it at or below")
    if config.encryption == "required" and config.max_protocol < DIALECTS["3.0"]:
        source.refuse(
            "server", "encryption", "required, which no dialect up to max protocol has; expected 3.0 or later"
        )
    if not config.shares:
        source.refuse("", "share", "there is none; expected --share NAME=PATH or a table [share.NAME]")
    return config


def _line(text: str, table: str, key: str) -> int:
    """The line of `text` on which `table` sets `key`, or the table's own, or 0: TOML's values know no place."""
    current, found = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(r"\s*\[([^\[\]]+)\]", line):
            current = match[1].replace('"', "").strip()
            found = number if current == table else found
        elif current == table and plain(line.partition("=")[0]).strip("\"'") == plain(key):
            return number
    return found
