"""Nothing outside the share is reached, by any name, link or race: the whole server over a real directory.

Beside the share lies a file that no request may read, change, move or see, however it is called.
"""

import os
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.client import Tree
from server.config import Share
from server.messages.create import CreateOptions, Disposition
from server.messages.fscc_file import FileAttribute, FileClass
from server.messages.fscc_set import Rename, RenameFlags
from server.messages.ioctl import Fsctl
from server.messages.reparse import SymbolicLink
from server.status import Status
from server.store.posix import PosixStore
from server.tests.served import SHARE, Whole, on_a_server
from server.tests.stores import options

SECRET = b"outside"
RACES = 300

NAMES = {
    "parent": "..",
    "parent's file": r"..\secret",
    "from below": r"below\..\..\secret",
    "below the share and back": r"below\..\file",
    "here": ".",
    "here in between": r"below\.\file",
    "slashes": "../secret",
    "slash in a name": "below/../../secret",
    "absolute": r"\secret",
    "absolute by slash": "/etc/passwd",
    "drive": r"C:\secret",
    "unc": r"\\server\data\file",
    "device path": r"\\.\C:\secret",
    "long path": r"\\?\C:\secret",
    "doubled": r"below\\file",
    "trailing": "below\\",
    "nul": "file\0",
    "nul and more": "file\0secret",
    "newline": "fi\nle",
    "control": "fi\x1fle",
    "wildcard": "fi*e",
    "question": "fil?",
    "pipe": "fi|e",
    "quote": 'fi"e',
    "less": "fi<e",
    "greater": "fi>e",
    "stream of a parent": r"..:stream",
    "stream with a path": r"file:..\secret",
    "stream with a slash": "file:../secret",
    "stream of no name": "file:",
    "stream of a strange kind": "file:stream:$INDEX",
    "three colons": "file:a:b:$DATA",
    "too long": "n" * 256,
    "too long in bytes": "\u20ac" * 86,
    "too deep": "\\".join(["d"] * 5000),
    "through a file": r"file\below",
    "symlink to the file": "to-secret",
    "symlink to the directory": r"to-outside\secret",
    "absolute symlink": r"to-absolute\secret",
    "symlink through the parent": r"to-parent\outside\secret",
    "symlink to the root": r"to-root\etc\passwd",
    "symlink to itself": r"to-itself\file",
    "proc": r"to-proc\self\root\etc\passwd",
    "half a pair": "file\ud800",
}


@dataclass
class Ground:
    """A share, and beside it what must not be touched."""

    above: Path

    def __post_init__(self) -> None:
        for above in (self.above, *list(self.above.parents)[:3]):
            if above.name.startswith(("pytest-", "test_")):
                above.chmod(above.stat().st_mode | 0o111)
        self.root = self.above / "share"
        self.outside = self.above / "outside"
        for directory in (self.root, self.outside, self.root / "below"):
            directory.mkdir()
            directory.chmod(0o777)
        for secret in (self.above / "secret", self.outside / "secret"):
            secret.write_bytes(SECRET)
            secret.chmod(0o666)
        for inside in (self.root / "file", self.root / "below" / "file"):
            inside.write_bytes(b"inside")
            inside.chmod(0o666)
        links = {
            "to-secret": "../secret", "to-outside": "../outside", "to-absolute": str(self.outside), "to-parent": "..",
            "to-root": "/", "to-itself": "to-itself", "to-proc": "/proc",
        }  # fmt: skip
        for name, target in links.items():
            (self.root / name).symlink_to(target)
        self.before = self.seen()

    def seen(self) -> dict[str, tuple[bytes, int]]:
        """Everything beside the share."""
        found = {}
        for path in (self.above, self.outside):
            for entry in path.iterdir():
                if entry.is_file():
                    found[str(entry)] = entry.read_bytes(), entry.stat().st_ino
                elif entry != self.root:
                    found[str(entry)] = b"", entry.stat().st_ino
        return found


def on_the_ground(tmp_path: Path, test: Callable[[Ground, Tree], Awaitable[None]]) -> None:
    """Run `test` with a share that is connected; afterwards nothing outside has changed."""
    ground = Ground(tmp_path)

    async def use(here: Whole) -> None:
        await test(ground, await (await here.session()).connect(SHARE))

    on_a_server(use, shares=[Share("data")], make_store=lambda share: PosixStore(str(ground.root), options()))
    assert ground.seen() == ground.before


