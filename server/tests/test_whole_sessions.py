"""Sessions on the whole server: who is let in, what a session must prove, and how it is renewed and ended."""

import gc
import weakref
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.client import AnonymousLogin, Client, Element, Session, Settings
from server.config import Share
from server.messages.base import Request
from server.messages.create import CreateOptions, CreateRequest, Disposition
from server.messages.directory import ChangeNotifyRequest, QueryDirectoryRequest
from server.messages.file import EchoRequest, FlushRequest, LockElement, LockFlags, LockRequest
from server.messages.info import InfoType, QueryInfoRequest, SetInfoRequest
from server.messages.ioctl import Fsctl, IoctlRequest
from server.messages.negotiate import SecurityMode
from server.messages.read_write import ReadRequest, WriteRequest
from server.messages.session import LogoffRequest, SessionSetupRequest, SetupFlags
from server.messages.tree import TreeConnectRequest, TreeDisconnectRequest
from server.open import Open
from server.status import NT, Status
from server.store.base import Identity
from server.tests.served import SHARE, Whole, login, on_a_server, settle
from server.tests.stores import refused

IPC = r"\\server\IPC$"
SECURITIES = [Settings(), Settings(sign=True), Settings(encrypt=True)]
SHARES = (
    Share("data"),
    Share("public", guest_ok=True),
    Share("secret", encryption_required=True),
    Share("limited", valid_users=("alice",)),
)
SERVED: dict[str, Any] = {"shares": SHARES, "users": ("root", "alice")}


async def status(session: Session, request: Request, tree_id: int = 0, client: Client | None = None) -> int:
    call = await (client or session.client).post_one(Element(request, tree_id), session.security)
    answer = await call.answer()
    answer.release()
    return answer.status


# -- logging on again --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", SECURITIES, ids=["plain", "signed", "sealed"])
def test_files_stay_open_over_a_login_repeated(settings: Settings) -> None:
    async def test(here: Whole) -> None:
        session = await here.session(settings)
        file = await (await session.connect(SHARE)).create("file", disposition=Disposition.CREATE)
        await session.reauthenticate(login())
        await file.write(0, b"still")
        assert await file.read(0, 5) == b"still"
        assert len(here.server.sessions) == 1

    on_a_server(test, **SERVED)


def test_a_previous_session_ends_when_its_user_comes_back() -> None:
    async def test(here: Whole) -> None:
        old = await here.session()
        file = await (await old.connect(SHARE)).create("file", disposition=Disposition.CREATE, share=0)
        new = await Session.login(await here.client(), login(), previous=old.id)
        await (await new.connect(SHARE)).create("file", share=0)
        assert list(here.server.sessions) == [new.id]
        assert await status(old, FlushRequest(file.id), file.tree.id) == NT.USER_SESSION_DELETED

    on_a_server(test, **SERVED)


def test_who_logs_on_again_as_somebody_else_has_that_ones_access_on_the_trees_too() -> None:
    async def test(here: Whole) -> None:
        session = await here.session(how=login("alice"))
        tree, limited = await session.connect(SHARE), await session.connect(r"\\server\limited")
        file = await limited.create("alices", disposition=Disposition.CREATE)
        await session.reauthenticate(login("root"))
        held = here.server.sessions[session.id]
        assert [(each.who.name, bool(each.access)) for each in held.trees.values()] == [("root", True), ("root", False)]
        await tree.create("file", disposition=Disposition.CREATE)
        with refused(NT.ACCESS_DENIED):
            await limited.create("alices")
        await file.write(0, b"open already")
        await session.reauthenticate(login("alice"))
        await limited.create("alices")

    on_a_server(test, **SERVED)


def test_a_login_that_can_act_as_nobody_leaves_no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(here: Whole) -> None:
        async def nobody(outcome: object) -> Identity:
            raise Status(NT.LOGON_FAILURE, "no account")

        monkeypatch.setattr(here.server, "identity_of", nobody)
        with refused(NT.LOGON_FAILURE):
            await here.session()
        assert not here.server.sessions

    on_a_server(test, **SERVED)


