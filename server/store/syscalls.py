"""Linux system calls that Python's `os` does not have, or has for the whole process only.

Called through ctypes by number, because the C library's wrappers of the credential calls act on every thread.
Every function raises OSError as `os` does.
"""

import ctypes
import errno
import fcntl
import functools
import os
import platform
import struct
from collections.abc import Iterable

_LIBC = ctypes.CDLL(None, use_errno=True)
_syscall = _LIBC.syscall
_syscall.restype = ctypes.c_long
_quick_syscall = ctypes.PyDLL(None, use_errno=True).syscall
"""For calls that never wait: it keeps the interpreter's lock, which costs more to take back than they take."""
_quick_syscall.restype = ctypes.c_long

_NUMBERS = {
    # name: (x86_64, aarch64)
    "setgroups": (116, 159),
    "setfsuid": (122, 151),
    "setfsgid": (123, 152),
    "capget": (125, 90),
    "capset": (126, 91),
    "statx": (332, 291),
    "renameat2": (316, 276),
    "openat2": (437, 437),
    "faccessat2": (439, 439),
    "signalfd4": (289, 74),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
}
_COLUMN = 1 if platform.machine() == "aarch64" else 0
_NR = {name: ctypes.c_long(numbers[_COLUMN]) for name, numbers in _NUMBERS.items()}

AT_FDCWD = -100
AT_EACCESS = 0x200
AT_EMPTY_PATH = 0x1000
AT_SYMLINK_NOFOLLOW = 0x100

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_CACHED = 0x20

RENAME_NOREPLACE = 1

FALLOC_FL_KEEP_SIZE = 0x01
FALLOC_FL_PUNCH_HOLE = 0x02
FALLOC_FL_ZERO_RANGE = 0x10

FICLONERANGE = 0x4020940D

CLONE_FS = 0x00000200
_ALL = ctypes.c_uint32(0xFFFFFFFF)

_NEEDS = {os.O_RDONLY: os.R_OK, os.O_WRONLY: os.W_OK, os.O_RDWR: os.R_OK | os.W_OK}
_HOW = struct.Struct("=QQQ")
_STATX_BTIME = 0x800
_STATX_MASK_AT = 0
_STATX_BTIME_AT = 80
_TIMESTAMP = struct.Struct("=qI")


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


class How:
    """The flags of an openat2, packed once (struct open_how)."""

    SIZE = _HOW.size

    def __init__(self, flags: int, resolve: int, mode: int = 0) -> None:
        self._how = ctypes.create_string_buffer(_HOW.pack(flags, mode, resolve), _HOW.size)
        self.at = ctypes.addressof(self._how)

    def open(self, directory: int, path: bytes) -> int:
        """A new descriptor of `path` under `directory`."""
        return _check(_syscall(_NR["openat2"], directory, path, self._how, _HOW.size))

    def open_quickly(self, directory: int, path: bytes) -> int:
        """The same where `resolve` has RESOLVE_CACHED; less than 0 where it cannot be had at once."""
        return int(_quick_syscall(_NR["openat2"], directory, path, self._how, _HOW.size))


def has_openat2() -> bool:
    """Whether the kernel (5.6 on) has it, and nothing (a container's filter) forbids it."""
    try:
        os.close(How(os.O_PATH | os.O_CLOEXEC, RESOLVE_BENEATH).open(AT_FDCWD, b"."))
    except OSError as error:
        return error.errno not in (errno.ENOSYS, errno.EPERM)
    return True