async def is_no_secret(tree: Tree, name: str, disposition: int, how: int) -> None:
    """Open `name`, and if that is possible read it, look at it, write it and delete it."""
    try:
        file = await tree.create(name, 0x2000000 | 0x10000, disposition, how)
    except Status:
        return
    for attempt in (file.read(0, 100), file.query(FileClass.ALL), file.write(0, b"changed"), file.listing()):
        try:
            result = await attempt
        except Status:
            continue
        assert SECRET not in (result if isinstance(result, bytes) else b"")
        assert not (isinstance(result, list) and {"secret", "share"} & {entry.name for entry in result})
    await file.close()


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_no_name_leads_out_by_create(tmp_path: Path, name: str) -> None:
    async def test(ground: Ground, tree: Tree) -> None:
        for disposition in (Disposition.OPEN, Disposition.OPEN_IF, Disposition.OVERWRITE_IF, Disposition.SUPERSEDE):
            for how in (0, CreateOptions.OPEN_REPARSE_POINT, CreateOptions.DIRECTORY_FILE):
                await is_no_secret(tree, name, disposition, how)

    on_the_ground(tmp_path, test)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("way", [FileClass.RENAME, FileClass.LINK], ids=["rename", "link"])
@pytest.mark.parametrize("flags", [0, RenameFlags.REPLACE_IF_EXISTS], ids=["new", "replace"])
def test_no_name_leads_out_by_rename_or_link(tmp_path: Path, name: str, way: int, flags: int) -> None:
    async def test(ground: Ground, tree: Tree) -> None:
        file = await tree.create("mover", disposition=Disposition.CREATE)
        with suppress(Status):
            await file.set(way, Rename(name, flags).pack())
        await file.close()

    on_the_ground(tmp_path, test)


@pytest.mark.parametrize("name", ["to-secret", "to-outside", "to-root", "to-itself"])
def test_deleting_a_link_deletes_the_link(tmp_path: Path, name: str) -> None:
    async def test(ground: Ground, tree: Tree) -> None:
        options = CreateOptions.OPEN_REPARSE_POINT | CreateOptions.DELETE_ON_CLOSE
        file = await tree.create(name, 0x10000, options=options)
        await file.close()
        assert not os.path.lexists(ground.root / name)

    on_the_ground(tmp_path, test)


def test_a_listing_does_not_look_through_links(tmp_path: Path) -> None:
    async def test(ground: Ground, tree: Tree) -> None:
        entries = {entry.name: entry for entry in await (await tree.directory()).listing()}
        assert entries["to-secret"].attributes & FileAttribute.REPARSE_POINT
        assert entries["to-secret"].size != len(SECRET)

    on_the_ground(tmp_path, test)


def test_a_directory_swapped_for_a_link_again_and_again_never_leads_out(tmp_path: Path) -> None:
    async def test(ground: Ground, tree: Tree) -> None:
        stop = threading.Event()
        swapping = threading.Thread(target=swap, args=(ground.root, stop))
        swapping.start()
        try:
            for _ in range(RACES):
                await try_to_read(tree)
        finally:
            stop.set()
            swapping.join()

    async def try_to_read(tree: Tree) -> None:
        try:
            file = await tree.create(r"swapped\secret", 0x3)
        except Status:
            return
        assert await file.read(0, 100) == b"inside"
        await file.write(0, b"inside")
        await file.close()

    def swap(root: Path, stop: threading.Event) -> None:
        """Between a directory with a file of that name, and a link to the one outside."""
        real, link, swapped = root / "real", root / "link", root / "swapped"
        real.mkdir(exist_ok=True)
        real.chmod(0o777)
        (real / "secret").write_bytes(b"inside")
        (real / "secret").chmod(0o666)
        while not stop.is_set():
            real.rename(swapped)
            swapped.rename(real)
            link.symlink_to("../outside")
            link.rename(swapped)
            swapped.unlink()

    on_the_ground(tmp_path, test)


def test_a_file_moved_out_by_others_is_not_followed_by_its_name(tmp_path: Path) -> None:
    async def test(ground: Ground, tree: Tree) -> None:
        file = await tree.create(r"below\file", disposition=Disposition.OPEN)
        (ground.root / "below").rename(ground.above / "moved")
        ground.before = ground.seen()
        try:
            with pytest.raises(Status):
                await file.set(FileClass.RENAME, Rename("file2").pack())
            with pytest.raises(Status):
                await tree.create(r"below\file")
        finally:
            await file.close()
        assert not (ground.root / "file2").exists()

    on_the_ground(tmp_path, test)


def test_a_symlink_made_by_a_client_leads_nowhere_through_the_server(tmp_path: Path) -> None:
    async def test(ground: Ground, tree: Tree) -> None:
        for number, target in enumerate(("..\\secret", str(ground.above / "secret").replace("/", "\\"))):
            file = await tree.create(f"made-{number}", disposition=Disposition.CREATE)
            with suppress(Status):
                await file.ioctl(Fsctl.SET_REPARSE_POINT, SymbolicLink(target, target, True).pack())
            await file.close()
            await is_no_secret(tree, f"made-{number}", Disposition.OPEN, 0)
            await is_no_secret(tree, f"made-{number}", Disposition.OPEN, CreateOptions.OPEN_REPARSE_POINT)

    on_the_ground(tmp_path, test)
