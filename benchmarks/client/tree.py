"""A share that a session is connected to, and what is opened in it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from server.messages.base import Request, Response
from server.messages.create import (
    CreateContext,
    CreateOptions,
    CreateRequest,
    CreateResponse,
    Disposition,
    OplockLevel,
    ShareAccess,
)
from server.messages.ioctl import NO_FILE, IoctlRequest, IoctlResponse
from server.messages.tree import TreeConnectResponse, TreeDisconnectRequest, TreeDisconnectResponse

from .client import Call, Client
from .compound import Compound
from .file import File
from .security import Security

if TYPE_CHECKING:
    from .session import Session

R = TypeVar("R", bound=Response)

READ_DATA, WRITE_DATA, READ_ATTRIBUTES, DELETE = 0x1, 0x2, 0x80, 0x10000
ALL_ACCESS = 0x1F01FF
MAXIMUM_ALLOWED = 0x02000000
SHARE_ALL = ShareAccess.READ | ShareAccess.WRITE | ShareAccess.DELETE


class Tree:
    """Made by `Session.connect`."""

    def __init__(self, session: "Session", tree_id: int, response: TreeConnectResponse) -> None:
        self.session = session
        self.id = tree_id
        self.response = response
        self.sealed = False

    @property
    def client(self) -> Client:
        """The oldest connection of its session."""
        return self.session.client

    @property
    def security(self) -> Security:
        """How what is sent to it there is protected."""
        return replace(self.session.security, encrypt=True) if self.sealed else self.session.security

    def encrypt(self) -> None:
        """Seal what is sent to this share from now on, whatever its session does."""
        self.sealed = True

    async def post(self, request: Request, flags: int = 0) -> Call:
        """Send `request`; its answer is the call's."""
        return await self.session.channels.post(request, self.id, flags, self.sealed)

    async def call(self, request: Request, kind: type[R]) -> R:
        """Send `request`, again where its channel dies, and wait for its answer. Raises Status."""
        return await self.session.channels.call(request, kind, self.id, self.sealed)

    async def create(
        self,
        name: str,
        access: int = ALL_ACCESS,
        disposition: int = Disposition.OPEN,
        options: int = 0,
        share: int = SHARE_ALL,
        attributes: int = 0,
        oplock: int = OplockLevel.NONE,
        contexts: Sequence[CreateContext] = (),
    ) -> File:
        """Open or make the file, directory, stream or pipe `name`, without a leading backslash."""
        request = CreateRequest(
            name, access, disposition, options, share, attributes, oplock, contexts=list(contexts)
        )  # fmt: skip
        return File(self, await self.call(request, CreateResponse))

    async def directory(self, name: str = "", disposition: int = Disposition.OPEN) -> File:
        """Open, or with another `disposition` make, a directory."""
        return await self.create(name, ALL_ACCESS, disposition, CreateOptions.DIRECTORY_FILE)

    async def ioctl(self, code: int, data: bytes = b"", room: int = 65536) -> bytes:
        """A control code that is about no file."""
        response = await self.call(IoctlRequest(code, NO_FILE, data, max_output=room), IoctlResponse)
        return bytes(response.output)

    def compound(self) -> Compound:
        """A chain of requests to fill and send."""
        return Compound(self.client, self.security, self.id)

    async def disconnect(self) -> None:
        await self.call(TreeDisconnectRequest(), TreeDisconnectResponse)
