"""A share that a session is connected to, and what is opened in it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

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

from .client import Call, Client, Element
from .compound import Compound
from .file import File
from .security import Security

R = TypeVar("R", bound=Response)

READ_DATA, WRITE_DATA, READ_ATTRIBUTES, DELETE = 0x1, 0x2, 0x80, 0x10000
ALL_ACCESS = 0x1F01FF
MAXIMUM_ALLOWED = 0x02000000
SHARE_ALL = ShareAccess.READ | ShareAccess.WRITE | ShareAccess.DELETE


class Tree:
    """Made by `Session.connect`."""

    def __init__(self, client: Client, security: Security, tree_id: int, response: TreeConnectResponse) -> None:
        self.client = client
        self.security = security
        self.id = tree_id
        self.response = response

    def encrypt(self) -> None:
        """Seal what is sent to this share from now on, whatever its session does."""
        self.security = replace(self.security, encrypt=True)

    async def post(self, request: Request, flags: int = 0) -> Call:
        """Send `request`; its answer is the call's."""
        return await self.client.post_one(Element(request, self.id, flags), self.security)

    async def call(self, request: Request, kind: type[R]) -> R:
        """Send `request` and wait for its answer. Raises Status."""
        return await (await self.post(request)).result(kind)

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
