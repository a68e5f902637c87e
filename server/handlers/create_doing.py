"""What a CREATE that asks for a persistent handle has done is known in the server's next life too.

It makes or cuts a file before its open can be on disk (`keeping`). Where the server is killed between the two, its
client repeats the CREATE, and is not to hear that the file is there already, nor to cut what has been written since. So
the file bears the CREATE's mark until the open is on disk (`store/marks.py`).
"""

from hashlib import sha256

from ..handles import Key
from ..messages.create import CreateAction
from ..messages.header import Flags
from ..open import Open
from ..status import NT, Status
from ..store.base import Found, Make, Store
from ..work import Work
from .create_asked import Asked

DONE = CreateAction.CREATED, CreateAction.OVERWRITTEN, CreateAction.SUPERSEDED
_LENGTH = 16


def name_doing(work: Work, asked: Asked, key: Key) -> None:
    """Say in `asked` how what is done for it is marked. Local users see marks, and learn no GUIDs by them."""
    asked.mark = sha256(b"".join(key)).digest()[:_LENGTH]
    asked.repeats = bool(work.header.flags & Flags.REPLAY)
    asked.wanted.new.mark = _said(asked, CreateAction.CREATED)


def _said(asked: Asked, action: int) -> bytes:
    return bytes([action]) + asked.mark


async def open_again(work: Work, asked: Asked, store: Store) -> Found:
    """As `Store.open`; what the CREATE that is repeated has made or cut is not there before it, but by it."""
    assert work.tree is not None
    wanted = asked.wanted
    make = wanted.make
    wanted.make = Make.IF_ABSENT if make is Make.ALWAYS else make
    try:
        found = await store.open(work.tree.who, wanted)
    finally:
        wanted.make = make
    if found.made:
        return found
    try:
        said = await found.file.marked()
        found.before = next((action for action in DONE if said == _said(asked, action)), None)
        if found.before is None and make is Make.ALWAYS:
            raise Status(NT.OBJECT_NAME_COLLISION, "it was there before the CREATE that is repeated")
    except BaseException:
        await found.file.close()
        raise
    return found


async def mark(asked: Asked, found: Found, action: int) -> None:
    """The file has been cut, or a stream made."""
    if asked.mark:
        await found.file.mark(_said(asked, action))


async def unmark(asked: Asked, opened: Open) -> None:
    """The open is on disk, or will not be. Raises Status where it is closed meanwhile."""
    if not asked.mark:
        return
    await opened.file.mark(b"")
    if opened.closed:
        raise Status(NT.FILE_CLOSED, "closed while its mark was taken away")
