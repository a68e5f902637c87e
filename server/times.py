"""What a change made through an open does to its file's times and ARCHIVE attribute (MS-FSA 2.1.4.17).

The system moves the last write and change times with every change. A client that has set one of them through an open,
or asked with -1 that it stay, is not to see its own later changes move it; other opens' do. So after each change made
through such an open its times are put back. ARCHIVE comes back with the first change of data after it was cleared.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from .messages.fscc_file import Basic, FileAttribute
from .open import Open
from .status import Status
from .store.base import Kind, Stat

T = TypeVar("T")
MODIFIED, CHANGED = 1, 2
"""Bits of `Open.held_times`."""
HOLD, RESUME = -1, -2


async def data_change(opened: Open, change: Callable[[], Awaitable[T]]) -> T:
    """Do `change` to the data of `opened`, as far as its file's times and attributes go as well."""
    if not opened.held_times and opened.shared.archived:
        return await change()
    before = await opened.file.stat()
    try:
        return await change()
    finally:
        await _put_back(opened, before)
        if not opened.shared.archived and opened.file.kind is Kind.FILE:
            opened.shared.archived = True
            if not before.attributes & FileAttribute.ARCHIVE:
                attributes = before.attributes & ~FileAttribute.NORMAL | FileAttribute.ARCHIVE
                with suppress(Status, OSError):
                    await opened.file.set_basic(attributes=attributes)


async def other_change(opened: Open, change: Callable[[], Awaitable[T]]) -> T:
    """Do `change` to something else than its data."""
    if not opened.held_times:
        return await change()
    before = await opened.file.stat()
    try:
        return await change()
    finally:
        await _put_back(opened, before)


async def _put_back(opened: Open, before: Stat) -> None:
    """As far as the system lets it: the change itself has been made."""
    if opened.held_times:
        with suppress(Status, OSError):
            await opened.file.set_basic(
                modified=before.modified if opened.held_times & MODIFIED else None,
                changed=before.changed if opened.held_times & CHANGED else None,
            )


async def set_basic(opened: Open, wanted: Basic, attributes: int | None) -> None:
    """Set the times and attributes that are not None or 0, and remember which times stay (MS-FSA 2.1.5.15.2)."""
    held = opened.held_times
    for bit, time in ((MODIFIED, wanted.modified), (CHANGED, wanted.changed)):
        if time == RESUME:
            held &= ~bit
        elif time:
            held |= bit
    times = (wanted.created, wanted.accessed, wanted.modified, wanted.changed)
    created, accessed, modified, changed = (time if time > 0 else None for time in times)
    if changed is None and held & CHANGED:
        changed = (await opened.file.stat()).changed
    await opened.file.set_basic(created, accessed, modified, changed, attributes)
    opened.held_times = held
    if attributes is not None:
        opened.shared.archived = bool(attributes & FileAttribute.ARCHIVE)
