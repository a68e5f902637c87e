"""What other processes do in a share's directories, as the real kernel tells it; the changes are made by a shell."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path as OnDisk

import pytest

from server.store import fanotify, watching
from server.store.base import Path
from server.store.fanotify import Event
from server.store.following import LocalChange
from server.store.marked import Tree
from server.tests.local import ADDED, NEEDS_FANOTIFY, REMOVED, RENAMED, SET, WRITTEN, Here, hearing, run, said

pytestmark = NEEDS_FANOTIFY


def test_everything_that_happens_to_names_and_files_is_heard_in_order(tmp_path: OnDisk) -> None:
    async def test(here: Here) -> None:
        changes = await here.shell("mkdir d; echo x > f; chmod 600 f; mv f g; rm g; rmdir d")
        assert said(changes) == [
            (ADDED, "d"), (ADDED, "f"), (WRITTEN, "f"), (SET, "f"), (RENAMED, "g"), (REMOVED, "g"), (REMOVED, "d"),
        ]  # fmt: skip
        assert [change.directory for change in changes] == [True] + [False] * 5 + [True]
        assert changes[4].old == ("f",)

    hearing(test, tmp_path)


def test_what_this_process_does_is_not_heard(tmp_path: OnDisk) -> None:
    async def test(here: Here) -> None:
        (here.directory / "ours").write_text("x")
        (here.directory / "ours").rename(here.directory / "our own")
        assert said(await here.shell("echo y >> 'our own'")) == [(WRITTEN, "our own")]
        (here.directory / "our own").unlink()
        assert await here.shell(":") == []

    hearing(test, tmp_path)


def test_a_directory_that_is_followed_alone_tells_nothing_from_below(tmp_path: OnDisk) -> None:
    async def test(here: Here) -> None:
        (here.directory / "d").mkdir()
        assert said(await here.shell("echo x > d/f; chmod 700 d")) == [(SET, "d")] * (os.geteuid() == 0)
        below = await here.follow("d")
        assert said(await here.shell("chmod 750 d; chmod 700 .")) == [(SET, "d")]
        below.close()

    hearing(test, tmp_path)


def test_a_tree_tells_all_that_is_below_now_and_later(tmp_path: OnDisk) -> None:
    async def test(here: Here) -> None:
        (here.directory / "a/b").mkdir(parents=True)
        tree = await here.follow(tree=True)
        assert said(await here.shell("echo > a/b/f")) == [(ADDED, "a/b/f"), (WRITTEN, "a/b/f")]
        new = said(await here.shell("mkdir -p n/m/o; : > n/m/o/f; rm -r a"))
        assert [entry for entry in new if entry[0] is ADDED] == [
            (ADDED, "n"), (ADDED, "n/m"), (ADDED, "n/m/o"), (ADDED, "n/m/o/f"),
        ]  # fmt: skip
        assert [entry for entry in new if entry[0] is REMOVED] == [
            (REMOVED, "a/b/f"), (REMOVED, "a/b"), (REMOVED, "a"),
        ]  # fmt: skip
        assert said(await here.shell(": > n/m/o/later")) == [(ADDED, "n/m/o/later")]
        assert len(here.follower.tree.by_handle) == 4, "the root and three directories"
        tree.close()

    hearing(test, tmp_path)


def test_directories_that_move_take_what_is_below_with_them(
    tmp_path: OnDisk, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")

    async def test(here: Here) -> None:
        (here.directory / "a/b").mkdir(parents=True)
        (here.directory / "x").mkdir()
        tree = await here.follow(tree=True)
        assert said(await here.shell("mv a x/c; : > x/c/b/f")) == [(RENAMED, "x/c"), (ADDED, "x/c/b/f")]
        os.rename(here.directory / "x/c", here.directory / "back")
        assert said(await here.shell("rm back/b/f")) == [(REMOVED, "back/b/f")], "moved by ourselves"
        assert said(await here.shell(f"mv back {outside}/gone; : > {outside}/gone/b/f")) == [(REMOVED, "back")]
        assert said(await here.shell(f"mv {outside}/gone home")) == [
            (ADDED, "home"), (ADDED, "home/b"), (ADDED, "home/b/f"),
        ]  # fmt: skip
        assert said(await here.shell("rm home/b/f")) == [(REMOVED, "home/b/f")]
        tree.close()

    hearing(test, tmp_path)


def test_what_one_process_does_to_a_name_ends_with_what_is_so(tmp_path: OnDisk) -> None:
    """The kernel says of these only that the names came and went, not in which order or how often."""

    async def test(here: Here) -> None:
        (here.directory / "there").touch()
        changes = said(await here.python(
            "import os; new = lambda name: open(name, 'w').close()\n"
            "new('lock'); os.unlink('lock')\n"
            "os.unlink('there'); new('there')\n"
            "new('a'); os.rename('a', 'b'); new('a')\n"
            "os.mkdir('d'); os.rmdir('d')\n"
        ))  # fmt: skip
        for name, there in {"lock": False, "there": True, "a": True, "b": True, "d": False}.items():
            last = [kind for kind, path in changes if path == name and kind in (ADDED, REMOVED, RENAMED)][-1]
            assert (last is not REMOVED) == there, (name, changes)
        assert changes.index((ADDED, "lock")) < changes.index((REMOVED, "lock"))
        assert changes.index((REMOVED, "there")) < changes.index((ADDED, "there"))

    hearing(test, tmp_path)


RANDOM = """
import os, random, sys
chance = random.Random(int(sys.argv[1]))
def pick(kind):
    found = [os.path.join(at, name) for at, *names in os.walk(".") for name in names[kind]]
    return chance.choice(sorted(found)) if found else None
