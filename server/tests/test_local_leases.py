"""Local processes and what clients cache of files' data: a real process opens or cuts what a client caches."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.client import File, Tree
from server.messages.create import Disposition, OplockLevel
from server.messages.fscc_file import Basic, FileAttribute, FileClass
from server.messages.fscc_set import Rename
from server.messages.oplock import LeaseBreak, OplockBreak
from server.oplock import READ, WRITE
from server.security.access import DELETE, FILE_READ_ATTRIBUTES, FILE_READ_DATA, FILE_WRITE_ATTRIBUTES
from server.store import kernel_calls, kernel_leases
from server.tests.local import NEEDS_FANOTIFY, run
from server.tests.local_processes import CUT_IT, PATIENCE, READ_IT, WRITE_IT, Local, lease_break, local, on_disk
from server.tests.served import Whole, settle
from server.tests.test_oplock_whole import KEY, OTHER, RH, RWH, acknowledge, clock_of, granted, told, wish

MAY_CHANGE = FILE_READ_DATA | FILE_WRITE_ATTRIBUTES | DELETE


@pytest.fixture
def leases_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel without delegations (before 6.19)."""
    monkeypatch.setattr(kernel_calls, "offers_delegations", lambda: False)


async def made(tree: Tree, **more: Any) -> File:
    return await tree.create("file", disposition=Disposition.OPEN_IF, **more)


@pytest.mark.parametrize("doing", [READ_IT, WRITE_IT, CUT_IT])
def test_a_local_process_waits_for_what_a_client_has_not_written_yet(tmp_path: Path, doing: str) -> None:
    async def test(here: Whole, directory: Path) -> None:
        tree = await here.tree()
        file = await made(tree, **wish(KEY, RWH))
        assert granted(file).state == RWH
        async with local(directory / "file", doing) as process:
            await lease_break(tree, 0)
            await process.waits()
            await file.write(0, b"cached by the client")
            await acknowledge(tree, LeaseBreak(key=KEY, state=0))
            await process.through()
        assert (directory / "file").read_bytes() == (b"c" if doing == CUT_IT else b"cached by the client")

    on_disk(tmp_path, test)


def test_a_local_reader_leaves_a_client_that_only_reads_what_it_has_read(tmp_path: Path) -> None:
    async def test(here: Whole, directory: Path) -> None:
        (directory / "file").write_bytes(b"data")
        (directory / "file").chmod(0o666)
        tree = await here.tree()
        file = await tree.create("file", access=FILE_READ_DATA, **wish(KEY, RWH))
        assert granted(file).state == RWH
        async with local(directory / "file", READ_IT) as process:
            await lease_break(tree, RH)
            await process.waits()
            await acknowledge(tree, LeaseBreak(key=KEY, state=RH))
            await process.through()
            async with local(directory / "file", READ_IT) as another:
                await another.through()
            async with local(directory / "file", WRITE_IT) as writer:
                await lease_break(tree, 0)
                await writer.waits()
                await acknowledge(tree, LeaseBreak(key=KEY, state=0))
                await writer.through()
        assert tree.client.notifications.empty()

    on_disk(tmp_path, test)


def test_a_client_that_never_answers_holds_a_local_process_up_for_35_seconds_only(tmp_path: Path) -> None:
    async def test(here: Whole, directory: Path) -> None:
        clock = clock_of(here)
        tree = await here.tree()
        await made(tree, oplock=OplockLevel.BATCH)
        async with local(directory / "file", WRITE_IT) as process:
            assert isinstance(await told(tree), OplockBreak)
            await process.waits()
            await clock.pass_by(35)
            await process.through()
        assert not clock.running

    on_disk(tmp_path, test)


def test_a_kernel_that_waits_for_less_than_35_seconds_gets_its_answer_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(here: Whole, directory: Path) -> None:
        monkeypatch.setattr(kernel_leases, "patience", lambda: 10.0)
        clock = clock_of(here)
        tree = await here.tree()
        await made(tree, **wish(KEY, RWH))
        async with local(directory / "file", WRITE_IT) as process:
            await lease_break(tree, 0)
            await process.waits()
            await clock.pass_by(9)
            await process.through()
        assert not clock.running

    on_disk(tmp_path, test)


def test_what_a_local_process_has_open_is_not_cached_until_it_closes(tmp_path: Path) -> None:
    async def test(here: Whole, directory: Path) -> None:
        tree = await here.tree()
        await (await made(tree)).close()
        async with local(directory / "file", READ_IT) as process:
            await process.through()
            file = await made(tree, **wish(KEY, RWH))
            assert granted(file).state == 0
            await tree.create("file", access=FILE_READ_ATTRIBUTES, **wish(KEY, RWH))
            assert granted(file).state == 0
            await file.close()
        again = await made(tree, **wish(KEY, RWH))
        assert granted(again).state == RWH

    on_disk(tmp_path, test)


