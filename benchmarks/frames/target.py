"""Where frames go, as it stands on the command line: a directory that is mounted, or smb://user@host:port/share/dir.

A password is no part of it, and none is taken there: the command line is for every user of the machine to read.
"""

import os
import sys
from collections.abc import Mapping
from getpass import getpass
from typing import NamedTuple, TextIO
from urllib.parse import unquote, urlsplit

SCHEME = "smb://"
VARIABLE = "SMBDIRECT_PASSWORD"


class Share(NamedTuple):
    user: str
    host: str
    port: int | None
    name: str
    path: str
    """Below the share's root, with backslashes; "" is the root."""


def share(url: str) -> Share:
    """What an smb:// URL names; raises ValueError."""
    parts = urlsplit(url)
    if parts.password is not None:
        raise ValueError(f"a password is not to stand on the command line: it is asked for, or set {VARIABLE}")
    name, *below = [unquote(part) for part in parts.path.split("/") if part] or [""]
    if not (parts.username and parts.hostname and name) or parts.query or parts.fragment:
        raise ValueError(f"{url} is not smb://USER@HOST[:PORT]/SHARE[/PATH]")
    return Share(unquote(parts.username), parts.hostname, parts.port, name, "\\".join(below))


def password(user: str, environment: Mapping[str, str] = os.environ, stdin: TextIO = sys.stdin) -> str:
    """From the environment, a prompt where a person is there, else one line of `stdin`."""
    if VARIABLE in environment:
        return environment[VARIABLE]
    if stdin.isatty():
        return getpass(f"Password for {user}: ")
    return stdin.readline().rstrip("\r\n")
