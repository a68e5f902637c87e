"""Names: what may be one, when two are the same, wildcards, and a CREATE's name taken apart."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.status import NT, Status
from server.store import names

from .stores import refused

TEXT = st.text(st.characters(exclude_categories=()), max_size=40)


# -- case -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"), [("abc", "ABC"), ("äöü", "ÄÖÜ"), ("ς", "ς"), ("привет", "ПРИВЕТ"), ("ÿ", "Ÿ")]
)
def test_names_that_differ_in_case_are_one(one: str, other: str) -> None:
    assert names.fold(one) == names.fold(other)


APART = [("ß", "SS"), ("\u0131", "I"), ("\u017f", "S"), ("\ufb01", "FI"), ("a", "à"), ("\u212a", "K")]


@pytest.mark.parametrize(("one", "other"), APART)
def test_names_that_are_more_than_case_apart_are_two(one: str, other: str) -> None:
    assert names.fold(one) != names.fold(other)


@given(TEXT)
def test_folding_keeps_length_and_is_done_once(name: str) -> None:
    folded = names.fold(name)
    assert len(folded) == len(name)
    assert names.fold(folded) == folded


# -- on disk ----------------------------------------------------------------------------------------------------


@given(st.binary(min_size=1, max_size=40).filter(lambda raw: b"/" not in raw and b"\0" not in raw))
def test_a_name_shown_can_be_sent_back_and_is_the_one_on_disk(raw: bytes) -> None:
    shown = names.shown(raw.decode("utf-8", "surrogateescape"))
    if shown is not None:
        sent = str(shown.encode("utf-16-le", "surrogatepass"), "utf-16-le", "surrogatepass")
        assert names.check(sent) == raw


@given(TEXT.filter(bool))
def test_a_name_that_may_be_made_is_shown_as_it_was_given(name: str) -> None:
    name = str(name.encode("utf-16-le", "surrogatepass"), "utf-16-le", "surrogatepass")
    try:
        raw = names.check(name)
    except Status:
        return
    assert names.shown(raw.decode("utf-8", "surrogateescape")) == name


@pytest.mark.parametrize("raw", [b"\xff", b"a\xc3", b"a:b", b"a\\b", b"dot.", b"a*", b"\xed\xa0\x80\xed\xb0\x80"])
def test_a_name_on_disk_that_no_client_could_send_is_not_shown(raw: bytes) -> None:
    assert names.shown(raw.decode("utf-8", "surrogateescape")) is None


# -- a CREATE's name --------------------------------------------------------------------------------------------

SPLIT = {
    "": ((), "", ""),
    "a": (("a",), "", ""),
    "a\\b c\\d.e": (("a", "b c", "d.e"), "", ""),
    "a\\": (("a",), "", ""),
    "a/b\\c": (("a", "b", "c"), "", ""),
    "a:s": (("a",), "s", ""),
    "a:s:$DATA": (("a",), "s", "$DATA"),
    'a:S*?"<>|:$data': (("a",), 'S*?"<>|', "$DATA"),
    "a::$DATA": (("a",), "", "$DATA"),
    "d::$INDEX_ALLOCATION": (("d",), "", "$INDEX_ALLOCATION"),
    "d:$I30:$INDEX_ALLOCATION": (("d",), "", "$INDEX_ALLOCATION"),
    ":s": ((), "s", ""),
    "d\\a:s": (("d", "a"), "s", ""),
}


@pytest.mark.parametrize("name", SPLIT)
def test_a_name_is_taken_apart(name: str) -> None:
    assert names.split(name) == SPLIT[name]


NO_NAMES = [
    "\\", "\\a", "a\\\\b", "a:", "a::", "a:s:", "a:s:$FOO", "a:s:t:u", "a:s:$DATA:", "a:s\\b", "a:b/c", "/a", ".",
    "a:s:$INDEX_ALLOCATION", "a\x05", "a:" + "x" * 256, "a:\0", "b\\a.", "b \\a", ":a:b",
]  # fmt: skip


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with refused(NT.OBJECT_NAME_INVALID):
        names.split(name)


@pytest.mark.parametrize(
    ("name", "path"), [("a\\..\\b", ("b",)), ("a\\..", ()), ("a/b/../../c/d", ("c", "d")), ("a\\..:s", ())]
)
def test_going_up_takes_a_name_away(name: str, path: tuple[str, ...]) -> None:
    assert names.split(name)[0] == path


@pytest.mark.parametrize("name", ["..", "a\\..\\..", "..\\a", "a/../../a/b", "..:s"])
def test_going_up_above_the_root_is_bad_syntax(name: str) -> None:
    with refused(NT.OBJECT_PATH_SYNTAX_BAD):
        names.split(name)


@given(st.text("ab.\\:$DT*", max_size=30))
def test_any_name_is_taken_apart_or_refused(name: str) -> None:
    try:
        components, stream, kind = names.split(name)
    except Status:
        return
    assert all(component and component not in (".", "..") for component in components)
    assert kind in ("", "$DATA", "$INDEX_ALLOCATION")
    assert ":" not in stream


# -- patterns ---------------------------------------------------------------------------------------------------

MATCHES = [
    ("*", "anything", True),
    ("*.*", "noext", True),
    ("", "anything", True),
    ("a*c", "abc", True),
    ("a*c", "AC", True),
    ("a*c", "abd", False),
    ("*b*", "abc", True),
    ("?", "a", True),
    ("?", "", False),
    ("?", "ab", False),
    ("a?", "a", False),
    ("*.t?t", "a.TXT", True),
    ("äb*", "ÄBC", True),
    ("abc", "ABC", True),
    ("abc", "abcd", False),
    # DOS_STAR: everything up to and including what precedes the last dot
    ("<", "abc", True),
    ("<", "a.b", False),
    ("<.b", "a.b", True),
    ("<.c", "a.b.c", True),
    ("a<.c", "a.b.c", True),
    ("<.b", "a.b.c", False),
    # DOS_QM: one character, or none at a dot and at the end
    (">", "a", True),
    (">", "", True),
    (">>>", "ab", True),
    (">>>", "abcd", False),
    (">>>.txt", "a.txt", True),
    (">>>.txt", "abcd.txt", False),
    (">", ".", False),
    # DOS_DOT: a dot, or nothing at the end
    ('a"', "a", True),
    ('a"', "a.", True),
    ('a"b', "a.b", True),
    ('a"b', "ab", False),
    ('<"*', "noext", True),
    ('<"*', "a.b.c", True),
    ('>>>>>>>>">>>', "file.txt", True),
    ('>>>>>>>>">>>', "toolongname.txt", False),
]


@pytest.mark.parametrize(("pattern", "name", "expected"), MATCHES)
def test_a_pattern_matches_what_windows_matches(pattern: str, name: str, expected: bool) -> None:
    assert names.match(pattern, name) is expected


@given(TEXT, TEXT)
def test_any_pattern_and_name_give_an_answer(pattern: str, name: str) -> None:
    assert names.match(pattern, name) in (True, False)


@given(st.text('ab.*?<>"', max_size=12), st.text("ab.", max_size=12))
def test_a_star_before_and_behind_matches_no_less(pattern: str, name: str) -> None:
    if names.match(pattern, name) and "<" not in pattern:
        assert names.match(f"*{pattern}*", name)


@given(st.text("ab.", max_size=12), st.text("ab.", max_size=12))
def test_stars_are_what_a_regular_expression_says(head: str, tail: str) -> None:
    name = head + "b" + tail
    assert names.match(f"{head}*{tail}", name)
    assert names.match(f"*{tail}", name)


@given(st.text("ab*", max_size=12), st.text("ab", max_size=12))
def test_patterns_of_stars_alone_take_a_short_cut_to_the_same_end(pattern: str, name: str) -> None:
    expected = re.fullmatch(pattern.replace("*", ".*"), name, re.DOTALL) is not None
    assert names.match(pattern, name) is (expected or pattern == "")


@pytest.mark.parametrize("pattern", ["*a" * 100 + "b", "<a" * 100, ">" * 200, "*<" * 100 + "b", '*?<>"' * 40])
def test_a_hostile_pattern_costs_no_more_than_its_length_times_the_names(pattern: str) -> None:
    started = time.process_time()
    names.match(pattern, "a" * 250)
    assert time.process_time() - started < 1
