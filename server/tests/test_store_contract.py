"""What `Store.open`, names, renames and listings promise (server/store/base.py), held against every store."""

from pathlib import Path as Directory

import pytest

from server.messages.reparse import SymbolicLink, SymbolicLinkError
from server.security import access, acl, sids
from server.security.descriptors import SecurityDescriptor
from server.status import NT, Status
from server.store.base import FileKey, Kind, Make, New, Store, Wanted

from .stores import ALICE, MAKERS, READ, content, listed, made, made_directory, names, opened, refused, scenario


@pytest.fixture(params=MAKERS)
def store(request: pytest.FixtureRequest, tmp_path: Directory) -> Store:
    return MAKERS[request.param](tmp_path)


# -- finding and making -----------------------------------------------------------------------------------------


@scenario
async def test_a_made_file_is_found_again_with_what_was_written(store: Store) -> None:
    file = await made(store, "a.txt", data=b"hello")
    found = await opened(store, "a.txt")
    assert not found.made
    assert (found.stat.size, found.stat.kind) == (5, Kind.FILE)
    assert found.file.key == file.key == FileKey(found.stat.device, found.stat.inode)
    assert await content(found.file) == b"hello"
    for each in (file, found.file):
        await each.close()


@scenario
async def test_names_keep_their_case_and_match_without(store: Store) -> None:
    await (await made_directory(store, "Straße")).close()
    await (await made(store, "Straße", "Ärger.TXT")).close()
    found = await opened(store, "STRAßE", "äRGER.txt")
    assert found.file.path() == ("Straße", "Ärger.TXT")
    await found.file.close()
    assert await names(store) == {"Straße"}


@scenario
async def test_a_name_made_in_another_case_collides(store: Store) -> None:
    await (await made(store, "One")).close()
    with refused(NT.OBJECT_NAME_COLLISION):
        await made(store, "oNE")
    found = await opened(store, "ONE", make=Make.IF_ABSENT)
    assert not found.made
    await found.file.close()


@scenario
async def test_what_is_absent_is_told_apart_by_where(store: Store) -> None:
    await (await made(store, "file")).close()
    with refused(NT.OBJECT_NAME_NOT_FOUND):
        await opened(store, "absent")
    with refused(NT.OBJECT_PATH_NOT_FOUND):
        await opened(store, "absent", "x")
    with refused(NT.OBJECT_PATH_NOT_FOUND):
        await opened(store, "file", "x")
    with refused(NT.OBJECT_PATH_NOT_FOUND):
        await made(store, "absent", "x")


@pytest.mark.parametrize(
    "name", ["a*", "a?", 'a"', "a<b", "a>", "a|", "a:b", "a\x01", "a/b", "a\\b", "ends.", "ends ", "ü" * 128, "..", "."]
)
@scenario
async def test_a_name_windows_does_not_allow_is_refused(store: Store, name: str) -> None:
    with refused(NT.OBJECT_NAME_INVALID):
        await made(store, name)


@scenario
async def test_the_longest_name_is_255_bytes_on_disk(store: Store) -> None:
    await (await made(store, "x" * 255)).close()
    await (await made(store, "ü" * 127)).close()
    with refused(NT.OBJECT_NAME_INVALID):
        await made(store, "x" * 256)


@scenario
async def test_an_unpaired_surrogate_comes_back_as_it_went(store: Store) -> None:
    await (await made(store, "a\ud800b", data=b"x")).close()
    assert await names(store) == {"a\ud800b"}
    found = await opened(store, "A\ud800B", access=READ)
    assert found.file.path() == ("a\ud800b",)
    await found.file.close()


@scenario
async def test_the_root_is_a_directory_with_no_name(store: Store) -> None:
    found = await opened(store, access=READ)
    assert (found.file.kind, found.file.path(), found.parent) == (Kind.DIRECTORY, (), b"")
    with refused(NT.ACCESS_DENIED):
        await found.file.unlink()
    with refused(NT.ACCESS_DENIED):
        await found.file.rename(("x",), False)
    with refused(NT.OBJECT_NAME_COLLISION):
        await opened(store, make=Make.ALWAYS)
    await found.file.close()


@scenario
async def test_lookup_answers_without_opening(store: Store) -> None:
    await (await made(store, "a", data=b"123")).close()
    stat = await store.lookup(ALICE, ("A",))
    assert stat is not None
    assert stat.size == 3
    assert await store.lookup(ALICE, ("b",)) is None
    assert await store.lookup(ALICE, ("a",), "s") is None
    with refused(NT.OBJECT_PATH_NOT_FOUND):
        await store.lookup(ALICE, ("b", "c"))
    root = await store.lookup(ALICE, ())
    assert root is not None
    assert root.kind is Kind.DIRECTORY


