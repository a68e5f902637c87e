"""Whom logins act as, with an account database of the test's own."""

import os
import pwd

import pytest

from server.security import sids
from server.security.identity import Account, Identities, account, group_id, service_account
from server.status import NT, Status

ROOT = Account("root", 0, 0, (0,))
SERVICE = Account("svc", 500, 500, (500,))
ACCOUNTS = {
    entry.name: entry
    for entry in (ROOT, SERVICE, Account("alice", 1000, 100, (100, 50)), Account("nobody", 65534, 65534, (65534,)))
}
GROUPS = {"staff": 50, "wheel": 10}


def identities(admins: tuple[str, ...] = (), guest: str = "nobody", service: Account = ROOT) -> Identities:
    return Identities(guest, admins, service, ACCOUNTS.get, GROUPS.get)


def test_a_login_acts_as_its_account_with_all_its_groups() -> None:
    alice = identities().of("alice")
    assert (alice.name, alice.uid, alice.gid, alice.groups) == ("alice", 1000, 100, (100, 50))
    assert (alice.owner, alice.group) == (sids.of_uid(1000), sids.of_gid(100))
    assert alice.sids == {
        sids.of_uid(1000), sids.of_gid(100), sids.of_gid(50),
        sids.EVERYONE, sids.NETWORK, sids.AUTHENTICATED_USERS, sids.USERS,
    }  # fmt: skip
    assert not alice.privileged


def test_a_name_without_an_account_acts_as_the_guest_account() -> None:
    stranger = identities(admins=("stranger",)).of("stranger")
    assert (stranger.name, stranger.uid) == ("stranger", 65534)
    assert sids.GUESTS in stranger.sids
    assert sids.AUTHENTICATED_USERS not in stranger.sids
    assert not stranger.privileged


def test_a_guest_is_the_guest_account_even_under_a_user_s_name() -> None:
    known = identities()
    assert known.of("alice", guest=True).uid == 65534
    assert known.of("alice", guest=True) is known.of("bob", guest=True)


@pytest.mark.parametrize("guest", ["", "absent", "root"])
def test_nobody_acts_as_root_for_want_of_a_guest_account(guest: str) -> None:
    with pytest.raises(Status) as refused:
        identities(guest=guest).of("stranger")
    assert refused.value.code == NT.LOGON_FAILURE


def test_anonymous_is_everyone_and_no_one() -> None:
    anonymous = identities(admins=("",)).anonymous()
    assert (anonymous.name, anonymous.uid) == ("", 65534)
    assert anonymous.sids == {sids.ANONYMOUS, sids.EVERYONE, sids.NETWORK}
    assert not anonymous.privileged


def test_a_server_that_is_not_root_acts_as_itself() -> None:
    known = identities(service=SERVICE, admins=("alice",))
    for identity in (known.of("alice"), known.of("stranger"), known.of("x", guest=True), known.anonymous()):
        assert (identity.uid, identity.gid, identity.groups) == (500, 500, (500,))
    assert known.of("alice").owner == sids.of_uid(500)
    assert known.of("alice").privileged
    assert sids.AUTHENTICATED_USERS in known.of("stranger").sids
    assert sids.GUESTS in known.of("x", guest=True).sids


@pytest.mark.parametrize(
    ("admins", "privileged"), [(("ALICE",), True), (("@staff",), True), (("@wheel", "@none"), False)]
)
def test_admins_are_named_or_members_of_named_groups(admins: tuple[str, ...], privileged: bool) -> None:
    alice = identities(admins).of("alice")
    assert alice.privileged is privileged
    assert (sids.ADMINISTRATORS in alice.sids) is privileged
    assert sids.SYSTEM not in alice.sids


def test_root_by_name_is_the_system() -> None:
    root = identities().of("root")
    assert root.privileged
    assert {sids.SYSTEM, sids.ADMINISTRATORS} < root.sids


def test_lookups_are_kept_until_refreshed() -> None:
    asked = []

    def find(name: str) -> Account | None:
        asked.append(name)
        return ACCOUNTS.get(name)

    known = Identities("nobody", (), ROOT, find, GROUPS.get)
    assert known.of("alice") is known.of("alice")
    assert asked == ["alice"]
    known.refresh(admins=("alice",))
    assert known.of("alice").privileged
    assert asked == ["alice", "alice"]
    known.refresh(guest_account="svc")
    assert known.of("x", guest=True).uid == 500
    assert known.of("alice").privileged


def test_the_system_s_own_accounts_are_found_without_case() -> None:
    root = pwd.getpwuid(0)
    found = account(root.pw_name.upper())
    assert found is not None
    assert (found.name, found.uid, found.gid) == (root.pw_name, 0, root.pw_gid)
    assert root.pw_gid in found.groups


@pytest.mark.parametrize("name", ["", "no such account", "a\0b", "\ud800", "../etc"])
def test_names_that_no_account_has_are_not_found(name: str) -> None:
    assert account(name) is None
    assert group_id(name) is None


def test_the_service_account_is_this_process() -> None:
    own = service_account()
    assert (own.uid, own.gid) == (os.geteuid(), os.getegid())
