"""Descriptors from modes and parents, and what a query selects and a change merges."""

import pytest

from server.security import access, acl, descriptors, sids
from server.security.acl import Ace, SecurityDescriptor, parse
from server.security.descriptors import DACL_INFORMATION, GROUP_INFORMATION, OWNER_INFORMATION, SACL_INFORMATION
from server.security.identity import Account, identity
from server.status import NT, Status
from smbdirect.wire import Malformed

ALICE = identity("alice", Account("alice", 1000, 100, (100, 50)))
ROOT = identity("root", Account("root", 0, 0, (0,)), privileged=True)
BOB = sids.of_uid(1001)
OI, CI, NP, IO = acl.OBJECT_INHERIT, acl.CONTAINER_INHERIT, acl.NO_PROPAGATE_INHERIT, acl.INHERIT_ONLY
READ, ALL = access.FILE_GENERIC_READ, access.FILE_ALL_ACCESS


def allow(trustee: bytes, mask: int = ALL, flags: int = 0) -> Ace:
    return Ace(acl.ALLOWED, flags, mask, trustee)


def descriptor(*aces: Ace, control: int = 0, owner: bytes = BOB) -> bytes:
    return SecurityDescriptor(control | acl.DACL_PRESENT, owner, sids.of_gid(100), list(aces)).pack()


def made(parent: bytes, directory: bool = False, given: bytes | None = None) -> SecurityDescriptor:
    answer = descriptors.inherit(parent, ALICE, directory, given)
    assert answer is not None
    return parse(answer)


# -- from a mode ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("mode", "directory", "owner", "group", "everyone"),
    [
        (0o644, False, ALL, READ, READ),
        (0o755, True, ALL, READ | access.FILE_GENERIC_EXECUTE, READ | access.FILE_GENERIC_EXECUTE),
        (0o600, False, ALL, None, None),
        (0o444, False, ALL & ~0x46, READ, READ),
        (0o070, True, ALL & ~0x67, READ | access.FILE_GENERIC_WRITE | access.FILE_GENERIC_EXECUTE | 0x40, None),
        (0o1777, True, ALL, ALL & ~(access.DELETE | access.WRITE_DAC | access.WRITE_OWNER | 0x40), None),
    ],
)  # fmt: skip
def test_a_mode_becomes_entries(mode: int, directory: bool, owner: int, group: int, everyone: int | None) -> None:
    from_mode = parse(descriptors.from_mode(1000, 100, mode, directory))
    masks = {ace.sid: ace.mask for ace in from_mode.dacl or ()}
    if mode == 0o1777:
        everyone = group
    assert masks[sids.of_uid(1000)] == owner
    assert masks.get(sids.of_gid(100)) == group
    assert masks.get(sids.EVERYONE) == everyone
    assert masks[sids.SYSTEM] == ALL
    assert (from_mode.owner, from_mode.group) == (sids.of_uid(1000), sids.of_gid(100))


def test_under_a_mode_the_mode_of_the_new_file_rules() -> None:
    assert descriptors.inherit(descriptors.from_mode(0, 0, 0o755, True), ALICE, False, None) is None
    assert descriptors.inherit(b"", ALICE, True, None) is None


def test_under_an_acl_that_passes_nothing_on_owner_and_system_get_all() -> None:
    answer = made(descriptor(allow(sids.EVERYONE)))
    assert answer.dacl == [allow(ALICE.owner), allow(sids.SYSTEM)]
    assert (answer.owner, answer.group) == (ALICE.owner, ALICE.group)


# -- from a parent ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("flags", "for_file", "for_directory"),
    [
        (0, None, None),
        (OI, 0, OI | IO),
        (CI, None, CI),
        (OI | CI, 0, OI | CI),
        (NP, None, None),
        (NP | OI, 0, None),
        (NP | CI, None, 0),
        (NP | OI | CI, 0, 0),
        (IO, None, None),
        (IO | OI, 0, OI | IO),
        (IO | CI, None, CI),
        (IO | OI | CI, 0, OI | CI),
        (IO | NP | OI, 0, None),
        (IO | NP | CI, None, 0),
        (IO | NP | OI | CI, 0, 0),
    ],
)
def test_flags_decide_what_is_inherited(flags: int, for_file: int | None, for_directory: int | None) -> None:
    default = [allow(ALICE.owner), allow(sids.SYSTEM)]
    parent = descriptor(allow(BOB, READ, flags))
    for directory, expected in ((False, for_file), (True, for_directory)):
        wanted = default if expected is None else [allow(BOB, READ, expected)]
        assert made(parent, directory).dacl == wanted


