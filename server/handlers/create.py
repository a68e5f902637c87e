"""CREATE (MS-SMB2 3.3.5.9): open or make a file, directory, stream or named pipe."""

from dataclasses import dataclass

from ..messages.create import (
    CREATE_FLAG_REPARSEPOINT,
    CreateAction,
    CreateContext,
    CreateOptions,
    CreateRequest,
    CreateResponse,
    Disposition,
    Impersonation,
    find,
)
from ..messages.create_contexts import AllocationSize, ContextName, DiskId, MaximalAccessResponse
from ..messages.fscc_ea import unpack_eas
from ..messages.fscc_file import FileAttribute as Attribute
from ..messages.negotiate import Dialect
from ..messages.reparse import ReparseBuffer, ReparseTag, SymbolicLink, SymbolicLinkError
from ..open import Mode, Open
from ..opens import Opens
from ..security.access import (
    DELETE,
    FILE_APPEND_DATA,
    FILE_WRITE_DATA,
    MAXIMUM_ALLOWED,
    SYSTEM_SECURITY,
    check,
    map_generic,
    maximum,
)
from ..status import NT, Status
from ..store.base import Found, Kind, Make, New, Wanted
from ..store.names import split
from ..work import Work
from .pipe import open_pipe

WILL_MAKE = {
    Disposition.SUPERSEDE: Make.IF_ABSENT,
    Disposition.OPEN: Make.NEVER,
    Disposition.CREATE: Make.ALWAYS,
    Disposition.OPEN_IF: Make.IF_ABSENT,
    Disposition.OVERWRITE: Make.NEVER,
    Disposition.OVERWRITE_IF: Make.IF_ABSENT,
}
OVERWRITES = (Disposition.SUPERSEDE, Disposition.OVERWRITE, Disposition.OVERWRITE_IF)
UNSUPPORTED = CreateOptions.OPEN_BY_FILE_ID | 0x80 | CreateOptions.RESERVE_OPFILTER  # 0x80: CREATE_TREE_CONNECTION
KNOWN_OPTIONS = 0x00FFFFFF
SETTABLE_ATTRIBUTES = 0x0000_7FB7
KEPT_ATTRIBUTES = Attribute.READONLY | Attribute.HIDDEN | Attribute.SYSTEM | Attribute.ARCHIVE
TRIES = 8
"""How often CREATE looks again when what it found was removed before it could be registered."""


@dataclass(slots=True)
class Asked:
    """A CREATE's request with its contexts taken apart."""

    request: CreateRequest
    wanted: Wanted
    maximal_access: bool
    disk_id: bool


async def create(work: Work, request: CreateRequest) -> CreateResponse:
    assert work.tree is not None and work.session is not None
    if request.impersonation_level > Impersonation.DELEGATE:
        raise Status(NT.BAD_IMPERSONATION_LEVEL)
    if work.tree.share.pipes:
        return open_pipe(work, request)
    _check_request(request)
    asked = _take_apart(work, request)
    opens = work.connection.server.opens
    for _ in range(TRIES):
        before = opens.removals
        found = await _open(work, asked)
        registered = False
        try:
            if opens.removals != before and not found.made and (await found.file.stat()).links == 0:
                continue  # it was deleted between the store's look and ours
            response = await _register(work, asked, found, opens)
            registered = True
            return response
        finally:
            if not registered:
                await found.file.close()
    raise Status(NT.DELETE_PENDING, "removed again and again while it was opened")


def _check_request(request: CreateRequest) -> None:
    """What is wrong whatever the name leads to (3.3.5.9, MS-FSA 2.1.5.1)."""
    options = request.options
    if options & UNSUPPORTED:
        raise Status(NT.NOT_SUPPORTED, f"create options {options:#x}")
    if options & ~KNOWN_OPTIONS or request.disposition > Disposition.OVERWRITE_IF or request.share_access & ~7:
        raise Status(NT.INVALID_PARAMETER, "options, disposition or share access")
    if request.attributes & ~SETTABLE_ATTRIBUTES:
        raise Status(NT.INVALID_PARAMETER, f"attributes {request.attributes:#x}")
    directory, plain = options & CreateOptions.DIRECTORY_FILE, options & CreateOptions.NON_DIRECTORY_FILE
    if directory and (plain or request.disposition in OVERWRITES):
        raise Status(NT.INVALID_PARAMETER, "a directory that is no directory, or to be overwritten")
    if not request.desired_access:
        raise Status(NT.ACCESS_DENIED, "no access asked for")
    if options & CreateOptions.DELETE_ON_CLOSE and not map_generic(request.desired_access) & (DELETE | MAXIMUM_ALLOWED):
        raise Status(NT.ACCESS_DENIED, "DELETE_ON_CLOSE without DELETE")
    if request.name.startswith("\\"):
        raise Status(NT.INVALID_PARAMETER, "a name that begins with a separator")