def test_nobody_in_particular_ends_no_session_of_another_such() -> None:
    async def test(here: Whole) -> None:
        old = await here.session(how=AnonymousLogin())
        await Session.login(await here.client(), AnonymousLogin(), previous=old.id)
        assert old.id in here.server.sessions

    on_a_server(test, **SERVED)


def test_a_previous_session_of_somebody_else_stays() -> None:
    async def test(here: Whole) -> None:
        old = await here.session()
        await Session.login(await here.client(), login("alice"), previous=old.id)
        await old.connect(SHARE)
        assert len(here.server.sessions) == 2

    on_a_server(test, **SERVED)


def test_a_previous_session_stays_when_the_login_fails() -> None:
    async def test(here: Whole) -> None:
        old = await here.session()
        with refused(NT.LOGON_FAILURE):
            await Session.login(await here.client(), login(password="wrong"), previous=old.id)
        await old.connect(SHARE)
        assert list(here.server.sessions) == [old.id]

    on_a_server(test, **SERVED)


def test_a_failed_login_leaves_no_session() -> None:
    async def test(here: Whole) -> None:
        client = await here.client()
        for _ in range(2):
            with refused(NT.LOGON_FAILURE):
                await Session.login(client, login("nobody-here"))
        assert not here.server.sessions

    on_a_server(test, **SERVED)


def test_logoff_ends_every_open_and_nothing_can_be_asked_after() -> None:
    async def test(here: Whole) -> None:
        session = await here.session()
        tree = await session.connect(SHARE)
        for name in ("a", "b", "c"):
            await tree.create(name, disposition=Disposition.CREATE)
        other = await Session.login(session.client, login())
        await session.logoff()
        assert not here.server.opens.by_volatile
        assert await status(session, EchoRequest()) in (NT.SUCCESS, NT.USER_SESSION_DELETED)
        assert await status(session, CreateRequest("a", 1), tree.id) == NT.USER_SESSION_DELETED
        await other.connect(SHARE)

    on_a_server(test, **SERVED)


def test_a_session_is_of_its_connection_alone() -> None:
    async def test(here: Whole) -> None:
        session = await here.session()
        tree = await session.connect(SHARE)
        stranger = await here.client()
        assert await status(session, CreateRequest("a", 1), tree.id, stranger) == NT.USER_SESSION_DELETED

    on_a_server(test, **SERVED)


def test_a_session_keeps_nothing_of_who_began_to_bind_it_and_left() -> None:
    async def test(here: Whole) -> None:
        session = await here.session(Settings(sign=True))
        stranger = await here.client(Settings(sign=True))
        token = login().step(stranger.agreement.token)
        binding = SessionSetupRequest(SetupFlags.BINDING, SecurityMode.SIGNING_ENABLED, 0, 0, 0, token)
        assert await status(session, binding, client=stranger) == NT.MORE_PROCESSING_REQUIRED
        (left,) = (weakref.ref(each) for each in here.server.connections if not each.sessions)
        await stranger.close()
        await settle()
        here.serving[:] = [serving for serving in here.serving if not serving.done()]
        gc.collect()
        assert left() is None, gc.get_referrers(left())

    on_a_server(test, **SERVED)


def test_the_end_of_a_session_looks_at_each_open_once_however_many_trees_it_has() -> None:
    class Counting(dict[int, Open]):
        looks = 0

        def values(self) -> Any:
            Counting.looks += len(self)
            return super().values()

    async def test(here: Whole) -> None:
        session = await here.session()
        trees = [await session.connect(SHARE) for _ in range(10)]
        for number in range(10):
            await trees[-1].create(str(number), disposition=Disposition.CREATE)
        held = here.server.sessions[session.id]
        held.opens = Counting(held.opens)
        await session.logoff()
        assert not here.server.opens.by_volatile
        assert Counting.looks == 10

    on_a_server(test, **SERVED)


# -- expiry ------------------------------------------------------------------------------------------------------


