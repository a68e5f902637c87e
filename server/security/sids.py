"""Security identifiers (MS-DTYP 2.4.2) as the bytes that descriptors carry: they are compared and hashed as such.

Unix accounts have no domain here. Their SIDs are S-1-22-1-uid and S-1-22-2-gid, as Samba and ksmbd write them, so
descriptors stored by one of the three mean the same to the others.
"""

import re
from functools import lru_cache

from smbdirect.wire import Buffer, Malformed

HEAD = 8
"""Revision, count of subauthorities and the authority; four bytes for each subauthority follow."""
MOST_SUBAUTHORITIES = 15

_TEXT = re.compile(r"[Ss]-1-(\d{1,15}|0[xX][0-9a-fA-F]{1,12})((?:-\d{1,10}){0,15})", re.ASCII)


def sid(text: str) -> bytes:
    """The SID that `text` ("S-1-5-32-544") spells; raises Malformed."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise Malformed(f"{text!r} is no SID")
    authority = int(match[1], 16) if match[1][:2] in ("0x", "0X") else int(match[1])
    numbers = [int(number) for number in match[2].split("-")[1:]]
    if authority >= 1 << 48 or any(number >= 1 << 32 for number in numbers):
        raise Malformed(f"{text!r} holds a number too large for a SID")
    return _make(authority, *numbers)


def sid_text(value: bytes) -> str:
    """`value` as text; an authority of 2^32 or more stands in hexadecimal (MS-DTYP 2.4.2.1). Raises Malformed."""
    if sid_at(value, 0) != value:
        raise Malformed(f"{len(value)} bytes hold a SID and more")
    authority = int.from_bytes(value[2:HEAD], "big")
    parts = [str(authority) if authority < 1 << 32 else f"0x{authority:012X}"]
    parts += [str(int.from_bytes(value[at : at + 4], "little")) for at in range(HEAD, len(value), 4)]
    return "S-1-" + "-".join(parts)


def sid_at(buffer: Buffer, offset: int) -> bytes:
    """The SID that begins at `offset` of `buffer`; raises Malformed where it is none or does not end inside."""
    if offset < 0 or offset + HEAD > len(buffer):
        raise Malformed(f"SID at {offset} of {len(buffer)} bytes")
    revision, count = buffer[offset], buffer[offset + 1]
    if revision != 1 or count > MOST_SUBAUTHORITIES:
        raise Malformed(f"SID of revision {revision} with {count} subauthorities")
    end = offset + HEAD + 4 * count
    if end > len(buffer):
        raise Malformed(f"SID of {end - offset} bytes at {offset} of {len(buffer)}")
    return bytes(buffer[offset:end])


def _make(authority: int, *numbers: int) -> bytes:
    head = bytes((1, len(numbers))) + authority.to_bytes(6, "big")
    return head + b"".join(number.to_bytes(4, "little") for number in numbers)


@lru_cache(1024)
def of_uid(uid: int) -> bytes:
    """The SID of a Unix user."""
    return _UNIX_USER + uid.to_bytes(4, "little")


@lru_cache(1024)
def of_gid(gid: int) -> bytes:
    """The SID of a Unix group."""
    return _UNIX_GROUP + gid.to_bytes(4, "little")


def uid_of(value: bytes) -> int | None:
    """The Unix user whose SID `value` is."""
    return _id_of(value, _UNIX_USER)


def gid_of(value: bytes) -> int | None:
    """The Unix group whose SID `value` is."""
    return _id_of(value, _UNIX_GROUP)


def _id_of(value: bytes, start: bytes) -> int | None:
    if len(value) != len(start) + 4 or not value.startswith(start):
        return None
    return int.from_bytes(value[-4:], "little")


# The count of subauthorities is that of the whole SID, the last one still to follow.
_UNIX_USER = bytes((1, 2)) + _make(22, 1)[2:]
_UNIX_GROUP = bytes((1, 2)) + _make(22, 2)[2:]

EVERYONE = sid("S-1-1-0")
CREATOR_OWNER = sid("S-1-3-0")
CREATOR_GROUP = sid("S-1-3-1")
OWNER_RIGHTS = sid("S-1-3-4")
NETWORK = sid("S-1-5-2")
ANONYMOUS = sid("S-1-5-7")
AUTHENTICATED_USERS = sid("S-1-5-11")
SYSTEM = sid("S-1-5-18")
ADMINISTRATORS = sid("S-1-5-32-544")
USERS = sid("S-1-5-32-545")
GUESTS = sid("S-1-5-32-546")
