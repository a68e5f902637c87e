"""Which watch hears what, in which order, and what is kept for it between requests."""

import asyncio
from collections.abc import Callable

import pytest

from server.messages.directory import Change, unpack_changes
from server.messages.directory import CompletionFilter as Filter
from server.messages.directory import NotifyAction as Action
from server.notify import MOST_KEPT, Event, Waiting, Watch, Watches
from server.status import NT
from server.store.base import Path
from server.tests.stores import refused

ALL = 0xFFF
ROOM = 4096


def in_loop(test: Callable[[Watches], None]) -> Callable[[], None]:
    """Requests are futures of a loop; nothing of it is run."""

    def run() -> None:
        async def use() -> None:
            watches = Watches()
            test(watches)
            for watch in list(watches):
                watch.close()
            assert watches.count == watches.wanted == 0
            assert not watches._root.below and not watches._filters, "a directory was kept"

        asyncio.run(use())

    run.__name__ = test.__name__
    return run


def added(*place: str, filter_: int = Filter.FILE_NAME) -> Event:
    return Event(Action.ADDED, filter_, place)


def answer(waiting: Waiting) -> list[Change] | None:
    """What the request was told; None: to look itself. It must have been answered."""
    waiting.future.result()
    return None if waiting.answer is None else unpack_changes(memoryview(waiting.answer))


def heard(watch: Watch) -> list[Change] | None:
    """All that is kept for `watch`."""
    return answer(watch.ask(MOST_KEPT))


def watching(watches: Watches, *place: str, tree: bool = False, filter_: int = ALL, room: int = ROOM) -> Watch:
    return watches.add(place, filter_, tree, room)


@in_loop
def test_a_directory_hears_of_what_is_in_it_and_a_tree_of_all_below(watches: Watches) -> None:
    flat, tree = watching(watches, "srv", "a"), watching(watches, "srv", "a", tree=True)
    watches.report(
        [added("srv", "a", "file"), added("srv", "a", "b", "c", "deep"), added("srv", "other"), added("srv", "a")]
    )
    assert heard(flat) == [(Action.ADDED, "file")]
    assert heard(tree) == [(Action.ADDED, "file"), (Action.ADDED, "b\\c\\deep")]


@in_loop
def test_only_what_the_filter_names_is_heard(watches: Watches) -> None:
    for bit in range(12):
        watch = watching(watches, "a", filter_=1 << bit)
        watches.report([Event(Action.MODIFIED, 1 << other, ("a", str(other))) for other in range(12)])
        assert heard(watch) == [(Action.MODIFIED, str(bit))]
        watch.close()


@in_loop
def test_the_first_request_says_for_good_what_is_heard_and_how_much_is_kept(watches: Watches) -> None:
    watch = watching(watches, "a", room=0)
    first = watch.ask(0)
    watches.report([added("a", "x")])
    assert answer(first) is None
    watches.report([added("a", "y")])
    assert answer(watch.ask(ROOM)) is None, "nothing can be kept in no room, whatever is asked for later"


@in_loop
def test_what_happens_between_requests_is_kept_in_order(watches: Watches) -> None:
    watch = watching(watches, "a")
    assert watch.ask(ROOM).future.done() is False
    watches.report([added("a", "first")])
    watches.report([Event(Action.MODIFIED, Filter.SIZE, ("a", "first")), Event(Action.REMOVED, 1, ("a", "first"))])
    watches.report([added("a", "first")])
    assert [name for _, name in heard(watch) or ()] == ["first"] * 3
    assert not watch.ask(ROOM).future.done()


@in_loop
def test_requests_are_answered_first_come_first_served(watches: Watches) -> None:
    watch = watching(watches, "a")
    first, second = watch.ask(ROOM), watch.ask(ROOM)
    watches.report([added("a", "x")])
    assert answer(first) == [(Action.ADDED, "x")]
    assert not second.future.done()
    watches.report([added("a", "y")])
    assert answer(second) == [(Action.ADDED, "y")]


@in_loop
def test_a_cancelled_request_takes_nothing_with_it(watches: Watches) -> None:
    watch = watching(watches, "a")
    gone, cancelled, kept = watch.ask(ROOM), watch.ask(ROOM), watch.ask(ROOM)
    watch.give_up(gone)
    watch.give_up(gone)
    cancelled.future.cancel()
    watches.report([added("a", "x")])
    assert answer(kept) == [(Action.ADDED, "x")]
    assert not gone.future.done()


@in_loop
def test_a_rename_is_told_as_a_pair_in_one_answer(watches: Watches) -> None:
    waiting = watching(watches, "a").ask(ROOM)
    watches.report([
        Event(Action.RENAMED_OLD_NAME, Filter.FILE_NAME, ("a", "old")),
        Event(Action.RENAMED_NEW_NAME, Filter.FILE_NAME, ("a", "new")),
    ])  # fmt: skip
    assert answer(waiting) == [(Action.RENAMED_OLD_NAME, "old"), (Action.RENAMED_NEW_NAME, "new")]


