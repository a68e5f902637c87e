"""The model's clients: they put its requests on the wire and read answers and notifications back in its words."""

from collections.abc import Callable
from typing import Any

from benchmarks.client import Call, Client, Session, Settings, Tree
from server.messages.base import Request
from server.messages.create import (
    CreateContext,
    CreateOptions,
    CreateRequest,
    CreateResponse,
    Disposition,
    OplockLevel,
    find,
)
from server.messages.create_contexts import ContextName, Lease
from server.messages.file import CloseRequest, LockElement, LockFlags, LockRequest
from server.messages.fscc_file import FileClass
from server.messages.fscc_set import Rename as RenameInformation
from server.messages.fsctl import ResiliencyRequest
from server.messages.header import Command, Flags
from server.messages.info import InfoType, SetInfoRequest
from server.messages.ioctl import Fsctl, IoctlRequest
from server.messages.negotiate import Dialect
from server.messages.oplock import ACK_REQUIRED, LeaseBreak, LeaseNotification, OplockBreak, OplockBreakRequest
from server.messages.oplock import OplockBreakResponse as Broken
from server.messages.read_write import ReadRequest, ReadResponse, WriteRequest
from server.oplock import RIGHTS
from server.tests.durables import FIRST, back, durable
from server.tests.model.asks import (
    PERSISTENT,
    Acknowledge,
    Ask,
    Close,
    Create,
    Doom,
    Harden,
    Heard,
    Lock,
    LockAgain,
    Read,
    Rename,
    Repeat,
    Resize,
    Resume,
    Seen,
    Unlock,
    Wish,
    Write,
)
from server.tests.model.state import Handle
from server.tests.persistents import back as persistent_back
from server.tests.persistents import persistent
from server.tests.served import SHARE, Whole, login

DIALECTS = (Dialect.SMB311, Dialect.SMB302, Dialect.SMB210)
LEVELS = {rights: level for level, rights in RIGHTS.items()}


def _bytes(number: int) -> bytes:
    return number.to_bytes(16, "big")


