"""An open file, directory, stream or pipe."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from server.messages.base import Request, Response
from server.messages.create import CreateResponse
from server.messages.directory import (
    Change,
    ChangeNotifyRequest,
    ChangeNotifyResponse,
    QueryDirectoryFlags,
    QueryDirectoryRequest,
    QueryDirectoryResponse,
    unpack_changes,
)
from server.messages.entries import DirectoryClass, DirectoryEntry, unpack_entries
from server.messages.file import (
    CLOSE_POSTQUERY_ATTRIB,
    CloseRequest,
    CloseResponse,
    FlushRequest,
    FlushResponse,
    LockElement,
    LockFlags,
    LockRequest,
    LockResponse,
)
from server.messages.info import InfoType, QueryInfoRequest, QueryInfoResponse, SetInfoRequest, SetInfoResponse
from server.messages.ioctl import IoctlRequest, IoctlResponse
from server.messages.read_write import Channel, ReadRequest, ReadResponse, WriteRequest, WriteResponse
from server.status import NT, Status
from smbdirect.packets import BufferDescriptor
from smbdirect.wire import Buffer

from .answer import Answer
from .buckets import Buckets
from .client import Call
from .multichannel import SessionChannel

if TYPE_CHECKING:
    from .tree import Tree

R = TypeVar("R", bound=Response)


class File:
    """Made by `Tree.create`; `created` is the answer to its CREATE."""

    def __init__(self, tree: "Tree", created: CreateResponse) -> None:
        self.tree = tree
        self.created = created
        self.id = created.file_id
        self._buckets = Buckets()

    async def call(self, request: Request, kind: type[R]) -> R:
        return await self.tree.call(request, kind)

    # -- data ------------------------------------------------------------------------------------------------

    async def read(self, offset: int, length: int, minimum: int = 0) -> bytes:
        """Up to `length` bytes, inline. Raises Status(END_OF_FILE)."""
        return bytes((await self.call(ReadRequest(self.id, offset, length, minimum), ReadResponse)).data)

    async def read_answer(self, offset: int, length: int) -> Answer:
        """The answer to a READ as it came, its data not copied; to be released."""
        return await (await self.tree.post(ReadRequest(self.id, offset, length))).answer()

    async def read_placed(
        self, offset: int, length: int, descriptors: Sequence[BufferDescriptor], channel: int = Channel.RDMA_V1,
        over: SessionChannel | None = None, flags: int = 0,
    ) -> int:  # fmt: skip
        """Have up to `length` bytes written into the memory that `descriptors` name; how many were.

        The memory is exposed `over` one channel of the session, its oldest unless told.
        """
        request = ReadRequest(
            self.id, offset, length, channel=channel, remaining_bytes=length, descriptors=list(descriptors)
        )  # fmt: skip
        response = await (await self._post_over(over, request, flags)).result(ReadResponse)
        return response.remaining or len(response.data)

    async def write(self, offset: int, data: Buffer, flags: int = 0) -> int:
        """Write `data`, inline; how many bytes were. `flags` are WRITEFLAG_*."""
        return (await self.call(WriteRequest(self.id, offset, data, flags=flags), WriteResponse)).count

    async def write_placed(
        self, offset: int, length: int, descriptors: Sequence[BufferDescriptor], channel: int = Channel.RDMA_V1,
        over: SessionChannel | None = None, flags: int = 0,
    ) -> int:  # fmt: skip
        """Have the server fetch `length` bytes from the memory that `descriptors` name, and write them."""
        request = WriteRequest(
            self.id, offset, channel=channel, remaining_bytes=length, descriptors=list(descriptors)
        )  # fmt: skip
        return (await (await self._post_over(over, request, flags)).result(WriteResponse)).count

    async def _post_over(self, over: SessionChannel | None, request: Request, flags: int) -> Call:
        channels = self.tree.session.channels
        element = channels.element(request, self.tree.id, flags)
        return await (over or channels.first).post(element, self.tree.sealed)

    async def flush(self) -> None:
        await self.call(FlushRequest(self.id), FlushResponse)

    async def lock(self, offset: int, length: int, flags: int = LockFlags.EXCLUSIVE) -> None:
        """Lock the range, or with LockFlags.UNLOCK let it go; waits unless FAIL_IMMEDIATELY is among `flags`."""
        with self._buckets.taken() as (index, number):
            await self.call(LockRequest(self.id, [LockElement(offset, length, flags)], number, index), LockResponse)

    async def unlock(self, offset: int, length: int) -> None:
        await self.lock(offset, length, LockFlags.UNLOCK)

    # -- information -----------------------------------------------------------------------------------------

    async def query(
        self, info_class: int, kind: int = InfoType.FILE, additional: int = 0, room: int = 65536, data: bytes = b""
    ) -> bytes:
        """What QUERY_INFO answers; cut short (BUFFER_OVERFLOW) counts as answered."""
        request = QueryInfoRequest(self.id, kind, info_class, room, additional, 0, data)
        return bytes((await self.call(request, QueryInfoResponse)).data)

    async def set(self, info_class: int, data: bytes, kind: int = InfoType.FILE, additional: int = 0) -> None:
        await self.call(SetInfoRequest(self.id, kind, info_class, data, additional), SetInfoResponse)

    async def ioctl(self, code: int, data: bytes = b"", room: int = 65536) -> bytes:
        response = await self.call(IoctlRequest(code, self.id, data, max_output=room), IoctlResponse)
        return bytes(response.output)

    # -- directories -----------------------------------------------------------------------------------------

    async def entries(
        self, pattern: str = "*", info_class: int = DirectoryClass.ID_BOTH, flags: int = 0, room: int = 65536
    ) -> list[DirectoryEntry]:
        """One answer's worth of entries. Raises Status(NO_MORE_FILES) after the last, NO_SUCH_FILE without any."""
        request = QueryDirectoryRequest(self.id, info_class, pattern, room, flags)
        response = await self.call(request, QueryDirectoryResponse)
        return unpack_entries(info_class, memoryview(response.data))

    async def listing(
        self, pattern: str = "*", info_class: int = DirectoryClass.ID_BOTH, room: int = 65536
    ) -> list[DirectoryEntry]:
        """All entries that match, from the first on."""
        found: list[DirectoryEntry] = []
        flags = QueryDirectoryFlags.RESTART_SCANS
        while True:
            try:
                found += await self.entries(pattern, info_class, flags, room)
            except Status as error:
                if error.code in (NT.NO_MORE_FILES, NT.NO_SUCH_FILE):
                    return found
                raise
            flags = 0

    async def notify(self, completion_filter: int, flags: int = 0, room: int = 65536) -> Call:
        """Ask to be told of changes; `changes` reads the call's result."""
        return await self.tree.post(ChangeNotifyRequest(self.id, completion_filter, room, flags))

    # -- the end ---------------------------------------------------------------------------------------------

    async def close(self, query: bool = False) -> CloseResponse:
        """Close it; with `query` the answer tells sizes, times and attributes."""
        return await self.call(CloseRequest(self.id, CLOSE_POSTQUERY_ATTRIB if query else 0), CloseResponse)


async def changes(call: Call) -> list[Change]:
    """What a CHANGE_NOTIFY was answered with; [] where the server says no more than that there were some."""
    return unpack_changes(memoryview((await call.result(ChangeNotifyResponse)).data))
