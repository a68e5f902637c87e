"""What the kernel gives on an open file against everybody else: leases (fcntl's F_SETLEASE), and from Linux 6.19 on
delegations (F_SETDELEG).

Both let who opens or truncates the file wait until they are let go. A delegation does so also to who renames, links or
removes it, or changes its mode, owner, times, size or extended attributes: to ourselves, too, even by the descriptor
that has it; a size is then refused with EAGAIN. A description has the one or the other. A delegation cannot be had
while somebody changes the inode, as a write does.
"""

import contextlib
import fcntl
import functools
import os
import struct

_DELEGATION = struct.Struct("=IHH")
"""struct delegation: flags, kind, nothing."""
_F_GETDELEG, _F_SETDELEG = 1039, 1040
_CAPABILITIES = "security.capability"
_AS_ANOTHER = 0o6000


class Lease:
    """How a lease is set, and asked for; `kind` is F_RDLCK, F_WRLCK or F_UNLCK."""

    @staticmethod
    def put(descriptor: int, kind: int) -> bool:
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, kind)
            return True
        return False

    @staticmethod
    def kind(descriptor: int) -> int:
        """What is held, or while it is being broken, what may stay of it."""
        return fcntl.fcntl(descriptor, fcntl.F_GETLEASE)

    @staticmethod
    def change(descriptor: int, kind: int) -> bool:
        """Let what is held be of another kind."""
        return Lease.put(descriptor, kind)


class Delegation(Lease):
    """The same of a delegation."""

    @staticmethod
    def put(descriptor: int, kind: int) -> bool:
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, _F_SETDELEG, _DELEGATION.pack(0, kind, 0))
            return True
        return False

    @staticmethod
    def kind(descriptor: int) -> int:
        kind: int = _DELEGATION.unpack(fcntl.fcntl(descriptor, _F_GETDELEG, bytes(_DELEGATION.size)))[1]
        return kind

    @staticmethod
    def change(descriptor: int, kind: int) -> bool:
        """F_SETLEASE changes a delegation, too, and minds nobody who is at the inode: nor need it, for there is one."""
        return Lease.put(descriptor, kind) and Delegation.kind(descriptor) == kind


@functools.cache
def offers_delegations() -> bool:
    descriptor = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        Delegation.kind(descriptor)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def may_be_delegated(descriptor: int, status: os.stat_result, writable: bool) -> bool:
    """Whether we can write by `descriptor` under a delegation. Not where a write takes rights from the file: the kernel
    would refuse it with EAGAIN, as what changes the file's mode."""
    if not writable:
        return True
    if status.st_mode & _AS_ANOTHER:
        return False
    with contextlib.suppress(OSError):
        os.getxattr(descriptor, _CAPABILITIES)
        return False
    return True
