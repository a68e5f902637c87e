"""What `smbdirect-ctl` and the server say to each other over the Unix socket `control` in the state directory.

One line of JSON each way, one command a connection: {"command": "debug", "arguments": ["on"]} is answered by
{"answer": ...} or {"error": "why not"}. The answer to `stop` comes when the server has stopped.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from smbdirect.wire import Malformed

SOCKET = "control"
MAX_REQUEST = 4096
"""Bytes of a request, its end of line included."""


@dataclass(frozen=True, slots=True)
class Request:
    command: str
    arguments: tuple[str, ...] = ()

    def line(self) -> bytes:
        return json.dumps({"command": self.command, "arguments": self.arguments}).encode() + b"\n"


def parse(line: bytes) -> Request:
    """The request that `line` is; raises Malformed."""
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        raise Malformed("a request is one line of JSON") from None
    if not isinstance(request, dict):
        raise Malformed("a request is a JSON object")
    command, arguments = request.get("command"), request.get("arguments", [])
    if not isinstance(command, str):
        raise Malformed('"command" is missing, or no text')
    if not isinstance(arguments, list) or not all(isinstance(each, str) for each in arguments):
        raise Malformed('"arguments" is no list of text')
    return Request(command, tuple(arguments))


def socket_path(state: Path) -> Path:
    """Where the server with the state directory `state` listens."""
    return state / SOCKET
