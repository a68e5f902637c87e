"""What has become of files, users and shares while the server was not there, and what its next life makes of it."""

import asyncio
import functools
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.client import File
from server.config import Share
from server.messages.create import CreateOptions
from server.security.identity import Identities
from server.status import NT
from server.tests.durables import Clock, lease, make, settings
from server.tests.persistents import Lives, again, back, first, in_lives, persistent
from server.tests.served import SHARE, Whole, login
from server.tests.stores import NEEDS_ROOT, posix_store, refused


def nothing() -> None:
    """What mostly happens."""


def lives(
    tmp_path: Path, second: Any, between: Callable[[], Any] = nothing, directory: Path | None = None, **then: Any
) -> None:
    """Two lives: in the first a client has locked part of a file; `then` is how the second differs."""

    async def run() -> None:
        both = Lives(tmp_path / "state", None if directory is None else lambda: posix_store(directory))
        before = await both.live(lambda here, clock: first(both, here, None))
        between()
        await both.live(lambda here, clock: second(both, here, before, clock), **then)

    asyncio.run(run())


async def not_back(lives: Lives, here: Whole, before: File, clock: Clock) -> None:
    """The open is gone, and nobody waits for it."""
    assert not here.server.opens.by_volatile and not clock.running
    tree = await lives.tree(here)
    with refused(NT.OBJECT_NAME_NOT_FOUND):
        await again(tree, before, lease())
    await (await tree.create("file", access=1)).close()


async def none_back(lives: Lives, here: Whole, before: File, clock: Clock) -> None:
    assert not here.server.opens.by_volatile and not clock.running


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Of a share on disk."""
    made = tmp_path / "share"
    made.mkdir()
    return made


# -- files --------------------------------------------------------------------------------------------------------
def test_another_file_with_its_name_is_not_taken_for_it(
    tmp_path: Path, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def replace() -> None:
        (directory / "file").unlink()
        (directory / "file").write_bytes(b"another")

    lives(tmp_path, not_back, replace, directory)
    assert "'file' in data: root's open is not given back" in caplog.text
    assert (directory / "file").read_bytes() == b"another"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/etc/passwd")])
def test_what_is_no_file_and_has_its_name_holds_up_no_start(
    tmp_path: Path, directory: Path, make: Callable[[Path], None]
) -> None:
    def replace() -> None:
        (directory / "file").unlink()
        make(directory / "file")

    lives(tmp_path, none_back, replace, directory)


@NEEDS_ROOT
def test_a_file_moved_to_another_directory_is_found_where_it_is(tmp_path: Path, directory: Path) -> None:
    moved = directory / "deep" / "moved"

    def move() -> None:
        moved.parent.mkdir()
        (directory / "file").rename(moved)

    async def second(lives: Lives, here: Whole, before: File, clock: Clock) -> None:
        file = await again(await lives.tree(here), before, lease())
        await file.write(0, b"found")

    lives(tmp_path, second, move, directory)
    assert moved.read_bytes()[:5] == b"found"


@NEEDS_ROOT
def test_a_file_moved_out_of_the_share_is_lost(tmp_path: Path, directory: Path) -> None:
    def move() -> None:
        (directory / "file").rename(tmp_path / "file")
        (directory / "file").write_bytes(b"")

    lives(tmp_path, not_back, move, directory)


def test_a_file_cut_by_a_local_program_comes_back_as_it_is(tmp_path: Path, directory: Path) -> None:
    async def second(lives: Lives, here: Whole, before: File, clock: Clock) -> None:
        file = await again(await lives.tree(here), before, lease())
        assert file.created.size == len(b"short")

    lives(tmp_path, second, lambda: (directory / "file").write_bytes(b"short"), directory)


def test_names_that_are_no_text_come_back_too(tmp_path: Path) -> None:
    """Clients' names may have surrogates of which the other half is missing."""
    name = "f\ud800:s\udc00"

    async def use(lives: Lives, here: Whole, _: None) -> File:
        return await make(await lives.tree(here), persistent(), name=name)

    async def second(lives: Lives, here: Whole, before: File) -> None:
        await again(await lives.tree(here), before, name=name)

    in_lives(tmp_path, use, second)


