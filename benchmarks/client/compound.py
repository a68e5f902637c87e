"""Several requests in one message (MS-SMB2 3.2.4.1.4): each of its own, or related to the one before."""

from server.messages.base import Request
from server.messages.header import Flags

from .answer import Answer
from .client import Call, Client, Element
from .security import Security

PREVIOUS = b"\xff" * 16
"""The FileId of a related request: that of the request before."""
ANY_TREE = 0xFFFFFFFF


class Compound:
    """Requests gathered by `add`, sent by `send`."""

    def __init__(self, client: Client, security: Security, tree_id: int) -> None:
        self.elements: list[Element] = []
        """May be changed before they are sent, to say what no proper client does."""
        self._client = client
        self._security = security
        self._tree_id = tree_id

    def add(self, request: Request, related: bool = False) -> "Compound":
        """One more; a `related` one gives `PREVIOUS` as its FileId."""
        flags = Flags.RELATED if related else 0
        self.elements.append(Element(request, ANY_TREE if related else self._tree_id, flags))
        return self

    async def post(self) -> list[Call]:
        """Send them as one message; a call for each."""
        return await self._client.post(self.elements, self._security)

    async def send(self) -> list[Answer]:
        """Send them and wait for all answers, each in memory of its own."""
        return [(await call.answer()).keep() for call in await self.post()]
