"""Security descriptors as Samba's acl_xattr and ksmbd keep them: the extended attribute NTACL.

Its value is NDR: a version, and for version 4 the kind of hash, a hash, the word "posix_acl", the time, a hash over
what the Unix side granted when it was written (owner, group, mode, POSIX ACLs), and the descriptor, whose offsets
are counted from the start of the whole value. Versions 1 to 4 are read. A descriptor of version 4 whose Unix side
has changed since (chmod, chown) is stale and not used.

ksmbd hashes the POSIX ACLs that are there. Samba hashes more: the three entries that a mode stands for where a file
has no ACL, and a directory's empty default ACL. Both are taken; of files without a POSIX ACL one can be written that
Samba takes or one that ksmbd takes, and `Options.like_ksmbd` says which.

It lies in `security.NTACL`, where only a process with CAP_SYS_ADMIN may write it; without that, in `user.NTACL`.
"""

import errno
import hashlib
import os
import stat
import struct
from functools import lru_cache
from typing import NamedTuple

from server.security import acl
from smbdirect.wire import Malformed

NAMES = ("security.NTACL", "user.NTACL")

_HEAD = struct.Struct("<HHI")
_V4 = struct.Struct("<IH64s10sQ64s")
_BEFORE_CHECKS = {1: _HEAD.size, 2: _HEAD.size + 4 + 16, 3: _HEAD.size + 4 + 2 + 64 + 2}
"""Where the descriptor begins in the versions that tell nothing of the Unix side: 2 and 3 have a hash before it."""
_DESCRIPTION = b"posix_acl\0"
_REFERENCE = 0x00020000
_SHA256 = 1

# POSIX ACL entries: the tag in Linux's xattr, and in Samba's and ksmbd's NDR.
_TAGS = {0x01: 2, 0x02: 1, 0x04: 4, 0x08: 3, 0x10: 6, 0x20: 5}
_WITH_ID = (1, 3)
_ENTRY = struct.Struct("<HHI")

_Entries = list[tuple[int, int, int]]
"""(tag in NDR, permission bits, id)"""


class Unix(NamedTuple):
    """What the Unix side grants: the POSIX ACLs as Linux gives them (b"" for none), the owner, group and mode."""

    uid: int
    gid: int
    mode: int
    access: bytes
    default: bytes

    @classmethod
    def of(cls, status: os.stat_result, path: str, xattrs: list[str]) -> "Unix":
        access, default = (
            os.getxattr(path, name) if name in xattrs else b""
            for name in ("system.posix_acl_access", "system.posix_acl_default")
        )
        return cls(status.st_uid, status.st_gid, status.st_mode, access, default)


def unpack(value: bytes, unix: Unix) -> bytes | None:
    """The descriptor in a stored value, or None where it is stale or cannot be understood."""
    try:
        version, _, _ = _HEAD.unpack_from(value)
        if version in _BEFORE_CHECKS:
            return _cut_out(value, _BEFORE_CHECKS[version])
        if version != 4:
            return None
        *_, posix_hash = _V4.unpack_from(value, _HEAD.size)
    except struct.error:
        return None
    return _cut_out(value, _HEAD.size + _V4.size) if posix_hash in _hashes(unix) else None


def pack(descriptor: bytes, time: int, unix: Unix, like_ksmbd: bool) -> bytes:
    """The value to store for `descriptor`, written at the FILETIME `time`."""
    theirs = hashlib.sha256(descriptor).digest()
    posix_hash = _hashes(unix)[0 if like_ksmbd else 1]
    head = _HEAD.pack(4, 4, _REFERENCE)
    head += _V4.pack(_REFERENCE + 4, _SHA256, theirs, _DESCRIPTION, time, posix_hash)
    return head + _moved(descriptor, len(head))


def read(status: os.stat_result, path: str, xattrs: list[str]) -> bytes | None:
    """The descriptor stored with a file that has these xattrs; None where there is none that holds."""
    for name in NAMES:
        if name in xattrs:
            try:
                value = os.getxattr(path, name)
            except OSError as error:
                if error.errno in (errno.ENODATA, errno.EACCES, errno.EPERM):
                    continue
                raise
            return unpack(value, Unix.of(status, path, xattrs))
    return None


def write(value: bytes, path: str) -> None:
    """Store a value, as near to the system's own place for it as it lets us."""
    try:
        os.setxattr(path, NAMES[0], value)
    except PermissionError:
        os.setxattr(path, NAMES[1], value)


_OFFSETS = struct.Struct("<4x4I")


def _moved(descriptor: bytes, distance: int) -> bytes:
    """`descriptor` with `distance` added to each of its offsets that is not 0 (owner, group, SACL, DACL)."""
    offsets = [(offset + distance) & 0xFFFFFFFF if offset else 0 for offset in _OFFSETS.unpack_from(descriptor)]
    return descriptor[:4] + struct.pack("<4I", *offsets) + descriptor[_OFFSETS.size :]


@lru_cache(1024)
def _cut_out(value: bytes, start: int) -> bytes | None:
    """The descriptor that begins at `start` of a value, where it can be parsed."""
    try:
        descriptor = _moved(value[start:], -start)
        acl.parse(descriptor)
    except (Malformed, struct.error):
        return None
    return descriptor


@lru_cache(1024)
def _hashes(unix: Unix) -> tuple[bytes, bytes]:
    """What ksmbd, and what Samba, writes for this Unix side."""
    access, default = _entries(unix.access), _entries(unix.default)
    theirs = default or ([] if stat.S_ISDIR(unix.mode) else None)
    return _hash(unix, access, default), _hash(unix, access or _of_mode(unix.mode), theirs)


def _hash(unix: Unix, access: _Entries | None, default: _Entries | None) -> bytes:
    """SHA-256 over the NDR of both POSIX ACLs, the owner, group and mode; padded to the field's 64 bytes."""
    first = _REFERENCE if access is not None else 0
    second = 0 if default is None else first + 4 if first else _REFERENCE
    ndr = bytearray(struct.pack("<IIQQI", first, second, unix.uid, unix.gid, unix.mode))
    for entries in (access, default):
        if entries is not None:
            _append(ndr, entries)
    return hashlib.sha256(ndr).digest().ljust(64, b"\0")


def _append(ndr: bytearray, entries: _Entries) -> None:
    ndr += struct.pack("<I", len(entries))
    ndr += bytes(-len(ndr) % 8) + struct.pack("<II", len(entries), 0)
    for tag, permissions, who in entries:
        ndr += bytes(-len(ndr) % 8) + struct.pack("<HH", tag, tag)
        if tag in _WITH_ID:
            ndr += bytes(-len(ndr) % 8) + struct.pack("<Q", who)
        ndr += struct.pack("<I", permissions)


def _of_mode(mode: int) -> _Entries:
    return [(2, mode >> 6 & 7, 0), (4, mode >> 3 & 7, 0), (5, mode & 7, 0)]


def _entries(value: bytes) -> _Entries | None:
    """The entries of a POSIX ACL as Linux gives it, in the same order; None where there is none."""
    if not value:
        return None
    body = value[4 : 4 + (len(value) - 4) // _ENTRY.size * _ENTRY.size]
    return [(_TAGS.get(tag, 0), permissions, who) for tag, permissions, who in _ENTRY.iter_unpack(body)]