def test_an_open_without_data_caches_until_one_with_data_finds_a_local_process_there(tmp_path: Path) -> None:
    async def test(here: Whole, directory: Path) -> None:
        tree = await here.tree()
        await (await made(tree)).close()
        async with local(directory / "file", READ_IT) as process:
            await process.through()
            bare = await tree.create("file", access=FILE_READ_ATTRIBUTES, **wish(KEY, RWH))
            assert granted(bare).state == RWH
            assert not kernel_leases.held()
            opening = asyncio.ensure_future(made(tree, **wish(KEY, RWH)))
            await lease_break(tree, 0)
            assert granted(await opening).state == RWH, "what it has until it answers"
            await acknowledge(tree, LeaseBreak(key=KEY, state=0))

    on_disk(tmp_path, test)


@pytest.mark.usefixtures("leases_alone")
def test_the_name_that_was_open_first_is_closed_first(tmp_path: Path) -> None:
    """Its descriptor is another file's by then."""

    async def test(here: Whole, directory: Path) -> None:
        tree = await here.tree()
        file = await made(tree, **wish(KEY, READ))
        os.link(directory / "file", directory / "second")
        second = await tree.create("second", **wish(OTHER, READ))
        again = await made(tree, **wish(b"a" * 16, READ))
        assert granted(second).state == granted(again).state == READ
        await file.close()
        await again.close()
        other = await tree.create("other", disposition=Disposition.CREATE, **wish(b"x" * 16, READ))
        assert here.server.opens.breaks.local.marked
        await second.close()
        assert here.server.opens.breaks.local.marked
        await other.close()
        assert not here.server.opens.breaks.local.marked

    on_disk(tmp_path, test, "auto")


@pytest.mark.parametrize("oplocks", ["auto", "no"])
def test_a_share_may_let_clients_cache_what_local_processes_have_open(tmp_path: Path, oplocks: str) -> None:
    async def test(here: Whole, directory: Path) -> None:
        tree = await here.tree()
        await (await made(tree)).close()
        async with local(directory / "file", READ_IT) as process:
            await process.through()
            assert granted(await made(tree, **wish(KEY, RWH))).state == RWH

    on_disk(tmp_path, test, oplocks)


def test_without_kernel_oplocks_local_processes_wait_for_nobody(tmp_path: Path) -> None:
    async def test(here: Whole, directory: Path) -> None:
        tree = await here.tree()
        assert granted(await made(tree, **wish(KEY, RWH))).state == RWH
        async with local(directory / "file", WRITE_IT) as process:
            await process.through()
        assert tree.client.notifications.empty()

    on_disk(tmp_path, test, "no")


def test_many_opens_of_one_client_and_of_others_lie_under_one_lease(tmp_path: Path) -> None:
    async def test(here: Whole, directory: Path) -> None:
        tree, other = await here.tree(), await here.tree()
        (directory / "file").write_bytes(b"data")
        (directory / "file").chmod(0o666)
        reader = await tree.create("file", access=FILE_READ_DATA, **wish(KEY, RWH))
        writer = await made(tree, **wish(KEY, RWH))
        assert granted(reader).state == granted(writer).state == RWH
        assert kernel_leases.held() == 1
        waiting = asyncio.ensure_future(made(other, **wish(OTHER, RH)))
        await lease_break(tree, RH)
        await acknowledge(tree, LeaseBreak(key=KEY, state=RH))
        assert granted(await waiting).state == RH
        async with local(directory / "file", WRITE_IT) as process:
            for each in (tree, other):
                await lease_break(each, 0)
            await process.waits()
            await acknowledge(tree, LeaseBreak(key=KEY, state=0))
            await process.waits()
            await acknowledge(other, LeaseBreak(key=OTHER, state=0))
            await process.through()

    on_disk(tmp_path, test)


def test_the_lease_goes_with_the_last_that_caches(tmp_path: Path) -> None:
    async def test(here: Whole, directory: Path) -> None:
        tree = await here.tree()
        plain, caching = await made(tree), await made(tree, **wish(KEY, RWH))
        assert granted(caching).state == RH
        assert kernel_leases.held() == 1
        await caching.close()
        assert not kernel_leases.held()
        async with local(directory / "file", WRITE_IT) as process:
            await process.through()
        await plain.close()

    on_disk(tmp_path, test)


