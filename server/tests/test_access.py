"""What a descriptor grants to whom (MS-DTYP 2.5.3.2)."""

import timeit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.security import access, acl, descriptors, sids
from server.security.access import check, maximum
from server.security.acl import Ace, SecurityDescriptor
from server.security.identity import Account, identity
from server.status import NT, Status

ALICE = identity("alice", Account("alice", 1000, 100, (100, 50)))
MALLORY = identity("mallory", Account("mallory", 666, 666, (666,)))
ADMIN = identity("admin", Account("admin", 7, 7, (7,)), privileged=True)
ROOT = identity("root", Account("root", 0, 0, (0,)), privileged=True)
OWNERS = access.READ_CONTROL | access.WRITE_DAC
READ, ALL = access.FILE_GENERIC_READ, access.FILE_ALL_ACCESS


def allow(trustee: bytes, mask: int = ALL, flags: int = 0) -> Ace:
    return Ace(acl.ALLOWED, flags, mask, trustee)


def deny(trustee: bytes, mask: int) -> Ace:
    return Ace(acl.DENIED, 0, mask, trustee)


def descriptor(*aces: Ace, owner: bytes | None = ALICE.owner) -> bytes:
    return SecurityDescriptor(acl.DACL_PRESENT, owner, None, list(aces)).pack()


def test_an_empty_dacl_leaves_the_owner_its_own_rights() -> None:
    assert maximum(descriptor(), ALICE) == OWNERS
    assert maximum(descriptor(), MALLORY) == 0


def test_a_null_dacl_grants_everything() -> None:
    for control in (0, acl.DACL_PRESENT):
        assert maximum(SecurityDescriptor(control, ALICE.owner).pack(), MALLORY) == ALL


def test_groups_and_everyone_count() -> None:
    assert maximum(descriptor(allow(sids.of_gid(50), READ)), ALICE) == READ | OWNERS
    assert maximum(descriptor(allow(sids.EVERYONE, 1), allow(sids.of_gid(50), 2)), MALLORY) == 1


def test_the_first_entry_to_speak_of_a_right_decides() -> None:
    assert maximum(descriptor(deny(sids.EVERYONE, 1), allow(MALLORY.owner, 3)), MALLORY) == 2
    assert maximum(descriptor(allow(MALLORY.owner, 3), deny(sids.EVERYONE, 1)), MALLORY) == 3


def test_denials_do_not_reach_the_owner_s_own_rights() -> None:
    assert maximum(descriptor(deny(sids.EVERYONE, ALL)), ALICE) == OWNERS


def test_owner_rights_replace_what_an_owner_has_anyway() -> None:
    assert maximum(descriptor(allow(sids.OWNER_RIGHTS, READ)), ALICE) == READ
    assert maximum(descriptor(deny(sids.OWNER_RIGHTS, access.WRITE_DAC), allow(ALICE.owner)), ALICE) == (
        ALL & ~access.WRITE_DAC
    )
    assert maximum(descriptor(allow(sids.OWNER_RIGHTS, ALL)), MALLORY) == 0
    inherit_only = allow(sids.OWNER_RIGHTS, READ, acl.INHERIT_ONLY | acl.OBJECT_INHERIT)
    assert maximum(descriptor(inherit_only), ALICE) == OWNERS


def test_creator_and_inherit_only_entries_grant_nothing() -> None:
    assert maximum(descriptor(allow(sids.CREATOR_OWNER)), ALICE) == OWNERS
    assert maximum(descriptor(allow(sids.EVERYONE, ALL, acl.INHERIT_ONLY | acl.CONTAINER_INHERIT)), MALLORY) == 0


def test_generic_rights_in_entries_and_in_requests_are_mapped() -> None:
    protected = descriptor(allow(MALLORY.owner, access.GENERIC_READ))
    assert check(protected, MALLORY, access.GENERIC_READ) == READ
    assert access.map_generic(access.GENERIC_ALL | access.MAXIMUM_ALLOWED) == ALL | access.MAXIMUM_ALLOWED
    assert access.map_generic(access.GENERIC_WRITE | access.GENERIC_EXECUTE) == (
        access.FILE_GENERIC_WRITE | access.FILE_GENERIC_EXECUTE
    )


@pytest.mark.parametrize("type_", [5, 9, 11, 2, 4, 0x77])
def test_entries_that_cannot_be_judged_allow_nothing(type_: int) -> None:
    extra = bytes(4) if type_ in acl.WITH_OBJECT else b""
    trustee = MALLORY.owner if type_ in acl.WITH_SID | acl.WITH_OBJECT else b""
    assert maximum(descriptor(Ace(type_, 0, ALL, trustee, extra)), MALLORY) == 0


@pytest.mark.parametrize("type_", [6, 10, 12])
def test_entries_that_cannot_be_judged_deny(type_: int) -> None:
    extra = bytes(4) if type_ in acl.WITH_OBJECT else b""
    assert maximum(descriptor(Ace(type_, 0, 1, MALLORY.owner, extra), allow(sids.EVERYONE, 3)), MALLORY) == 2


def test_the_parent_lets_delete_and_read_attributes() -> None:
    nothing = descriptor(owner=None)
    parent = descriptor(allow(MALLORY.owner, access.FILE_DELETE_CHILD), owner=None)
    assert check(nothing, MALLORY, access.DELETE, parent) == access.DELETE
    assert maximum(nothing, MALLORY, parent) == access.DELETE
    listing = descriptor(allow(MALLORY.owner, access.FILE_LIST_DIRECTORY), owner=None)
    assert check(nothing, MALLORY, access.FILE_READ_ATTRIBUTES, listing) == access.FILE_READ_ATTRIBUTES
    with pytest.raises(Status):
        check(nothing, MALLORY, access.DELETE, listing)


