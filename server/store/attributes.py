"""DOS attributes and the creation time, as Samba and ksmbd keep them: the extended attribute `user.DOSATTRIB`.

Its value is NDR: a NUL-ended text (empty from version 3 on, before that the attributes as "0x20"), the version
twice (its own and its union's), and the version's fields. Versions 1 to 5 are read; 4 is written, which both others
read. Where a file has none, or may not be asked, it has ARCHIVE and was made when the file system says.
"""

import struct
from typing import NamedTuple

READONLY = 0x0001
HIDDEN = 0x0002
SYSTEM = 0x0004
DIRECTORY = 0x0010
ARCHIVE = 0x0020
NORMAL = 0x0080
TEMPORARY = 0x0100
SPARSE_FILE = 0x0200
REPARSE_POINT = 0x0400
COMPRESSED = 0x0800
OFFLINE = 0x1000
NOT_CONTENT_INDEXED = 0x2000
"""FILE_ATTRIBUTE_* (MS-FSCC 2.6)."""

SETTABLE = READONLY | HIDDEN | SYSTEM | ARCHIVE | TEMPORARY | OFFLINE | NOT_CONTENT_INDEXED
"""What a client may set; the others say what the file is."""
STORED = SETTABLE | SPARSE_FILE

XATTR = "user.DOSATTRIB"

_HAS_ATTRIBUTES = 0x01
_HAS_CREATED = 0x10
_HAS_ITIME = 0x40


class Stored(NamedTuple):
    """What the value says; None where it does not."""

    attributes: int | None
    created: int | None


NOTHING = Stored(None, None)
_FIELDS = {
    # version: the struct, the places of its flags (-1: all hold), attributes and creation time
    1: (struct.Struct("<IIQQQQ"), -1, 0, 4),
    2: (struct.Struct("<IIIQQQQ"), 0, 1, 5),
    3: (struct.Struct("<IIIQQQQ"), 0, 1, 5),
    4: (struct.Struct("<IIQQ"), 0, 1, 3),
    5: (struct.Struct("<IIQ"), 0, 1, 2),
}
_WRITTEN = struct.Struct("<HHIIIQQ")


def unpack(value: bytes) -> Stored:
    """What a stored value says; one that cannot be understood says nothing."""
    end = value.find(0)
    if end < 0:
        return Stored(_number(value), None)
    at = (end + 2) & ~1
    if len(value) < at + 4:
        return Stored(_number(value[:end]), None)
    version = int.from_bytes(value[at : at + 2], "little")
    if version not in _FIELDS:
        return Stored(_number(value[:end]), None)
    layout, flags_at, attributes_at, created_at = _FIELDS[version]
    body = (at + 4 + 3) & ~3
    if len(value) < body + layout.size:
        return NOTHING
    fields = layout.unpack_from(value, body)
    flags = fields[flags_at] if flags_at >= 0 else _HAS_ATTRIBUTES | _HAS_CREATED
    attributes = fields[attributes_at] & STORED if flags & _HAS_ATTRIBUTES else None
    return Stored(attributes, (fields[created_at] or None) if flags & _HAS_CREATED else None)


def pack(attributes: int, created: int) -> bytes:
    """The value to store: version 4."""
    flags = _HAS_ATTRIBUTES | _HAS_CREATED | _HAS_ITIME
    return _WRITTEN.pack(0, 4, 4, flags, attributes & STORED, created, created)


def _number(text: bytes) -> int | None:
    try:
        return int(text, 16) & STORED
    except ValueError:
        return None
