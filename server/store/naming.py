"""Renaming, linking and removing: calls on names, made only after the name has proved to be the file's.

A file is known by its descriptor; where it is now the kernel says (/proc/self/fd). Its parent is then opened beneath
the root, and the name there must have the descriptor's device and inode before anything is done to it. Between the
two no other thread of this process changes names in that directory; another process may, for a microsecond or two.
"""

import contextlib
import errno
import os
import secrets
import stat
import threading
from collections.abc import Iterator
from typing import NamedTuple

from server.security import access

from ..status import NT, Status
from . import acls, inode, names, syscalls
from .base import Identity, Path
from .inode import Inode
from .kernel_leases import changing_what
from .namecache import Change
from .resolve import Place, Resolver
from .streams import Streams
from .threads import as_service

_DELETED = b" (deleted)"
_TRIES = 8
_LOCKS = tuple(threading.RLock() for _ in range(64))
"""By a directory's inode, of all shares: held from seeing whose a name is until it is changed."""


def where(resolver: Resolver, descriptor: int) -> Path:
    """The path of an open file under the root; FILE_DELETED where it has none, or has left the share."""
    return tuple(map(names.from_disk, _components(resolver, descriptor)))


def location(resolver: Resolver) -> Path:
    """Where the root is on this machine."""
    raw = os.readlink(inode.proc(resolver.root).encode())
    return tuple(names.from_disk(part) for part in raw.split(b"/") if part)


def _components(resolver: Resolver, descriptor: int) -> list[bytes]:
    raw = os.readlink(inode.proc(descriptor).encode())
    root = os.readlink(inode.proc(resolver.root).encode())
    if raw == root:
        return []
    prefix = root if root.endswith(b"/") else root + b"/"
    if not raw.startswith(prefix):
        raise Status(NT.FILE_DELETED, "moved out of the share")
    inside = raw[len(prefix) :]
    if raw.endswith(_DELETED) and not _is_there(resolver, descriptor, inside):
        raise Status(NT.FILE_DELETED, "removed")
    return inside.split(b"/")


def _is_there(resolver: Resolver, descriptor: int, path: bytes) -> bool:
    """Whether a path that looks like the kernel's word for a removed file is a file's real name."""
    status = os.fstat(descriptor)
    try:
        named = os.stat(path, dir_fd=resolver.root, follow_symlinks=False)
    except OSError:
        return False
    return (named.st_dev, named.st_ino) == (status.st_dev, status.st_ino)


def place_of(resolver: Resolver, descriptor: int) -> Place:
    """The name that an open file has now, verified to be its own."""
    status, before = os.fstat(descriptor), list[bytes]()
    while True:
        components = _components(resolver, descriptor)
        if not components:
            raise Status(NT.ACCESS_DENIED, "the share's root")
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # one above it was renamed meanwhile
            place = resolver.place_on_disk(components)
            if _is_name_of(place, status):
                return place
            place.close()
        if components == before:
            raise Status(NT.FILE_DELETED, "removed by another, or the name is another file's now")
        before = components