def test_an_expired_session_closes_unlocks_and_logs_off_and_no_more() -> None:
    async def test(here: Whole) -> None:
        session = await here.session()
        tree = await session.connect(SHARE)
        directory = await tree.directory()
        file = await tree.create("file", disposition=Disposition.CREATE)
        await file.lock(0, 1)
        here.server.sessions[session.id].expired = True
        lock = LockElement(5, 1, LockFlags.EXCLUSIVE | LockFlags.FAIL_IMMEDIATELY)
        for request in (
            TreeConnectRequest(0, SHARE), TreeDisconnectRequest(), CreateRequest("file", 1), FlushRequest(file.id),
            ReadRequest(file.id, 0, 1), WriteRequest(file.id, 0, b"x"), LockRequest(file.id, [lock]),
            IoctlRequest(Fsctl.QUERY_NETWORK_INTERFACE_INFO), QueryDirectoryRequest(directory.id, 12, "*", 4096),
            ChangeNotifyRequest(directory.id, 1, 4096), QueryInfoRequest(file.id, InfoType.FILE, 5, 100),
            SetInfoRequest(file.id, InfoType.FILE, 20, bytes(8)),
        ):  # fmt: skip
            assert await status(session, request, tree.id) == NT.NETWORK_SESSION_EXPIRED, type(request)
        await file.unlock(0, 1)
        await file.close()
        await session.reauthenticate(login())
        await tree.create("file")
        here.server.sessions[session.id].expired = True
        assert await status(session, LogoffRequest()) == NT.SUCCESS

    on_a_server(test, **SERVED)


def test_a_login_ends_at_its_time_and_not_before() -> None:
    async def test(here: Whole) -> None:
        session = await here.session()
        tree = await session.connect(SHARE)
        now = [1000.0]
        here.server.now = lambda: now[0]  # type: ignore[method-assign]
        held = here.server.sessions[session.id]
        assert held.outcome is not None
        held.outcome = replace(held.outcome, expires=2000.0)
        await tree.create("file", disposition=Disposition.CREATE)
        now[0] = 2000.0
        with refused(NT.NETWORK_SESSION_EXPIRED):
            await tree.create("file")

    on_a_server(test, **SERVED)


# -- strangers -----------------------------------------------------------------------------------------------------


def test_who_has_no_name_gets_pipes_and_nothing_else() -> None:
    async def test(here: Whole) -> None:
        session = await here.session(how=AnonymousLogin())
        tree = await session.connect(IPC)
        await tree.create("srvsvc")
        for share in ("data", "public", "secret", "limited"):
            with refused(NT.ACCESS_DENIED):
                await session.connect(rf"\\server\{share}")

    on_a_server(test, **SERVED)


def test_a_guest_gets_guests_shares_and_nothing_else() -> None:
    async def test(here: Whole) -> None:
        session = await here.session(how=login("whoever"))
        assert session.flags & 1, "told that it is a guest"
        await session.connect(IPC)
        await session.connect(r"\\server\public")
        for share in ("data", "secret", "limited"):
            with refused(NT.ACCESS_DENIED):
                await session.connect(rf"\\server\{share}")

    on_a_server(test, **SERVED, unknown_is_guest=True)


def test_a_known_name_with_a_wrong_password_is_no_guest() -> None:
    async def test(here: Whole) -> None:
        with refused(NT.LOGON_FAILURE):
            await here.session(how=login("alice", "wrong"))

    on_a_server(test, **SERVED, unknown_is_guest=True)


def test_a_share_of_named_users_takes_them_alone() -> None:
    async def test(here: Whole) -> None:
        await (await here.session(how=login("alice"))).connect(r"\\server\limited")
        with refused(NT.ACCESS_DENIED):
            await (await here.session()).connect(r"\\server\limited")
        with refused(NT.BAD_NETWORK_NAME):
            await (await here.session()).connect(r"\\server\none")

    on_a_server(test, **SERVED)


def test_a_delete_on_close_file_goes_with_a_session_that_is_replaced() -> None:
    async def test(here: Whole) -> None:
        old = await here.session()
        tree = await old.connect(SHARE)
        await tree.create("gone", disposition=Disposition.CREATE, options=CreateOptions.DELETE_ON_CLOSE)
        new = await Session.login(await here.client(), login(), previous=old.id)
        await settle()
        with pytest.raises(Status, match="NOT_FOUND"):
            await (await new.connect(SHARE)).create("gone")

    on_a_server(test, **SERVED)
