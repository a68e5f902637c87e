"""What a security descriptor grants (MS-DTYP 2.5.3.2), and the rights it speaks of (MS-SMB2 2.2.13.1).

A descriptor is taken apart once and remembered by its bytes: files of one directory mostly share one. A check then
is a walk over a few tuples, with SIDs looked up in the identity's set.
"""

from functools import lru_cache
from typing import NamedTuple

from server.status import NT, Status
from server.store.base import Identity

from .acl import ALLOWED, INHERIT_ONLY, Ace, parse
from .sids import OWNER_RIGHTS

FILE_READ_DATA = FILE_LIST_DIRECTORY = 0x0001
FILE_WRITE_DATA = FILE_ADD_FILE = 0x0002
FILE_APPEND_DATA = FILE_ADD_SUBDIRECTORY = 0x0004
FILE_READ_EA = 0x0008
FILE_WRITE_EA = 0x0010
FILE_EXECUTE = FILE_TRAVERSE = 0x0020
FILE_DELETE_CHILD = 0x0040
FILE_READ_ATTRIBUTES = 0x0080
FILE_WRITE_ATTRIBUTES = 0x0100
DELETE = 0x00010000
READ_CONTROL = 0x00020000
WRITE_DAC = 0x00040000
WRITE_OWNER = 0x00080000
SYNCHRONIZE = 0x00100000
SYSTEM_SECURITY = 0x01000000
MAXIMUM_ALLOWED = 0x02000000
GENERIC_ALL = 0x10000000
GENERIC_EXECUTE = 0x20000000
GENERIC_WRITE = 0x40000000
GENERIC_READ = 0x80000000

GENERIC = GENERIC_ALL | GENERIC_EXECUTE | GENERIC_WRITE | GENERIC_READ
FILE_ALL_ACCESS = 0x001F01FF
FILE_GENERIC_READ = READ_CONTROL | SYNCHRONIZE | FILE_READ_DATA | FILE_READ_ATTRIBUTES | FILE_READ_EA
FILE_GENERIC_WRITE = (
    READ_CONTROL | SYNCHRONIZE | FILE_WRITE_DATA | FILE_APPEND_DATA | FILE_WRITE_ATTRIBUTES | FILE_WRITE_EA
)
FILE_GENERIC_EXECUTE = READ_CONTROL | SYNCHRONIZE | FILE_READ_ATTRIBUTES | FILE_EXECUTE

_MAPPING = (
    (GENERIC_READ, FILE_GENERIC_READ),
    (GENERIC_WRITE, FILE_GENERIC_WRITE),
    (GENERIC_EXECUTE, FILE_GENERIC_EXECUTE),
    (GENERIC_ALL, FILE_ALL_ACCESS),
)

DENYING = frozenset((1, 6, 10, 12))
"""ACE types that deny. Those with a condition or an object type deny whenever their trustee is met, and their
allowing counterparts never allow: what cannot be judged here is judged against the client (MS-DTYP 2.5.3.1.5)."""


def map_generic(mask: int) -> int:
    """`mask` with generic rights replaced by those they mean for files (MS-SMB2 2.2.13.1)."""
    if not mask & GENERIC:
        return mask
    for generic, specific in _MAPPING:
        if mask & generic:
            mask |= specific
    return mask & ~GENERIC


class _Rules(NamedTuple):
    """A descriptor ready to be judged by."""

    owner: bytes | None
    entries: tuple[tuple[bool, int, bytes], ...] | None
    """(allows, mask, SID) in the DACL's order; None grants everything."""
    owner_implied: bool
    """Whether the owner may read and change the DACL whatever it says: no OWNER_RIGHTS entry speaks of that."""


def _rules(descriptor: bytes) -> _Rules:
    """Remembered, unless large: a client can make many large ones, and each is rarely met again."""
    return _remembered(descriptor) if len(descriptor) <= 2048 else _taken_apart(descriptor)


def _taken_apart(descriptor: bytes) -> _Rules:
    whole = parse(descriptor)
    if whole.dacl is None:
        return _Rules(whole.owner, None, False)
    entries = tuple(_entry(ace) for ace in whole.dacl if _effective(ace))
    return _Rules(whole.owner, entries, all(entry[2] != OWNER_RIGHTS for entry in entries))


_remembered = lru_cache(1024)(_taken_apart)


def _effective(ace: Ace) -> bool:
    return not ace.flags & INHERIT_ONLY and (ace.type == ALLOWED or ace.type in DENYING)


def _entry(ace: Ace) -> tuple[bool, int, bytes]:
    return ace.type == ALLOWED, map_generic(ace.mask), ace.sid


def _by_acl(descriptor: bytes, who: Identity) -> int:
    """The rights that the descriptor itself grants."""
    owner, entries, owner_implied = _rules(descriptor)
    if entries is None:
        return FILE_ALL_ACCESS
    held = who.sids
    owns = owner in held
    granted = READ_CONTROL | WRITE_DAC if owns and owner_implied else 0
    denied = 0
    for allows, mask, trustee in entries:
        if trustee in held or (owns and trustee == OWNER_RIGHTS):
            if allows:
                granted |= mask & ~denied
            else:
                denied |= mask & ~granted
    return granted & FILE_ALL_ACCESS


def _rights(descriptor: bytes, who: Identity, parent: bytes) -> int:
    """All rights, from the descriptor, from the parent's (MS-FSA 2.1.5.1.2.1) and from privileges."""
    granted = _by_acl(descriptor, who)
    missing = (DELETE | FILE_READ_ATTRIBUTES) & ~granted
    if parent and missing:
        above = _by_acl(parent, who)
        if above & FILE_DELETE_CHILD:
            granted |= DELETE
        if above & FILE_LIST_DIRECTORY:
            granted |= FILE_READ_ATTRIBUTES
    if who.privileged:
        granted |= WRITE_OWNER | SYSTEM_SECURITY
    return granted


def maximum(descriptor: bytes, who: Identity, parent: bytes = b"") -> int:
    """All specific rights `who` has on what `descriptor` protects (the answer to MAXIMUM_ALLOWED and MxAc)."""
    return _rights(descriptor, who, parent) & ~SYSTEM_SECURITY


def check(descriptor: bytes, who: Identity, desired: int, parent: bytes = b"") -> int:
    """The specific rights that an open asking for `desired` gets: those it names, and all for MAXIMUM_ALLOWED.

    `parent` is the directory's descriptor: FILE_DELETE_CHILD there grants DELETE here, FILE_LIST_DIRECTORY
    grants READ_ATTRIBUTES. Raises Status(ACCESS_DENIED), or PRIVILEGE_NOT_HELD for SYSTEM_SECURITY.
    """
    asked = map_generic(desired)
    rights = _rights(descriptor, who, parent)
    wanted = asked & ~MAXIMUM_ALLOWED
    missing = wanted & ~rights
    if missing:
        if missing == SYSTEM_SECURITY:
            raise Status(NT.PRIVILEGE_NOT_HELD, "SYSTEM_SECURITY needs a privileged user")
        raise Status(NT.ACCESS_DENIED, f"{who.name} is not granted {missing:#x} of {wanted:#x}")
    return wanted | (rights & ~SYSTEM_SECURITY) if asked & MAXIMUM_ALLOWED else wanted


def check_owner(owner: bytes, who: Identity) -> None:
    """Raises Status(INVALID_OWNER) unless `who` may make `owner` the owner: itself, or with privilege anyone."""
    if owner not in who.sids and not who.privileged:
        raise Status(NT.INVALID_OWNER, f"{who.name} gives a file away")
