"""Reparse data (MS-FSCC 2.1.2): symbolic links as they lie on disk, and other tags kept as they came.

A target is given as it stands in the link: a relative one with its slashes turned, an absolute one flagged as such
(a client cannot use it: it is a path of the server's). The server never follows either.
"""

import struct

from smbdirect.wire import utf16

from ..status import NT, Status
from . import names

TAG_SYMLINK = 0xA000000C
MOUNT_POINT = 0xA0000003
LARGEST = 16 * 1024
"""MAXIMUM_REPARSE_DATA_BUFFER_SIZE."""
RELATIVE = 1
_SYMLINK_ERROR = 0x4C4D5953
_HEAD = struct.Struct("<IHH")
_SYMLINK = struct.Struct("<HHHHI")
_MICROSOFT = 0x80000000


def parse(data: bytes) -> tuple[int, memoryview]:
    """The tag and the data after the header; raises IO_REPARSE_DATA_INVALID where the lengths disagree."""
    if len(data) < _HEAD.size or len(data) > LARGEST:
        raise Status(NT.IO_REPARSE_DATA_INVALID, f"{len(data)} bytes")
    tag, length, _ = _HEAD.unpack_from(data)
    guid = 0 if tag & _MICROSOFT else 16
    if len(data) != _HEAD.size + guid + length:
        raise Status(NT.IO_REPARSE_DATA_INVALID, f"{length} bytes said, {len(data) - _HEAD.size - guid} there")
    return tag, memoryview(data)[_HEAD.size :]


def symlink(target: bytes) -> bytes:
    """The reparse data buffer of a symbolic link whose text on disk is `target`."""
    body = _symlink_body(target)
    return _HEAD.pack(TAG_SYMLINK, len(body), 0) + body


def symlink_error(target: bytes, unparsed: str) -> bytes:
    """The Symbolic Link Error Response (MS-SMB2 2.2.2.2.1); `unparsed` is what of the path follows the link."""
    body = _symlink_body(target)
    rest = len(utf16(unparsed))
    head = struct.pack("<IIHH", _SYMLINK_ERROR, TAG_SYMLINK, len(body), rest)
    return struct.pack("<I", len(head) + len(body)) + head + body


def symlink_target(data: bytes) -> bytes:
    """What a symbolic link made from reparse data holds on disk; raises IO_REPARSE_DATA_INVALID."""
    tag, body = parse(data)
    if tag != TAG_SYMLINK or len(body) < _SYMLINK.size:
        raise Status(NT.IO_REPARSE_DATA_INVALID, "no symbolic link")
    offset, length, _, _, flags = _SYMLINK.unpack_from(body)
    buffer = body[_SYMLINK.size :]
    if offset + length > len(buffer) or length % 2 or not length:
        raise Status(NT.IO_REPARSE_DATA_INVALID, f"a name of {length} bytes at {offset} of {len(buffer)}")
    target = str(buffer[offset : offset + length], "utf-16-le", "surrogatepass")
    if "\0" in target:
        raise Status(NT.IO_REPARSE_DATA_INVALID, "a NUL in the target")
    if flags & RELATIVE:
        target = target.replace("\\", "/")
    raw = names.on_disk(target)
    if len(raw) > 4095:
        raise Status(NT.IO_REPARSE_DATA_INVALID, f"a target of {len(raw)} bytes")
    return raw


def _symlink_body(target: bytes) -> bytes:
    text = target.decode("utf-8", "replace")
    flags = 0 if text.startswith("/") else RELATIVE
    name = utf16(text.replace("/", "\\") if flags else text)
    return _SYMLINK.pack(0, len(name), len(name), len(name), flags) + name + name