# -- shares and users ---------------------------------------------------------------------------------------------
def test_a_share_that_is_gone_takes_its_opens_along(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def second(lives: Lives, here: Whole, before: File, clock: Clock) -> None:
        assert not here.server.opens.by_volatile and not len(here.server.keeping)
        with refused(NT.BAD_NETWORK_NAME):
            await lives.tree(here)

    lives(tmp_path, second, shares=(Share("other", continuous_availability=True),))
    assert "'file' in data: root's open is not given back" in caplog.text


@pytest.mark.parametrize("share", [
    Share("data", continuous_availability=True, read_only=True),
    Share("data", continuous_availability=True, invalid_users=("root",)),
    Share("data", continuous_availability=True, durable_handles=False),
], ids=["read-only", "not for him", "no durable handles"])  # fmt: skip
def test_a_share_that_grants_less_takes_them_along_too(tmp_path: Path, share: Share) -> None:
    lives(tmp_path, none_back, shares=(share,))


def test_who_may_not_log_on_any_more_holds_others_up_no_longer_than_he_might(tmp_path: Path) -> None:
    async def use(here: Whole, clock: Clock) -> None:
        tree = await (await here.session(settings(), login("nobody"))).connect(SHARE)
        await make(tree, persistent())

    async def second(here: Whole, clock: Clock) -> None:
        tree = await here.tree()
        with refused(NT.FILE_NOT_AVAILABLE):
            await tree.create("file", access=1)
        await clock.pass_by(60)
        await (await tree.create("file", access=1)).close()

    async def run() -> None:
        both = Lives(tmp_path / "state")
        await both.live(use, users=("root", "nobody"))
        await both.live(second)

    asyncio.run(run())


@NEEDS_ROOT
def test_who_has_no_account_any_more_gets_what_anybody_gets(
    tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave() -> None:
        (directory / "file").chmod(0o600)
        monkeypatch.setattr("server.server.Identities", functools.partial(Identities, find=lambda name: None))

    lives(tmp_path, none_back, leave, directory)


def test_nobody_is_kept_longer_than_the_server_has_come_to_allow(tmp_path: Path) -> None:
    async def second(lives: Lives, here: Whole, before: File, clock: Clock) -> None:
        assert clock.running == [5.0]

    lives(tmp_path, second, durable_timeout=5)


# -- many ---------------------------------------------------------------------------------------------------------
def test_many_come_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "smbdirect.restore")
    many = 500

    async def use(lives: Lives, here: Whole, _: None) -> list[File]:
        tree = await lives.tree(here)
        made = []
        for number in range(many):
            guid = number.to_bytes(16, "big")
            made.append(await make(tree, persistent(guid), lease(key=b"k" + guid[1:]), name=str(number)))
        return made

    async def second(lives: Lives, here: Whole, before: list[File]) -> None:
        tree = await lives.tree(here)
        for number in (0, many // 2, many - 1):
            guid = number.to_bytes(16, "big")
            await make(tree, back(before[number].id, guid), lease(key=b"k" + guid[1:]), name=str(number))

    in_lives(tmp_path, use, second)
    assert f"{many} of {many} persistent opens wait for their clients" in caplog.text


def test_what_goes_with_its_last_close_goes_when_its_time_is_over(tmp_path: Path) -> None:
    async def use(here: Whole, clock: Clock) -> None:
        await make(await here.tree(settings()), persistent(), options=CreateOptions.DELETE_ON_CLOSE)

    async def second(here: Whole, clock: Clock) -> None:
        assert len(here.server.opens.by_volatile) == 1
        await clock.pass_by(60)
        with refused(NT.OBJECT_NAME_NOT_FOUND):
            await (await here.tree()).create("file")

    async def run() -> None:
        both = Lives(tmp_path / "state")
        await both.live(use)
        await both.live(second)

    asyncio.run(run())
