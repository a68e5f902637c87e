"""`smbdirect-ctl`: what the running server is doing, and the few things it is told while it runs."""

import argparse
import json
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..config import default_state
from . import tables
from .protocol import Request, socket_path

PATIENCE = 30.0
"""Seconds the server has to answer; `stop` takes as long as the last client does."""


class Failed(Exception):
    """The command has not been carried out; the text says why."""


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 0, or 1 where the server is not there or refuses (2, of a wrong command line, is argparse's)."""
    options = _parser().parse_args(argv, argparse.Namespace(json=False, state=default_state()))
    arguments = [*options.components, options.switch] if options.command == "debug" else []
    try:
        answer = ask(options.state, Request(options.command, tuple(arguments)))
        print(json.dumps(answer, indent=2) if options.json else SHOWN[options.command](answer))
    except Failed as error:
        print(f"smbdirect-ctl: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    except BrokenPipeError:  # `| head` has seen enough
        sys.stderr.close()
    return 0


def ask(state: Path, request: Request) -> Any:
    """The answer of the server with the state directory `state`; raises Failed."""
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(None if request.command == "stop" else PATIENCE)
            sock.connect(str(socket_path(state)))
            sock.sendall(request.line())
            with sock.makefile("rb") as answers:
                line = answers.readline()
    except (FileNotFoundError, ConnectionRefusedError):
        raise Failed(f"no server runs with the state directory {state}") from None
    except PermissionError:
        raise Failed(f"{socket_path(state)}: only root and the server's own account may ask") from None
    except TimeoutError:
        raise Failed(f"the server did not answer within {PATIENCE:g} s") from None
    except OSError as error:
        raise Failed(f"{socket_path(state)}: {error}") from None
    if not line.endswith(b"\n"):
        raise Failed("the server ended before it answered")
    answer = json.loads(line)
    if "error" in answer:
        raise Failed(answer["error"])
    return answer["answer"]


def _debug(levels: dict[str, str]) -> str:
    rows = [{"component": component, "level": level} for component, level in levels.items()]
    return tables.table((("COMPONENT", lambda row: row["component"]), ("LEVEL", lambda row: row["level"])), rows)


SHOWN: dict[str, Callable[[Any], str]] = {
    "status": tables.status,
    "sessions": lambda rows: tables.table(tables.SESSIONS, rows),
    "opens": lambda rows: tables.table(tables.OPENS, rows),
    "interfaces": lambda rows: tables.table(tables.INTERFACES, rows),
    "reload": lambda answer: f"reloaded: {answer['shares']} shares",
    "stop": str,
    "debug": _debug,
}
HELP = {
    "status": "how much there is of everything",
    "sessions": "who is logged on",
    "opens": "which files are open",
    "interfaces": "the network interfaces that clients are told of",
    "reload": "take over changed shares and users, as SIGHUP does",
    "stop": "let what is in flight finish and end the server, as SIGTERM does; returns when it has ended",
    "debug": "log more, or no more: everything, or single components",
}


def _parser() -> argparse.ArgumentParser:
    everywhere = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    everywhere.add_argument("--json", action="store_true", help="print the answer as JSON")
    everywhere.add_argument(
        "--state", metavar="DIR", type=Path, help=f"the server's state directory; default {default_state()}"
    )
    parser = argparse.ArgumentParser(prog="smbdirect-ctl", description="Ask the running server.", parents=[everywhere])
    commands = parser.add_subparsers(dest="command", required=True, metavar="|".join(HELP))
    made = {
        name: commands.add_parser(name, help=text, description=text, parents=[everywhere])
        for name, text in HELP.items()
    }
    made["debug"].add_argument("components", nargs="*", metavar="COMPONENT", help="as `debug on` lists them")
    made["debug"].add_argument("switch", choices=("on", "off"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
