"""Finding or making a file, in one go in an identity thread: what `PosixStore.open` does off the loop.

The order is that of MS-FSA 2.1.5.1: find the name; where it is absent and may be made, ask the directory's own
descriptor, make it, give it attributes, ACL and EAs; then open its data as far as was asked for. What fails after
the making unmakes it.
"""

import contextlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

from server.security import access, descriptors

from .. import filetime
from ..status import NT, Status
from . import acls, attributes, data, eas, inode, marks, names
from .base import Identity, Kind, Make, New, Wanted
from .descriptions import DESCRIPTIONS, Description
from .inode import Inode
from .known import Known, look
from .namecache import Change
from .options import Options
from .resolve import Place, Resolver
from .threads import as_service

_READS = access.FILE_READ_DATA | access.FILE_EXECUTE
_WRITES = access.FILE_WRITE_DATA | access.FILE_APPEND_DATA
_SAFE = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | _SAFE
_RACES = 8


@dataclass(slots=True)
class Opened:
    """A file found or made: its descriptor (for data where `readable` or `writable`, else O_PATH)."""

    descriptor: int
    inode: Inode
    made: bool
    readable: bool = False
    writable: bool = False
    acl: bytes = b""
    parent: bytes = b""
    description: Description | None = None
    """What the descriptor is one user of; None where it is this open's alone."""

    @property
    def flags(self) -> int:
        """The access mode it was opened with."""
        return (os.O_RDWR if self.readable else os.O_WRONLY) if self.writable else os.O_RDONLY

    def use(self, description: Description, flags: int) -> None:
        """From now on its descriptor is that of its data, opened with `flags`."""
        os.close(self.descriptor)
        self.descriptor, self.description = description.descriptor, description
        self.inode.path = inode.proc(self.descriptor)
        self.readable = flags != os.O_WRONLY
        self.writable = flags != os.O_RDONLY

    def close(self) -> None:
        if self.description is not None:
            self.description.leave(self.flags)
        else:
            os.close(self.descriptor)


def find_or_make(resolver: Resolver, known: Known, options: Options, who: Identity, wanted: Wanted) -> Opened:
    """Open what `wanted` names; the stream is not looked at, but that a file made for one is a plain file."""
    if not wanted.path:
        return _root(resolver, known, who, wanted)
    place = resolver.place(wanted.path)
    try:
        for _ in range(_RACES):
            found = resolver.child(place.directory, wanted.path[-1])
            if found is not None:
                return _existing(found[0], place, known, who, wanted)
            if wanted.make is Make.NEVER:
                raise Status(NT.OBJECT_NAME_NOT_FOUND, wanted.path[-1])
            with contextlib.suppress(FileExistsError):
                return make(resolver, options, who, wanted, place)
        raise Status(NT.OBJECT_NAME_COLLISION, "made and removed again by another")
    finally:
        place.close()


def _root(resolver: Resolver, known: Known, who: Identity, wanted: Wanted) -> Opened:
    if wanted.make is Make.ALWAYS and not wanted.stream:
        raise Status(NT.OBJECT_NAME_COLLISION, "the share's root")
    descriptor = resolver.directory(())
    found = known.look(who, descriptor)
    return Opened(descriptor, found.inode, False, acl=found.acl)


def _existing(descriptor: int, place: Place, known: Known, who: Identity, wanted: Wanted) -> Opened:
    opened: Opened | None = None
    try:
        if wanted.make is Make.ALWAYS and not wanted.stream:
            raise Status(NT.OBJECT_NAME_COLLISION, wanted.path[-1])
        found = known.look(who, descriptor)
        opened = Opened(descriptor, found.inode, False, acl=found.acl, parent=known.look(who, place.directory).acl)
        if found.inode.kind is Kind.FILE and not wanted.stream:
            open_data(opened, wanted.access)
            if opened.description is not None:
                found.modes.add(opened.flags)
    except BaseException:
        if opened is not None:
            opened.close()
        else:
            os.close(descriptor)
        raise
    return opened


def open_data(opened: Opened, wanted: int) -> None:
    """Replace the O_PATH descriptor by one for the data rights in the access mask `wanted`, where there are any."""
    for flags in modes(wanted):
        try:
            description = DESCRIPTIONS.open(opened.descriptor, opened.inode.status, flags)
        except PermissionError:
            if wanted & access.MAXIMUM_ALLOWED:
                continue
            raise
        opened.use(description, flags)
        return


