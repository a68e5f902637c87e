"""What refuses a CREATE: the request itself, what its name leads to, and the access it may have (MS-FSA 2.1.5.1)."""

from ..messages.create import CreateAction, CreateOptions, CreateRequest, Disposition
from ..messages.fscc_file import FileAttribute as Attribute
from ..messages.reparse import ReparseBuffer, ReparseTag, SymbolicLink, SymbolicLinkError
from ..security.access import (
    DELETE,
    FILE_APPEND_DATA,
    FILE_WRITE_DATA,
    MAXIMUM_ALLOWED,
    SYSTEM_SECURITY,
    check,
    map_generic,
)
from ..status import NT, Status
from ..store.base import Found, Kind
from ..work import Work
from .create_asked import OVERWRITES, Asked, cuts

UNSUPPORTED = CreateOptions.OPEN_BY_FILE_ID | 0x80 | CreateOptions.RESERVE_OPFILTER  # 0x80: CREATE_TREE_CONNECTION
KNOWN_OPTIONS = 0x00FFFFFF
UNKNOWN_ACCESS = 0x0CE0FE00
"""Rights that mean nothing (MS-FSA 2.1.5.1)."""
SETTABLE_ATTRIBUTES = 0x0000_7FB7


def check_request(request: CreateRequest) -> None:
    """What is wrong whatever the name leads to (3.3.5.9, MS-FSA 2.1.5.1)."""
    options = request.options
    if options & UNSUPPORTED:
        raise Status(NT.NOT_SUPPORTED, f"create options {options:#x}")
    if not request.desired_access or request.desired_access & UNKNOWN_ACCESS:
        raise Status(NT.ACCESS_DENIED, f"access {request.desired_access:#x}")
    if options & ~KNOWN_OPTIONS or request.disposition > Disposition.OVERWRITE_IF or request.share_access & ~7:
        raise Status(NT.INVALID_PARAMETER, "options, disposition or share access")
    if request.attributes & ~SETTABLE_ATTRIBUTES:
        raise Status(NT.INVALID_PARAMETER, f"attributes {request.attributes:#x}")
    directory, plain = options & CreateOptions.DIRECTORY_FILE, options & CreateOptions.NON_DIRECTORY_FILE
    if directory and (plain or request.disposition in OVERWRITES):
        raise Status(NT.INVALID_PARAMETER, "a directory that is no directory, or to be overwritten")
    if options & CreateOptions.DELETE_ON_CLOSE and not map_generic(request.desired_access) & (DELETE | MAXIMUM_ALLOWED):
        raise Status(NT.ACCESS_DENIED, "DELETE_ON_CLOSE without DELETE")
    if request.name.startswith("\\"):
        raise Status(NT.INVALID_PARAMETER, "a name that begins with a separator")


async def check_kind(asked: Asked, found: Found) -> None:
    """Whether what is there is what was asked for (MS-FSA 2.1.5.1.2)."""
    request, wanted = asked.request, asked.wanted
    attributes = found.stat.attributes
    kind = found.file.kind
    if attributes & Attribute.REPARSE_POINT and not request.options & CreateOptions.OPEN_REPARSE_POINT:
        await _stop(found)
    if kind is Kind.DIRECTORY and not wanted.stream:
        if asked.plain:
            raise Status(NT.FILE_IS_A_DIRECTORY)
        if cuts(request, found):
            raise Status(
                NT.OBJECT_NAME_COLLISION if request.disposition == Disposition.SUPERSEDE else NT.FILE_IS_A_DIRECTORY
            )
    elif wanted.new.directory:
        raise Status(NT.NOT_A_DIRECTORY)
    if wanted.delete_on_close and not wanted.path and not wanted.stream:
        raise Status(NT.CANNOT_DELETE, "the share's root")
    if found.made or found.before == CreateAction.CREATED:
        return
    if attributes & Attribute.READONLY and kind is Kind.FILE:
        if map_generic(request.desired_access) & (FILE_WRITE_DATA | FILE_APPEND_DATA) or cuts(request, found):
            raise Status(NT.ACCESS_DENIED, "READONLY")
        if wanted.delete_on_close:
            raise Status(NT.CANNOT_DELETE, "READONLY")
    if cuts(request, found):
        kept = Attribute.SYSTEM if asked.hidden else Attribute.HIDDEN | Attribute.SYSTEM
        if attributes & kept & ~request.attributes and not wanted.stream:
            raise Status(NT.ACCESS_DENIED, "hidden or system, and not asked to stay so")


async def _stop(found: Found) -> None:
    """A reparse point that was not asked for: a symbolic link sends the client elsewhere (3.3.5.9)."""
    reparse = ReparseBuffer.parse(await found.file.reparse())
    if reparse.tag != ReparseTag.SYMLINK:
        raise Status(NT.IO_REPARSE_TAG_NOT_HANDLED, f"reparse tag {reparse.tag:#x}")
    link = SymbolicLink.parse(reparse.data)
    raise Status(NT.STOPPED_ON_SYMLINK, "", SymbolicLinkError(link.substitute, link.printed, link.relative).pack())


def grant(work: Work, asked: Asked, found: Found) -> int:
    """The access the open gets (MS-FSA 2.1.5.1.1 for what was made, 2.1.5.1.2.1 for what was there)."""
    tree = work.tree
    assert tree is not None
    desired = map_generic(asked.request.desired_access)
    if found.made and not desired & (MAXIMUM_ALLOWED | SYSTEM_SECURITY):
        return desired & tree.access
    wanted = asked.wanted.access if cuts(asked.request, found) else desired
    granted = check(found.descriptor, tree.who, wanted, found.parent)
    if wanted & MAXIMUM_ALLOWED:
        granted &= tree.access | SYSTEM_SECURITY
        if found.stat.attributes & Attribute.READONLY and found.file.kind is Kind.FILE:
            granted &= ~(FILE_WRITE_DATA | FILE_APPEND_DATA)
    if asked.wanted.delete_on_close and not granted & DELETE:
        raise Status(NT.ACCESS_DENIED, "DELETE_ON_CLOSE, and DELETE is not among what may be granted")
    return granted & (desired | ~FILE_WRITE_DATA) if not desired & MAXIMUM_ALLOWED else granted
