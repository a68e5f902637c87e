"""The system's accounts and groups may be a directory service's, which takes seconds to say: nobody else waits."""

import threading
from typing import Any

import pytest

from benchmarks.client import AnonymousLogin
from server import shares
from server.config import Share
from server.messages.create import Disposition
from server.security.identity import account, group_id, service_account
from server.tests.served import SHARE, Whole, login, on_a_server


def test_accounts_and_groups_are_never_looked_up_in_the_thread_that_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def elsewhere(ask: Any) -> Any:
        def look_up(name: str) -> Any:
            assert threading.current_thread() is not threading.main_thread(), f"{name} was looked up in the loop"
            asked.append(name)
            return ask(name)

        return look_up

    async def test(here: Whole) -> None:
        here.server.identities.find = elsewhere(account)
        here.server.identities.find_group = elsewhere(group_id)
        here.server.identities.refresh(admins=("@adm",))
        session = await here.session()
        tree = await session.connect(SHARE)
        await session.reauthenticate(login("daemon"))
        await tree.create("file", disposition=Disposition.OPEN_IF)
        await here.session(how=AnonymousLogin())
        assert {"root", "daemon", "nobody", "adm", "users", own.name} <= set(asked)

    own = service_account()
    for name, ask in (("account", account), ("group_id", group_id)):
        monkeypatch.setattr(shares, name, elsewhere(ask))
    share = Share("data", invalid_users=("@users",), force_user=own.name)
    on_a_server(test, shares=(share,), users=("root", "daemon"))
