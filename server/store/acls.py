"""The security descriptor of a file: the one stored with it, else what its owner and mode say."""

import errno
import os
import stat

from server.security import descriptors, sids

from .. import filetime
from . import ntacl
from .base import Identity
from .inode import Inode
from .threads import as_service


def of(status: os.stat_result, path: str, xattrs: list[str]) -> bytes:
    """The self-relative descriptor of the file that `path` and its xattrs' names belong to."""
    stored = ntacl.read(status, path, xattrs)
    if stored is not None:
        return stored
    return descriptors.from_mode(
        status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), stat.S_ISDIR(status.st_mode)
    )


def of_directory(descriptor: int) -> bytes:
    """The descriptor of an open directory."""
    found = Inode.bare(descriptor)
    return of(found.status, found.path, found.xattrs)


def store(descriptor: int, security: bytes, like_ksmbd: bool) -> None:
    """Keep `security` with an open file."""
    found = Inode.bare(descriptor)
    now = filetime.now()
    unix = ntacl.Unix.of(found.status, found.path, found.xattrs)
    ntacl.write(ntacl.pack(security, now, unix, like_ksmbd), found.path)


def store_inherited(descriptor: int, security: bytes | None, like_ksmbd: bool) -> None:
    """Keep what a new file inherits, where the file system can: where it cannot, the mode stands."""
    if security is None:
        return
    try:
        store(descriptor, security, like_ksmbd)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise


def change(descriptor: int, who: Identity, given: bytes, parts: int, like_ksmbd: bool) -> None:
    """Replace `parts` of an open file's descriptor, and its Unix owner and group where they name others.

    The command core has judged WRITE_DAC, WRITE_OWNER and the new owner; so where the system lets only root give a
    file away, the service does it. The Unix group changes to one that `who` is in, as without us."""
    found = Inode.of(descriptor)
    merged = descriptors.merge(of(found.status, found.path, found.xattrs), given, parts)
    uid, gid = _unix_owner(merged, who, found.status)
    if (uid, gid) != (found.status.st_uid, found.status.st_gid):
        with as_service():
            os.chown(found.path, uid, gid)
    store(descriptor, merged, like_ksmbd)


def _unix_owner(descriptor: bytes, who: Identity, status: os.stat_result) -> tuple[int, int]:
    """The uid and gid that the descriptor's owner and group stand for; as they are where they stand for none."""
    whole = descriptors.parse(descriptor)
    uid = {who.owner: who.uid}.get(whole.owner or b"", sids.uid_of(whole.owner) if whole.owner else None)
    gid = {who.group: who.gid}.get(whole.group or b"", sids.gid_of(whole.group) if whole.group else None)
    if not (who.privileged or gid == who.gid or gid in who.groups):
        gid = None
    return status.st_uid if uid is None else uid, status.st_gid if gid is None else gid
