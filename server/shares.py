"""The shares as configured now, and who may connect to which, as whom, with what access."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from .config import Config
from .config import Share as ShareConfig
from .security import sids
from .security.access import FILE_ALL_ACCESS, FILE_GENERIC_EXECUTE, FILE_GENERIC_READ
from .security.identity import Account, account, group_id
from .session import Session
from .status import NT, Status
from .store.base import Identity, Store
from .tree import Share

PIPES = "IPC$"
READ_ONLY_ACCESS = FILE_GENERIC_READ | FILE_GENERIC_EXECUTE


STORE_SETTINGS = (
    "create_mask", "directory_mask", "force_create_mode", "force_directory_mode", "inherit_owner", "hide_dot_files",
    "hide_unreadable", "veto_files", "store_dos_attributes", "posix_locking",
)  # fmt: skip
"""What of a share's configuration its store is made with, beside the path."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """The Unix accounts and groups that a configuration names, as they were when it was loaded: a directory service
    may take its time to say, which a tree connect has not."""

    forced: dict[str, Account | None] = field(default_factory=dict)
    groups: dict[str, int | None] = field(default_factory=dict)

    @classmethod
    def of(cls, config: Config) -> "Accounts":
        """Asks the system, and may take as long as that."""
        listed = {
            name[1:]
            for share in config.shares
            for names in (share.valid_users, share.invalid_users, share.read_list, share.write_list)
            for name in names
            if name.startswith("@")
        }
        users = {share.force_user for share in config.shares} - {""}
        groups = listed | {share.force_group for share in config.shares} - {""}
        return cls({name: account(name) for name in users}, {name: group_id(name) for name in groups})

    def __or__(self, newer: "Accounts") -> "Accounts":
        """Those of shares that are gone too, which may still have trees."""
        return Accounts(self.forced | newer.forced, self.groups | newer.groups)

    def lists(self, names: Sequence[str], who: Identity) -> bool:
        """Whether `names` (of users, and of groups behind "@") hold this identity."""
        for name in names:
            if name.startswith("@"):
                group = self.groups.get(name[1:])
                if group is not None and (group == who.gid or group in who.groups):
                    return True
            elif name.casefold() == who.name.casefold():
                return True
        return False


class Shares:
    """Shares by name, without case. A reload changes what new tree connects find; trees made stay as they are."""

    def __init__(self, make_store: Callable[[ShareConfig], Store]) -> None:
        self._make_store = make_store
        self._shares: dict[str, Share] = {}
        self._accounts = Accounts()
        self.pipes = Share(PIPES, None, None)

    async def load(self, config: Config) -> None:
        """Take over the shares of `config`: new ones open, changed ones change, those gone take no one any more."""
        self._accounts = self._accounts | await asyncio.to_thread(Accounts.of, config)
        old = self._shares
        self._shares = {}
        for wanted in config.shares:
            kept = old.pop(wanted.name.casefold(), None)
            if kept is None or kept.config is None or _store(kept.config) != _store(wanted):
                if kept is not None:
                    old[wanted.name.casefold()] = kept
                kept = Share(wanted.name, wanted, self._make_store(wanted))
            kept.config = wanted
            self._shares[wanted.name.casefold()] = kept
        for gone in old.values():
            gone.retired = True
            await self.leave(gone, 0)

    async def leave(self, share: Share, trees: int = 1) -> None:
        """A tree connect to `share` has ended; a retired share's store closes with its last, and its last open."""
        share.connections -= trees
        if share.retired and not share.connections and not share.kept and share.store is not None:
            await share.store.close()

    async def close(self) -> None:
        """Close every store: nobody is connected any more."""
        for share in self._shares.values():
            if share.store is not None:
                await share.store.close()

    def find(self, name: str) -> Share:
        """The share called `name`; raises BAD_NETWORK_NAME."""
        if name.casefold() == PIPES.casefold():
            return self.pipes
        share = self._shares.get(name.casefold())
        if share is None:
            raise Status(NT.BAD_NETWORK_NAME, name)
        return share

    def visible(self, session: Session) -> list[Share]:
        """The shares a listing shows to this session, IPC$ among them."""
        shown = [share for share in self._shares.values() if share.config is not None and share.config.browseable]
        return [*(share for share in shown if self._welcome(share, session)), self.pipes]

    def _welcome(self, share: Share, session: Session) -> bool:
        try:
            self.grant(share, session)
        except Status as status:
            return status.code != NT.ACCESS_DENIED
        return True

    def admit(self, share: Share, session: Session) -> tuple[int, Identity]:
        """As `grant`, for one more tree connect; raises REQUEST_NOT_ACCEPTED where the share has all that it takes."""
        granted = self.grant(share, session)
        most = share.config.max_connections if share.config is not None else 0
        if most and share.connections >= most:
            raise Status(NT.REQUEST_NOT_ACCEPTED, f"{share.name} has {share.connections} connections")
        return granted

    def grant(self, share: Share, session: Session) -> tuple[int, Identity]:
        """The most access this session may have on `share`, and whom it acts as; raises ACCESS_DENIED."""
        who, outcome, config = session.who, session.outcome, share.config
        assert who is not None and outcome is not None
        if config is None:
            return FILE_ALL_ACCESS, who
        if outcome.anonymous or (outcome.guest and not config.guest_ok):
            raise Status(NT.ACCESS_DENIED, "the share takes no guests")
        lists = self._accounts.lists
        if lists(config.invalid_users, who) or (config.valid_users and not lists(config.valid_users, who)):
            raise Status(NT.ACCESS_DENIED, f"{who.name} may not connect to {share.name}")
        read_only = config.read_only or lists(config.read_list, who)
        if lists(config.write_list, who):
            read_only = False
        return READ_ONLY_ACCESS if read_only else FILE_ALL_ACCESS, _forced(config, who, self._accounts)


def _store(config: ShareConfig) -> list[object]:
    """What a store of this share is made from: where that changes, who comes from then on gets a new one."""
    return [getattr(config, name) for name in ("path", *STORE_SETTINGS)]


def _forced(config: ShareConfig, who: Identity, accounts: Accounts) -> Identity:
    """`who`, with the account and group that the share forces on everyone."""
    if config.force_user:
        forced = accounts.forced.get(config.force_user)
        if forced is None:
            raise Status(NT.ACCESS_DENIED, f"force user {config.force_user} has no account")
        own = sids.of_uid(forced.uid)
        groups = frozenset(map(sids.of_gid, (forced.gid, *forced.groups)))
        who = replace(
            who, uid=forced.uid, gid=forced.gid, groups=forced.groups, owner=own, group=sids.of_gid(forced.gid),
            sids=who.sids - {who.owner} | {own} | groups, privileged=forced.uid == 0,
        )  # fmt: skip
    if config.force_group:
        gid = accounts.groups.get(config.force_group)
        if gid is None:
            raise Status(NT.ACCESS_DENIED, f"force group {config.force_group} does not exist")
        who = replace(who, gid=gid, group=sids.of_gid(gid), sids=who.sids | {sids.of_gid(gid)})
    return who
