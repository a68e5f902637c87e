"""How one value of the configuration is read: the kinds there are, each with the words a refusal uses.

A `Kind` turns what stands in a TOML file or on the command line into what the server works with, or raises
ValueError; `expected` then tells the person what would have been right. ksmbd.conf writes everything as text
("yes", "0744", "alice, @staff"), so every kind takes the text form beside TOML's own.
"""

import grp
import ipaddress
import pwd
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, NamedTuple

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_SIZE = re.compile(r"(\d+)\s*([KMG]?)I?B?", re.IGNORECASE)
_BOOLEANS = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}


class Kind(NamedTuple):
    """One kind of value: what is `expected`, in words, and `read`, which raises ValueError for anything else."""

    expected: str
    read: Callable[[object], Any]


class Option(NamedTuple):
    """A setting's kind and the further names it goes by; one that begins with "!" means the opposite."""

    kind: Kind
    names: tuple[str, ...]


def option(kind: Kind, default: object, *names: str) -> Any:
    """A dataclass field that the configuration can set, under its own name and `names`."""
    return field(default=default, metadata={"option": Option(kind, names)})


def plain(key: str) -> str:
    """`key` without case, spaces, dashes and underscores: "Max IP-connections" is max_ip_connections."""
    return re.sub(r"[\s_-]", "", key).lower()


def size_of(text: str) -> int:
    """Bytes in "8M", "64K" or "4096"; raises ValueError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(text)
    return int(match[1]) * UNITS[match[2].upper()]


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(value)
    return value


def _word(value: object) -> str:
    word = _text(value).strip()
    if not word:
        raise ValueError(value)
    return word


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    try:
        return _BOOLEANS[_text(value).strip().lower()]
    except KeyError:
        raise ValueError(value) from None


def _whole(value: object) -> int:
    """A whole number; TOML's true is none, though Python would take it for 1."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(_text(value), 10)


def _mode(value: object) -> int:
    """Permission bits: 0o744 of TOML, or the octal text "0744" of ksmbd.conf."""
    mode = value if isinstance(value, int) and not isinstance(value, bool) else int(_text(value), 8)
    if not 0 <= mode <= 0o7777:
        raise ValueError(value)
    return mode


def _strings(value: object, separators: str) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part for part in re.split(separators, value) if part.strip()]
    if not isinstance(value, list):
        raise ValueError(value)
    return tuple(_word(part) for part in value)


def _address(value: object) -> str:
    return str(ipaddress.ip_address(_word(value)))


def _addresses(value: object) -> tuple[str, ...]:
    return tuple(_address(part) for part in _strings(value, r"[,\s]+"))


def _path(value: object) -> Path:
    return Path(_word(value)).expanduser()


def _account(value: object) -> str:
    name = _word(value)
    try:
        pwd.getpwnam(name)
    except KeyError:
        raise ValueError(value) from None
    return name


def _group(value: object) -> str:
    name = _word(value)
    try:
        grp.getgrnam(name)
    except KeyError:
        raise ValueError(value) from None
    return name


def number(low: int, high: int) -> Kind:
    def read(value: object) -> int:
        count = _whole(value)
        if not low <= count <= high:
            raise ValueError(value)
        return count

    return Kind(f"a whole number from {low} to {high}", read)


def size(low: int, high: int, multiple: int) -> Kind:
    """Bytes, with K, M or G behind them where they are text."""

    def read(value: object) -> int:
        count = size_of(value) if isinstance(value, str) else _whole(value)
        if not low <= count <= high or count % multiple:
            raise ValueError(value)
        return count

    return Kind(f"a size from {shown(low)} to {shown(high)} in steps of {shown(multiple)}", read)


def choice(values: Mapping[str, object] | Sequence[str], **synonyms: str) -> Kind:
    """One of `values`' keys, or a synonym of one, without case or separators."""
    table = dict(values) if isinstance(values, Mapping) else {value: value for value in values}
    known = {plain(name): value for name, value in table.items()}
    known |= {plain(other): table[name] for other, name in synonyms.items()}

    def read(value: object) -> object:
        try:
            return known[plain(_text(value))]
        except KeyError:
            raise ValueError(value) from None

    return Kind("one of " + ", ".join(table), read)


def switch(*others: str) -> Kind:
    """One of `others`, or yes or no, in whatever words."""

    def read(value: object) -> str:
        if isinstance(value, str) and plain(value) in others:
            return plain(value)
        return "yes" if _boolean(value) else "no"

    return Kind("one of " + ", ".join(("yes", "no", *others)), read)


def shown(count: int) -> str:
    """`count` bytes with the largest unit that divides it: 8M."""
    name, unit = max((item for item in UNITS.items() if count % item[1] == 0), key=lambda item: item[1])
    return f"{count // unit}{name}"


TEXT = Kind("text", _text)
WORD = Kind("text that is not empty", _word)
BOOLEAN = Kind("true or false (yes or no)", _boolean)
MODE = Kind('octal permission bits, "0744" or 0o744', _mode)
NAMES = Kind("a list of names, @ before a group's", lambda value: _strings(value, r"[,\s]+"))
PATTERNS = Kind('a list of file name patterns, or "/one/other/"', lambda value: _strings(value, "/"))
ADDRESSES = Kind("a list of IPv4 or IPv6 addresses", _addresses)
PATH = Kind("a path", _path)
ACCOUNT = Kind("a Unix account of this machine", _account)
GROUP = Kind("a Unix group of this machine", _group)
