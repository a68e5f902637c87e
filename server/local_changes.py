"""What other processes of this machine do to files, told to whoever watches, or caches, the directories they are in.

A share's store says what it hears from the system; nothing of it is our own doing, which the handlers tell
(`changes`). A store is asked for it while any directory of its share is watched or cached, and no longer.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

from .messages.directory import CompletionFilter as Filter
from .messages.directory import NotifyAction as Action
from .notify import Event, Watch, Watches
from .store.base import Path
from .store.following import Followed, Follower, LocalChange, LocalKind

if TYPE_CHECKING:
    from .open import Open
    from .tree import Share

CONTENTS = {
    LocalKind.WRITTEN: Filter.SIZE | Filter.LAST_WRITE,
    LocalKind.SET: Filter.ATTRIBUTES | Filter.LAST_WRITE | Filter.LAST_ACCESS | Filter.CREATION | Filter.EA
    | Filter.SECURITY,
}  # fmt: skip
"""What hears of a change that leaves the name; the system does not say more than this."""


class LocalChanges:
    def __init__(self, watches: Watches) -> None:
        self._watches = watches
        self._followers: dict[Share, Follower] = {}
        self._followed: dict[Hashable, tuple[Share, Followed | None]] = {}
        self._watched: Counter[Share] = Counter()
        self.told: Callable[[Path, LocalChange], None] = lambda location, change: None
        """Who caches directories is told of each change, and where its store is; of all, `lost`, where some went."""
        self.lost: Callable[[Path], None] = lambda location: None

    @property
    def count(self) -> int:
        """Shares whose stores are asked."""
        return len(self._followers)

    async def follow(self, opened: "Open", watch: Watch) -> None:
        """Let `watch`, of the directory that is open as `opened`, hear what other processes do; until `leave`."""
        config = opened.tree.share.config
        if config is None or not config.kernel_change_notify:
            return
        path = opened.file.path()
        followed = await self.hear(opened, watch, watch.tree)
        if followed is not None:
            above = len(watch.place) - len(path)
            watch.on_move = lambda place: followed.move(place[above:])

    async def hear(self, opened: "Open", who: Hashable, tree: bool = False) -> Followed | None:
        """Hear of the directory that is open as `opened` until `who` calls `leave`; None where nothing can be heard."""
        share = opened.tree.share
        follower = self._follower(share)
        if follower is None:
            return None
        self._followed[who] = share, None
        self._watched[share] += 1
        followed = await follower.follow(opened.file.path(), tree)
        if followed is None:
            return None
        if who not in self._followed:  # it has left meanwhile
            followed.close()
            return None
        self._followed[who] = share, followed
        return followed

    def catch_up(self) -> None:
        """Tell what has been done so far, before something is told that we have done since."""
        for follower in self._followers.values():
            follower.catch_up()

    def leave(self, who: Hashable) -> None:
        share, followed = self._followed.pop(who, (None, None))
        if followed is not None:
            followed.close()
        if share is None:
            return
        self._watched[share] -= 1
        if not self._watched[share]:
            del self._watched[share]
            self._followers.pop(share).close()

    def _follower(self, share: "Share") -> Follower | None:
        found = self._followers.get(share)
        store = share.store
        if found is None and store is not None:
            found = store.watch(lambda changes: self._heard(share, store.location, changes), lambda: self._lost(share))
            if found is not None:
                self._followers[share] = found
        return found

    def _lost(self, share: "Share") -> None:
        assert share.store is not None
        self.lost(share.store.location)
        self._watches.lost(share)

    def _heard(self, share: "Share", location: Path, changes: Sequence[LocalChange]) -> None:
        for change in changes:
            self.told(location, change)
        if share.config is None or not share.config.kernel_change_notify:
            return
        for change in changes:
            if change.kind is LocalKind.RENAMED and change.directory:
                self._watches.moved(location + change.old, location + change.path)
        self._watches.report([event for change in changes for event in _events(location, change)], share)


def _events(location: Path, change: LocalChange) -> Sequence[Event]:
    place = location + change.path
    if change.kind in CONTENTS:
        return [Event(Action.MODIFIED, CONTENTS[change.kind], place)]
    kind = Filter.DIR_NAME if change.directory else Filter.FILE_NAME
    if change.kind is LocalKind.ADDED:
        return [Event(Action.ADDED, kind, place)]
    if change.kind is LocalKind.REMOVED:
        return [Event(Action.REMOVED, kind, place)]
    old = location + change.old
    together = old[:-1] == place[:-1]
    return [
        Event(Action.RENAMED_OLD_NAME if together else Action.REMOVED, kind, old),
        Event(Action.RENAMED_NEW_NAME if together else Action.ADDED, kind, place),
    ]
