"""Attributes, times, EAs, descriptors, streams and reparse data (server/store/base.py), held against every store."""

from pathlib import Path as Directory

import pytest

from server.messages.reparse import ReparseBuffer, ReparseTag, SymbolicLink
from server.security import access, acl, descriptors, sids
from server.status import NT
from server.store.base import Ea, Kind, Make, New, Store, Stream, Wanted

from .stores import (
    ALICE,
    MAKERS,
    MAXIMUM,
    READ,
    content,
    identity,
    listed,
    made,
    made_directory,
    opened,
    refused,
    scenario,
)

DACL = 0x4
YEAR_2001 = 126_227_808_000_000_000


@pytest.fixture(params=MAKERS)
def store(request: pytest.FixtureRequest, tmp_path: Directory) -> Store:
    return MAKERS[request.param](tmp_path)


# -- attributes and times ---------------------------------------------------------------------------------------


@scenario
async def test_attributes_are_kept_and_normal_where_there_are_none(store: Store) -> None:
    file = await made(store, "a")
    assert (await file.stat()).attributes == 0x20
    await file.set_basic(attributes=0x1 | 0x2 | 0x4 | 0x10 | 0x400 | 0x800)
    assert (await file.stat()).attributes == 0x7
    await file.set_basic(attributes=0x80)
    assert (await file.stat()).attributes == 0x80
    directory = await made_directory(store, "d")
    await directory.set_basic(attributes=0x2)
    assert (await directory.stat()).attributes == 0x12
    for each in (file, directory):
        await each.close()


@scenario
async def test_each_time_is_set_alone(store: Store) -> None:
    file = await made(store, "a")
    await file.set_basic(modified=YEAR_2001)
    await file.set_basic(accessed=YEAR_2001 + 10)
    await file.set_basic(created=YEAR_2001 + 20)
    await file.set_basic(attributes=0x2)
    stat = await file.stat()
    assert (stat.modified, stat.accessed, stat.created) == (YEAR_2001, YEAR_2001 + 10, YEAR_2001 + 20)
    assert stat.changed > YEAR_2001 + 20
    (entry,) = await listed(store, stats=True)
    assert entry.stat == stat
    await file.close()


@scenario
async def test_the_change_time_set_stays_until_the_file_changes(store: Store) -> None:
    file = await made(store, "a")
    await file.set_basic(modified=YEAR_2001, changed=YEAR_2001 + 5)
    stat = await file.stat()
    assert (stat.modified, stat.changed) == (YEAR_2001, YEAR_2001 + 5)
    (entry,) = await listed(store, stats=True)
    assert entry.stat == stat
    await file.rename(("b",), False)
    assert (await file.stat()).changed == YEAR_2001 + 5
    await file.set_basic(attributes=0x2)
    assert (await file.stat()).changed > YEAR_2001 + 5
    await file.close()


@pytest.mark.parametrize("seconds", [15032385535, 10000000000, 4294967295, 1, 0, -1, -63158400])
@scenario
async def test_times_far_from_now_are_kept(store: Store, seconds: int) -> None:
    file = await made(store, "a")
    time = 116_444_736_000_000_000 + seconds * 10_000_000
    await file.set_basic(created=time, accessed=time, modified=time)
    stat = await file.stat()
    if stat.modified != time:
        pytest.skip("the file system does not keep such times")
    assert (stat.created, stat.accessed) == (time, time)
    await file.close()


@scenario
async def test_a_sparse_file_says_so_until_it_is_none(store: Store) -> None:
    file = await made(store, "a")
    await file.set_sparse(True)
    await file.set_basic(attributes=0x20)
    assert (await file.stat()).attributes == 0x220
    await file.set_sparse(False)
    assert (await file.stat()).attributes == 0x20
    directory = await made_directory(store, "d")
    with refused(NT.INVALID_PARAMETER):
        await directory.set_sparse(True)
    for each in (file, directory):
        await each.close()


# -- extended attributes ----------------------------------------------------------------------------------------


@scenario
async def test_eas_are_matched_without_case_and_removed_by_an_empty_value(store: Store) -> None:
    file = await made(store, "a")
    assert (await file.stat()).ea_size == 0
    await file.set_eas([Ea(b"One", b"1"), Ea(b"TWO", b"22")])
    await file.set_eas([Ea(b"ONE", b"111"), Ea(b"two", b""), Ea(b"absent", b"")])
    assert await file.eas() == [Ea(b"One", b"111")]
    assert (await file.stat()).ea_size == 4 + 4 + len(b"One\0") + len(b"111")
    await file.close()


@pytest.mark.parametrize("name", [b"", b"x" * 300])
@scenario
async def test_an_ea_needs_a_name(store: Store, name: bytes) -> None:
    file = await made(store, "a")
    with refused(NT.INVALID_EA_NAME):
        await file.set_eas([Ea(name, b"x")])
    await file.close()


@scenario
async def test_eas_given_at_the_making_are_there(store: Store) -> None:
    wanted = Wanted(("a",), access=READ, make=Make.ALWAYS, new=New(eas=[Ea(b"e", b"v")]))
    found = await store.open(ALICE, wanted)
    assert await found.file.eas() == [Ea(b"e", b"v")]
    assert found.stat.ea_size > 0
    await found.file.close()