def new():
    return os.path.join(pick(0) if chance.random() < 0.6 and pick(0) else ".", chance.choice("abcde"))
for _ in range(60):
    what = chance.choice(["make", "make", "mkdir", "mkdir", "unlink", "rmdir", "move", "move"])
    try:
        if what == "make": os.close(os.open(new(), os.O_CREAT))
        elif what == "mkdir": os.mkdir(new())
        elif what == "unlink": os.unlink(pick(1) or "none")
        elif what == "rmdir": os.rmdir(pick(0) or "none")
        else: os.rename(pick(chance.randrange(2)) or "none", new())
    except OSError:
        pass
"""


def replayed(changes: Sequence[LocalChange]) -> set[Path]:
    """The names there are for someone who knows only what has been told."""
    there: set[Path] = set()

    def below(path: Path) -> set[Path]:
        return {each for each in there if each[: len(path)] == path}

    for change in changes:
        if change.kind is ADDED:
            there.add(change.path)
        elif change.kind is REMOVED:
            there -= below(change.path)
        elif change.kind is RENAMED:
            moving = below(change.old)
            there -= moving | below(change.path)
            there |= {change.path + each[len(change.old) :] for each in moving} | {change.path}
    return there


@pytest.mark.parametrize("seed", range(12))
def test_whatever_a_process_does_who_listens_knows_what_is_there(tmp_path: OnDisk, seed: int) -> None:
    async def test(here: Here) -> None:
        tree = await here.follow(tree=True)
        run(tmp_path, sys.executable, "-c", RANDOM, str(seed))
        for _ in range(5):  # a scan may find what is to be scanned
            here.follower.catch_up()
            await here.quiet()
        real = {path.relative_to(tmp_path).parts for path in tmp_path.rglob("*")}
        assert replayed(here.changes) == real
        directories = {path for path in real if (tmp_path.joinpath(*path)).is_dir()}
        assert {each.path() for each in here.follower.tree.by_handle.values()} == directories | {()}
        tree.close()

    hearing(test, tmp_path)


def test_directories_never_form_a_ring() -> None:
    """Told late that a directory is in one that is below it by now."""
    tree = Tree()
    one = tree.enter(b"1", ("1",), None)
    two = tree.enter(b"2", ("1", "2"), one)
    three = tree.enter(b"3", ("1", "2", "3"), two)
    two.hold(tree=True)
    tree.enter(b"1", ("1", "2", "3", "1"), three)
    assert (two.path(), three.path(), one.path()) == (("1", "2"), ("1", "2", "3"), ("1", "2", "3", "1"))
    assert tree.enter(b"2", ("2", "2"), two).path() == ("1", "2"), "nor is one in itself"
    two.let_go(tree=True)
    tree.prune(two)
    assert not tree.by_handle

    one = tree.enter(b"1", ("1",), None)
    one.hold(tree=False)
    tree.enter(b"1", ("1", "2", "1"), tree.enter(b"2", ("1", "2"), one))
    one.let_go(tree=False)
    tree.prune(one)
    assert not tree.by_handle, "what is cut off and nobody follows is forgotten"


def test_names_no_client_sees_are_not_told(tmp_path: OnDisk) -> None:
    async def test(here: Here) -> None:
        tree = await here.follow(tree=True)
        changes = said(await here.shell(
            "mkdir 'no:name' secret.tmp; : > 'no:name/f'; : > secret.tmp/f; : > 'ends.'\n"
            "mv 'ends.' good; mv good x.tmp; : > fine"
        ))  # fmt: skip
        assert changes == [(ADDED, "good"), (REMOVED, "good"), (ADDED, "fine")]
        tree.close()

    hearing(test, tmp_path, veto_files=("*.tmp",))


def test_only_so_many_directories_are_followed(tmp_path: OnDisk) -> None:
    async def test(here: Here) -> None:
        for number in range(10):
            (here.directory / f"{number}").mkdir()
        tree = await here.follow(tree=True)
        assert len(here.follower.tree.by_handle) == 5
        followed = {directory.path() for directory in here.follower.tree.by_handle.values()}
        changes = await here.shell("for d in *; do : > $d/f; done")
        assert {change.path[:-1] for change in changes} == followed - {()}
        beyond = next(name for name in "0123456789" if (name,) not in followed)
        assert await here.follower.follow((beyond,), False) is None
        tree.close()

    hearing(test, tmp_path, most=5)


def test_hundreds_of_directories_are_marked_one_by_one_and_all_let_go(tmp_path: OnDisk) -> None:
    async def test(here: Here) -> None:
        for number in range(500):
            (here.directory / f"{number}").mkdir()
        followed = [await here.follow(f"{number}") for number in range(500)]
        again = [await here.follow(f"{number}") for number in range(5)]
        assert len(here.follower.tree.by_handle) == 501
        assert said(await here.shell(": > 499/f; : > 3/g")) == [(ADDED, "499/f"), (ADDED, "3/g")]
        for each in followed:
            each.close()
        assert len(here.follower.tree.by_handle) == 6
        await here.quiet()
        assert said(await here.shell(": > 499/h; : > 3/h; : > 300/h")) == [(ADDED, "3/h")]
        for each in again:
            each.close()

    hearing(test, tmp_path)


def test_a_directory_that_is_gone_is_not_followed(tmp_path: OnDisk) -> None:
    async def test(here: Here) -> None:
        assert await here.follower.follow(("nowhere",), True) is None
        (here.directory / "d").mkdir()
        gone = await here.follow("d", tree=True)
        assert said(await here.shell("rmdir d; mkdir d; : > d/f")) == [(REMOVED, "d"), (ADDED, "d")]
        gone.move(("elsewhere",))
        gone.close()

    hearing(test, tmp_path)


def test_events_the_kernel_had_no_room_for_are_a_loss_and_trees_are_looked_at_anew(tmp_path: OnDisk) -> None:
    async def test(here: Here) -> None:
        tree = await here.follow(tree=True)
        (here.directory / "unheard").mkdir()
        batch = watching._Batch()
        here.follower._take(Event(fanotify.OVERFLOW, 0, None), batch)
        here.follower._begin(batch)
        assert here.losses == 1
        await here.quiet()
        assert said(await here.shell(": > unheard/f")) == [(ADDED, "unheard/f")]
        tree.close()

    hearing(test, tmp_path)


def test_closing_in_the_middle_of_a_scan_waits_for_it(tmp_path: OnDisk) -> None:
    async def use() -> None:
        here = Here(tmp_path)
        asking = asyncio.ensure_future(here.follower.follow((), True))
        await asyncio.sleep(0)
        here.follower.close()
        followed = await asking
        if followed is not None:
            followed.close()
        await here.store.close()

    before = set(os.listdir("/proc/self/fd"))
    asyncio.run(use())
    assert set(os.listdir("/proc/self/fd")) == before
