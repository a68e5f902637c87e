"""The form of security descriptors (MS-DTYP 2.4.4 - 2.4.6): self-relative bytes to values and back.

Clients send them and the store keeps them, so they are read with suspicion: whatever `parse` is given, it answers a
descriptor or raises Malformed. What becomes of one is in `descriptors.py`, what one grants in `access.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from smbdirect.wire import Buffer, Malformed, Pdu, pdu, u8, u16, u32

from .sids import sid_at

OWNER_DEFAULTED = 0x0001
GROUP_DEFAULTED = 0x0002
DACL_PRESENT = 0x0004
DACL_DEFAULTED = 0x0008
SACL_PRESENT = 0x0010
SACL_DEFAULTED = 0x0020
DACL_AUTO_INHERIT_REQ = 0x0100
SACL_AUTO_INHERIT_REQ = 0x0200
DACL_AUTO_INHERITED = 0x0400
SACL_AUTO_INHERITED = 0x0800
DACL_PROTECTED = 0x1000
SACL_PROTECTED = 0x2000
RM_CONTROL_VALID = 0x4000
SELF_RELATIVE = 0x8000
"""Control bits (MS-DTYP 2.4.6)."""

OBJECT_INHERIT = 0x01
CONTAINER_INHERIT = 0x02
NO_PROPAGATE_INHERIT = 0x04
INHERIT_ONLY = 0x08
INHERITED = 0x10
"""ACE flags (MS-DTYP 2.4.4.1)."""

ALLOWED = 0
DENIED = 1
AUDIT = 2
MANDATORY_LABEL = 0x11
RESOURCE_ATTRIBUTE = 0x12
SCOPED_POLICY = 0x13
"""ACE types (MS-DTYP 2.4.4.1)."""

WITH_SID = frozenset((0, 1, 2, 3, 9, 0x0A, 0x0D, 0x0E, MANDATORY_LABEL, RESOURCE_ATTRIBUTE, SCOPED_POLICY))
"""Types in which the trustee's SID follows the mask."""
WITH_OBJECT = frozenset((5, 6, 7, 8, 0x0B, 0x0C, 0x0F, 0x10))
"""Types in which flags and up to two GUIDs stand between the mask and the SID."""


@pdu
class _Head(Pdu):
    revision: u8 = 1
    reserved: u8 = 0
    control: u16 = 0
    owner: u32 = 0
    group: u32 = 0
    sacl: u32 = 0
    dacl: u32 = 0


@pdu
class _AclHead(Pdu):
    revision: u8 = 2
    reserved: u8 = 0
    size: u16 = 0
    count: u16 = 0
    reserved2: u16 = 0


@pdu
class _AceHead(Pdu):
    type: u8 = 0
    flags: u8 = 0
    size: u16 = 0
    mask: u32 = 0


class Ace(NamedTuple):
    """An access control entry (MS-DTYP 2.4.4).

    `extra` is what else its body holds: an object ACE's flags and GUIDs (they stand before the SID on the wire), a
    condition, or the whole body behind the mask of a type that is not known, whose `sid` is b"" then.
    """

    type: int
    flags: int
    mask: int
    sid: bytes
    extra: bytes = b""

    def pack(self) -> bytes:
        before = _object_part(self.extra) if self.type in WITH_OBJECT else 0
        body = self.extra[:before] + self.sid + self.extra[before:]
        return _AceHead(self.type, self.flags, _AceHead.SIZE + len(body), self.mask).pack() + body


@dataclass(slots=True)
class SecurityDescriptor:
    """A security descriptor. `dacl` None with DACL_PRESENT set is the NULL DACL, which grants everything."""

    control: int = SELF_RELATIVE
    owner: bytes | None = None
    group: bytes | None = None
    dacl: list[Ace] | None = None
    sacl: list[Ace] | None = None

    def pack(self) -> bytes:
        """Self-relative: the head, then owner, group, SACL, DACL."""
        body = bytearray(_Head.SIZE)
        places = [_append(body, part) for part in (self.owner, self.group, _acl(self.sacl), _acl(self.dacl))]
        control = self.control | SELF_RELATIVE
        control |= DACL_PRESENT if self.dacl is not None else 0
        control |= SACL_PRESENT if self.sacl is not None else 0
        _Head(1, 0, control & ~RM_CONTROL_VALID, *places).pack_into(body)
        return bytes(body)


def parse(descriptor: Buffer) -> SecurityDescriptor:
    """The self-relative `descriptor`; raises Malformed."""
    head = _Head.unpack_from(descriptor)
    if head.revision != 1:
        raise Malformed(f"security descriptor of revision {head.revision}")
    return SecurityDescriptor(
        (head.control | SELF_RELATIVE) & ~RM_CONTROL_VALID,
        sid_at(descriptor, head.owner) if head.owner else None,
        sid_at(descriptor, head.group) if head.group else None,
        _aces(descriptor, head.dacl) if head.control & DACL_PRESENT and head.dacl else None,
        _aces(descriptor, head.sacl) if head.control & SACL_PRESENT and head.sacl else None,
    )


def _append(body: bytearray, part: bytes | None) -> int:
    """Where `part` was put, 0 for none."""
    if part is None:
        return 0
    body += part
    return len(body) - len(part)


def _acl(aces: Sequence[Ace] | None) -> bytes | None:
    if aces is None:
        return None
    packed = b"".join(ace.pack() for ace in aces)
    size = _AclHead.SIZE + len(packed)
    if size > 0xFFFF:
        raise Malformed(f"an ACL of {size} bytes")
    revision = 4 if any(ace.type in WITH_OBJECT for ace in aces) else 2  # MS-DTYP 2.4.5
    return _AclHead(revision, 0, size, len(aces)).pack() + packed


def _aces(descriptor: Buffer, offset: int) -> list[Ace]:
    head = _AclHead.unpack_from(descriptor, offset)
    if not 1 <= head.revision <= 4:
        raise Malformed(f"ACL of revision {head.revision}")
    if head.size < _AclHead.SIZE or offset + head.size > len(descriptor):
        raise Malformed(f"ACL of {head.size} bytes at {offset} of {len(descriptor)}")
    acl = memoryview(descriptor)[offset : offset + head.size]
    aces = []
    at = _AclHead.SIZE
    for _ in range(head.count):
        ace, size = _ace(acl, at)
        aces.append(ace)
        at += size
    return aces


def _ace(acl: memoryview, at: int) -> tuple[Ace, int]:
    head = _AceHead.unpack_from(acl, at)
    if head.size < _AceHead.SIZE or head.size % 4 or at + head.size > len(acl):
        raise Malformed(f"ACE of {head.size} bytes at {at} of a {len(acl)}-byte ACL")
    body = bytes(acl[at + _AceHead.SIZE : at + head.size])
    if head.type not in WITH_SID and head.type not in WITH_OBJECT:
        return Ace(head.type, head.flags, head.mask, b"", body), head.size
    before = _object_part(body) if head.type in WITH_OBJECT else 0
    trustee = sid_at(body, before)
    extra = body[:before] + body[before + len(trustee) :]
    return Ace(head.type, head.flags, head.mask, trustee, extra), head.size


def _object_part(body: bytes) -> int:
    """How many bytes an object ACE's flags and GUIDs take (MS-DTYP 2.4.4.3)."""
    flags = int.from_bytes(body[:4], "little")
    return 4 + 16 * (flags & 1) + 16 * (flags >> 1 & 1)
