"""What reaches the disk and when, as strace sees it: syncs before answers, and no zeros for sizes alone."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.client import Tree
from server.messages.create import CreateOptions, Disposition
from server.messages.fscc_file import FileClass
from server.messages.read_write import WRITEFLAG_WRITE_THROUGH
from server.testing import Ours, missing
from server.tests.dialled import dialled, tree_of, with_tree
from server.tests.strace import watched

SYNCS = "fsync,fdatasync,sync_file_range,pwritev2"
WRITES = "write,writev,pwrite64,pwritev,pwritev2,sendfile,copy_file_range"
HUGE = 1 << 28

pytestmark = [
    pytest.mark.skipif(bool(missing("strace")), reason="strace is missing (Debian: strace)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="strace may attach to the server only as root"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[Ours]:
    with Ours() as running:
        yield running


def lines(output: Path, name: str) -> list[str]:
    """The traced calls about the file `name`."""
    return [line for line in output.read_text().splitlines() if f"/{name}>" in line]


def syncs(output: Path, name: str) -> int:
    return sum("sync(" in line or "RWF_DSYNC" in line for line in lines(output, name))


@pytest.mark.parametrize("way", ["flush", "write through", "asked of each write", "plain"])
def test_data_is_on_the_disk_before_the_answer_where_that_is_asked(server: Ours, tmp_path: Path, way: str) -> None:
    trace = tmp_path / "trace"
    options = CreateOptions.WRITE_THROUGH if way == "write through" else 0
    name = way.replace(" ", "-")

    async def use() -> None:
        async with dialled(server) as client:
            file = await (await tree_of(client)).create(name, disposition=Disposition.CREATE, options=options)
            with watched(server, trace, SYNCS):
                for turn in range(3):
                    flags = WRITEFLAG_WRITE_THROUGH if way == "asked of each write" else 0
                    await file.write(turn * 100_000, bytes(100_000), flags)
                if way == "flush":
                    await file.flush()
            await file.close()

    asyncio.run(use())
    assert syncs(trace, name) == {"plain": 0, "flush": 1}.get(way, 3)


@pytest.mark.parametrize("info_class", [FileClass.END_OF_FILE, FileClass.ALLOCATION], ids=["size", "allocation"])
def test_setting_a_size_writes_nothing(server: Ours, tmp_path: Path, info_class: int) -> None:
    trace = tmp_path / "trace"
    name = f"grown-{info_class}"

    async def use(tree: Tree) -> None:
        file = await tree.create(name, disposition=Disposition.CREATE)
        with watched(server, trace, WRITES):
            await file.set(info_class, HUGE.to_bytes(8, "little"))
            await file.write(1 << 20, b"data", WRITEFLAG_WRITE_THROUGH)  # others strace does not see: io_uring's
            await file.set(FileClass.END_OF_FILE, (HUGE - 1).to_bytes(8, "little"))
            await file.close()

    with_tree(server, use)
    written = lines(trace, name)
    assert len(written) == 1, written
    status = (server.path() / name).stat()
    assert status.st_size == HUGE - 1
    if info_class == FileClass.END_OF_FILE:
        assert status.st_blocks * 512 < 1 << 20, "zeros were written, or blocks taken for them"
