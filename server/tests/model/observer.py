"""A client that only looks: it watches the whole share, caches its root under a lease on that directory, and compares
what it is told of names with what the reference says has come, gone or been renamed."""

from collections.abc import Sequence

from benchmarks.client import Call, File, Session, Settings, Tree
from benchmarks.client.file import changes
from server.messages.create import CreateContext, CreateOptions, OplockLevel
from server.messages.create_contexts import ContextName, Lease
from server.messages.directory import WATCH_TREE, Change, CompletionFilter
from server.messages.oplock import LeaseBreak, LeaseNotification, OplockBreakRequest, OplockBreakResponse
from server.oplock import HANDLE, READ
from server.tests.model.caching import Difference
from server.tests.served import SHARE, Whole, login

_KEY = b"o" * 16
_LISTS = 0x81


class Observer:
    def __init__(self) -> None:
        self.here = False
        self._tree: Tree
        self._watched: File
        self._cached: File
        self._call: Call
        self._heard: list[Change] = []
        self._told = False
        """Whether the lease has been broken since the last comparison."""

    async def come(self, here: Whole) -> None:
        session = await Session.login(await here.client(Settings(guid=b"o" * 16)), login())
        self._tree = await session.connect(SHARE)
        self._watched = await self._tree.create("", _LISTS, options=CreateOptions.DIRECTORY_FILE)
        await self._ask()
        await self._cache()
        self.here = True

    async def go(self, here: Whole) -> None:
        self.here = False
        client = self._tree.client
        await client.close()
        await here.serving[here.clients.index(client)]

    @property
    def opens(self) -> set[bytes]:
        """The first halves of the ids of what it has open."""
        return {self._watched.id[:8], self._cached.id[:8]} if self.here else set()

    async def look(self) -> bool:
        """Take what has been told; whether there was anything."""
        before = len(self._heard), self._told
        while self._call.answered.done():
            self._heard += await changes(self._call)
            await self._ask()
        while not self._tree.client.notifications.empty():
            await self._broken(self._tree.client.notifications.get_nowait().body)
        return before != (len(self._heard), self._told)

    def compare(self, news: Sequence[Sequence[Change]]) -> None:
        """`news` are what has happened, each in its order; what has happened at once may be told in any. Raises
        Difference."""
        heard, self._heard, told, self._told = self._heard, [], self._told, False
        if not _is_told(list(news), heard):
            raise Difference(f"{heard} is told of {news}")
        if not told and any("\\" not in change.name for change in heard):
            raise Difference(f"a lease on a directory is kept over {news}")

    async def _ask(self) -> None:
        self._call = await self._watched.notify(CompletionFilter.FILE_NAME, WATCH_TREE)

    async def _cache(self) -> None:
        wish = CreateContext(ContextName.RQLS, Lease(_KEY, READ | HANDLE, parent_key=bytes(16)).pack())
        self._cached = await self._tree.create(
            "", _LISTS, options=CreateOptions.DIRECTORY_FILE, oplock=OplockLevel.LEASE, contexts=[wish]
        )
        (granted,) = [each for each in self._cached.created.contexts if each.name == ContextName.RQLS]
        if Lease.parse(granted.data).state != READ | HANDLE:
            raise Difference(f"no lease on a directory that nobody else caches: {granted}")

    async def _broken(self, body: object) -> None:
        """Answer, and cache the directory anew."""
        assert isinstance(body, LeaseNotification)
        self._told = True
        await self._tree.call(OplockBreakRequest(LeaseBreak(key=_KEY, state=body.new_state)), OplockBreakResponse)
        await self._cached.close()
        await self._cache()


def _is_told(news: list[Sequence[Change]], heard: Sequence[Change]) -> bool:
    """Whether `heard` is all of `news`, in some order of them."""
    if not news:
        return not heard
    for each in news:
        if tuple(heard[: len(each)]) == tuple(each):
            rest = [other for other in news if other is not each]
            if _is_told(rest, heard[len(each) :]):
                return True
    return False