@scenario
async def test_what_a_new_file_is_given_it_has(store: Store) -> None:
    new = New(attributes=0x1 | 0x2, allocation=10_000)
    found = await store.open(ALICE, Wanted(("a",), access=READ, make=Make.ALWAYS, new=new))
    assert found.made
    assert found.stat.attributes == 0x1 | 0x2 | 0x20
    assert found.stat.allocation >= 10_000
    assert found.stat.size == 0
    await found.file.close()


# -- renaming and removing --------------------------------------------------------------------------------------


@scenario
async def test_a_renamed_file_is_followed_by_all_its_opens(store: Store) -> None:
    await (await made_directory(store, "d")).close()
    file = await made(store, "a", data=b"x")
    other = (await opened(store, "a")).file
    await file.rename(("D", "b"), False)
    assert file.path() == other.path() == ("d", "b")
    assert await names(store) == {"d"}
    assert await names(store, "d") == {"b"}
    for each in (file, other):
        await each.close()


@scenario
async def test_a_rename_may_change_only_the_case(store: Store) -> None:
    file = await made(store, "name")
    await file.rename(("NAME",), False)
    assert file.path() == ("NAME",)
    assert await names(store) == {"NAME"}
    await file.rename(("NAME",), False)
    assert file.path() == ("NAME",)
    await file.close()


@scenario
async def test_a_rename_over_a_file_needs_to_be_asked_for(store: Store) -> None:
    file = await made(store, "a", data=b"new")
    await (await made(store, "B", data=b"old")).close()
    with refused(NT.OBJECT_NAME_COLLISION):
        await file.rename(("b",), False)
    assert file.path() == ("a",)
    await file.rename(("b",), True)
    assert await names(store) == {"b"}
    found = await opened(store, "B", access=READ)
    assert await content(found.file) == b"new"
    for each in (file, found.file):
        await each.close()


@scenario
async def test_a_rename_never_replaces_a_directory(store: Store) -> None:
    file = await made(store, "a")
    directory = await made_directory(store, "d")
    await (await made_directory(store, "e")).close()
    with refused(NT.ACCESS_DENIED):
        await file.rename(("d",), True)
    with refused(NT.ACCESS_DENIED):
        await directory.rename(("e",), True)
    with refused(NT.OBJECT_NAME_COLLISION):
        await directory.rename(("a",), False)
    for each in (file, directory):
        await each.close()


@pytest.mark.parametrize("way", ["rename", "link"])
@scenario
async def test_who_may_not_delete_a_file_does_not_replace_it(store: Store, way: str) -> None:
    directory = await made_directory(store, "d")
    file, there = await made(store, "d", "a"), await made(store, "d", "b", data=b"stays")
    every_right_but = access.FILE_ALL_ACCESS & ~access.FILE_DELETE_CHILD
    for each, rights in ((directory, every_right_but), (there, access.FILE_GENERIC_READ)):
        dacl = [acl.Ace(acl.ALLOWED, 0, rights, sids.EVERYONE)]
        await each.set_descriptor(SecurityDescriptor(acl.DACL_PRESENT, None, None, dacl).pack(), 4)
    with refused(NT.ACCESS_DENIED):
        await getattr(file, way)(("d", "B"), True)
    assert await names(store, "d") == {"a", "b"}
    assert await content(there) == b"stays"
    for each in (directory, file, there):
        await each.close()


@scenario
async def test_a_rename_needs_a_directory_to_go_to(store: Store) -> None:
    file = await made(store, "a")
    with refused(NT.OBJECT_PATH_NOT_FOUND):
        await file.rename(("d", "a"), False)
    with refused(NT.OBJECT_NAME_INVALID):
        await file.rename(("a?",), False)
    await file.close()


@scenario
async def test_a_directory_is_not_moved_into_itself(store: Store) -> None:
    directory = await made_directory(store, "d")
    with refused(NT.INVALID_PARAMETER):
        await directory.rename(("d", "e"), False)
    await directory.close()


@scenario
async def test_a_moved_directory_takes_open_files_along(store: Store) -> None:
    directory = await made_directory(store, "d")
    file = await made(store, "d", "f")
    await directory.rename(("e",), False)
    assert file.path() == ("e", "f")
    await file.rename(("e", "g"), False)
    assert file.path() == ("e", "g")
    for each in (directory, file):
        await each.close()


@scenario
async def test_an_unlinked_file_has_no_path_but_its_data(store: Store) -> None:
    file = await made(store, "a", data=b"still")
    await file.unlink()
    with refused(NT.FILE_DELETED):
        file.path()
    with refused(NT.FILE_DELETED):
        await file.unlink()
    assert await content(file) == b"still"
    with refused(NT.OBJECT_NAME_NOT_FOUND):
        await opened(store, "a")
    again = await made(store, "a")
    assert again.key != file.key
    for each in (file, again):
        await each.close()


