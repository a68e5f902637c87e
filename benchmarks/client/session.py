"""A session on a client's connection: logging on and off, and connecting to shares."""

from typing import TypeVar

from server.messages.base import Request, Response
from server.messages.file import EchoRequest, EchoResponse
from server.messages.fsctl import ValidateNegotiateRequest, ValidateNegotiateResponse
from server.messages.header import Flags
from server.messages.ioctl import Fsctl, IoctlRequest, IoctlResponse
from server.messages.negotiate import Dialect
from server.messages.session import (
    LogoffRequest,
    LogoffResponse,
    SessionFlags,
    SessionSetupRequest,
    SessionSetupResponse,
)
from server.messages.tree import ShareFlags, TreeConnectFlags, TreeConnectRequest, TreeConnectResponse
from server.security.preauth import Preauth
from server.status import NT
from smbdirect.wire import Malformed

from .answer import Answer
from .client import Call, Client, Element
from .login import Login
from .security import Security
from .tree import Tree

R = TypeVar("R", bound=Response)


class Session:
    """Made by `login`."""

    def __init__(self, client: Client, security: Security, flags: int) -> None:
        self.client = client
        self.security = security
        self.flags = flags
        """SessionFlags of the last answer."""

    @property
    def id(self) -> int:
        return self.security.session_id

    @classmethod
    async def login(cls, client: Client, login: Login, previous: int = 0) -> "Session":
        """A new session; `previous` is the id of one that it replaces. Raises Status."""
        setup = _Setup(client, login, previous)
        answer, response = await setup.run(Security(0))
        session_id = answer.header.session_id
        plain = response.flags & (SessionFlags.IS_GUEST | SessionFlags.IS_NULL)
        key = login.key()
        security = Security(session_id)
        if key and not plain:
            security = Security.from_key(client.agreement, session_id, key, setup.preauth.value)
            security.check(answer.packet, answer.header)
            if not answer.header.flags & Flags.SIGNED:
                raise Malformed("the last answer of a login is not signed")  # 3.3.5.5.3
            security.encrypt = client.settings.encrypt or bool(response.flags & SessionFlags.ENCRYPT_DATA)
        client.securities[session_id] = security
        return cls(client, security, response.flags)

    async def reauthenticate(self, login: Login) -> None:
        """Log on again to the same session; its keys stay (3.3.5.5.2)."""
        _, response = await _Setup(self.client, login, 0).run(self.security)
        self.flags = response.flags

    async def call(self, request: Request, kind: type[R], tree_id: int = 0) -> R:
        """Send `request` and wait for its answer. Raises Status."""
        return await (await self.post(request, tree_id)).result(kind)

    async def post(self, request: Request, tree_id: int = 0, flags: int = 0) -> Call:
        """Send `request`; its answer is the call's."""
        return await self.client.post_one(Element(request, tree_id, flags), self.security)

    async def connect(self, path: str, flags: int = 0) -> Tree:
        r"""The share at `path`, \\server\share; what is sent to a share that demands it is encrypted."""
        call = await self.post(TreeConnectRequest(flags & ~TreeConnectFlags.EXTENSION_PRESENT, path))
        answer = (await call.answer()).keep()
        response = answer.read(TreeConnectResponse)
        tree = Tree(self.client, self.security, answer.header.tree_id, response)
        if response.share_flags & ShareFlags.ENCRYPT_DATA and self.security.sealer is not None:
            tree.encrypt()
        return tree

    async def echo(self) -> None:
        await self.call(EchoRequest(), EchoResponse)

    async def logoff(self) -> None:
        await self.call(LogoffRequest(), LogoffResponse)
        del self.client.securities[self.id]

    async def validate_negotiate(self, tree: Tree) -> None:
        """Have the server repeat, signed, what it negotiated (3.2.5.5); for dialects below 3.1.1."""
        settings, first = self.client.settings, self.client.agreement.response
        asked = settings.request()
        said = ValidateNegotiateRequest(asked.capabilities, settings.guid, asked.security_mode, asked.dialects)
        room = ValidateNegotiateResponse.SIZE
        request = IoctlRequest(Fsctl.VALIDATE_NEGOTIATE_INFO, input=said.pack(), max_output=room)
        heard = (await self.call(request, IoctlResponse, tree.id)).output
        right = ValidateNegotiateResponse(first.capabilities, first.server_guid, first.security_mode, first.dialect)
        if ValidateNegotiateResponse.parse(heard) != right:
            raise Malformed("the negotiation was tampered with")


class _Setup:
    """The exchange of one login."""

    def __init__(self, client: Client, login: Login, previous: int) -> None:
        self.preauth = Preauth(client.preauth.value)
        self._client = client
        self._login = login
        self._previous = previous

    async def run(self, security: Security) -> tuple[Answer, SessionSetupResponse]:
        """The last answer. Raises Status where the server refuses."""
        token = self._login.step(self._client.agreement.token)
        while True:
            call = await self._client.post_one(Element(self._request(token)), security)
            self.preauth.update(call.parts)
            answer = (await call.answer()).keep()
            response = answer.read(SessionSetupResponse)
            token = self._login.step(response.token) if response.token else b""
            if answer.status != NT.MORE_PROCESSING_REQUIRED:
                return answer, response
            if self._client.agreement.dialect == Dialect.SMB311:
                self.preauth.update([answer.packet])
            if not security.session_id:
                security = Security(answer.header.session_id)

    def _request(self, token: bytes) -> SessionSetupRequest:
        settings = self._client.settings
        return SessionSetupRequest(0, settings.security_mode, settings.capabilities & 1, 0, self._previous, token)
