"""`smbdirect-user`: who may log on. A password comes from a prompt or as one line on stdin, never from the
command line, where every user of the machine could read it."""

import argparse
import sys
from collections.abc import Sequence
from getpass import getpass
from pathlib import Path

from .config import default_state
from .security import users
from .security.users import User, Users, nt_hash


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, or 1 where it could not be done (2, of a wrong command line, is argparse's)."""
    options = _parser().parse_args(arguments)
    try:
        _COMMANDS[options.command](options)
    except (OSError, ValueError) as error:
        print(f"smbdirect-user: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="smbdirect-user", description="Manage who may log on.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="add|remove|list|passwd")
    for command, text in _HELP.items():
        sub = commands.add_parser(command, help=text, description=text)
        if command != "list":
            sub.add_argument("name", metavar="NAME")
        sub.add_argument(
            "--users",
            metavar="FILE",
            type=Path,
            default=default_state() / "users",
            help="the users' file, in ksmbdpwd.db's format (default: %(default)s)",
        )
    return parser


def _add(options: argparse.Namespace) -> None:
    users.add(options.users, User(options.name, nt_hash(_password(options.name))))


def _passwd(options: argparse.Namespace) -> None:
    users.replace(options.users, User(options.name, nt_hash(_password(options.name))))


def _remove(options: argparse.Namespace) -> None:
    users.remove(options.users, options.name)


def _list(options: argparse.Namespace) -> None:
    for user in Users.load(options.users):
        print(user.name)


_COMMANDS = {"add": _add, "remove": _remove, "list": _list, "passwd": _passwd}
_HELP = {
    "add": "add a user; the password is asked for, or read from stdin",
    "remove": "remove a user",
    "list": "list the users",
    "passwd": "change a user's password",
}


def _password(name: str) -> str:
    if not sys.stdin.isatty():
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = getpass(f"Password for {name}: ")
        if getpass("Once more: ") != password:
            raise ValueError("the two passwords differ")
    if not password:
        raise ValueError("the password is empty")
    return password


if __name__ == "__main__":
    sys.exit(main())
