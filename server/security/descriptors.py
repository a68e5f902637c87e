"""What becomes of security descriptors: made from a mode, inherited from a parent, replaced and queried in part.

All are pure functions on self-relative bytes, so a store can keep what they answer as it is.
"""

from functools import lru_cache

from server.store.base import Identity

from . import access, acl, sids
from .access import check_owner, map_generic
from .acl import Ace, SecurityDescriptor, parse

__all__ = ["Ace", "SecurityDescriptor", "from_mode", "inherit", "merge", "parse", "select"]

OWNER_INFORMATION = 0x00000001
GROUP_INFORMATION = 0x00000002
DACL_INFORMATION = 0x00000004
SACL_INFORMATION = 0x00000008
LABEL_INFORMATION = 0x00000010
ATTRIBUTE_INFORMATION = 0x00000020
SCOPE_INFORMATION = 0x00000040
BACKUP_INFORMATION = 0x00010000
"""What a query or a change of security is about (MS-DTYP 2.4.7)."""


# -- from a mode ------------------------------------------------------------------------------------------------
_OWNER_WITHOUT = (
    (0o400, access.FILE_READ_DATA),
    (0o200, access.FILE_WRITE_DATA | access.FILE_APPEND_DATA | access.FILE_DELETE_CHILD),
)
"""What an owner has not got where the mode's bit is missing. The rest it has: it may change the mode."""
_OTHERS_WITH = ((4, access.FILE_GENERIC_READ), (2, access.FILE_GENERIC_WRITE), (1, access.FILE_GENERIC_EXECUTE))
_STICKY = 0o1000


@lru_cache(1024)
def from_mode(uid: int, gid: int, mode: int, directory: bool) -> bytes:
    """The descriptor of a file that has none stored: what its owner, group, mode say. Nothing of it is inherited.

    Its DACL is marked as defaulted, which tells `inherit` that a mode rules here; `select` does not show that.
    """
    owner, group = sids.of_uid(uid), sids.of_gid(gid)
    aces = [
        Ace(acl.ALLOWED, 0, _owner_mask(mode, directory), owner),
        Ace(acl.ALLOWED, 0, _mask(mode >> 3, mode, directory), group),
        Ace(acl.ALLOWED, 0, _mask(mode, mode, directory), sids.EVERYONE),
        Ace(acl.ALLOWED, 0, access.FILE_ALL_ACCESS, sids.SYSTEM),
    ]
    control = acl.DACL_PRESENT | acl.DACL_DEFAULTED
    return SecurityDescriptor(control, owner, group, [ace for ace in aces if ace.mask]).pack()


def _owner_mask(mode: int, directory: bool) -> int:
    mask = access.FILE_ALL_ACCESS
    for bit, rights in _OWNER_WITHOUT:
        mask &= ~0 if mode & bit else ~rights
    return mask if mode & 0o100 or not directory else mask & ~access.FILE_EXECUTE


def _mask(bits: int, mode: int, directory: bool) -> int:
    """What the three `bits` of a group or of everyone grant."""
    mask = 0
    for bit, rights in _OTHERS_WITH:
        mask |= rights if bits & bit else 0
    may_delete = directory and bits & 2 and not mode & _STICKY
    return mask | access.FILE_DELETE_CHILD if may_delete else mask


# -- from a parent ----------------------------------------------------------------------------------------------
def inherit(parent: bytes, who: Identity, directory: bool, given: bytes | None) -> bytes | None:
    """The descriptor of a file that `who` makes (MS-DTYP 2.5.3.4.1), None where its mode is to say it.

    `parent` is the directory's, b"" for none; `given` is what the client sent along. A DACL given is taken as it is;
    else the parent's inheritable entries make it; else a mode does, where one rules in the parent; else the owner and
    the system alone get access. Raises Malformed when `given` is no descriptor, Status(INVALID_OWNER) when it names an
    owner that `who` may not make one.
    """
    wish = parse(given) if given is not None else SecurityDescriptor()
    above = parse(parent) if parent else SecurityDescriptor(acl.DACL_DEFAULTED)
    if wish.owner is not None:
        check_owner(wish.owner, who)
    made = SecurityDescriptor(acl.SELF_RELATIVE, wish.owner or who.owner, wish.group or who.group)
    if who.privileged and wish.sacl is not None:
        made.sacl = wish.sacl
        made.control |= settled(wish.control) & (acl.SACL_PRESENT | acl.SACL_AUTO_INHERITED | acl.SACL_PROTECTED)
    inherited = [ace for entry in above.dacl or () for ace in _passed_on(entry, above, made, directory)]
    if wish.control & acl.DACL_PRESENT:
        made.control |= settled(wish.control) & (acl.DACL_PRESENT | acl.DACL_AUTO_INHERITED | acl.DACL_PROTECTED)
        made.dacl = mapped(wish.dacl)
    elif inherited:
        made.control |= above.control & acl.DACL_AUTO_INHERITED
        made.dacl = inherited
    elif above.control & acl.DACL_DEFAULTED and made == SecurityDescriptor(made.control, who.owner, who.group):
        return None
    else:
        made.dacl = [
            Ace(acl.ALLOWED, 0, access.FILE_ALL_ACCESS, trustee) for trustee in (made.owner, sids.SYSTEM) if trustee
        ]
    return made.pack()