@pytest.mark.parametrize(("creator", "becomes"), [(sids.CREATOR_OWNER, ALICE.owner), (sids.CREATOR_GROUP, ALICE.group)])
def test_a_creator_entry_takes_effect_and_lives_on_in_directories(creator: bytes, becomes: bytes) -> None:
    parent = descriptor(allow(creator, READ, OI | CI))
    assert made(parent).dacl == [allow(becomes, READ)]
    assert made(parent, directory=True).dacl == [allow(becomes, READ), allow(creator, READ, OI | CI | IO)]
    alone = descriptor(allow(creator, READ, OI))
    assert made(alone, directory=True).dacl == [allow(creator, READ, OI | IO)]


def test_generic_rights_are_mapped_where_they_take_effect() -> None:
    generic = access.GENERIC_READ
    parent = descriptor(allow(BOB, generic, OI | CI | IO))
    assert made(parent).dacl == [allow(BOB, READ)]
    assert made(parent, directory=True).dacl == [allow(BOB, READ), allow(BOB, generic, OI | CI | IO)]


def test_inherited_entries_are_marked_where_the_parent_is_auto_inherited() -> None:
    answer = made(descriptor(allow(BOB, READ, OI), control=acl.DACL_AUTO_INHERITED))
    assert answer.dacl == [allow(BOB, READ, acl.INHERITED)]
    assert answer.control & acl.DACL_AUTO_INHERITED
    plain = made(descriptor(allow(BOB, READ, OI)))
    assert plain.dacl == [allow(BOB, READ)]
    assert not plain.control & acl.DACL_AUTO_INHERITED


def test_denials_and_entries_of_any_type_are_inherited_in_order() -> None:
    odd = Ace(9, OI, READ, BOB, b"artx")
    denial = Ace(acl.DENIED, OI, READ, BOB)
    assert made(descriptor(denial, odd)).dacl == [denial._replace(flags=0), odd._replace(flags=0)]


def test_a_dacl_given_is_taken_instead() -> None:
    given = descriptor(
        allow(BOB, access.GENERIC_ALL), control=acl.DACL_PROTECTED | acl.DACL_DEFAULTED, owner=ALICE.owner
    )
    answer = made(descriptor(allow(BOB, READ, OI)), given=given)
    assert answer.dacl == [allow(BOB, ALL)]
    assert answer.control == acl.SELF_RELATIVE | acl.DACL_PRESENT | acl.DACL_PROTECTED


def test_a_null_dacl_given_stays_one() -> None:
    given = SecurityDescriptor(acl.DACL_PRESENT).pack()
    answer = made(descriptors.from_mode(0, 0, 0o755, True), given=given)
    assert answer.dacl is None
    assert answer.control & acl.DACL_PRESENT


def test_an_owner_given_without_a_dacl_opens_nothing_up() -> None:
    given = SecurityDescriptor(owner=ALICE.owner).pack()
    ruled = descriptors.from_mode(0, 0, 0o755, True)
    assert descriptors.inherit(ruled, ALICE, False, given) is None
    other = SecurityDescriptor(owner=sids.of_gid(50)).pack()
    assert made(ruled, given=other).dacl == [allow(sids.of_gid(50)), allow(sids.SYSTEM)]
    assert made(descriptor(allow(BOB)), given=given).dacl == [allow(ALICE.owner), allow(sids.SYSTEM)]
    assert made(descriptor(allow(BOB, READ, OI)), given=given).dacl == [allow(BOB, READ)]


def test_only_the_privileged_make_files_for_others_or_set_audit() -> None:
    audit = Ace(acl.AUDIT, 0x40, ALL, sids.EVERYONE)
    given = SecurityDescriptor(acl.SELF_RELATIVE, BOB, None, [], [audit]).pack()
    with pytest.raises(Status) as refused:
        descriptors.inherit(b"", ALICE, False, given)
    assert refused.value.code == NT.INVALID_OWNER
    answer = descriptors.inherit(b"", ROOT, False, given)
    assert answer is not None
    assert parse(answer).owner == BOB
    assert parse(answer).sacl == [audit]
    own = SecurityDescriptor(acl.SELF_RELATIVE, ALICE.owner, None, [], [audit]).pack()
    assert made(b"", given=own).sacl is None


def test_what_is_given_must_be_a_descriptor() -> None:
    with pytest.raises(Malformed):
        descriptors.inherit(b"", ALICE, False, b"\1\0")


# -- select and merge -------------------------------------------------------------------------------------------
WHOLE = SecurityDescriptor(
    acl.SELF_RELATIVE | acl.DACL_PRESENT | acl.SACL_PRESENT | acl.DACL_PROTECTED,
    BOB,
    sids.of_gid(100),
    [allow(BOB)],
    [Ace(acl.AUDIT, 0x40, ALL, sids.EVERYONE), Ace(acl.MANDATORY_LABEL, 0, 1, sids.sid("S-1-16-8192"))],
)