def _take_apart(work: Work, request: CreateRequest) -> Asked:
    """Name and contexts as the store wants them; contexts we do not know are skipped."""
    assert work.tree is not None
    contexts = request.contexts
    if find(contexts, ContextName.TWRP) is not None:
        raise Status(NT.OBJECT_NAME_NOT_FOUND, "no snapshots here")
    path, stream, kind = split(request.name)
    directory = bool(request.options & CreateOptions.DIRECTORY_FILE)
    if stream and directory:
        raise Status(NT.NOT_A_DIRECTORY, "a stream is no directory")
    if kind == "$DATA" and not stream and directory:
        raise Status(NT.NOT_A_DIRECTORY, "the data stream is no directory")
    new = New(directory=directory or kind == "$INDEX_ALLOCATION", attributes=request.attributes & KEPT_ATTRIBUTES)
    descriptor = find(contexts, ContextName.SECD)
    if descriptor is not None:
        new.descriptor = descriptor.data
    eas = find(contexts, ContextName.EXTA)
    if eas is not None:
        new.eas = unpack_eas(memoryview(eas.data))
    allocation = find(contexts, ContextName.ALSI)
    if allocation is not None:
        new.allocation = AllocationSize.parse(allocation.data).size
    access = map_generic(request.desired_access)
    if request.disposition in OVERWRITES:
        access |= FILE_WRITE_DATA
    make = WILL_MAKE[request.disposition] if path or stream else Make.NEVER
    if not path and not stream and request.disposition == Disposition.CREATE:
        raise Status(NT.OBJECT_NAME_COLLISION, "the root is there")
    return Asked(
        request,
        Wanted(path, stream, access, make, new, bool(request.options & CreateOptions.DELETE_ON_CLOSE)),
        find(contexts, ContextName.MXAC) is not None,
        find(contexts, ContextName.QFID) is not None,
    )


async def _open(work: Work, asked: Asked) -> Found:
    tree = work.tree
    assert tree is not None
    wanted = asked.wanted
    needs = wanted.access & ~(MAXIMUM_ALLOWED | SYSTEM_SECURITY)
    if needs & ~tree.access:
        raise Status(NT.ACCESS_DENIED, f"the share grants {tree.access:#x}")
    if wanted.make is not Make.NEVER and not tree.access & FILE_WRITE_DATA:
        wanted.make = Make.NEVER  # a read-only share: what is not there stays so
    store = tree.share.store
    assert store is not None
    found = await store.open(tree.who, wanted)
    if wanted.make is Make.NEVER and asked.request.disposition == Disposition.CREATE:
        await found.file.close()
        raise Status(NT.OBJECT_NAME_COLLISION)
    return found


async def _register(work: Work, asked: Asked, found: Found, opens: Opens) -> CreateResponse:
    """Judge what was found, cut it where that was asked, and put the open into the tables."""
    request, tree = asked.request, work.tree
    assert tree is not None and work.session is not None
    await _check_kind(request, asked.wanted, found)
    access = _grant(work, asked, found)
    opens.check(found.file.key, access | (FILE_WRITE_DATA if _cuts(request, found) else 0), request.share_access)
    opened = _make_open(work, asked, found, access, opens)
    action = CreateAction.CREATED if found.made else CreateAction.OPENED
    stat = found.stat
    if _cuts(request, found):
        superseded = request.disposition == Disposition.SUPERSEDE
        try:
            stat = await found.file.overwrite(asked.wanted.new, superseded)
        except BaseException:
            opens.abandon(opened)
            raise
        action = CreateAction.SUPERSEDED if superseded else CreateAction.OVERWRITTEN
    if work.related is not None:
        work.related.file_id = opened.file_id
        work.related.failed = NT.SUCCESS
    work.open = opened
    reparse = stat.attributes & Attribute.REPARSE_POINT and work.connection.negotiated.dialect >= Dialect.SMB300
    return CreateResponse(
        file_id=opened.file_id, action=action, flags=CREATE_FLAG_REPARSEPOINT if reparse else 0,
        created=stat.created, accessed=stat.accessed, modified=stat.modified, changed=stat.changed,
        allocation=stat.allocation, size=stat.size, attributes=stat.attributes,
        contexts=_answers(asked, found, work),
    )  # fmt: skip


