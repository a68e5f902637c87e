"""8.3 names: how they are made, and that every store finds files by them."""

import re
from pathlib import Path as Directory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.status import NT
from server.store import shortnames
from server.store.base import Make, Store
from server.store.names import fold
from server.store.shortnames import may_be_computed, other_name, short_name

from .stores import MAKERS, made, made_directory, names, opened, posix_store, refused, scenario

EIGHT_THREE = re.compile(r"[^.]{1,8}(\.[^.]{1,3})?")
LONG = "a rather long name.document"


@pytest.fixture(params=MAKERS)
def store(request: pytest.FixtureRequest, tmp_path: Directory) -> Store:
    return MAKERS[request.param](tmp_path)


@pytest.mark.parametrize("name", ["a", "readme.txt", "12345678.123", "A~B.C_D"])
def test_names_that_are_8_3_have_no_other(name: str) -> None:
    assert short_name(name) == name
    assert other_name(name) == ""


@pytest.mark.parametrize(
    "name", ["123456789", "a.text", "a.b.c", ".hidden", "a b", "ä.txt", "\U0001f600", "\ud800", "a.", "a+b", "..."]
)
def test_all_others_have_one(name: str) -> None:
    short = other_name(name)
    assert EIGHT_THREE.fullmatch(short) and short.isascii()
    assert may_be_computed(fold(short))
    assert short_name(short) == short


@given(st.text(st.characters(exclude_categories=()), min_size=1, max_size=40))
def test_any_name_has_a_short_one_that_does_not_depend_on_case(name: str) -> None:
    short = short_name(name)
    assert EIGHT_THREE.fullmatch(short)
    if name.isascii():
        assert fold(short_name(name.swapcase())) == fold(short)
    assert short == name or (short == short.upper() and may_be_computed(short))


def test_directories_do_not_show_one_for_themselves() -> None:
    assert [other_name(name) for name in (".", "..")] == ["", ""]


def test_ten_thousand_similar_names_have_as_many_short_ones() -> None:
    assert len({short_name(f"a similar name {number}") for number in range(10_000)}) == 10_000


@scenario
async def test_a_file_is_found_by_its_short_name_on_every_step_of_the_way(store: Store) -> None:
    await (await made_directory(store, "a directory's name")).close()
    await (await made(store, "a directory's name", LONG)).close()
    short = short_name("a directory's name"), short_name(LONG).lower()
    found = await opened(store, *short)
    assert found.file.path() == ("a directory's name", LONG)
    with refused(NT.OBJECT_NAME_COLLISION):
        await opened(store, *short, make=Make.ALWAYS)
    await found.file.unlink()
    await found.file.close()
    assert await names(store, "a directory's name") == set()


@scenario
async def test_a_file_that_really_has_the_name_comes_first(store: Store) -> None:
    await (await made(store, short_name(LONG))).close()
    await (await made(store, LONG)).close()
    found = await opened(store, short_name(LONG))
    assert found.file.path() == (short_name(LONG),)
    await found.file.close()


@scenario
async def test_a_listing_for_a_short_name_shows_the_file(store: Store) -> None:
    for name in (LONG, "another long name", "short"):
        await (await made(store, name)).close()
    assert await names(store, pattern=short_name(LONG).lower()) == {LONG}
    assert await names(store, pattern="*~*") == {LONG, "another long name"}
    assert await names(store, pattern="A??????*") == {LONG, "another long name"}


@scenario
async def test_a_short_name_that_two_files_share_is_nobodys(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortnames, "_hash", lambda upper: "000000")
    for name in ("a long name 1", "a long name 2", "other long name"):
        await (await made(store, name)).close()
    with refused(NT.OBJECT_NAME_NOT_FOUND):
        await opened(store, "A00000~0")
    await (await opened(store, "O00000~0")).file.close()


def test_what_is_vetoed_has_no_other_name_either(tmp_path: Directory) -> None:
    @scenario
    async def check(store: Store) -> None:
        (tmp_path / "secret document").touch()
        (tmp_path / "public document").touch()
        with refused(NT.OBJECT_NAME_NOT_FOUND):
            await opened(store, short_name("secret document"), access=0)
        await (await opened(store, short_name("public document"), access=0)).file.close()

    check(posix_store(tmp_path, veto_files=("secret*",)))