def test_a_query_gets_the_parts_it_names() -> None:
    whole = WHOLE.pack()
    owner = parse(descriptors.select(whole, OWNER_INFORMATION))
    assert owner == SecurityDescriptor(acl.SELF_RELATIVE, BOB)
    both = parse(descriptors.select(whole, GROUP_INFORMATION | DACL_INFORMATION))
    control = acl.SELF_RELATIVE | acl.DACL_PRESENT | acl.DACL_PROTECTED
    assert both == SecurityDescriptor(control, None, sids.of_gid(100), [allow(BOB)])
    assert parse(descriptors.select(whole, 0)) == SecurityDescriptor()
    assert parse(descriptors.select(whole, descriptors.BACKUP_INFORMATION)) == WHOLE


def test_labels_and_audit_are_different_parts_of_a_sacl() -> None:
    assert WHOLE.sacl is not None
    audit, label = WHOLE.sacl
    whole = WHOLE.pack()
    assert parse(descriptors.select(whole, SACL_INFORMATION)).sacl == [audit]
    assert parse(descriptors.select(whole, descriptors.LABEL_INFORMATION)).sacl == [label]
    higher = label._replace(sid=sids.sid("S-1-16-12288"))
    new = SecurityDescriptor(sacl=[audit._replace(mask=1), higher]).pack()
    assert parse(descriptors.merge(whole, new, descriptors.LABEL_INFORMATION)).sacl == [audit, higher]


def test_that_a_mode_made_a_dacl_is_not_shown() -> None:
    shown = parse(descriptors.select(descriptors.from_mode(0, 0, 0o644, False), DACL_INFORMATION))
    assert shown.control == acl.SELF_RELATIVE | acl.DACL_PRESENT


def test_a_change_replaces_the_parts_it_names_and_holds() -> None:
    whole = WHOLE.pack()
    new = SecurityDescriptor(acl.SELF_RELATIVE, ALICE.owner, ALICE.group, [allow(ALICE.owner, READ)]).pack()
    merged = parse(descriptors.merge(whole, new, OWNER_INFORMATION | DACL_INFORMATION | SACL_INFORMATION))
    assert (merged.owner, merged.group) == (ALICE.owner, WHOLE.group)
    assert merged.dacl == [allow(ALICE.owner, READ)]
    assert merged.sacl == WHOLE.sacl
    assert not merged.control & acl.DACL_PROTECTED
    assert parse(descriptors.merge(whole, new, GROUP_INFORMATION)).group == ALICE.group
    nothing = SecurityDescriptor().pack()
    assert descriptors.merge(whole, nothing, OWNER_INFORMATION | GROUP_INFORMATION | SACL_INFORMATION) == whole


def test_a_dacl_replaced_by_none_becomes_the_null_dacl() -> None:
    merged = parse(descriptors.merge(WHOLE.pack(), SecurityDescriptor().pack(), DACL_INFORMATION))
    assert merged.dacl is None
    assert merged.control == acl.SELF_RELATIVE | acl.DACL_PRESENT | acl.SACL_PRESENT


def test_a_changed_dacl_is_no_mode_s_any_more() -> None:
    from_mode = descriptors.from_mode(1000, 100, 0o755, True)
    new = descriptor(allow(BOB), control=acl.DACL_DEFAULTED)
    merged = descriptors.merge(from_mode, new, DACL_INFORMATION)
    assert not parse(merged).control & acl.DACL_DEFAULTED
    assert descriptors.inherit(merged, ALICE, False, None) is not None


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (acl.DACL_AUTO_INHERITED, 0),
        (acl.DACL_AUTO_INHERIT_REQ, 0),
        (acl.DACL_AUTO_INHERITED | acl.DACL_AUTO_INHERIT_REQ, acl.DACL_AUTO_INHERITED),
        (acl.DACL_PROTECTED, acl.DACL_PROTECTED),
    ],
)
def test_control_bits_are_stored_as_asked(given: int, stored: int) -> None:
    merged = parse(descriptors.merge(WHOLE.pack(), descriptor(control=given), DACL_INFORMATION))
    kept = acl.DACL_AUTO_INHERITED | acl.DACL_AUTO_INHERIT_REQ | acl.DACL_PROTECTED
    assert merged.control & kept == stored


def test_generic_rights_are_mapped_when_set_but_in_inherit_only_entries() -> None:
    generic = access.GENERIC_EXECUTE
    new = descriptor(allow(BOB, generic, CI), allow(BOB, generic, CI | IO))
    merged = parse(descriptors.merge(WHOLE.pack(), new, DACL_INFORMATION))
    assert merged.dacl == [allow(BOB, access.FILE_GENERIC_EXECUTE, CI), allow(BOB, generic, CI | IO)]


def test_a_change_that_is_no_descriptor_is_malformed() -> None:
    with pytest.raises(Malformed):
        descriptors.merge(WHOLE.pack(), b"", DACL_INFORMATION)