def may_open(path: str, flags: int) -> bool:
    """Whether the system lets the calling thread, as whom it acts, open what is at `path` with an access mode.

    `os.access` will not do: where the kernel (before 5.8) or a container's filter has no faccessat2, the C library asks
    for the process's user instead, which a thread's own credentials are not. There it is opened to see, which others'
    leases hear of; a directory is then never writable."""
    if has_faccessat2():
        return _faccessat2(path, _NEEDS[flags]) == 0
    try:
        os.close(os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno == errno.EAGAIN  # a lease: rights are looked at before
    return True


@functools.cache
def has_faccessat2() -> bool:
    return _faccessat2(".", os.F_OK) == 0 or ctypes.get_errno() not in (errno.ENOSYS, errno.EPERM)


def _faccessat2(path: str, mode: int) -> int:
    return int(_syscall(_NR["faccessat2"], AT_FDCWD, os.fsencode(path), mode, AT_EACCESS))


def birth(descriptor: int) -> int | None:
    """When an open file was made, in ns since 1970, where the file system knows."""
    return _birth(descriptor, b"", AT_EMPTY_PATH)


def birth_at(path: str) -> int | None:
    """The same of `path`, itself if it is a symbolic link."""
    return _birth(AT_FDCWD, os.fsencode(path), AT_SYMLINK_NOFOLLOW)


def _birth(directory: int, path: bytes, flags: int) -> int | None:
    found = ctypes.create_string_buffer(256)
    try:
        _check(_syscall(_NR["statx"], directory, path, flags, _STATX_BTIME, found))
    except OSError:
        return None
    if not int.from_bytes(found.raw[_STATX_MASK_AT : _STATX_MASK_AT + 4], "little") & _STATX_BTIME:
        return None
    seconds, nanoseconds = _TIMESTAMP.unpack_from(found, _STATX_BTIME_AT)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def rename_no_replace(source: int, old: bytes, target: int, new: bytes) -> None:
    """Rename, or FileExistsError; EINVAL where the file system cannot promise it."""
    _check(_syscall(_NR["renameat2"], source, old, target, new, RENAME_NOREPLACE))


def fallocate(descriptor: int, mode: int, offset: int, length: int) -> None:
    """Linux's fallocate: reserve, punch or zero a range."""
    _check(_LIBC.fallocate(descriptor, mode, ctypes.c_int64(offset), ctypes.c_int64(length)))


def clone_range(target: int, source: int, source_offset: int, length: int, offset: int) -> None:
    """Let `target` share the blocks of a range of `source` (FICLONERANGE)."""
    fcntl.ioctl(target, FICLONERANGE, struct.pack("=qQQQ", source, source_offset, length, offset))


def signalfd(signals: Iterable[int]) -> int:
    """A descriptor from which the calling thread's pending `signals`, which it has blocked, are read."""
    mask = ctypes.c_uint64(sum(1 << (number - 1) for number in signals))
    flags = os.O_NONBLOCK | os.O_CLOEXEC
    return _check(_syscall(_NR["signalfd4"], -1, ctypes.byref(mask), ctypes.c_size_t(8), flags))


def io_uring_setup(entries: int, parameters: ctypes.Array[ctypes.c_char]) -> int:
    """A new ring's descriptor, its `parameters` (struct io_uring_params) filled in."""
    return _check(_syscall(_NR["io_uring_setup"], entries, parameters))


def io_uring_register(ring: int, operation: int, number: int) -> int:
    """An `operation` without an argument but a `number`."""
    return _check(_syscall(_NR["io_uring_register"], ring, operation, None, number))


def io_uring_enter(ring: int, submit: int, complete: int, flags: int) -> int:
    """Submit calls that never wait, and have as many completed."""
    return _check(_quick_syscall(_NR["io_uring_enter"], ring, submit, complete, flags, None, ctypes.c_size_t(0)))


# -- credentials of the calling thread alone ----------------------------------------------------------------


def set_groups(groups: tuple[int, ...]) -> None:
    """The calling thread's supplementary groups."""
    _check(_syscall(_NR["setgroups"], len(groups), (ctypes.c_uint32 * len(groups))(*groups)))


def set_fs_ids(uid: int, gid: int) -> None:
    """The calling thread's file-system user and group; PermissionError when they did not take.

    Neither call reports failure, so each is asked again with an id that is none, which answers the present one."""
    _syscall(_NR["setfsgid"], ctypes.c_uint32(gid))
    _syscall(_NR["setfsuid"], ctypes.c_uint32(uid))
    if _syscall(_NR["setfsgid"], _ALL) != gid or _syscall(_NR["setfsuid"], _ALL) != uid:
        raise PermissionError(errno.EPERM, f"cannot act as {uid}:{gid}")


_CAPABILITY_VERSION_3 = 0x20080522
_CAP_SYS_RESOURCE = 24


def drop_sys_resource() -> None:
    """Take CAP_SYS_RESOURCE out of the calling thread's effective set: with it, quotas do not hold."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    data = ctypes.create_string_buffer(24)
    _check(_syscall(_NR["capget"], header, data))
    low_effective, *rest = struct.unpack("=6I", data.raw)
    _check(_syscall(_NR["capset"], header, struct.pack("=6I", low_effective & ~(1 << _CAP_SYS_RESOURCE), *rest)))


def own_umask() -> None:
    """Give the calling thread a umask (and working directory) of its own, and make that umask 0: modes are the
    store's to say."""
    _check(_LIBC.unshare(CLONE_FS))
    os.umask(0)
