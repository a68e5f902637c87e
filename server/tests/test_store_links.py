"""Files that become symbolic links on disk: nothing else is lost by it."""

import asyncio
from pathlib import Path as Directory

import pytest

from server.messages.reparse import SymbolicLink
from server.status import NT
from server.store import links, naming
from server.store.posix import PosixStore
from server.store.resolve import Place, Resolver

from .stores import made, posix_store, refused


@pytest.fixture
def store(tmp_path: Directory) -> PosixStore:
    (tmp_path / "share").mkdir()
    return posix_store(tmp_path / "share")


def test_a_file_with_data_does_not_become_a_link(store: PosixStore, tmp_path: Directory) -> None:
    async def whole() -> None:
        file = await made(store, "a", data=b"kept")
        with refused(NT.NOT_SUPPORTED):
            await file.set_reparse(SymbolicLink("x", "x", True).pack())
        await file.close()
        await store.close()

    asyncio.run(whole())
    assert (tmp_path / "share" / "a").read_bytes() == b"kept"


def test_no_other_file_becomes_a_link_that_takes_the_name_meanwhile(
    store: PosixStore, tmp_path: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, place_of = tmp_path / "share", naming.place_of

    def overtaken(resolver: Resolver, descriptor: int) -> Place:
        place = place_of(resolver, descriptor)
        if not (root / "b").exists():
            (root / "a").rename(root / "b")
            (root / "a").write_bytes(b"another")
        return place

    async def whole() -> None:
        file = await made(store, "a")
        for module in (naming, links):
            monkeypatch.setattr(module, "place_of", overtaken, raising=False)
        await file.set_reparse(SymbolicLink("x", "x", True).pack())
        await file.close()
        await store.close()

    asyncio.run(whole())
    assert (root / "a").read_bytes() == b"another"
    assert (root / "b").is_symlink()
