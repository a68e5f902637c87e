"""Reading and writing on an open descriptor: the calls that may wait for a disk, made in identity threads."""

import errno
import os
from collections.abc import Sequence

from smbdirect.wire import Buffer

from ..status import NT, Status
from . import syscalls

_MOST_PARTS = 1024
"""IOV_MAX."""
_COPY = 1 << 20
Write = tuple[Sequence[Buffer], int]
"""Parts, and the offset of the first."""
_NO_SUCH_CALL = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EXDEV})


def read(descriptor: int, into: memoryview, offset: int) -> int:
    """Fill `into`; less than its length only at end of file."""
    done = 0
    while done < len(into):
        count = os.preadv(descriptor, [into[done:]], offset + done)
        if count == 0:
            break
        done += count
    return done


def write(descriptor: int, parts: Sequence[Buffer], offset: int, through: bool) -> int:
    """Write all of `parts`."""
    left = [memoryview(part) for part in parts if len(part)]
    total = 0
    while left:
        count = os.pwritev(descriptor, left[:_MOST_PARTS], offset + total)
        total += count
        while left and count >= len(left[0]):
            count -= len(left.pop(0))
        if left and count:
            left[0] = left[0][count:]
    if through:
        os.fdatasync(descriptor)
    return total


def write_all(descriptor: int, writes: Sequence[Write], through: bool) -> list[int | Exception]:
    """What came of each; with `through`, all that has been written is on the disk."""
    outcomes: list[int | Exception] = []
    for parts, offset in writes:
        try:
            outcomes.append(write(descriptor, parts, offset, through=False))
        except (OSError, OverflowError) as error:
            outcomes.append(error)
    if through:
        try:
            os.fdatasync(descriptor)
        except OSError as error:
            return [came if isinstance(came, Exception) else error for came in outcomes]
    return outcomes


def grow(descriptor: int, size: int) -> bool:
    """Make the file as long as `size` where it is shorter, and nothing else; False where the file system cannot."""
    try:
        syscalls.fallocate(descriptor, 0, size - 1, 1)
    except OSError as error:
        if error.errno not in _NO_SUCH_CALL:
            raise
        return False
    return True


def set_allocation(descriptor: int, size: int) -> None:
    """Reserve `size` bytes, or cut the file to them where it is longer."""
    status = os.fstat(descriptor)
    if size < status.st_size:
        os.ftruncate(descriptor, size)
    elif size > status.st_blocks * 512:
        try:
            syscalls.fallocate(descriptor, syscalls.FALLOC_FL_KEEP_SIZE, 0, size)
        except OSError as error:
            if error.errno not in _NO_SUCH_CALL:
                raise
    elif size < status.st_blocks * 512:
        os.ftruncate(descriptor, status.st_size)


def zero(descriptor: int, offset: int, length: int, holes: bool) -> None:
    """Make the range read as zeros: a hole where `holes` and the file system has them. The size stays."""
    length = min(length, os.fstat(descriptor).st_size - offset)
    if length <= 0:
        return
    modes = (
        (syscalls.FALLOC_FL_PUNCH_HOLE, syscalls.FALLOC_FL_ZERO_RANGE) if holes else (syscalls.FALLOC_FL_ZERO_RANGE,)
    )
    for mode in modes:
        try:
            syscalls.fallocate(descriptor, mode | syscalls.FALLOC_FL_KEEP_SIZE, offset, length)
        except OSError as error:
            if error.errno not in _NO_SUCH_CALL:
                raise
        else:
            return
    nothing = memoryview(bytes(min(length, _COPY)))
    done = 0
    while done < length:
        done += os.pwrite(descriptor, nothing[: length - done], offset + done)


def allocated(descriptor: int, offset: int, length: int, most: int) -> list[tuple[int, int]]:
    """The first `most` ranges of data in [offset, offset + length), in order."""
    end = min(offset + length, os.fstat(descriptor).st_size)
    found: list[tuple[int, int]] = []
    at = offset
    while at < end and len(found) < most:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break
            raise
        if start >= end:
            break
        at = os.lseek(descriptor, start, os.SEEK_HOLE)
        found.append((start, min(at, end) - start))
    return found


def trim(descriptor: int, ranges: Sequence[tuple[int, int]]) -> None:
    """Give back the ranges' blocks; what they read as afterwards is zeros. Nothing where there are no holes."""
    size = os.fstat(descriptor).st_size
    for offset, length in ranges:
        length = min(length, size - offset)
        if length <= 0:
            continue
        try:
            syscalls.fallocate(descriptor, syscalls.FALLOC_FL_PUNCH_HOLE | syscalls.FALLOC_FL_KEEP_SIZE, offset, length)
        except OSError as error:
            if error.errno not in _NO_SUCH_CALL:
                raise


def copy(source: int, target: int, source_offset: int, offset: int, length: int) -> int:
    """Copy up to `length` bytes in the kernel, else through a buffer; the count, less only at the source's end."""
    done = 0
    while done < length:
        try:
            count = os.copy_file_range(source, target, length - done, source_offset + done, offset + done)
        except OSError as error:
            if error.errno not in _NO_SUCH_CALL:
                raise
            return done + _copy_by_hand(source, target, source_offset + done, offset + done, length - done)
        if count == 0:
            break
        done += count
    return done


def _copy_by_hand(source: int, target: int, source_offset: int, offset: int, length: int) -> int:
    """Copy through a buffer, from the end backwards where the ranges overlap within one file and forwards would
    read what it has just written."""
    length = min(length, max(0, os.fstat(source).st_size - source_offset))
    buffer = memoryview(bytearray(min(length, _COPY)))
    steps = range(0, length, max(1, len(buffer)))
    for step in reversed(steps) if source_offset < offset else steps:
        count = min(len(buffer), length - step)
        if read(source, buffer[:count], source_offset + step) < count:
            raise Status(NT.FILE_LOCK_CONFLICT, "cut while being copied")
        write(target, [buffer[:count]], offset + step, through=False)
    return length


def clone(source: int, target: int, source_offset: int, offset: int, length: int) -> None:
    """Share the blocks; copy them where the file system has no such thing. One that has refuses ranges that are no
    whole blocks (nor reach the source's end) with EINVAL."""
    if length == 0:
        return
    try:
        syscalls.clone_range(target, source, source_offset, length, offset)
    except OSError as error:
        if error.errno not in _NO_SUCH_CALL or error.errno == errno.EINVAL:
            raise
        copy(source, target, source_offset, offset, length)
