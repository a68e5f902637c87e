"""What a CREATE asks for: its request with name and contexts taken apart, in the store's words."""

from dataclasses import dataclass

from ..messages.create import CreateContext, CreateOptions, CreateRequest, Disposition, find
from ..messages.create_contexts import AllocationSize, ContextName
from ..messages.fscc_ea import unpack_eas
from ..messages.fscc_file import FileAttribute as Attribute
from ..security.access import FILE_WRITE_DATA, map_generic
from ..status import NT, Status
from ..store.base import Found, Make, New, Wanted
from ..store.names import split
from ..work import Work

WILL_MAKE = {
    Disposition.SUPERSEDE: Make.IF_ABSENT,
    Disposition.OPEN: Make.NEVER,
    Disposition.CREATE: Make.ALWAYS,
    Disposition.OPEN_IF: Make.IF_ABSENT,
    Disposition.OVERWRITE: Make.NEVER,
    Disposition.OVERWRITE_IF: Make.IF_ABSENT,
}
OVERWRITES = (Disposition.SUPERSEDE, Disposition.OVERWRITE, Disposition.OVERWRITE_IF)
KEPT_ATTRIBUTES = Attribute.READONLY | Attribute.HIDDEN | Attribute.SYSTEM | Attribute.ARCHIVE


@dataclass(slots=True)
class Asked:
    """A CREATE's request with its contexts taken apart."""

    request: CreateRequest
    wanted: Wanted
    plain: bool
    """It must be no directory: that was said, or its unnamed data was named."""
    hidden: bool
    """Its name alone makes it HIDDEN."""
    mark: bytes = b""
    """What says that a file was made or cut by this CREATE; b"" where nobody need know that after the server."""
    repeats: bool = False
    """It may have been carried out before the server was killed."""


def take_apart(work: Work, request: CreateRequest) -> Asked:
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
    if contexts:
        _furnish(new, contexts)
    access = map_generic(request.desired_access)
    if request.disposition in OVERWRITES:
        access |= FILE_WRITE_DATA
    make = WILL_MAKE[request.disposition] if path or stream else Make.NEVER
    if not path and not stream and request.disposition == Disposition.CREATE:
        raise Status(NT.OBJECT_NAME_COLLISION, "the root is there")
    config = work.tree.share.config
    return Asked(
        request,
        Wanted(path, stream, access, make, new, bool(request.options & CreateOptions.DELETE_ON_CLOSE)),
        kind == "$DATA" or bool(request.options & CreateOptions.NON_DIRECTORY_FILE),
        config is not None and config.hide_dot_files and "".join(path[-1:]).startswith("."),
    )


def _furnish(new: New, contexts: list[CreateContext]) -> None:
    """What contexts say of a file that is made."""
    descriptor = find(contexts, ContextName.SECD)
    if descriptor is not None:
        new.descriptor = descriptor.data
    eas = find(contexts, ContextName.EXTA)
    if eas is not None:
        new.eas = unpack_eas(memoryview(eas.data))
    allocation = find(contexts, ContextName.ALSI)
    if allocation is not None:
        new.allocation = AllocationSize.parse(allocation.data).size


def cuts(request: CreateRequest, found: Found) -> bool:
    return not found.made and found.before is None and request.disposition in OVERWRITES
