"""Whom files on disk belong to and who may reach them: the whole server, as root, over a real directory.

The accounts are made up: identities ask a table in place of the system's accounts, and the kernel goes by numbers.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from benchmarks.client import Session, Tree
from server.config import Share
from server.messages.create import CreateOptions, Disposition
from server.messages.fscc_file import FileClass
from server.messages.fscc_set import Rename
from server.security.identity import Account
from server.status import NT
from server.store.posix import PosixStore
from server.tests.served import Whole, login, on_a_server
from server.tests.stores import ROOT, options, refused

ALICE = Account("alice", 54001, 54001, (54001, 54100))
BOB = Account("bob", 54002, 54002, (54002,))
GUEST = Account("visitor", 54009, 54009, (54009,))
ACCOUNTS = {account.name: account for account in (ALICE, BOB, GUEST, Account("root", 0, 0, (0,)))}
USERS = ("alice", "bob", "root", "stranger")
READ, WRITE, DELETE = 0x1, 0x2, 0x10000
As = Callable[[str], Awaitable[Tree]]

pytestmark = pytest.mark.skipif(not ROOT, reason="only root can act as other users")


def as_users(root: Path, test: Callable[[As], Awaitable[None]], guest: str = "visitor", **share: object) -> None:
    """Run `test` with the means to connect to a share in `root` as anyone."""
    root.chmod(0o777)
    for above in list(root.parents)[:3]:  # pytest's own are for the user who runs it
        if above.name.startswith(("pytest-", "test_")):
            above.chmod(above.stat().st_mode | 0o111)

    async def use(here: Whole) -> None:
        here.server.identities.find = ACCOUNTS.get
        here.server.identities.guest_account = guest

        async def tree_of(name: str) -> Tree:
            return await (await here.session(how=login(name))).connect(r"\\server\data")

        await test(tree_of)

    served = Share("data", path=root, **share)  # type: ignore[arg-type]
    on_a_server(
        use, shares=[served], make_store=lambda share: PosixStore(str(share.path), options()), users=USERS,
        unknown_is_guest=True,
    )  # fmt: skip


def put(path: Path, owner: Account, mode: int, group: int | None = None) -> Path:
    """A file with a secret in it."""
    path.write_bytes(b"secret")
    os.chown(path, owner.uid, owner.gid if group is None else group)
    path.chmod(mode)
    return path


def test_what_is_made_belongs_to_who_makes_it(tmp_path: Path) -> None:
    async def test(as_: As) -> None:
        for name, account in (("alice", ALICE), ("bob", BOB)):
            tree = await as_(name)
            await tree.create(f"{name} file", disposition=Disposition.CREATE)
            await tree.directory(f"{name} directory", Disposition.CREATE)
            await tree.create(f"{name} file:stream", disposition=Disposition.CREATE)
            for kind in ("file", "directory"):
                status = (tmp_path / f"{name} {kind}").stat()
                assert (status.st_uid, status.st_gid) == (account.uid, account.gid)

    as_users(tmp_path, test)


@pytest.mark.parametrize("access", [READ, WRITE, DELETE, 0x40000, 0x80000, 0x2000000])
def test_another_users_private_file_stays_private_although_the_server_is_root(tmp_path: Path, access: int) -> None:
    put(tmp_path / "private", BOB, 0o600)
    tmp_path.chmod(0o755)

    async def test(as_: As) -> None:
        tmp_path.chmod(0o755)
        alice = await as_("alice")
        with refused(NT.ACCESS_DENIED):
            file = await alice.create("private", access)
            if access == 0x2000000:  # as much as there is: not the data
                await file.read(0, 6)
        bob = await as_("bob")
        assert await (await bob.create("private", READ)).read(0, 6) == b"secret"

    as_users(tmp_path, test)
    assert (tmp_path / "private").read_bytes() == b"secret"


@pytest.mark.parametrize("disposition", [Disposition.SUPERSEDE, Disposition.OVERWRITE, Disposition.OVERWRITE_IF])
def test_another_users_file_is_not_overwritten(tmp_path: Path, disposition: int) -> None:
    put(tmp_path / "theirs", BOB, 0o644)

    async def test(as_: As) -> None:
        with refused(NT.ACCESS_DENIED):
            await (await as_("alice")).create("theirs", READ, disposition)

    as_users(tmp_path, test)
    assert (tmp_path / "theirs").read_bytes() == b"secret"


def test_another_users_directory_takes_no_files_and_gives_none_up(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, BOB.uid, BOB.gid)
    put(theirs / "file", BOB, 0o666)

    async def test(as_: As) -> None:
        alice = await as_("alice")
        mine = await alice.create("mine", disposition=Disposition.CREATE)
        with refused(NT.ACCESS_DENIED):
            await alice.create(r"theirs\new", disposition=Disposition.CREATE)
        with refused(NT.ACCESS_DENIED):
            await mine.set(FileClass.RENAME, Rename(r"theirs\mine").pack())
        with refused(NT.ACCESS_DENIED):
            file = await alice.create(r"theirs\file", DELETE, options=CreateOptions.DELETE_ON_CLOSE)
            await file.close()

    as_users(tmp_path, test)
    assert [entry.name for entry in theirs.iterdir()] == ["file"]


def test_a_closed_directory_is_not_listed_nor_entered(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o700)
    os.chown(theirs, BOB.uid, BOB.gid)
    put(theirs / "file", BOB, 0o666)

    async def test(as_: As) -> None:
        alice = await as_("alice")
        with refused(NT.ACCESS_DENIED):
            await (await alice.create("theirs", READ, options=CreateOptions.DIRECTORY_FILE)).listing()
        with refused(NT.ACCESS_DENIED):
            await alice.create(r"theirs\file", READ)
        with refused(NT.ACCESS_DENIED):
            await alice.create(r"theirs\none", READ)

    as_users(tmp_path, test)


def test_supplementary_groups_count(tmp_path: Path) -> None:
    put(tmp_path / "shared", BOB, 0o640, group=54100)

    async def test(as_: As) -> None:
        assert await (await (await as_("alice")).create("shared", READ)).read(0, 6) == b"secret"
        with refused(NT.ACCESS_DENIED):
            await (await as_("stranger")).create("shared", READ)

    as_users(tmp_path, test)


def test_a_name_without_an_account_acts_as_the_guest_account(tmp_path: Path) -> None:
    put(tmp_path / "private", Account("root", 0, 0, ()), 0o600)

    async def test(as_: As) -> None:
        for name in ("stranger", "unknown to all"):
            tree = await as_(name)
            await tree.create(name, disposition=Disposition.CREATE)
            assert (tmp_path / name).stat().st_uid == GUEST.uid
            with refused(NT.ACCESS_DENIED):
                await tree.create("private", READ)

    as_users(tmp_path, test, guest_ok=True)


@pytest.mark.parametrize("guest", ["root", "absent", ""])
def test_nobody_acts_as_root_for_want_of_an_account(tmp_path: Path, guest: str) -> None:
    async def test(as_: As) -> None:
        for name in ("stranger", "unknown to all"):
            with refused(NT.LOGON_FAILURE):
                await as_(name)
        await as_("alice")

    as_users(tmp_path, test, guest, guest_ok=True)
    assert not list(tmp_path.iterdir())


def test_users_on_one_connection_and_of_many_requests_at_once_are_not_mixed_up(tmp_path: Path) -> None:
    async def test(as_: As) -> None:
        alice = await as_("alice")
        bob = await (await Session.login(alice.client, login("bob"))).connect(r"\\server\data")

        async def make(tree: Tree, name: str) -> None:
            await (await tree.create(name, disposition=Disposition.CREATE)).close()

        names = [(tree, f"{name}-{number}") for number in range(40) for tree, name in ((alice, "alice"), (bob, "bob"))]
        await asyncio.gather(*(make(tree, name) for tree, name in names))
        for _, name in names:
            assert (tmp_path / name).stat().st_uid == ACCOUNTS[name.partition("-")[0]].uid

    as_users(tmp_path, test)