def modes(wanted: int) -> tuple[int, ...]:
    """The modes in which data is tried to be opened for the access mask `wanted`, best first."""
    reads, writes = wanted & _READS, wanted & _WRITES
    if wanted & access.MAXIMUM_ALLOWED:
        if writes:
            return (os.O_RDWR,) if reads else (os.O_RDWR, os.O_WRONLY)
        return (os.O_RDWR, os.O_RDONLY) if reads else (os.O_RDWR, os.O_RDONLY, os.O_WRONLY)
    if writes:
        return (os.O_RDWR,) if reads else (os.O_WRONLY,)
    return (os.O_RDONLY,) if reads else ()


def make(resolver: Resolver, options: Options, who: Identity, wanted: Wanted, place: Place) -> Opened:
    """Make what `wanted` says in `place`; FileExistsError where someone else was faster."""
    directory = wanted.new.directory and not wanted.stream
    refuse_doomed(wanted)
    above = acls.of_directory(place.directory)
    access.check(above, who, access.FILE_ADD_SUBDIRECTORY if directory else access.FILE_ADD_FILE)
    acl = descriptors.inherit(above, who, directory, wanted.new.descriptor)
    with resolver.cache.change(place.directory) as change:
        if change.holds(names.fold(wanted.path[-1])):
            raise FileExistsError
        descriptor = _make_directory(place, options) if directory else _make_file(place, options, wanted)
        change.made(place.name)
        try:
            _furnish(descriptor, options, wanted, acl)
            if options.inherit_owner:
                _give_to_owner(descriptor, place.directory)
            return _made(descriptor, directory, above, shared=not directory and not wanted.stream)
        except BaseException:
            os.close(descriptor)
            _unmake(place, directory, change)
            raise


def refuse_doomed(wanted: Wanted) -> None:
    """What is made READONLY cannot be deleted at its close (MS-FSA 2.1.5.1.1)."""
    if wanted.delete_on_close and not wanted.stream and wanted.new.attributes & attributes.READONLY:
        raise Status(NT.CANNOT_DELETE, "READONLY")


def _make_file(place: Place, options: Options, wanted: Wanted) -> int:
    mode = options.file_mode(False)
    if wanted.new.mark and not wanted.stream:
        return marks.make(place.directory, place.name, mode, wanted.new.mark)
    return os.open(place.name, os.O_RDWR | _NEW, mode, dir_fd=place.directory)


def _make_directory(place: Place, options: Options) -> int:
    os.mkdir(place.name, options.file_mode(True), dir_fd=place.directory)
    return os.open(place.name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.directory)


def _give_to_owner(descriptor: int, directory: int) -> None:
    """Let the directory's owner own a new file; a service that is not root cannot give files away."""
    with as_service(), contextlib.suppress(PermissionError):
        os.chown(inode.proc(descriptor), os.fstat(directory).st_uid, -1)


def _unmake(place: Place, directory: bool, change: Change) -> None:
    remove: Callable[..., None] = os.rmdir if directory else os.unlink
    with contextlib.suppress(OSError):
        remove(place.name, dir_fd=place.directory)
        change.removed(place.name)


def _furnish(descriptor: int, options: Options, wanted: Wanted, acl: bytes | None) -> None:
    """Give a new file its attributes, ACL, EAs and room."""
    new = wanted.new
    try:
        _keep(descriptor, options, new)
    except PermissionError:  # a mode without write permission keeps even its owner from setting xattrs
        with as_service():
            _keep(descriptor, options, new)
    acls.store_inherited(descriptor, acl, options.like_ksmbd)
    if new.allocation and not stat.S_ISDIR(os.fstat(descriptor).st_mode):
        data.set_allocation(descriptor, new.allocation)


def _keep(descriptor: int, options: Options, new: New) -> None:
    status = os.fstat(descriptor)
    path = inode.proc(descriptor)
    archive = 0 if stat.S_ISDIR(status.st_mode) else attributes.ARCHIVE
    if options.store_dos_attributes:
        made = filetime.from_ns(status.st_mtime_ns)
        inode.store_attributes(path, new.attributes & attributes.SETTABLE | archive, made)
    eas.write(path, new.eas)
    if new.reparse is not None:
        os.setxattr(path, inode.REPARSE, new.reparse)


def _made(descriptor: int, directory: bool, above: bytes, shared: bool) -> Opened:
    found, acl, _ = look(descriptor)
    opened = Opened(descriptor, found, True, readable=not directory, writable=not directory, acl=acl, parent=above)
    if shared:
        opened.description = DESCRIPTIONS.adopt(descriptor, found.status, os.O_RDWR)
    return opened
