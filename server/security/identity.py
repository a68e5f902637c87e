"""Whom a login acts as: from the name that logged in to the Unix account, its groups, and the SIDs of both.

The account database may be slow (it may be a directory service), so it is asked in threads, and identities are kept
until `refresh`. A name without a Unix account acts as the configured guest account, and where that is missing or is
root, as nobody at all. When the server is not root it can be no one else: every login acts as its own account.
"""

import asyncio
import grp
import os
import pwd
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from server.status import NT, Status
from server.store.base import Identity

from . import sids


class Account(NamedTuple):
    """A Unix account as the system knows it."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]


def account(name: str) -> Account | None:
    """The Unix account of that name, or of the name in lower case (clients take names without case)."""
    for spelled in dict.fromkeys((name, name.lower())):
        try:
            entry = pwd.getpwnam(spelled)
            groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
        except (KeyError, ValueError):  # absent; or a name that no account can have
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, tuple(groups))
    return None


def service_account() -> Account:
    """The account this process runs as, whether or not it has an entry of its own."""
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return Account(name, uid, os.getegid(), tuple(os.getgroups()))


def group_id(name: str) -> int | None:
    """The Unix group of that name, None where there is none."""
    try:
        return grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        return None


@dataclass(slots=True)
class Identities:
    """The identities of a server. `admins` are names, or "@group" for a Unix group's members."""

    guest_account: str
    admins: Collection[str] = ()
    service: Account = field(default_factory=service_account)
    find: Callable[[str], Account | None] = account
    find_group: Callable[[str], int | None] = group_id
    _kept: dict[tuple[str, bool], Identity] = field(default_factory=dict, repr=False)

    def of(self, name: str, guest: bool = False) -> Identity:
        """Whom a login as `name` acts as; with `guest` (or without an account of its own) the guest account.

        Raises Status(LOGON_FAILURE) where there is no account to act as.
        """
        key = self._key(name, guest)
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = self._look_up(*key)
        return kept

    async def look_up(self, name: str, guest: bool = False) -> Identity:
        """As `of`, with nobody else waiting for the account database."""
        key, kept = self._key(name, guest), self._kept
        if key not in kept:
            kept[key] = await asyncio.to_thread(self._look_up, *key)
        return kept[key]

    def _key(self, name: str, guest: bool) -> tuple[str, bool]:
        """Guests come with any name: they share one identity."""
        return self.guest_account if guest else name, guest

    def anonymous(self) -> Identity:
        """Whom a login without a name acts as; it is let into IPC$ alone."""
        guest = self.of("", guest=True)
        held = frozenset((sids.ANONYMOUS, sids.EVERYONE, sids.NETWORK))
        return Identity("", guest.uid, guest.gid, guest.groups, held, sids.ANONYMOUS, sids.ANONYMOUS)

    def refresh(self, guest_account: str | None = None, admins: Collection[str] | None = None) -> None:
        """Forget what was looked up, and take over changed settings. Sessions keep the identity they have."""
        self.guest_account = self.guest_account if guest_account is None else guest_account
        self.admins = self.admins if admins is None else admins
        self._kept = {}  # what is being looked up goes into the old one

    def _look_up(self, name: str, guest: bool) -> Identity:
        own = None if guest else self.find(name)
        if self.service.uid != 0:
            return identity(name, self.service, guest, not guest and self._is_admin(name, own))
        if own is None:
            return identity(name, self._guest(), guest=True)
        return identity(name, own, privileged=own.uid == 0 or self._is_admin(name, own))

    def _guest(self) -> Account:
        found = self.find(self.guest_account) if self.guest_account else None
        if found is None or found.uid == 0:
            raise Status(NT.LOGON_FAILURE, f"the guest account {self.guest_account!r} is absent or root")
        return found

    def _is_admin(self, name: str, own: Account | None) -> bool:
        groups = own.groups if own is not None else ()
        folded = name.casefold()
        return any(
            self.find_group(entry[1:]) in groups if entry.startswith("@") else entry.casefold() == folded
            for entry in self.admins
        )


def identity(name: str, acts_as: Account, guest: bool = False, privileged: bool = False) -> Identity:
    """`acts_as` with the SIDs that hold for it. A Unix root is the system too: what a mode makes grants it all."""
    owner, group = sids.of_uid(acts_as.uid), sids.of_gid(acts_as.gid)
    held = {owner, group, sids.EVERYONE, sids.NETWORK, *map(sids.of_gid, acts_as.groups)}
    held |= {sids.GUESTS} if guest else {sids.AUTHENTICATED_USERS, sids.USERS}
    held |= {sids.ADMINISTRATORS} if privileged else set()
    held |= {sids.SYSTEM} if acts_as.uid == 0 else set()
    return Identity(name, acts_as.uid, acts_as.gid, acts_as.groups, frozenset(held), owner, group, privileged)