@scenario
async def test_only_an_empty_directory_is_removed(store: Store) -> None:
    directory = await made_directory(store, "d")
    file = await made(store, "d", "f")
    assert not await directory.is_empty()
    with refused(NT.DIRECTORY_NOT_EMPTY):
        await directory.unlink()
    await file.unlink()
    assert await directory.is_empty()
    await directory.unlink()
    assert await names(store) == set()
    for each in (directory, file):
        await each.close()


@scenario
async def test_a_link_is_one_more_name_of_the_same_file(store: Store) -> None:
    file = await made(store, "a", data=b"x")
    await file.link(("b",), False)
    other = (await opened(store, "b")).file
    assert other.key == file.key
    assert (await file.stat()).links == 2
    with refused(NT.OBJECT_NAME_COLLISION):
        await file.link(("B",), False)
    await other.unlink()
    assert await names(store) == {"a"}
    assert file.path() == ("a",)
    for each in (file, other):
        await each.close()


@scenario
async def test_a_file_renamed_over_its_other_link_is_left_with_one_name(store: Store) -> None:
    file = await made(store, "a")
    await file.link(("b",), False)
    await file.rename(("b",), True)
    assert await names(store) == {"b"}
    await file.close()


@scenario
async def test_directories_have_no_links(store: Store) -> None:
    directory = await made_directory(store, "d")
    with refused(NT.FILE_IS_A_DIRECTORY):
        await directory.link(("e",), False)
    await directory.close()


# -- listing ----------------------------------------------------------------------------------------------------


@scenario
async def test_a_listing_begins_with_the_dots_and_misses_nothing(store: Store) -> None:
    wanted = {f"file{number}" for number in range(50)}
    for name in wanted:
        await (await made(store, name)).close()
    root = (await opened(store, access=READ)).file
    cursor = root.entries("*", False)
    first = await cursor.next(7)
    assert [entry.name for entry in first[:2]] == [".", ".."]
    assert all(entry.stat is None for entry in first)
    seen = {entry.name for entry in first[2:]}
    while batch := await cursor.next(7):
        seen |= {entry.name for entry in batch}
    assert seen == wanted
    assert await cursor.next(7) == []
    await cursor.close()
    await root.close()


@scenario
async def test_a_listing_gives_stats_where_they_are_wanted(store: Store) -> None:
    await (await made(store, "f", data=b"12345")).close()
    await (await made_directory(store, "d")).close()
    entries = {entry.name: entry.stat for entry in await listed(store, stats=True)}
    found = await opened(store, "f", access=READ)
    assert entries["f"] == found.stat
    directory = entries["d"]
    assert directory is not None
    assert (directory.kind, directory.size, directory.attributes) == (Kind.DIRECTORY, 0, 0x10)
    await found.file.close()


@scenario
async def test_a_listing_is_cut_by_its_pattern(store: Store) -> None:
    for name in ("a.txt", "B.TXT", "c.doc", "noext"):
        await (await made(store, name)).close()
    assert await names(store, pattern="*.txt") == {"a.txt", "B.TXT"}
    assert await names(store, pattern="C.DOC") == {"c.doc"}
    assert await names(store, pattern="?.???") == {"a.txt", "B.TXT", "c.doc"}
    assert await names(store, pattern="none*") == set()


# -- symbolic links ---------------------------------------------------------------------------------------------


async def _link(store: Store, *path: str, target: str) -> None:
    file = await made(store, *path)
    await file.set_reparse(SymbolicLink(target, target, True).pack())
    assert file.kind is Kind.SYMLINK
    await file.close()


@scenario
async def test_a_symbolic_link_on_the_way_stops_the_walk_and_says_where(store: Store) -> None:
    await (await made_directory(store, "d")).close()
    await _link(store, "d", "link", target="..\\elsewhere")
    with pytest.raises(Status) as caught:
        await opened(store, "d", "LINK", "x", "y")
    assert caught.value.code == NT.STOPPED_ON_SYMLINK
    error = SymbolicLinkError.parse(bytes(caught.value.data))
    assert (error.substitute, error.relative) == ("..\\elsewhere", True)
    assert error.unparsed == len("\\x\\y".encode("utf-16-le"))


@scenario
async def test_a_symbolic_link_as_last_name_is_opened_itself(store: Store) -> None:
    await _link(store, "link", target="a\\b")
    found = await opened(store, "link", access=READ)
    assert found.file.kind is Kind.SYMLINK
    assert found.stat.attributes & 0x400
    assert found.stat.reparse_tag == 0xA000000C
    assert await found.file.reparse() == SymbolicLink("a\\b", "a\\b", True).pack()
    await found.file.unlink()
    await found.file.close()
    assert await names(store) == set()
