"""What a CREATE is answered: the file as it is, and a context for each that was asked for (MS-SMB2 2.2.14)."""

from ..messages.create import CREATE_FLAG_REPARSEPOINT, CreateContext, CreateResponse
from ..messages.create_contexts import ContextName, DiskId, MaximalAccessResponse
from ..messages.fscc_file import FileAttribute as Attribute
from ..messages.negotiate import Dialect
from ..open import Open
from ..security.access import maximum
from ..status import NT
from ..store.base import Found, Stat
from ..work import Work
from .create_asked import Asked


def answer(work: Work, asked: Asked, found: Found, opened: Open, stat: Stat, action: int) -> CreateResponse:
    reparse = stat.attributes & Attribute.REPARSE_POINT and work.connection.negotiated.dialect >= Dialect.SMB300
    return CreateResponse(
        file_id=opened.file_id, action=action, flags=CREATE_FLAG_REPARSEPOINT if reparse else 0,
        created=stat.created, accessed=stat.accessed, modified=stat.modified, changed=stat.changed,
        allocation=stat.allocation, size=stat.size, attributes=stat.attributes,
        contexts=_contexts(asked, found, work),
    )  # fmt: skip


def _contexts(asked: Asked, found: Found, work: Work) -> list[CreateContext]:
    assert work.tree is not None
    contexts = []
    if asked.maximal_access:
        most = maximum(found.descriptor, work.tree.who, found.parent) & work.tree.access
        contexts.append(CreateContext(ContextName.MXAC, MaximalAccessResponse(NT.SUCCESS, most).pack()))
    if asked.disk_id:
        stat = found.stat
        contexts.append(CreateContext(ContextName.QFID, DiskId(stat.inode, stat.device & ((1 << 64) - 1)).pack()))
    return contexts
