"""What a CREATE is answered: the file as it is, and a context for each that was asked for (MS-SMB2 2.2.14)."""

from ..messages.create import CREATE_FLAG_REPARSEPOINT, CreateAction, CreateContext, CreateRequest, CreateResponse, find
from ..messages.create_contexts import ContextName, DiskId, MaximalAccessResponse
from ..messages.fscc_file import FileAttribute as Attribute
from ..messages.negotiate import Dialect
from ..open import Open
from ..security.access import maximum
from ..status import NT
from ..store.base import Found, Stat
from ..work import Work
from .create_caching import cached


def answer(work: Work, request: CreateRequest, found: Found, opened: Open, stat: Stat, action: int) -> CreateResponse:
    reparse = stat.attributes & Attribute.REPARSE_POINT and work.connection.negotiated.dialect >= Dialect.SMB300
    return CreateResponse(
        file_id=opened.file_id, action=action, flags=CREATE_FLAG_REPARSEPOINT if reparse else 0,
        created=stat.created, accessed=stat.accessed, modified=stat.modified, changed=stat.changed,
        allocation=stat.allocation, size=stat.size, attributes=stat.attributes,
        contexts=_contexts(request, found, work),
    )  # fmt: skip


async def answer_again(
    work: Work, request: CreateRequest, opened: Open, action: int = CreateAction.OPENED
) -> CreateResponse:
    """The answer to a CREATE that finds the open it asks for: the file as it is now, and what `opened` may cache."""
    file = opened.file
    stat = await file.stat()
    asked = find(request.contexts, ContextName.MXAC) is not None
    found = Found(file, stat, False, await file.descriptor() if asked else b"")
    response = answer(work, request, found, opened, stat, action)
    response.oplock_level, contexts = cached(opened)
    response.contexts = contexts + response.contexts
    return response


def hand_over(work: Work, opened: Open) -> None:
    """`opened` is what the request and those related to it are about."""
    work.open = opened
    if work.related is not None:
        work.related.file_id = opened.file_id
        work.related.failed = NT.SUCCESS


def _contexts(request: CreateRequest, found: Found, work: Work) -> list[CreateContext]:
    assert work.tree is not None
    contexts: list[CreateContext] = []
    if not request.contexts:
        return contexts
    if find(request.contexts, ContextName.MXAC) is not None:
        most = maximum(found.descriptor, work.tree.who, found.parent) & work.tree.access
        contexts.append(CreateContext(ContextName.MXAC, MaximalAccessResponse(NT.SUCCESS, most).pack()))
    if find(request.contexts, ContextName.QFID) is not None:
        stat = found.stat
        contexts.append(CreateContext(ContextName.QFID, DiskId(stat.inode, stat.device & ((1 << 64) - 1)).pack()))
    return contexts