def _passed_on(entry: Ace, above: SecurityDescriptor, made: SecurityDescriptor, directory: bool) -> list[Ace]:
    """What a new file or directory gets of the parent's `entry` (MS-DTYP 2.5.3.4.2 and .3)."""
    mark = acl.INHERITED if above.control & acl.DACL_AUTO_INHERITED else 0
    trustee = {sids.CREATOR_OWNER: made.owner, sids.CREATOR_GROUP: made.group}.get(entry.sid) or entry.sid
    effective = entry._replace(flags=mark, mask=map_generic(entry.mask), sid=trustee)
    if not directory:
        return [effective] if entry.flags & acl.OBJECT_INHERIT else []
    if entry.flags & acl.NO_PROPAGATE_INHERIT:
        return [effective] if entry.flags & acl.CONTAINER_INHERIT else []
    passes = entry.flags & (acl.OBJECT_INHERIT | acl.CONTAINER_INHERIT)
    if not passes & acl.CONTAINER_INHERIT:
        return [entry._replace(flags=passes | acl.INHERIT_ONLY | mark)] if passes else []
    if trustee == entry.sid and not entry.mask & access.GENERIC:
        return [entry._replace(flags=passes | mark)]
    return [effective, entry._replace(flags=passes | acl.INHERIT_ONLY | mark)]


# -- what QUERY_INFO and SET_INFO ask for -----------------------------------------------------------------------
_DACL_CONTROL = (
    acl.DACL_PRESENT | acl.DACL_DEFAULTED | acl.DACL_AUTO_INHERIT_REQ | acl.DACL_AUTO_INHERITED | acl.DACL_PROTECTED
)
_SACL_CONTROL = (
    acl.SACL_PRESENT | acl.SACL_DEFAULTED | acl.SACL_AUTO_INHERIT_REQ | acl.SACL_AUTO_INHERITED | acl.SACL_PROTECTED
)

_SACL_PARTS = {
    acl.MANDATORY_LABEL: LABEL_INFORMATION,
    acl.RESOURCE_ATTRIBUTE: ATTRIBUTE_INFORMATION,
    acl.SCOPED_POLICY: SCOPE_INFORMATION,
}
"""The SACL's ACE types that have a part of their own; SACL_INFORMATION is about all others."""
_IN_SACL = SACL_INFORMATION | LABEL_INFORMATION | ATTRIBUTE_INFORMATION | SCOPE_INFORMATION
_ALL = OWNER_INFORMATION | GROUP_INFORMATION | DACL_INFORMATION | _IN_SACL


def select(descriptor: bytes, parts: int) -> bytes:
    """Those `parts` of `descriptor`, self-relative (QUERY_INFO of security, MS-FSA 2.1.5.14)."""
    parts |= _ALL if parts & BACKUP_INFORMATION else 0
    whole = parse(descriptor)
    control = acl.SELF_RELATIVE
    control |= whole.control & _DACL_CONTROL & ~acl.DACL_DEFAULTED if parts & DACL_INFORMATION else 0
    control |= whole.control & _SACL_CONTROL if parts & _IN_SACL else 0
    return SecurityDescriptor(
        control,
        whole.owner if parts & OWNER_INFORMATION else None,
        whole.group if parts & GROUP_INFORMATION else None,
        whole.dacl if parts & DACL_INFORMATION else None,
        [ace for ace in whole.sacl if _sacl_part(ace) & parts] if parts & _IN_SACL and whole.sacl is not None else None,
    ).pack()


def merge(old: bytes, new: bytes, parts: int) -> bytes:
    """`old` with those `parts` replaced by `new`'s (SET_INFO of security, MS-FSA 2.1.5.17).

    An owner or group that `new` does not hold stays as it is; a DACL it does not hold becomes the NULL DACL, as on
    Windows. Generic rights are mapped where they would be judged. Raises Malformed when `new` is no descriptor.
    """
    parts |= _ALL if parts & BACKUP_INFORMATION else 0
    given = parse(new)
    merged = parse(old)
    if parts & OWNER_INFORMATION and given.owner is not None:
        merged.owner = given.owner
    if parts & GROUP_INFORMATION and given.group is not None:
        merged.group = given.group
    if parts & DACL_INFORMATION:
        merged.dacl = mapped(given.dacl)
        merged.control = merged.control & ~_DACL_CONTROL | settled(given.control) & _DACL_CONTROL | acl.DACL_PRESENT
    if parts & _IN_SACL and given.control & acl.SACL_PRESENT:
        kept = [ace for ace in merged.sacl or () if not _sacl_part(ace) & parts]
        merged.sacl = kept + [ace for ace in given.sacl or () if _sacl_part(ace) & parts]
        merged.control = merged.control & ~_SACL_CONTROL | settled(given.control) & _SACL_CONTROL
    return merged.pack()


def _sacl_part(ace: Ace) -> int:
    return _SACL_PARTS.get(ace.type, SACL_INFORMATION)


def mapped(aces: list[Ace] | None) -> list[Ace] | None:
    """`aces` with generic rights mapped, but for inherit-only ones: those are mapped where they arrive."""
    if aces is None:
        return None
    return [
        ace._replace(mask=map_generic(ace.mask))
        if ace.mask & access.GENERIC and not ace.flags & acl.INHERIT_ONLY
        else ace
        for ace in aces
    ]


def settled(control: int) -> int:
    """`control` as it is stored: an ACL is auto-inherited where the client asked for that and says it did so, and a
    client's is never a defaulted one."""
    for requested, inherited in (
        (acl.DACL_AUTO_INHERIT_REQ, acl.DACL_AUTO_INHERITED),
        (acl.SACL_AUTO_INHERIT_REQ, acl.SACL_AUTO_INHERITED),
    ):
        if not control & requested:
            control &= ~inherited
    return control & ~(acl.DACL_AUTO_INHERIT_REQ | acl.SACL_AUTO_INHERIT_REQ | acl.DACL_DEFAULTED | acl.SACL_DEFAULTED)
