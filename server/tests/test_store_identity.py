"""What a file is known by when the server comes back: its names may have changed, and others may have its number."""

from pathlib import Path as Directory

import pytest

from server.status import NT, Status
from server.store.base import Store

from .stores import MAKERS, NEEDS_ROOT, made, made_directory, opened, posix_store, refused, scenario


@pytest.fixture(params=MAKERS)
def store(request: pytest.FixtureRequest, tmp_path: Directory) -> Store:
    return MAKERS[request.param](tmp_path)


async def known(store: Store, *path: str) -> bytes:
    """The identity of a file, which is open no more."""
    file = await made(store, *path)
    identity = await file.identity()
    await file.close()
    return identity


@scenario
async def test_a_file_is_where_it_was(store: Store) -> None:
    await (await made_directory(store, "d")).close()
    identity = await known(store, "d", "file")
    assert await store.locate(identity, ("d", "file")) == ("d", "file")
    found = await opened(store, "d", "file")
    assert await found.file.identity() == identity
    await found.file.close()


@scenario
async def test_another_file_of_that_name_is_not_it(store: Store) -> None:
    identity = (await known(store, "file"))[:-1] + b"?"
    for name in ("file", "absent"):
        with refused(NT.OBJECT_NAME_NOT_FOUND):
            await store.locate(identity, (name,))


@NEEDS_ROOT
def test_a_file_that_was_renamed_by_others_is_found_again(tmp_path: Directory) -> None:
    @scenario
    async def use(store: Store) -> None:
        identity = await known(store, "file")
        (tmp_path / "below").mkdir()
        (tmp_path / "file").rename(tmp_path / "below" / "renamed")
        (tmp_path / "file").write_bytes(b"")
        assert await store.locate(identity, ("file",)) == ("below", "renamed")

    use(posix_store(tmp_path))


def test_a_file_that_is_gone_or_has_left_the_share_is_not_found(tmp_path: Directory) -> None:
    share = tmp_path / "share"
    share.mkdir()

    @scenario
    async def use(store: Store) -> None:
        gone, left = await known(store, "gone"), await known(store, "left")
        (share / "gone").unlink()
        (share / "left").rename(tmp_path / "left")
        for identity, name in ((gone, "gone"), (left, "left")):
            with pytest.raises(Status) as raised:
                await store.locate(identity, (name,))
            assert raised.value.code in (NT.OBJECT_NAME_NOT_FOUND, NT.FILE_DELETED)

    use(posix_store(share))
