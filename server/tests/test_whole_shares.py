"""What a share's configuration does to those who come by it, on the whole server."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.client import Tree
from benchmarks.client.tree import READ_ATTRIBUTES
from server.config import Share
from server.main import _options
from server.messages.create import CreateOptions, Disposition
from server.messages.fscc_file import FileAttribute, FileClass
from server.messages.fscc_set import Rename, RenameFlags
from server.messages.fscc_volume import Attribute, VolumeAttribute, VolumeClass
from server.messages.info import InfoType
from server.security.access import DELETE, FILE_READ_DATA, MAXIMUM_ALLOWED
from server.shares import STORE_SETTINGS
from server.status import NT, Status
from server.store.memory import MemoryStore
from server.store.options import Options
from server.store.posix import PosixStore
from server.store.threads import IdentityThreads
from server.tests.served import SHARE, served, whole

MAKING = [
    (Disposition.CREATE, 0), (Disposition.OPEN_IF, 0), (Disposition.OVERWRITE_IF, 0), (Disposition.SUPERSEDE, 0),
    (Disposition.CREATE, CreateOptions.DIRECTORY_FILE), (Disposition.OPEN_IF, CreateOptions.DIRECTORY_FILE),
]  # fmt: skip


def read_only(use: Callable[[Tree], Awaitable[None]]) -> None:
    """A file "there" on a read-only share."""

    async def run() -> None:
        store = MemoryStore()
        async with served(make_store=lambda share: store) as here:
            tree = await here.tree()
            await (await tree.create("there", disposition=Disposition.CREATE)).close()
        async with served(shares=(Share("data", read_only=True),), make_store=lambda share: store) as here:
            await use(await here.tree())

    asyncio.run(run())


@pytest.mark.parametrize(("disposition", "options"), MAKING)
def test_nothing_is_made_on_a_read_only_share(disposition: int, options: int) -> None:
    async def use(tree: Tree) -> None:
        with pytest.raises(Status) as refused:
            await tree.create("new", READ_ATTRIBUTES, disposition, options)
        assert refused.value.code == NT.ACCESS_DENIED

    read_only(use)


def test_a_read_only_share_is_read_and_says_that_it_is() -> None:
    async def use(tree: Tree) -> None:
        file = await tree.create("there", FILE_READ_DATA, Disposition.OPEN_IF)
        volume = Attribute.parse(memoryview(await file.query(VolumeClass.ATTRIBUTE, InfoType.FILESYSTEM)))
        assert volume.attributes & VolumeAttribute.READ_ONLY_VOLUME
        for access, disposition in ((DELETE, Disposition.OPEN), (FILE_READ_DATA, Disposition.OVERWRITE)):
            with pytest.raises(Status) as refused:
                await tree.create("there", access, disposition)
            assert refused.value.code == NT.ACCESS_DENIED
        with pytest.raises(Status) as refused:
            await tree.create("there", FILE_READ_DATA, Disposition.CREATE)
        assert refused.value.code == NT.OBJECT_NAME_COLLISION
        with pytest.raises(Status) as refused:
            await tree.create("absent", FILE_READ_DATA)
        assert refused.value.code == NT.OBJECT_NAME_NOT_FOUND

    read_only(use)


@pytest.mark.parametrize("replace_it", [False, True])
@pytest.mark.parametrize("info_class", [FileClass.LINK, FileClass.LINK_EX])
def test_a_read_only_share_takes_no_links(info_class: int, replace_it: bool) -> None:
    async def use(tree: Tree) -> None:
        file = await tree.create("there", READ_ATTRIBUTES)
        with pytest.raises(Status) as refused:
            await file.set(info_class, Rename("another", RenameFlags.REPLACE_IF_EXISTS if replace_it else 0).pack())
        assert refused.value.code == NT.ACCESS_DENIED

    read_only(use)


def test_nothing_is_deleted_at_a_close_that_might_not_be_deleted_otherwise() -> None:
    async def use(tree: Tree) -> None:
        with pytest.raises(Status) as refused:
            await tree.create("there", MAXIMUM_ALLOWED, options=CreateOptions.DELETE_ON_CLOSE)
        assert refused.value.code == NT.ACCESS_DENIED
        await tree.create("there", MAXIMUM_ALLOWED)

    read_only(use)


@pytest.mark.parametrize(("name", "stays"), [(".hidden", False), ("hidden", True)])
def test_only_what_a_client_has_hidden_must_be_asked_to_stay_so(tmp_path: Path, name: str, stays: bool) -> None:
    tmp_path.chmod(0o777)

    async def run() -> None:
        threads = IdentityThreads(1)
        share = Share("data", tmp_path)
        async with served(shares=(share,), make_store=lambda s: PosixStore(str(s.path), _options(s, threads))) as h:
            tree = await h.tree()
            attributes = FileAttribute.HIDDEN if stays else 0
            await (await tree.create(name, disposition=Disposition.CREATE, attributes=attributes)).close()
            file = await tree.create(name)
            assert file.created.attributes & FileAttribute.HIDDEN
            await file.close()
            if stays:
                with pytest.raises(Status) as refused:
                    await tree.create(name, disposition=Disposition.OVERWRITE_IF)
                assert refused.value.code == NT.ACCESS_DENIED
            await tree.create(name, disposition=Disposition.OVERWRITE_IF, attributes=attributes)
        threads.close()

    asyncio.run(run())


def test_who_comes_after_a_reload_meets_what_is_configured_then() -> None:
    async def run() -> None:
        made: list[Share] = []

        def make_store(share: Share) -> MemoryStore:
            made.append(share)
            return MemoryStore()

        before = Share("data")
        async with whole((before,), make_store) as here:
            session = await here.session()
            old = await session.connect(SHARE)
            await old.create("x", disposition=Disposition.CREATE)
            config = here.server.config
            await here.server.shares.load(replace(config, shares=(replace(before, comment="said", oplocks=False),)))
            assert len(made) == 1
            assert (await (await session.connect(SHARE)).create("x")).created.size == 0
            await here.server.shares.load(replace(config, shares=(replace(before, veto_files=("*.tmp",)),)))
            assert made[1:] == [replace(before, veto_files=("*.tmp",))]
            with pytest.raises(Status) as refused:
                await (await session.connect(SHARE)).create("x")
            assert refused.value.code == NT.OBJECT_NAME_NOT_FOUND
            await old.create("x")

    asyncio.run(run())


def test_a_store_is_made_with_all_that_it_can_be_told() -> None:
    settings = set(STORE_SETTINGS)
    assert settings <= set(Options.__slots__) and settings <= set(Share.__slots__)
    share = Share("data", veto_files=("*.tmp",), hide_dot_files=False)
    options = _options(share, IdentityThreads(0))
    assert [getattr(options, name) for name in STORE_SETTINGS] == [getattr(share, name) for name in STORE_SETTINGS]