@in_loop
def test_the_same_modification_again_is_told_once(watches: Watches) -> None:
    watch = watching(watches, "a")
    modified = Event(Action.MODIFIED, Filter.SIZE, ("a", "x"))
    for event in (modified, modified, added("a", "y"), added("a", "y"), modified, modified):
        watches.report([event])
    assert heard(watch) == [(3, "x"), (1, "y"), (1, "y"), (3, "x")]


@pytest.mark.parametrize("room", [0, 1, 13, 14, 29, 30, 46, 1000])
def test_more_than_fits_is_told_as_none_and_then_all_is_well_again(room: int) -> None:
    """A record of a one-letter name is 14 bytes, and 16 before another: three are 46."""

    def test(watches: Watches) -> None:
        watch = watching(watches, "a", room=room)
        watches.report([added("a", name) for name in "xyz"])
        assert (heard(watch) is None) == (room < 46)
        waiting = watch.ask(ROOM)
        watches.report([added("a", "w")])
        assert (answer(waiting) is None) == (room < 14)

    in_loop(test)()


@in_loop
def test_changes_that_fit_what_is_kept_and_not_the_request_are_dropped(watches: Watches) -> None:
    watch = watching(watches, "a")
    watches.report([added("a", "x")])
    assert answer(watch.ask(13)) is None
    watches.report([added("a", "y")])
    assert heard(watch) == [(Action.ADDED, "y")]


@in_loop
def test_no_client_has_more_kept_than_the_most(watches: Watches) -> None:
    watch = watching(watches, "a", room=8 << 20)
    assert watch.room == MOST_KEPT
    watches.report([added("a", f"{number:0200}") for number in range(200)])
    assert heard(watch) is None


@in_loop
def test_a_waiting_request_ends_with_the_status_its_directory_ends_with(watches: Watches) -> None:
    watch = watching(watches, "a")
    waiting = [watch.ask(ROOM), watch.ask(ROOM)]
    watch.end(NT.DELETE_PENDING)
    for each in waiting:
        with refused(NT.DELETE_PENDING):
            each.future.result()


@in_loop
def test_a_watch_moves_with_its_directory_and_those_above_it(watches: Watches) -> None:
    watch, beside = watching(watches, "a", "b"), watching(watches, "a", "c")
    places: list[Path] = []
    watch.on_move = places.append
    watches.moved(("a", "b"), ("x", "y"))
    watches.report([added("a", "b", "old"), added("x", "y", "new")])
    watches.moved(("x",), ("a", "z"))
    watches.moved(("nowhere",), ("a",))
    watches.report([added("a", "z", "y", "newer"), added("a", "c", "stays")])
    assert heard(watch) == [(Action.ADDED, "new"), (Action.ADDED, "newer")]
    assert heard(beside) == [(Action.ADDED, "stays")]
    assert places == [("x", "y"), ("a", "z", "y")]


@in_loop
def test_what_a_store_hears_only_its_own_share_is_told(watches: Watches) -> None:
    mine, theirs = "mine", "theirs"
    near, far = watches.add(("a",), ALL, False, ROOM, mine), watches.add(("a",), ALL, True, ROOM, theirs)
    watches.report([added("a", "local")], mine)
    watches.report([added("a", "ours")])
    assert heard(near) == [(1, "local"), (1, "ours")]
    assert heard(far) == [(1, "ours")], "its own store tells it of local changes"


@in_loop
def test_who_may_have_missed_something_is_told_to_look(watches: Watches) -> None:
    mine, theirs = (watches.add(("a", name), ALL, False, ROOM, name) for name in ("mine", "theirs"))
    waiting, other = mine.ask(ROOM), theirs.ask(ROOM)
    watches.lost("mine")
    assert answer(waiting) is None
    assert not other.future.done()


@in_loop
def test_five_thousand_watches_cost_only_those_that_a_change_concerns(watches: Watches) -> None:
    many = [watching(watches, "srv", f"{number % 70}", f"{number}", tree=number % 2 == 0) for number in range(5000)]
    top = watching(watches, "srv", tree=True)
    watches.looked_at = 0
    watches.report([added("srv", "69", "69", "x"), added("srv", "none", "of", "them"), added("elsewhere", "x")])
    # the five directories from the root to what has changed and the two watches there, three and one, one
    assert watches.looked_at <= 4 + 2 + 2 + 1 + 1
    assert heard(many[69]) == [(1, "x")]
    assert heard(top) == [(1, "69\\69\\x"), (1, "none\\of\\them")]
    for watch in many:
        watch.close()
    assert watches.count == 1
    assert list(watches._root.below["srv"].below) == []


@in_loop
def test_filters_nobody_wants_are_known(watches: Watches) -> None:
    first, second = watching(watches, "a", filter_=0x3), watching(watches, "b", filter_=0x6)
    assert watches.wanted == 0x7
    first.close()
    first.close()
    assert watches.wanted == 0x6
    third = watching(watches, "a", filter_=0x6)
    second.close()
    assert watches.wanted == 0x6
    third.close()
    assert watches.wanted == 0
