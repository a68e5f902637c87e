"""Symbolic links between their two forms: text on disk, and reparse data (MS-FSCC 2.1.2.4).

A target is given as it stands in the link: a relative one with its slashes turned, an absolute one as it is and not
flagged as relative (a client cannot use it: it is a path of the server's). The server follows neither.
"""

from smbdirect.wire import Malformed, utf16

from ..messages.reparse import MAX_REPARSE_SIZE, ReparseBuffer, ReparseTag, SymbolicLink, SymbolicLinkError
from ..status import NT, Status
from . import names

TAG_SYMLINK = ReparseTag.SYMLINK
TAG_MISMATCH = 0xC0000277
"""STATUS_IO_REPARSE_TAG_MISMATCH."""
_LONGEST_TARGET = 4095


def tag_of(data: bytes) -> int:
    """The tag of a reparse buffer; raises IO_REPARSE_DATA_INVALID where its lengths disagree."""
    return _parse(data).tag


def symlink(target: bytes) -> bytes:
    """The reparse buffer of a symbolic link whose text on disk is `target`."""
    text, relative = _shown(target)
    return SymbolicLink(text, text, relative).pack()


def symlink_error(target: bytes, unparsed: str) -> bytes:
    """The Symbolic Link Error Response (MS-SMB2 2.2.2.2.1); `unparsed` is what of the path follows the link."""
    text, relative = _shown(target)
    return SymbolicLinkError(text, text, relative, len(utf16(unparsed))).pack()


def symlink_target(data: bytes) -> bytes:
    """What a symbolic link made from a reparse buffer holds on disk; raises IO_REPARSE_DATA_INVALID."""
    try:
        link = SymbolicLink.parse(_parse(data).data)
    except Malformed as error:
        raise Status(NT.IO_REPARSE_DATA_INVALID, str(error)) from error
    target = names.on_disk(link.substitute.replace("\\", "/") if link.relative else link.substitute)
    if not target or len(target) > _LONGEST_TARGET or b"\0" in target:
        raise Status(NT.IO_REPARSE_DATA_INVALID, f"a target of {len(target)} bytes")
    return target


def _parse(data: bytes) -> ReparseBuffer:
    if len(data) > MAX_REPARSE_SIZE:
        raise Status(NT.IO_REPARSE_DATA_INVALID, f"{len(data)} bytes")
    try:
        return ReparseBuffer.parse(data)
    except Malformed as error:
        raise Status(NT.IO_REPARSE_DATA_INVALID, str(error)) from error


def _shown(target: bytes) -> tuple[str, bool]:
    """A target as clients get it, and whether it is relative."""
    text = target.decode("utf-8", "replace")
    relative = not text.startswith("/")
    return (text.replace("/", "\\") if relative else text), relative
