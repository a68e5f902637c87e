"""The form of SIDs and security descriptors: vectors, another implementation as judge, and any bytes at all."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from impacket.ldap import ldaptypes

from server.security import acl, sids
from server.security.acl import Ace, SecurityDescriptor, parse
from server.security.sids import sid, sid_at, sid_text
from smbdirect.wire import Malformed

ALICE = sids.of_uid(1000)
STAFF = sids.of_gid(50)

# A descriptor as Windows lays it out: owner at 20, group at 48, DACL at 64 with one allowing and one denying entry.
VECTOR = bytes.fromhex(
    "0100 0484 14000000 24000000 00000000 30000000"
    "0102000000000005 20000000 20020000"
    "0101000000000005 12000000"
    "0200 3000 02000000"
    "0113 1400 16011200 0101000000000001 00000000"
    "0003 1400 ff011f00 0101000000000005 12000000"
)
VECTOR_VALUE = SecurityDescriptor(
    acl.SELF_RELATIVE | acl.DACL_PRESENT | acl.DACL_AUTO_INHERITED,
    sids.ADMINISTRATORS,
    sids.SYSTEM,
    [Ace(acl.DENIED, 0x13, 0x120116, sids.EVERYONE), Ace(acl.ALLOWED, 0x03, 0x1F01FF, sids.SYSTEM)],
)

sid_values = st.builds(
    lambda authority, numbers: sid("-".join(["S-1", str(authority), *map(str, numbers)])),
    st.integers(0, (1 << 32) - 1) | st.sampled_from([1, 3, 5, 22]),
    st.lists(st.integers(0, (1 << 32) - 1), max_size=15),
)
words = st.integers(0, (1 << 32) - 1)
whole_words = st.binary(max_size=24).map(lambda extra: extra[: len(extra) & ~3])
plain_aces = st.builds(Ace, st.sampled_from(sorted(acl.WITH_SID)), st.integers(0, 255), words, sid_values, whole_words)
object_aces = st.builds(
    lambda type_, flags, mask, trustee, parts: Ace(
        type_, flags, mask, trustee, parts.to_bytes(4, "little") + bytes(16) * parts.bit_count()
    ),
    st.sampled_from(sorted(acl.WITH_OBJECT)), st.integers(0, 255), words, sid_values, st.integers(0, 3),
)  # fmt: skip
unknown_aces = st.builds(Ace, st.sampled_from([4, 0x14, 0xFF]), st.integers(0, 255), words, st.just(b""), whole_words)
lists = st.none() | st.lists(plain_aces | object_aces | unknown_aces, max_size=4)


@st.composite
def descriptors(draw: st.DrawFn) -> SecurityDescriptor:
    dacl, sacl = draw(lists), draw(lists)
    control = draw(st.integers(0, 0xFFFF)) & ~acl.RM_CONTROL_VALID | acl.SELF_RELATIVE
    control |= acl.DACL_PRESENT if dacl is not None else 0
    control |= acl.SACL_PRESENT if sacl is not None else 0
    owner, group = draw(st.none() | sid_values), draw(st.none() | sid_values)
    return SecurityDescriptor(control, owner, group, dacl, sacl)


def test_a_vector_reads_and_writes_whole() -> None:
    assert parse(VECTOR) == VECTOR_VALUE
    assert VECTOR_VALUE.pack() == VECTOR


def test_a_vector_cut_anywhere_is_malformed() -> None:
    for length in range(len(VECTOR)):
        with pytest.raises(Malformed):
            parse(VECTOR[:length])


def test_bytes_behind_the_descriptor_are_ignored() -> None:
    assert parse(VECTOR + b"more") == VECTOR_VALUE


@given(descriptors())
def test_what_is_packed_parses_to_the_same(descriptor: SecurityDescriptor) -> None:
    assert parse(descriptor.pack()) == descriptor


@given(descriptors().filter(lambda descriptor: descriptor.dacl is not None and descriptor.owner is not None))
def test_another_implementation_reads_the_same(descriptor: SecurityDescriptor) -> None:
    descriptor.dacl = [ace for ace in descriptor.dacl or () if ace.type in (acl.ALLOWED, acl.DENIED) and not ace.extra]
    descriptor.sacl = None
    descriptor.control &= ~acl.SACL_PRESENT
    judge = ldaptypes.SR_SECURITY_DESCRIPTOR(data=descriptor.pack())
    assert judge["OwnerSid"].getData() == descriptor.owner
    assert judge["Control"] == descriptor.control
    seen = [(one["AceType"], one["AceFlags"], one["Ace"]["Mask"]["Mask"]) for one in judge["Dacl"].aces]
    assert seen == [(ace.type, ace.flags, ace.mask) for ace in descriptor.dacl]
    assert [one["Ace"]["Sid"].getData() for one in judge["Dacl"].aces] == [ace.sid for ace in descriptor.dacl]


def test_we_read_what_another_implementation_writes() -> None:
    judge = ldaptypes.SR_SECURITY_DESCRIPTOR(data=VECTOR)
    assert parse(judge.getData()) == VECTOR_VALUE


@given(st.binary(max_size=200))
@example(VECTOR[:-1])
def test_any_bytes_parse_or_are_malformed(data: bytes) -> None:
    try:
        descriptor = parse(data)
    except Malformed:
        return
    assert len(descriptor.dacl or ()) + len(descriptor.sacl or ()) <= len(data) // 4


@given(st.integers(0, len(VECTOR) - 1), st.integers(0, 255))
def test_a_vector_with_one_wrong_byte_parses_or_is_malformed(at: int, value: int) -> None:
    changed = VECTOR[:at] + bytes((value,)) + VECTOR[at + 1 :]
    try:
        descriptor = parse(changed)
    except Malformed:
        return
    assert parse(descriptor.pack()) == descriptor


@pytest.mark.parametrize(
    ("at", "value", "what"),
    [
        (0, 2, "revision 2"),
        (4, 0xF0, "SID at"),
        (21, 16, "16 subauthorities"),
        (48, 9, "ACL of revision 9"),
        (50, 4, "ACL of 4 bytes"),
        (50, 0xFF, "ACL of 255 bytes"),
        (58, 6, "ACE of 6 bytes"),
        (58, 0x15, "ACE of 21 bytes"),
        (52, 3, "_AceHead needs 8 bytes"),
    ],
)
def test_a_wrong_field_is_named(at: int, value: int, what: str) -> None:
    with pytest.raises(Malformed, match=what):
        parse(VECTOR[:at] + bytes((value,)) + VECTOR[at + 1 :])


def test_a_list_longer_than_its_length_field_is_refused() -> None:
    entries = [Ace(acl.ALLOWED, 0, 1, ALICE)] * 3000
    with pytest.raises(Malformed, match="an ACL of"):
        SecurityDescriptor(dacl=entries).pack()


def test_a_null_dacl_is_not_an_empty_one() -> None:
    null = SecurityDescriptor(acl.SELF_RELATIVE | acl.DACL_PRESENT)
    empty = SecurityDescriptor(acl.SELF_RELATIVE | acl.DACL_PRESENT, dacl=[])
    assert parse(null.pack()).dacl is None
    assert parse(empty.pack()).dacl == []


# -- SIDs -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("S-1-1-0", "010100000000000100000000"),
        ("S-1-5-32-544", "01020000000000052000000020020000"),
        ("S-1-22-1-1000", "010200000000001601000000e8030000"),
        ("S-1-22-2-50", "01020000000000160200000032000000"),
        ("S-1-0x123456789ABC-7", "0101123456789abc07000000"),
        ("S-1-5", "0100000000000005"),
    ],
)
def test_sids_are_spelled_both_ways(text: str, value: str) -> None:
    assert sid(text) == bytes.fromhex(value)
    assert sid_text(bytes.fromhex(value)) == text


@pytest.mark.parametrize(
    "text",
    ["", "S-1", "S-2-5-18", "S-1-5-4294967296", "S-1-x-1", "S-1-5--1", "S-1-281474976710656", "S-1-5-1 ",
     "S-1-5" + "-1" * 16, "S-1-\u0665-1"],
)  # fmt: skip
def test_what_is_no_sid_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        sid(text)


@given(sid_values)
def test_a_sid_survives_its_text(value: bytes) -> None:
    assert sid(sid_text(value)) == value


@given(st.binary(max_size=80))
def test_any_bytes_are_a_sid_or_malformed(data: bytes) -> None:
    try:
        value = sid_at(data, 0)
    except Malformed:
        return
    assert data.startswith(value)
    assert sid(sid_text(value)) == value


def test_a_sid_with_more_behind_it_has_no_text() -> None:
    with pytest.raises(Malformed):
        sid_text(sids.EVERYONE + b"\0")


def test_unix_accounts_come_back_from_their_sids() -> None:
    assert sids.uid_of(ALICE) == 1000
    assert sids.gid_of(STAFF) == 50
    assert sids.uid_of(STAFF) is None
    assert sids.gid_of(ALICE) is None
    assert sids.uid_of(sids.EVERYONE) is None
    assert sids.uid_of(sids.of_uid((1 << 32) - 1)) == (1 << 32) - 1
