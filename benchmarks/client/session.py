"""A session on a client's connection, and on further ones that are bound to it: logging on and off, and connecting to
shares."""

from dataclasses import replace
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
    SetupFlags,
)
from server.messages.tree import ShareFlags, TreeConnectFlags, TreeConnectRequest, TreeConnectResponse
from server.security.preauth import Preauth
from server.status import NT
from smbdirect.wire import Malformed

from .answer import Answer
from .channel import Exposed
from .client import Call, Client, Element
from .login import Login
from .multichannel import Channels, SessionChannel
from .security import Security
from .tree import Tree

R = TypeVar("R", bound=Response)


class Session:
    """Made by `login`; `bind` gives it further connections."""

    def __init__(self, client: Client, security: Security, flags: int) -> None:
        self.channels = Channels(SessionChannel(client, security))
        self.id = security.session_id
        self.flags = flags
        """SessionFlags of the last answer."""
        self._own = security
        """With the key that the session itself has, whatever becomes of the connection it began on."""

    @property
    def client(self) -> Client:
        """The oldest of its connections that is there."""
        return self.channels.first.client

    @property
    def security(self) -> Security:
        """How messages are protected there."""
        return self.channels.first.security

    @classmethod
    async def login(cls, client: Client, login: Login, previous: int = 0) -> "Session":
        """A new session; `previous` is the id of one that it replaces. Raises Status."""
        setup = _Setup(client, login, previous)
        answer, response = await setup.run(Security(0))
        security = Security(answer.header.session_id)
        if login.key() and not response.flags & (SessionFlags.IS_GUEST | SessionFlags.IS_NULL):
            security = setup.proven(answer)
            security.encrypt = client.settings.encrypt or bool(response.flags & SessionFlags.ENCRYPT_DATA)
        client.securities[security.session_id] = security
        return cls(client, security, response.flags)

    async def bind(self, client: Client, login: Login, memory: Exposed | None = None) -> SessionChannel:
        """Use the connection of `client` too (3.2.4.2.3), where payload goes through `memory` if there is one.

        Raises Status.
        """
        setup = _Setup(client, login, binding=True)
        answer, _ = await setup.run(replace(self._own, sign=True, encrypt=False))
        security = setup.proven(answer)
        security.sealer = self._own.sealer  # these keys, and their nonces, are the session's
        security.encrypt = self._own.encrypt
        client.securities[self.id] = security
        channel = SessionChannel(client, security, memory)
        self.channels.add(channel)
        return channel

    async def reauthenticate(self, login: Login) -> None:
        """Log on again to the same session; its keys stay (3.3.5.5.2)."""
        _, response = await _Setup(self.client, login).run(self.security)
        self.flags = response.flags

    async def call(self, request: Request, kind: type[R], tree_id: int = 0) -> R:
        """Send `request`, again where its channel dies, and wait for its answer. Raises Status."""
        return await self.channels.call(request, kind, tree_id)

    async def post(self, request: Request, tree_id: int = 0, flags: int = 0) -> Call:
        """Send `request`; its answer is the call's."""
        return await self.channels.post(request, tree_id, flags)

    async def connect(self, path: str, flags: int = 0) -> Tree:
        r"""The share at `path`, \\server\share; what is sent to a share that demands it is encrypted."""
        call = await self.post(TreeConnectRequest(flags & ~TreeConnectFlags.EXTENSION_PRESENT, path))
        answer = (await call.answer()).keep()
        response = answer.read(TreeConnectResponse)
        tree = Tree(self, answer.header.tree_id, response)
        if response.share_flags & ShareFlags.ENCRYPT_DATA and self.security.sealer is not None:
            tree.encrypt()
        return tree

    async def echo(self) -> None:
        await self.call(EchoRequest(), EchoResponse)

    async def logoff(self) -> None:
        await self.call(LogoffRequest(), LogoffResponse)
        for channel in self.channels.alive:
            del channel.client.securities[self.id]

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

    def __init__(self, client: Client, login: Login, previous: int = 0, binding: bool = False) -> None:
        self.preauth = Preauth(client.preauth.value)
        self._client = client
        self._login = login
        self._previous = previous
        self._flags = SetupFlags.BINDING if binding else 0

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
            if not answer.sealed:
                security.check(answer.packet, answer.header)
            if self._client.agreement.dialect == Dialect.SMB311:
                self.preauth.update([answer.packet])
            if not security.session_id:
                security = Security(answer.header.session_id)

    def proven(self, last: Answer) -> Security:
        """The keys that the login ends with, by which its `last` answer is signed (3.3.5.5.3)."""
        agreement, session_id = self._client.agreement, last.header.session_id
        security = Security.from_key(agreement, session_id, self._login.key(), self.preauth.value)
        security.check(last.packet, last.header)
        if not last.header.flags & Flags.SIGNED:
            raise Malformed("the last answer of a login is not signed")
        return security

    def _request(self, token: bytes) -> SessionSetupRequest:
        settings = self._client.settings
        return SessionSetupRequest(
            self._flags, settings.security_mode, settings.capabilities & 1, 0, self._previous, token
        )
