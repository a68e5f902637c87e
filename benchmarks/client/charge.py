"""How many credits a request takes (MS-SMB2 3.2.4.1.5): one for each 64 KiB that it sends or asks for."""

from collections.abc import Callable
from typing import Any

from server.messages.base import Request
from server.messages.directory import ChangeNotifyRequest, QueryDirectoryRequest
from server.messages.info import QueryInfoRequest, SetInfoRequest
from server.messages.ioctl import IoctlRequest
from server.messages.read_write import ReadRequest, WriteRequest

CREDIT = 65536

PAYLOAD: dict[type[Request], Callable[[Any], int]] = {
    ReadRequest: lambda request: request.length,
    WriteRequest: lambda request: max(len(request.data), request.remaining_bytes),
    QueryDirectoryRequest: lambda request: request.output_length,
    ChangeNotifyRequest: lambda request: request.output_length,
    QueryInfoRequest: lambda request: max(len(request.input), request.output_length),
    SetInfoRequest: lambda request: len(request.data),
    IoctlRequest: lambda request: max(len(request.input), request.max_input + request.max_output),
}
"""Bytes that count; a command that is not here takes one credit."""


def charge(request: Request) -> int:
    payload = PAYLOAD.get(type(request))
    return 1 if payload is None else 1 + max(payload(request) - 1, 0) // CREDIT