def _is_name_of(place: Place, status: os.stat_result) -> bool:
    try:
        named = os.stat(place.name, dir_fd=place.directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(named, status)


@contextlib.contextmanager
def _alone(*directories: int) -> Iterator[None]:
    """Within: no other thread renames or removes names in these directories."""
    with contextlib.ExitStack() as stack:
        for index in sorted({os.fstat(directory).st_ino % len(_LOCKS) for directory in directories}):
            stack.enter_context(_LOCKS[index])
        yield


@contextlib.contextmanager
def held_place(resolver: Resolver, descriptor: int) -> Iterator[Place]:
    """Within: the name that an open file has, which no other thread takes from it."""
    for _ in range(_TRIES):
        with contextlib.closing(place_of(resolver, descriptor)) as place, _alone(place.directory):
            if _is_name_of(place, os.fstat(descriptor)):
                yield place
                return
    raise Status(NT.SHARING_VIOLATION, "renamed again and again")


def unlink(resolver: Resolver, streams: Streams, descriptor: int) -> None:
    """Remove the name of an open file or empty directory, and with its last name what it keeps elsewhere."""
    with held_place(resolver, descriptor) as place:
        status = os.fstat(descriptor)
        elsewhere = _going(streams, descriptor, status)
        _remove(resolver, place, stat.S_ISDIR(status.st_mode))
        if stat.S_ISDIR(status.st_mode):
            resolver.cache.forget(descriptor)
        _forget(streams, elsewhere)


def _remove(resolver: Resolver, place: Place, directory: bool) -> None:
    with resolver.cache.change(place.directory) as change:
        if directory:
            os.rmdir(place.name, dir_fd=place.directory)
        else:
            os.unlink(place.name, dir_fd=place.directory)
        change.removed(place.name)


def _going(streams: Streams, descriptor: int, status: os.stat_result) -> list[str]:
    """What goes with a file whose name goes: nothing, while it has others."""
    last = stat.S_ISDIR(status.st_mode) or (stat.S_ISREG(status.st_mode) and status.st_nlink == 1)
    if not last:
        return []
    with as_service():  # who may remove a file need not be one who may read its xattrs
        return streams.kept_elsewhere(descriptor)


def _forget(streams: Streams, elsewhere: list[str]) -> None:
    if elsewhere:
        with as_service():
            streams.forget(elsewhere)


def rename(resolver: Resolver, streams: Streams, who: Identity, descriptor: int, target: Path, replace: bool) -> None:
    """Give an open file the name `target`."""
    with contextlib.closing(resolver.place(_named(target))) as goal:
        status = os.fstat(descriptor)
        for _ in range(_TRIES):
            with contextlib.closing(place_of(resolver, descriptor)) as source:
                if not _same(source.directory, goal.directory):
                    _may_add(goal.directory, who, stat.S_ISDIR(status.st_mode))
                with _alone(source.directory, goal.directory):
                    if _is_name_of(source, status):
                        _move(resolver, streams, who, status, source, goal, target[-1], replace)
                        return
    raise Status(NT.SHARING_VIOLATION, "renamed again and again")


def _move(
    resolver: Resolver,
    streams: Streams,
    who: Identity,
    status: os.stat_result,
    source: Place,
    goal: Place,
    name: str,
    replace: bool,
) -> None:
    there = _there(resolver, streams, goal, name)
    over, another_link, elsewhere = goal.name, False, list[str]()
    old = source.name
    if there is not None:
        same = os.path.samestat(there.status, status)
        if same and _same(source.directory, goal.directory) and (there.name == old or _has_one_name(status)):
            replace = True  # only its case changes, if anything
            source = _aside(source, goal)
        else:
            _may_replace(there, goal, who, replace)
            over, another_link = there.name, same
            elsewhere = [] if same else there.elsewhere
    replacing = changing_what(there.status) if there is not None else contextlib.nullcontext()
    with replacing, resolver.cache.changes(source.directory, goal.directory) as (left, entered):
        if another_link:  # rename(2) between two names of one file does nothing
            os.unlink(over, dir_fd=goal.directory)
            over = goal.name
        _rename(source, goal, over, replace)
        left.removed(old)
        entered.made(goal.name)
    _forget(streams, elsewhere)


def _has_one_name(status: os.stat_result) -> bool:
    return stat.S_ISDIR(status.st_mode) or status.st_nlink == 1


def _aside(source: Place, goal: Place) -> Place:
    """Where a file is to be renamed from that changes only its case: where the file system itself matches names
    without case (vfat, exfat), rename(2) would do nothing, so there the file is moved to a name between first."""
    if source.name == goal.name or not _taken(goal):
        return source
    between = Place(source.directory, b".smbdirect-" + secrets.token_hex(8).encode(), borrowed=True)
    os.rename(source.name, between.name, src_dir_fd=source.directory, dst_dir_fd=between.directory)
    return between


class _There(NamedTuple):
    """What has the name that a file is to get."""

    name: bytes
    status: os.stat_result
    elsewhere: list[str]
    acl: bytes


def _there(resolver: Resolver, streams: Streams, goal: Place, name: str) -> _There | None:
    found = resolver.child(goal.directory, name)
    if found is None:
        return None
    try:
        there = Inode.of(found[0])
        acl = acls.of(there.status, there.path, there.xattrs)
        return _There(found[1], there.status, _going(streams, found[0], there.status), acl)
    finally:
        os.close(found[0])


def _rename(source: Place, goal: Place, over: bytes, replace: bool) -> None:
    """Rename `source` to `goal`; with `replace`, over the name `over`, which may be spelled in another case."""
    if replace:
        os.rename(source.name, over, src_dir_fd=source.directory, dst_dir_fd=goal.directory)
        if over != goal.name:
            os.rename(over, goal.name, src_dir_fd=goal.directory, dst_dir_fd=goal.directory)
        return
    try:
        syscalls.rename_no_replace(source.directory, source.name, goal.directory, goal.name)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS):
            raise
        if _taken(goal):
            raise FileExistsError(errno.EEXIST, "there") from None
        os.rename(source.name, goal.name, src_dir_fd=source.directory, dst_dir_fd=goal.directory)


def link(resolver: Resolver, streams: Streams, who: Identity, descriptor: int, target: Path, replace: bool) -> None:
    """Give an open file one more name."""
    with contextlib.closing(resolver.place(_named(target))) as goal:
        _may_add(goal.directory, who, False)
        with _alone(goal.directory):
            there = _there(resolver, streams, goal, target[-1])
            if there is not None:
                _may_replace(there, goal, who, replace)
                if os.path.samestat(there.status, os.fstat(descriptor)) and there.name == goal.name:
                    return
            with resolver.cache.change(goal.directory) as change:
                if there is not None:
                    os.unlink(there.name, dir_fd=goal.directory)
                    change.removed(there.name)
                _link(descriptor, goal, change)
            _forget(streams, [] if there is None else there.elsewhere)


def _link(descriptor: int, goal: Place, change: Change) -> None:
    os.link(inode.proc(descriptor), goal.name, dst_dir_fd=goal.directory, follow_symlinks=True)
    change.made(goal.name)


def _named(target: Path) -> Path:
    if not target:
        raise Status(NT.OBJECT_NAME_COLLISION, "the share's root")
    return target


def _may_add(directory: int, who: Identity, subdirectory: bool) -> None:
    """Ask the directory's own descriptor whether `who` may put something there."""
    right = access.FILE_ADD_SUBDIRECTORY if subdirectory else access.FILE_ADD_FILE
    access.check(acls.of_directory(directory), who, right)


def _may_replace(there: _There, goal: Place, who: Identity, replace: bool) -> None:
    """What is replaced is deleted: who may not delete it may not replace it."""
    if not replace:
        raise Status(NT.OBJECT_NAME_COLLISION, "the new name is taken")
    if stat.S_ISDIR(there.status.st_mode):
        raise Status(NT.ACCESS_DENIED, "a directory is not replaced")
    access.check(there.acl, who, access.DELETE, acls.of_directory(goal.directory))


def _same(one: int, other: int) -> bool:
    return os.path.samestat(os.fstat(one), os.fstat(other))


def _taken(place: Place) -> bool:
    try:
        os.stat(place.name, dir_fd=place.directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