def test_maximum_allowed_gives_all_there_is_and_still_demands_what_else_is_named() -> None:
    protected = descriptor(allow(MALLORY.owner, READ), owner=None)
    assert check(protected, MALLORY, access.MAXIMUM_ALLOWED) == READ
    assert check(protected, MALLORY, access.MAXIMUM_ALLOWED | 1) == READ
    with pytest.raises(Status):
        check(protected, MALLORY, access.MAXIMUM_ALLOWED | access.FILE_WRITE_DATA)
    assert check(descriptor(owner=None), MALLORY, access.MAXIMUM_ALLOWED) == 0


def test_a_refusal_names_what_is_missing() -> None:
    with pytest.raises(Status, match="mallory is not granted 0x2 of 0x3") as refused:
        check(descriptor(allow(MALLORY.owner, 1)), MALLORY, 3)
    assert refused.value.code == NT.ACCESS_DENIED


def test_privilege_takes_ownership_and_reads_audit_and_no_more() -> None:
    protected = descriptor()
    assert maximum(protected, ADMIN) == access.WRITE_OWNER
    assert check(protected, ADMIN, access.SYSTEM_SECURITY | access.WRITE_OWNER) == (
        access.SYSTEM_SECURITY | access.WRITE_OWNER
    )
    assert check(protected, ADMIN, access.MAXIMUM_ALLOWED) == access.WRITE_OWNER
    with pytest.raises(Status) as refused:
        check(protected, ALICE, access.SYSTEM_SECURITY)
    assert refused.value.code == NT.PRIVILEGE_NOT_HELD
    with pytest.raises(Status) as refused:
        check(protected, ADMIN, access.FILE_READ_DATA)
    assert refused.value.code == NT.ACCESS_DENIED


def test_root_passes_where_a_mode_rules_and_not_where_an_acl_leaves_it_out() -> None:
    assert maximum(descriptors.from_mode(1000, 100, 0o600, False), ROOT) == ALL
    assert maximum(descriptor(allow(ALICE.owner)), ROOT) == access.WRITE_OWNER


@pytest.mark.parametrize(
    ("mode", "who", "granted"),
    [
        (0o640, ALICE, ALL),
        (0o640, MALLORY, 0),
        (0o644, MALLORY, READ),
        (0o646, MALLORY, READ | access.FILE_GENERIC_WRITE),
        (0o440, ALICE, ALL & ~0x46),
    ],
)
def test_a_mode_grants_what_it_says(mode: int, who: object, granted: int) -> None:
    assert maximum(descriptors.from_mode(1000, 100, mode, False), who) == granted  # type: ignore[arg-type]


def test_only_the_privileged_give_files_away() -> None:
    access.check_owner(ALICE.owner, ALICE)
    access.check_owner(sids.of_gid(50), ALICE)
    access.check_owner(ALICE.owner, ADMIN)
    with pytest.raises(Status) as refused:
        access.check_owner(MALLORY.owner, ALICE)
    assert refused.value.code == NT.INVALID_OWNER


entries = st.lists(
    st.builds(
        Ace, st.sampled_from([0, 1]), st.sampled_from([0, acl.INHERIT_ONLY]), st.integers(0, ALL),
        st.sampled_from([ALICE.owner, sids.EVERYONE, sids.of_gid(50), sids.OWNER_RIGHTS, MALLORY.owner]),
        st.just(b""),
    ),
    max_size=6,
)  # fmt: skip


@given(entries, st.sampled_from([ALICE, MALLORY]), st.integers(0, ALL))
def test_a_check_passes_exactly_where_the_maximum_has_it_all(aces: list[Ace], who: object, desired: int) -> None:
    protected = descriptor(*aces)
    most = maximum(protected, who)  # type: ignore[arg-type]
    try:
        granted = check(protected, who, desired)  # type: ignore[arg-type]
    except Status:
        assert desired & ~most
    else:
        assert granted == desired
        assert not desired & ~most


@given(entries)
def test_right_by_right_the_specification_s_walk_agrees(aces: list[Ace]) -> None:
    """MS-DTYP 2.5.3.2 for one right at a time: the first effective entry that names it decides."""
    most = maximum(descriptor(*aces), MALLORY)
    for bit in (bit for bit in range(21) if ALL >> bit & 1):
        decided = (
            ace.type == acl.ALLOWED
            for ace in aces
            if ace.sid in MALLORY.sids and not ace.flags & acl.INHERIT_ONLY and ace.mask >> bit & 1
        )
        assert next(decided, False) == bool(most >> bit & 1)


def test_a_check_of_a_mode_costs_microseconds() -> None:
    protected = descriptors.from_mode(1000, 100, 0o644, False)
    best = min(timeit.repeat(lambda: check(protected, ALICE, READ, protected), number=1000, repeat=5))
    assert best / 1000 < 5e-6


def test_large_descriptors_are_judged_without_being_kept() -> None:
    before = access._remembered.cache_info().currsize
    large = descriptor(*[allow(sids.of_uid(uid), 1) for uid in range(2000, 2200)], allow(MALLORY.owner, 2))
    assert maximum(large, MALLORY) == 2
    assert access._remembered.cache_info().currsize == before