def test_an_open_waits_for_the_lease_of_a_local_process(tmp_path: Path) -> None:
    async def test(here: Whole, directory: Path) -> None:
        tree = await here.tree()
        await (await made(tree)).close()
        script = (
            "import fcntl, signal, sys\nheld = open(sys.argv[1])\n"
            "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGIO})\n"
            "fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)\nprint('through', flush=True)\n"
            "signal.sigwait({signal.SIGIO})\nfcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_UNLCK)"
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, str(directory / "file"), stdout=asyncio.subprocess.PIPE
        )
        await Local(process).through()
        file = await asyncio.wait_for(made(tree), PATIENCE)
        await file.write(0, b"after it")
        assert await process.wait() == 0

    on_disk(tmp_path, test)


@NEEDS_FANOTIFY
@pytest.mark.usefixtures("leases_alone")
@pytest.mark.parametrize("script", ["mv file other", "rm file", "chmod 600 file", "ln file other", "mv other file"])
def test_a_file_that_a_local_process_renames_or_removes_is_not_kept_open_for_later(tmp_path: Path, script: str) -> None:
    async def test(here: Whole, directory: Path) -> None:
        tree = await here.tree()
        if script == "mv other file":
            (directory / "other").touch()
        await made(tree, **wish(KEY, RWH))
        assert here.server.opens.breaks.local.marked == 1
        run(directory, *script.split())
        await lease_break(tree, READ | WRITE)
        await acknowledge(tree, LeaseBreak(key=KEY, state=READ | WRITE))

    on_disk(tmp_path, test)


@NEEDS_FANOTIFY
@pytest.mark.usefixtures("leases_alone")
def test_what_clients_do_to_the_names_of_a_file_is_no_news(tmp_path: Path) -> None:
    async def test(here: Whole, directory: Path) -> None:
        tree = await here.tree()
        file = await tree.create("file", MAY_CHANGE, disposition=Disposition.CREATE, **wish(KEY, RWH))
        await file.set(FileClass.BASIC, Basic(attributes=FileAttribute.HIDDEN).pack())
        await file.set(FileClass.RENAME, Rename("other").pack())
        run(directory, "touch", "third")
        other = await tree.create("third", **wish(OTHER, RWH))
        run(directory, "mv", "third", "fourth")
        assert (await lease_break(tree, READ | WRITE)).key == OTHER
        assert tree.client.notifications.empty()
        await file.close()
        assert here.server.opens.breaks.local.marked == 1
        await other.close()
        assert here.server.opens.breaks.local.marked == 0

    on_disk(tmp_path, test)


@NEEDS_FANOTIFY
def test_where_no_lease_can_be_had_a_share_may_let_clients_hear_of_writes_afterwards(tmp_path: Path) -> None:
    async def test(here: Whole, directory: Path) -> None:
        tree = await here.tree()
        await (await made(tree)).close()
        async with local(directory / "file", WRITE_IT) as process:
            await process.through()
            file = await made(tree, **wish(KEY, RWH))
            await file.write(0, b"no news")
            async with local(directory / "file", "os.truncate(path, 1)") as another:
                await another.through()
                await lease_break(tree, 0)
                await acknowledge(tree, LeaseBreak(key=KEY, state=0))
        assert tree.client.notifications.empty()

    on_disk(tmp_path, test, "auto")


@NEEDS_FANOTIFY
def test_beside_writers_a_share_may_let_clients_keep_what_they_have_read_until_somebody_writes(tmp_path: Path) -> None:
    async def test(here: Whole, directory: Path) -> None:
        tree = await here.tree()
        await made(tree, **wish(KEY, RWH))
        async with local(directory / "file", READ_IT) as process:
            await lease_break(tree, RH)
            await acknowledge(tree, LeaseBreak(key=KEY, state=RH))
            await process.through()
            async with local(directory / "file", CUT_IT) as writer:
                await writer.through()
                await lease_break(tree, 0)
                await acknowledge(tree, LeaseBreak(key=KEY, state=0))

    on_disk(tmp_path, test, "auto")


def test_a_client_that_cuts_its_file_while_a_local_process_waits_for_it_waits_too(tmp_path: Path) -> None:
    async def test(here: Whole, directory: Path) -> None:
        tree = await here.tree()
        await (await made(tree, **wish(KEY, RWH))).write(0, b"data")
        async with local(directory / "file", READ_IT) as process:
            await lease_break(tree, 0)
            await process.waits()
            cutting = asyncio.ensure_future(tree.create("file", disposition=Disposition.OVERWRITE, **wish(KEY, RWH)))
            await settle()
            assert not cutting.done()
            await acknowledge(tree, LeaseBreak(key=KEY, state=0))
            await process.through()
            await asyncio.wait_for(cutting, PATIENCE)
        assert not (directory / "file").stat().st_size

    on_disk(tmp_path, test)