# -- security descriptors ---------------------------------------------------------------------------------------


def _granting(*grants: tuple[bytes, int, int]) -> bytes:
    """A descriptor whose DACL allows each SID a mask, with ACE flags."""
    entries = [descriptors.Ace(acl.ALLOWED, flags, mask, sid) for sid, mask, flags in grants]
    return descriptors.SecurityDescriptor(acl.DACL_PRESENT, ALICE.owner, ALICE.group, entries).pack()


@scenario
async def test_a_descriptor_set_is_the_descriptor_from_then_on(store: Store) -> None:
    file = await made(store, "a")
    before = descriptors.parse(await file.descriptor())
    assert before.owner == ALICE.owner
    given = _granting((ALICE.owner, access.FILE_ALL_ACCESS, 0), (sids.EVERYONE, 0x1, 0))
    await file.set_descriptor(given, DACL)
    found = await opened(store, "a", access=READ)
    for bytes_ in (await file.descriptor(), found.descriptor):
        whole = descriptors.parse(bytes_)
        assert whole.dacl == descriptors.parse(given).dacl
        assert (whole.owner, whole.group) == (before.owner, before.group)
    for each in (file, found.file):
        await each.close()


@scenario
async def test_what_a_directory_passes_on_is_inherited(store: Store) -> None:
    directory = await made_directory(store, "d")
    everyone = (sids.EVERYONE, access.FILE_ALL_ACCESS, acl.OBJECT_INHERIT | acl.CONTAINER_INHERIT)
    await directory.set_descriptor(_granting(everyone), DACL)
    found = await opened(store, "d", "f", make=Make.ALWAYS)
    assert found.parent == await directory.descriptor()
    (entry,) = descriptors.parse(found.descriptor).dacl or []
    assert (entry.sid, entry.mask) == (sids.EVERYONE, access.FILE_ALL_ACCESS)
    assert found.descriptor == await found.file.descriptor()
    for each in (directory, found.file):
        await each.close()


@scenario
async def test_a_descriptor_given_at_the_making_is_taken(store: Store) -> None:
    given = _granting((ALICE.owner, access.FILE_ALL_ACCESS, 0))
    wanted = Wanted(("a",), access=READ, make=Make.ALWAYS, new=New(descriptor=given))
    found = await store.open(ALICE, wanted)
    assert descriptors.parse(found.descriptor).dacl == descriptors.parse(given).dacl
    await found.file.close()


@scenario
async def test_a_directory_that_may_not_be_added_to_is_not(store: Store) -> None:
    directory = await made_directory(store, "d")
    await directory.set_descriptor(_granting((sids.EVERYONE, access.FILE_GENERIC_READ, 0)), DACL)
    with refused(NT.ACCESS_DENIED):
        await made(store, "d", "f")
    with refused(NT.ACCESS_DENIED):
        await made_directory(store, "d", "e")
    file = await made(store, "f")
    with refused(NT.ACCESS_DENIED):
        await file.rename(("d", "f"), False)
    with refused(NT.ACCESS_DENIED):
        await file.link(("d", "f"), False)
    for each in (directory, file):
        await each.close()


@scenario
async def test_a_file_is_not_made_with_an_owner_that_is_someone_else(store: Store) -> None:
    given = descriptors.SecurityDescriptor(0, identity(12345).owner).pack()
    with refused(NT.INVALID_OWNER):
        await store.open(ALICE, Wanted(("a",), access=READ, make=Make.ALWAYS, new=New(descriptor=given)))
    assert await store.lookup(ALICE, ("a",)) is None


# -- named streams ----------------------------------------------------------------------------------------------


@scenario
async def test_a_stream_is_made_with_its_file_and_listed(store: Store) -> None:
    stream = await made(store, "a", stream="St", data=b"123")
    file = (await opened(store, "A", stream="sT")).file
    assert file.key == stream.key
    assert file.key.stream == "ST"
    assert (file.stream, file.kind, file.path()) == ("St", Kind.FILE, ("a",))
    assert await content(file) == b"123"
    stat = await file.stat()
    assert (stat.size, stat.allocation) == (3, 8)
    base = (await opened(store, "a")).file
    assert (await base.stat()).size == 0
    assert await base.streams() == [Stream("", 0, 0), Stream("St", 3, 8)]
    looked = await store.lookup(ALICE, ("a",), "ST")
    assert looked is not None
    assert looked.size == 3
    for each in (stream, file, base):
        await each.close()


@scenario
async def test_a_stream_that_is_absent_or_there_is_told(store: Store) -> None:
    await (await made(store, "a", stream="s")).close()
    with refused(NT.OBJECT_NAME_NOT_FOUND):
        await opened(store, "a", stream="t")
    with refused(NT.OBJECT_NAME_NOT_FOUND):
        await opened(store, "b", stream="t")
    with refused(NT.OBJECT_NAME_COLLISION):
        await made(store, "a", stream="S")
    with refused(NT.OBJECT_NAME_INVALID):
        await made(store, "a", stream="a/b")
    assert not (await opened(store, "a", stream="S", make=Make.IF_ABSENT)).made


