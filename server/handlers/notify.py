"""CHANGE_NOTIFY (MS-SMB2 3.3.5.19)."""

from ..changes import place_of
from ..messages.directory import WATCH_TREE, ChangeNotifyRequest, ChangeNotifyResponse
from ..notify import Waiting
from ..open import Open
from ..security.access import FILE_LIST_DIRECTORY
from ..status import NT, Status
from ..store.base import Kind
from ..work import Work


async def notify(work: Work, request: ChangeNotifyRequest) -> ChangeNotifyResponse:
    """Answer with what has changed since the last request, or wait until something does.

    The wait ends with the handle (NOTIFY_CLEANUP), with the directory (DELETE_PENDING), or by CANCEL.
    """
    opened = work.open
    assert opened is not None
    _check(work, opened, request)
    opened.waiting.add(work)
    try:
        waiting = await _ask(work, opened, request)
        if not waiting.future.done():
            await _wait(work, opened, waiting)
        waiting.future.result()
    finally:
        opened.waiting.discard(work)
    if waiting.answer is None:
        work.status = NT.NOTIFY_ENUM_DIR
        return ChangeNotifyResponse()
    return ChangeNotifyResponse(waiting.answer)


def _check(work: Work, opened: Open, request: ChangeNotifyRequest) -> None:
    if opened.file.kind is not Kind.DIRECTORY or opened.file.stream:
        raise Status(NT.INVALID_PARAMETER, "no directory")
    if not opened.mode.access & FILE_LIST_DIRECTORY:
        raise Status(NT.ACCESS_DENIED, "opened without the right to list")
    if request.output_length > work.connection.negotiated.max_transact:
        raise Status(NT.INVALID_PARAMETER, f"{request.output_length} bytes of answer")
    if opened.shared.delete_pending:
        raise Status(NT.DELETE_PENDING)


async def _ask(work: Work, opened: Open, request: ChangeNotifyRequest) -> Waiting:
    """Queue the request with the open's watch, which the first one makes."""
    place = place_of(opened.tree, opened.file.path())
    if opened.watch is not None:
        opened.watch.move(place)
        return opened.watch.ask(request.output_length)
    changes = work.connection.server.opens.changes
    tree = bool(request.flags & WATCH_TREE)
    watch = changes.watches.add(place, request.completion_filter, tree, request.output_length, opened.tree.share)
    opened.watch = watch
    waiting = watch.ask(request.output_length)
    try:
        await changes.local.follow(opened, watch)
    except BaseException:
        watch.give_up(waiting)  # else the next change would answer a request that is gone
        raise
    return waiting


async def _wait(work: Work, opened: Open, waiting: Waiting) -> None:
    work.forget_request()
    try:
        await work.wait(waiting.future)
    finally:
        if opened.watch is not None:
            opened.watch.give_up(waiting)
