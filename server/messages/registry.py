"""Every command's request and response, by command code."""

from .base import Request, Response
from .create import CreateRequest, CreateResponse
from .directory import ChangeNotifyRequest, ChangeNotifyResponse, QueryDirectoryRequest, QueryDirectoryResponse
from .file import (
    CancelRequest,
    CloseRequest,
    CloseResponse,
    EchoRequest,
    EchoResponse,
    FlushRequest,
    FlushResponse,
    LockRequest,
    LockResponse,
)
from .info import QueryInfoRequest, QueryInfoResponse, SetInfoRequest, SetInfoResponse
from .ioctl import IoctlRequest, IoctlResponse
from .negotiate import NegotiateRequest, NegotiateResponse
from .oplock import OplockBreakRequest, OplockBreakResponse
from .read_write import ReadRequest, ReadResponse, WriteRequest, WriteResponse
from .session import LogoffRequest, LogoffResponse, SessionSetupRequest, SessionSetupResponse
from .tree import TreeConnectRequest, TreeConnectResponse, TreeDisconnectRequest, TreeDisconnectResponse

_REQUESTS: tuple[type[Request], ...] = (
    NegotiateRequest, SessionSetupRequest, LogoffRequest, TreeConnectRequest, TreeDisconnectRequest, CreateRequest,
    CloseRequest, FlushRequest, ReadRequest, WriteRequest, LockRequest, IoctlRequest, CancelRequest, EchoRequest,
    QueryDirectoryRequest, ChangeNotifyRequest, QueryInfoRequest, SetInfoRequest, OplockBreakRequest,
)  # fmt: skip
_RESPONSES: tuple[type[Response], ...] = (
    NegotiateResponse, SessionSetupResponse, LogoffResponse, TreeConnectResponse, TreeDisconnectResponse,
    CreateResponse, CloseResponse, FlushResponse, ReadResponse, WriteResponse, LockResponse, IoctlResponse,
    EchoResponse, QueryDirectoryResponse, ChangeNotifyResponse, QueryInfoResponse, SetInfoResponse,
    OplockBreakResponse,
)  # fmt: skip

REQUESTS: dict[int, type[Request]] = {kind.COMMAND: kind for kind in _REQUESTS}
RESPONSES: dict[int, type[Response]] = {kind.COMMAND: kind for kind in _RESPONSES}
"""CANCEL has none."""