def _cuts(request: CreateRequest, found: Found) -> bool:
    return not found.made and request.disposition in OVERWRITES


async def _check_kind(request: CreateRequest, wanted: Wanted, found: Found) -> None:
    """Whether what is there is what was asked for (MS-FSA 2.1.5.1.2)."""
    attributes = found.stat.attributes
    kind = found.file.kind
    if attributes & Attribute.REPARSE_POINT and not request.options & CreateOptions.OPEN_REPARSE_POINT:
        await _stop(found)
    if kind is Kind.DIRECTORY and not wanted.stream:
        if request.options & CreateOptions.NON_DIRECTORY_FILE:
            raise Status(NT.FILE_IS_A_DIRECTORY)
        if _cuts(request, found):
            raise Status(
                NT.OBJECT_NAME_COLLISION if request.disposition == Disposition.SUPERSEDE else NT.FILE_IS_A_DIRECTORY
            )
    elif wanted.new.directory:
        raise Status(NT.NOT_A_DIRECTORY)
    if found.made:
        return
    if attributes & Attribute.READONLY and kind is Kind.FILE:
        if map_generic(request.desired_access) & (FILE_WRITE_DATA | FILE_APPEND_DATA) or _cuts(request, found):
            raise Status(NT.ACCESS_DENIED, "READONLY")
        if wanted.delete_on_close:
            raise Status(NT.CANNOT_DELETE, "READONLY")
    if _cuts(request, found):
        kept = attributes & (Attribute.HIDDEN | Attribute.SYSTEM) & ~request.attributes
        if kept and not wanted.stream:
            raise Status(NT.ACCESS_DENIED, "hidden or system, and not asked to stay so")


async def _stop(found: Found) -> None:
    """A reparse point that was not asked for: a symbolic link sends the client elsewhere (3.3.5.9)."""
    reparse = ReparseBuffer.parse(await found.file.reparse())
    if reparse.tag != ReparseTag.SYMLINK:
        raise Status(NT.IO_REPARSE_TAG_NOT_HANDLED, f"reparse tag {reparse.tag:#x}")
    link = SymbolicLink.parse(reparse.data)
    raise Status(NT.STOPPED_ON_SYMLINK, "", SymbolicLinkError(link.substitute, link.printed, link.relative).pack())


def _grant(work: Work, asked: Asked, found: Found) -> int:
    """The access the open gets (MS-FSA 2.1.5.1.1 for what was made, 2.1.5.1.2.1 for what was there)."""
    tree = work.tree
    assert tree is not None
    desired = map_generic(asked.request.desired_access)
    if found.made and not desired & (MAXIMUM_ALLOWED | SYSTEM_SECURITY):
        return desired & tree.access
    wanted = asked.wanted.access if _cuts(asked.request, found) else desired
    granted = check(found.descriptor, tree.who, wanted, found.parent)
    if wanted & MAXIMUM_ALLOWED:
        granted &= tree.access | SYSTEM_SECURITY
        if found.stat.attributes & Attribute.READONLY and found.file.kind is Kind.FILE:
            granted &= ~(FILE_WRITE_DATA | FILE_APPEND_DATA)
    return granted & (desired | ~FILE_WRITE_DATA) if not desired & MAXIMUM_ALLOWED else granted


def _make_open(work: Work, asked: Asked, found: Found, access: int, opens: Opens) -> Open:
    assert work.tree is not None and work.session is not None
    request = asked.request
    persistent, volatile = opens.new_ids()
    opened = Open(
        volatile, persistent, work.session, work.tree,
        Mode(
            access, request.share_access, request.options,
            write_through=bool(request.options & CreateOptions.WRITE_THROUGH),
            delete_on_close=asked.wanted.delete_on_close,
        ),
        opens.shared_for(found.file.key),
        found.file,
    )  # fmt: skip
    opens.add(opened)
    return opened


def _answers(asked: Asked, found: Found, work: Work) -> list[CreateContext]:
    assert work.tree is not None
    contexts = []
    if asked.maximal_access:
        most = maximum(found.descriptor, work.tree.who, found.parent) & work.tree.access
        contexts.append(CreateContext(ContextName.MXAC, MaximalAccessResponse(NT.SUCCESS, most).pack()))
    if asked.disk_id:
        stat = found.stat
        contexts.append(CreateContext(ContextName.QFID, DiskId(stat.inode, stat.device & ((1 << 64) - 1)).pack()))
    return contexts