class Peer:
    """One client, which may be without connection, and comes back as the same."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.dialect = DIALECTS[number % len(DIALECTS)]
        self.settings = Settings(guid=_bytes(number + 1), dialects=(self.dialect,))
        self.client: Client
        self.session: Session
        self.tree: Tree
        self.present = False
        self._calls: dict[Ask, Call] = {}

    # -- coming and going -----------------------------------------------------------------------------------
    async def come(self, here: Whole) -> None:
        self.client = await here.client(self.settings)
        await self.log_on()

    async def log_on(self) -> None:
        self.session = await Session.login(self.client, login())
        self.tree = await self.session.connect(SHARE)
        self.present = True

    async def log_off(self) -> None:
        self._calls.clear()
        await self.session.logoff()

    async def go(self, here: Whole) -> None:
        """Lose the connection, and let the server see it."""
        self._calls.clear()
        self.present = False
        await self.client.close()
        await here.serving[here.clients.index(self.client)]

    # -- asking ---------------------------------------------------------------------------------------------
    async def post(self, ask: Ask) -> None:
        self._calls[ask] = await self.tree.post(REQUESTS[type(ask)](ask), FLAGS.get(type(ask), 0))

    def look(self) -> list[Heard]:
        """Give each ask that is answered its answer; the notifications since the last look."""
        for ask, call in list(self._calls.items()):
            if call.answered.done():
                del self._calls[ask]
                ask.seen = _seen(call)
        heard = []
        while self.present and not self.client.notifications.empty():
            heard.append(_heard(self.number, self.client.notifications.get_nowait().body))
        return heard


# -- requests -------------------------------------------------------------------------------------------------------
def _lease(wish: Wish) -> list[CreateContext]:
    if wish.key is None:
        return []
    parent = None if wish.version == 1 else bytes(16)
    return [CreateContext(ContextName.RQLS, Lease(_bytes(wish.key), wish.rights, parent_key=parent).pack())]


def _level(wish: Wish) -> int:
    return OplockLevel.LEASE if wish.key is not None else LEVELS[wish.rights]


def _durable(ask: Create) -> list[CreateContext]:
    guid = _bytes(ask.guid)
    return [[], [FIRST], [durable(guid)], [persistent(guid)]][ask.durable]


def _back(handle: Handle) -> CreateContext:
    if handle.durable == PERSISTENT:
        return persistent_back(handle.file_id, _bytes(handle.guid))
    return back(handle.file_id, _bytes(handle.guid) if handle.durable > 1 else None)


def _create(ask: Create) -> Request:
    contexts = _lease(ask.wish) + _durable(ask)
    options = CreateOptions.NON_DIRECTORY_FILE | (CreateOptions.DELETE_ON_CLOSE if ask.delete_on_close else 0)
    return CreateRequest(
        ask.name, ask.access, ask.disposition, options, ask.share, oplock_level=_level(ask.wish), contexts=contexts
    )


def _resume(ask: Resume) -> Request:
    handle = ask.handle
    contexts = [_back(handle), *_lease(handle.wish)]
    return CreateRequest(
        handle.node.name, handle.access, Disposition.OPEN, share_access=handle.share, oplock_level=_level(handle.wish),
        contexts=contexts,
    )  # fmt: skip


def _repeat(ask: Repeat) -> Request:
    handle = ask.handle
    contexts = _lease(handle.wish) + _again(handle)
    return CreateRequest(
        handle.node.name, handle.access, Disposition.OPEN_IF, 0, handle.share, oplock_level=_level(handle.wish),
        contexts=contexts,
    )  # fmt: skip


def _again(handle: Handle) -> list[CreateContext]:
    guid = _bytes(handle.guid)
    return [persistent(guid) if handle.durable == PERSISTENT else durable(guid)]


def _set(ask: Any, info_class: int, data: bytes) -> Request:
    return SetInfoRequest(ask.handle.file_id, InfoType.FILE, info_class, data)


def _lock(ask: Lock) -> Request:
    flags = LockFlags.EXCLUSIVE if ask.exclusive else LockFlags.SHARED
    flags |= 0 if ask.patient else LockFlags.FAIL_IMMEDIATELY
    return LockRequest(ask.handle.file_id, [LockElement(ask.offset, ask.length, flags)], ask.number, ask.index)


def _unlock(ask: Unlock) -> Request:
    element = LockElement(ask.offset, ask.length, LockFlags.UNLOCK)
    return LockRequest(ask.handle.file_id, [element], ask.number, ask.index)


def _acknowledge(ask: Acknowledge) -> Request:
    holder = ask.holder
    if holder.key is not None:
        return OplockBreakRequest(LeaseBreak(key=_bytes(holder.key), state=ask.rights))
    return OplockBreakRequest(OplockBreak(oplock_level=LEVELS[ask.rights], file_id=holder.handles[0].file_id))


REQUESTS: dict[type[Ask], Callable[[Any], Request]] = {
    Create: _create,
    Resume: _resume,
    Repeat: _repeat,
    Harden: lambda ask: IoctlRequest(Fsctl.LMR_REQUEST_RESILIENCY, ask.handle.file_id, ResiliencyRequest(0).pack()),
    Close: lambda ask: CloseRequest(ask.handle.file_id),
    Read: lambda ask: ReadRequest(ask.handle.file_id, ask.offset, ask.length),
    Write: lambda ask: WriteRequest(ask.handle.file_id, ask.offset, ask.data),
    Resize: lambda ask: _set(ask, FileClass.END_OF_FILE, ask.size.to_bytes(8, "little")),
    Lock: _lock,
    Unlock: _unlock,
    LockAgain: lambda ask: REQUESTS[type(ask.lock)](ask.lock),
    Rename: lambda ask: _set(ask, FileClass.RENAME, RenameInformation(ask.name, int(ask.replace)).pack()),
    Doom: lambda ask: _set(ask, FileClass.DISPOSITION, bytes([ask.delete])),
    Acknowledge: _acknowledge,
}


FLAGS: dict[type[Ask], int] = {Repeat: Flags.REPLAY}


# -- answers --------------------------------------------------------------------------------------------------------
def _seen(call: Call) -> Seen:
    answer = call.answered.result().keep()
    if answer.is_error:
        return Seen(answer.status)
    if answer.header.command == Command.CREATE:
        return _created(answer.status, answer.read(CreateResponse))
    if answer.header.command == Command.READ:
        return Seen(answer.status, bytes(answer.read(ReadResponse).data))
    if answer.header.command == Command.OPLOCK_BREAK:
        body = answer.read(Broken).body
        return Seen(answer.status, rights=RIGHTS[body.oplock_level] if isinstance(body, OplockBreak) else 0)
    return Seen(answer.status)


def _created(status: int, response: CreateResponse) -> Seen:
    context = find(response.contexts, ContextName.RQLS)
    names = {each.name for each in response.contexts}
    lasting = bool(names & {ContextName.DHNQ, ContextName.DH2Q})
    if context is None:
        return Seen(status, rights=RIGHTS[response.oplock_level], durable=lasting, file_id=response.file_id)
    lease = Lease.parse(context.data)
    return Seen(
        status, rights=lease.state, leased=True, breaking=bool(lease.flags & 2), durable=lasting,
        file_id=response.file_id,
    )  # fmt: skip


def _heard(peer: int, body: object) -> Heard:
    if isinstance(body, LeaseNotification):
        key = int.from_bytes(body.key, "big")
        return Heard(peer, key, body.current_state, body.new_state, bool(body.flags & ACK_REQUIRED))
    assert isinstance(body, OplockBreak)
    return Heard(peer, body.file_id, None, RIGHTS[body.oplock_level], None)