@scenario
async def test_directories_have_named_streams(store: Store) -> None:
    directory = await made_directory(store, "d")
    stream = await made(store, "d", stream="s", data=b"x")
    stat = await stream.stat()
    assert (stat.kind, stat.size, stat.attributes & 0x10) == (Kind.FILE, 1, 0)
    assert await directory.streams() == [Stream("s", 1, 8)]
    for each in (directory, stream):
        await each.close()


@scenario
async def test_a_stream_is_renamed_within_its_file(store: Store) -> None:
    stream = await made(store, "a", stream="one", data=b"1")
    await (await made(store, "a", stream="two", data=b"2")).close()
    with refused(NT.OBJECT_NAME_COLLISION):
        await stream.rename_stream("TWO", False)
    await stream.rename_stream("ONE", False)
    await stream.rename_stream("Two", True)
    assert (stream.stream, stream.key.stream) == ("Two", "TWO")
    base = (await opened(store, "a")).file
    assert [each.name for each in await base.streams()] == ["", "Two"]
    assert await content(stream) == b"1"
    with refused(NT.INVALID_PARAMETER):
        await stream.rename(("b",), False)
    with refused(NT.INVALID_PARAMETER):
        await base.rename_stream("x", False)
    for each in (stream, base):
        await each.close()


@scenario
async def test_a_removed_stream_leaves_its_file(store: Store) -> None:
    stream = await made(store, "a", stream="s", data=b"1")
    await stream.unlink()
    with refused(NT.FILE_DELETED):
        await stream.unlink()
    base = (await opened(store, "a")).file
    assert [each.name for each in await base.streams()] == [""]
    for each in (stream, base):
        await each.close()


@scenario
async def test_streams_of_a_file_are_many_and_go_with_it(store: Store) -> None:
    for number in range(20):
        found = await opened(store, "a", stream=f"s{number}", make=Make.IF_ABSENT)
        await found.file.write([b"x" * number], 0, False)
        await found.file.close()
    base = (await opened(store, "a", access=MAXIMUM)).file
    assert {each.name: each.size for each in await base.streams()} == {"": 0} | {f"s{n}": n for n in range(20)}
    await base.unlink()
    await base.close()
    assert await store.lookup(ALICE, ("a",), "s3") is None


# -- reparse points ---------------------------------------------------------------------------------------------


@scenario
async def test_any_other_tag_is_kept_and_shown(store: Store) -> None:
    file = await made(store, "a")
    with refused(NT.NOT_A_REPARSE_POINT):
        await file.reparse()
    with refused(NT.NOT_A_REPARSE_POINT):
        await file.delete_reparse(ReparseTag.NFS)
    data = ReparseBuffer(ReparseTag.NFS, b"anything").pack()
    await file.set_reparse(data)
    assert await file.reparse() == data
    stat = await file.stat()
    assert (stat.attributes & 0x400, stat.reparse_tag, stat.kind) == (0x400, ReparseTag.NFS, Kind.FILE)
    (entry,) = await listed(store, stats=True)
    assert entry.stat == stat
    with refused(0xC0000277):
        await file.delete_reparse(ReparseTag.SYMLINK)
    with refused(0xC0000277):
        await file.set_reparse(SymbolicLink("x", "x", True).pack())
    await file.delete_reparse(ReparseTag.NFS)
    assert (await file.stat()).attributes & 0x400 == 0
    await file.close()


@scenario
async def test_a_link_turns_back_into_a_plain_file(store: Store) -> None:
    file = await made(store, "a")
    await file.set_reparse(SymbolicLink("x", "x", True).pack())
    await file.delete_reparse(ReparseTag.SYMLINK)
    assert file.kind is Kind.FILE
    assert file.path() == ("a",)
    found = await opened(store, "a")
    assert found.stat.kind is Kind.FILE
    for each in (file, found.file):
        await each.close()


@scenario
async def test_only_an_empty_directory_becomes_a_link(store: Store) -> None:
    directory = await made_directory(store, "d")
    file = await made(store, "d", "f")
    with refused(NT.DIRECTORY_NOT_EMPTY):
        await directory.set_reparse(SymbolicLink("x", "x", True).pack())
    await file.unlink()
    await directory.set_reparse(SymbolicLink("x", "x", True).pack())
    assert directory.kind is Kind.SYMLINK
    for each in (directory, file):
        await each.close()


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 7, SymbolicLink("x", "x", True).pack()[:-1], SymbolicLink("", "", True).pack(), b"\0" * 20_000],
)
@scenario
async def test_broken_reparse_data_is_refused(store: Store, data: bytes) -> None:
    file = await made(store, "a")
    with refused(NT.IO_REPARSE_DATA_INVALID):
        await file.set_reparse(data)
    await file.close()


@scenario
async def test_the_volume_says_what_it_can(store: Store) -> None:
    shape = await store.shape(ALICE)
    assert shape.total >= shape.free >= shape.available > 0
    assert shape.block > 0
    assert shape.name_max == 255
    assert shape.streams
    assert shape.acls
    assert not shape.read_only
