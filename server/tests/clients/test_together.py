"""Two clients at the same files at the same time: nothing written, counted, renamed or made is lost or doubled."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from server.testing import Ours, missing

from .conftest import digests
from .test_smbclient import done, smbclient

smbprotocol = pytest.importorskip("smbprotocol", reason="smbprotocol is missing (pip: smbprotocol)")
from smbprotocol.exceptions import SMBResponseException  # noqa: E402
from smbprotocol.open import CreateDisposition, LockFlags, Open, SMB2LockElement  # noqa: E402
from smbprotocol.tree import TreeConnect  # noqa: E402

from .test_smbprotocol import opened, tree  # noqa: E402

BLOCK = 4096


def both(server: Ours, work: Callable[[TreeConnect, int], None]) -> None:
    """Run `work(share, 0)` and `work(share, 1)` at once, each on a connection of its own."""
    start = threading.Barrier(2)
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            with tree(server) as share:
                start.wait(20)
                work(share, number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failures, failures
    assert not any(thread.is_alive() for thread in threads)


def lock(file: Open, flags: int) -> None:
    element = SMB2LockElement()
    element["offset"], element["length"], element["flags"] = 0, 8, flags
    file.lock([element])


def test_counter_under_a_lock_counts_every_turn(server: Ours) -> None:
    server.clear()

    def work(share: TreeConnect, number: int) -> None:
        file = opened(share, "counter")
        for _ in range(100):
            lock(file, LockFlags.SMB2_LOCKFLAG_EXCLUSIVE_LOCK)
            try:
                value = int.from_bytes(file.read(0, 8), "little")
            except SMBResponseException:
                value = 0
            file.write((value + 1).to_bytes(8, "little"), 0)
            lock(file, LockFlags.SMB2_LOCKFLAG_UNLOCK)
        file.close()

    both(server, work)
    assert int.from_bytes((server.path() / "counter").read_bytes(), "little") == 200


def test_interleaved_blocks_of_one_file_are_all_there(server: Ours) -> None:
    server.clear()
    blocks = 400

    def work(share: TreeConnect, number: int) -> None:
        file = opened(share, "shared")
        for index in range(number, blocks, 2):
            file.write(index.to_bytes(8, "little") * (BLOCK // 8), index * BLOCK)
        file.close()

    both(server, work)
    expected = b"".join(index.to_bytes(8, "little") * (BLOCK // 8) for index in range(blocks))
    assert (server.path() / "shared").read_bytes() == expected


def test_each_name_is_made_by_one_of_two(server: Ours) -> None:
    server.clear()
    made: list[tuple[int, int]] = []

    def work(share: TreeConnect, number: int) -> None:
        for index in range(100):
            try:
                file = opened(share, f"name-{index}", CreateDisposition.FILE_CREATE)
            except SMBResponseException as error:
                if "OBJECT_NAME_COLLISION" not in str(error):
                    raise
                continue
            file.write(bytes([number]), 0)
            file.close()
            made.append((index, number))

    both(server, work)
    assert sorted(index for index, _ in made) == list(range(100))
    assert all((server.path() / f"name-{index}").read_bytes() == bytes([number]) for index, number in made)


@pytest.mark.skipif(bool(missing("smbclient")), reason="smbclient is missing (Debian: smbclient)")
def test_renames_of_the_same_files_lose_none(server: Ours, tmp_path: Path) -> None:
    server.clear()
    for index in range(60):
        (tmp_path / f"file-{index:02}").write_text(str(index))
    done(server, f"prompt OFF; lcd {tmp_path}; mput *")
    renamed: list[str] = []

    def work(number: int) -> None:
        orders = "; ".join(f"rename file-{index:02} moved-{number}-{index:02}" for index in range(60))
        renamed.append(smbclient(server, orders).stdout)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left = sorted(server.path().iterdir(), key=lambda path: path.name[-2:])
    assert [path.read_text() for path in left] == [str(index) for index in range(60)]
    assert len(renamed) == 2


@pytest.mark.skipif(bool(missing("smbclient")), reason="smbclient is missing (Debian: smbclient)")
def test_two_trees_arrive_whole_at_once(server: Ours, library: Path) -> None:
    server.clear()
    expected = digests(library)
    done(server, "mkdir one; mkdir two")

    def work(name: str) -> None:
        done(server, f"recurse ON; prompt OFF; lcd {library}; cd {name}; mput *")

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert digests(server.path() / "one") == expected
    assert digests(server.path() / "two") == expected
