"""Sessions on the whole server: who is let in, what a session must prove, and how it is renewed and ended."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from benchmarks.client import AnonymousLogin, Client, Element, Session, Settings
from server.config import Share
from server.messages.base import Request
from server.messages.create import CreateOptions, CreateRequest, Disposition
from server.messages.directory import ChangeNotifyRequest, QueryDirectoryRequest
from server.messages.file import EchoRequest, FlushRequest, LockElement, LockFlags, LockRequest
from server.messages.fsctl import ValidateNegotiateRequest
from server.messages.header import Flags
from server.messages.info import InfoType, QueryInfoRequest, SetInfoRequest
from server.messages.ioctl import Fsctl, IoctlRequest
from server.messages.negotiate import Dialect
from server.messages.read_write import ReadRequest, WriteRequest
from server.messages.session import LogoffRequest
from server.messages.tree import TreeConnectRequest, TreeDisconnectRequest
from server.status import NT, Status
from server.tests.served import SHARE, Whole, login, settle, whole
from server.tests.stores import refused
from transport.base import Lost

IPC = r"\\server\IPC$"
SIGNED, SEALED = Settings(sign=True), Settings(encrypt=True)
SHARES = (
    Share("data"),
    Share("public", guest_ok=True),
    Share("secret", encryption_required=True),
    Share("limited", valid_users=("alice",)),
)


def on_a_server(test: Callable[[Whole], Awaitable[None]], **options: object) -> None:
    async def use() -> None:
        async with whole(**{"shares": SHARES, "users": ("root", "alice"), **options}) as here:  # type: ignore[arg-type]
            await test(here)

    asyncio.run(use())


async def status(session: Session, request: Request, tree_id: int = 0, client: Client | None = None) -> int:
    call = await (client or session.client).post_one(Element(request, tree_id), session.security)
    answer = await call.answer()
    answer.release()
    return answer.status


# -- logging on again --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [Settings(), SIGNED, SEALED], ids=["plain", "signed", "sealed"])
def test_files_stay_open_over_a_login_repeated(settings: Settings) -> None:
    async def test(here: Whole) -> None:
        session = await here.session(settings)
        file = await (await session.connect(SHARE)).create("file", disposition=Disposition.CREATE)
        await session.reauthenticate(login())
        await file.write(0, b"still")
        assert await file.read(0, 5) == b"still"
        assert len(here.server.sessions) == 1

    on_a_server(test)


def test_a_wrong_password_on_renewal_leaves_the_session_as_it_was() -> None:
    async def test(here: Whole) -> None:
        session = await here.session()
        with refused(NT.LOGON_FAILURE):
            await session.reauthenticate(login(password="wrong"))
        await session.connect(SHARE)

    on_a_server(test)


def test_a_previous_session_ends_when_its_user_comes_back() -> None:
    async def test(here: Whole) -> None:
        old = await here.session()
        file = await (await old.connect(SHARE)).create("file", disposition=Disposition.CREATE, share=0)
        new = await Session.login(await here.client(), login(), previous=old.id)
        await (await new.connect(SHARE)).create("file", share=0)
        assert list(here.server.sessions) == [new.id]
        assert await status(old, FlushRequest(file.id), file.tree.id) == NT.USER_SESSION_DELETED

    on_a_server(test)


def test_a_previous_session_of_somebody_else_stays() -> None:
    async def test(here: Whole) -> None:
        old = await here.session()
        await Session.login(await here.client(), login("alice"), previous=old.id)
        await old.connect(SHARE)
        assert len(here.server.sessions) == 2

    on_a_server(test)


def test_a_previous_session_stays_when_the_login_fails() -> None:
    async def test(here: Whole) -> None:
        old = await here.session()
        with refused(NT.LOGON_FAILURE):
            await Session.login(await here.client(), login(password="wrong"), previous=old.id)
        await old.connect(SHARE)
        assert list(here.server.sessions) == [old.id]

    on_a_server(test)


def test_a_failed_login_leaves_no_session() -> None:
    async def test(here: Whole) -> None:
        client = await here.client()
        for _ in range(2):
            with refused(NT.LOGON_FAILURE):
                await Session.login(client, login("nobody-here"))
        assert not here.server.sessions

    on_a_server(test)


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

    on_a_server(test)


def test_a_session_is_of_its_connection_alone() -> None:
    async def test(here: Whole) -> None:
        session = await here.session()
        tree = await session.connect(SHARE)
        stranger = await here.client()
        assert await status(session, CreateRequest("a", 1), tree.id, stranger) == NT.USER_SESSION_DELETED

    on_a_server(test)


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

    on_a_server(test)


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

    on_a_server(test)


# -- what must be signed or sealed ---------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["the server", "the client"])
def test_what_is_not_signed_is_refused_where_signing_is_required(who: str) -> None:
    async def test(here: Whole) -> None:
        session = await here.session(SIGNED if who == "the client" else Settings())
        tree = await session.connect(SHARE)
        session.security.sign = False
        session.security.dialect = 0
        assert await status(session, CreateRequest("file", 1), tree.id) == NT.ACCESS_DENIED
        assert await status(session, TreeConnectRequest(0, SHARE)) == NT.ACCESS_DENIED
        session.security.sign = True
        assert await status(session, TreeConnectRequest(0, SHARE)) == NT.SUCCESS

    on_a_server(test, signing="required" if who == "the server" else "auto")


@pytest.mark.parametrize("dialect", [Dialect.SMB202, Dialect.SMB302, Dialect.SMB311])
def test_a_wrong_signature_is_refused_although_none_was_needed(dialect: int) -> None:
    async def test(here: Whole) -> None:
        session = await here.session(Settings(dialects=(dialect,)))
        tree = await session.connect(SHARE)
        element = Element(CreateRequest("file", 1), tree.id, Flags.SIGNED)
        signer, session.security.signer = session.security.signer, None
        call = session.client._prepare(element, session.client.window.next, 0, session.security)
        session.client.window.next += 1
        await session.client._send([call], session.security)
        session.security.signer = signer
        assert (await call.answer()).status == NT.ACCESS_DENIED

    on_a_server(test)


def test_a_3_1_1_tree_connect_in_the_clear_ends_the_connection() -> None:
    async def test(here: Whole) -> None:
        session = await here.session()
        session.security.dialect = 0
        with pytest.raises(Lost):
            await session.connect(SHARE)

    on_a_server(test)


def test_what_is_not_sealed_is_refused_where_the_server_demands_it() -> None:
    async def test(here: Whole) -> None:
        session = await here.session()
        assert session.security.encrypt, "the login says so"
        tree = await session.connect(SHARE)
        await tree.create("file", disposition=Disposition.CREATE)
        plain = replace(session.security, encrypt=False, sign=True)
        for request in (CreateRequest("file", 1), TreeConnectRequest(0, SHARE), FlushRequest(bytes(16))):
            call = await session.client.post_one(Element(request, tree.id), plain)
            answer = (await call.answer()).keep()
            assert answer.status == NT.ACCESS_DENIED
            assert answer.sealed

    on_a_server(test, encryption="required")


@pytest.mark.parametrize("dialect", [Dialect.SMB202, Dialect.SMB210])
def test_who_cannot_seal_is_not_let_in_where_the_server_demands_it(dialect: int) -> None:
    async def test(here: Whole) -> None:
        with refused(NT.ACCESS_DENIED):
            await here.session(Settings(dialects=(dialect,)))
        with refused(NT.ACCESS_DENIED):
            await here.session(how=AnonymousLogin())
        assert not here.server.sessions

    on_a_server(test, encryption="required")


def test_a_share_that_demands_it_takes_only_what_is_sealed() -> None:
    async def test(here: Whole) -> None:
        session = await here.session()
        tree = await session.connect(r"\\server\secret")
        assert tree.security.encrypt
        await tree.create("file", disposition=Disposition.CREATE)
        assert await status(session, CreateRequest("file", 1), tree.id) == NT.ACCESS_DENIED
        open_tree = await session.connect(SHARE)
        assert not open_tree.security.encrypt
        await open_tree.create("file", disposition=Disposition.CREATE)

    on_a_server(test)


@pytest.mark.parametrize("settings", [Settings(dialects=(Dialect.SMB210,)), Settings(ciphers=())])
def test_a_share_that_demands_it_is_closed_to_who_cannot(settings: Settings) -> None:
    async def test(here: Whole) -> None:
        session = await here.session(settings)
        with refused(NT.ACCESS_DENIED):
            await session.connect(r"\\server\secret")

    on_a_server(test)


def test_a_sealed_message_for_another_session_than_its_own_is_refused() -> None:
    async def test(here: Whole) -> None:
        client = await here.client(SEALED)
        mine = await Session.login(client, login("alice"))
        other = await Session.login(client, login())
        tree = await other.connect(SHARE)
        element = Element(CreateRequest("file", 1), tree.id)
        call = client._prepare(element, client.window.next, 1, other.security)
        client.window.next += 1
        client.window.credits -= 1
        await client._send([call], mine.security)
        assert (await call.answer()).status in (NT.USER_SESSION_DELETED, NT.ACCESS_DENIED, NT.INVALID_PARAMETER)

    on_a_server(test)


# -- strangers -----------------------------------------------------------------------------------------------------


def test_who_has_no_name_gets_pipes_and_nothing_else() -> None:
    async def test(here: Whole) -> None:
        session = await here.session(how=AnonymousLogin())
        tree = await session.connect(IPC)
        await tree.create("srvsvc")
        for share in ("data", "public", "secret", "limited"):
            with refused(NT.ACCESS_DENIED):
                await session.connect(rf"\\server\{share}")

    on_a_server(test)


def test_a_guest_gets_guests_shares_and_nothing_else() -> None:
    async def test(here: Whole) -> None:
        session = await here.session(how=login("whoever"))
        assert session.flags & 1, "told that it is a guest"
        await session.connect(IPC)
        await session.connect(r"\\server\public")
        for share in ("data", "secret", "limited"):
            with refused(NT.ACCESS_DENIED):
                await session.connect(rf"\\server\{share}")

    on_a_server(test, unknown_is_guest=True)


def test_a_known_name_with_a_wrong_password_is_no_guest() -> None:
    async def test(here: Whole) -> None:
        with refused(NT.LOGON_FAILURE):
            await here.session(how=login("alice", "wrong"))

    on_a_server(test, unknown_is_guest=True)


def test_a_share_of_named_users_takes_them_alone() -> None:
    async def test(here: Whole) -> None:
        await (await here.session(how=login("alice"))).connect(r"\\server\limited")
        with refused(NT.ACCESS_DENIED):
            await (await here.session()).connect(r"\\server\limited")
        with refused(NT.BAD_NETWORK_NAME):
            await (await here.session()).connect(r"\\server\none")

    on_a_server(test)


# -- secure negotiate ------------------------------------------------------------------------------------------------

CHANGES: dict[str, Callable[[ValidateNegotiateRequest], object]] = {
    "dialects": lambda said: said.dialects.pop(),
    "more dialects": lambda said: said.dialects.insert(0, 0x0100),
    "capabilities": lambda said: setattr(said, "capabilities", said.capabilities ^ 0x40),
    "guid": lambda said: setattr(said, "guid", bytes(16)),
    "mode": lambda said: setattr(said, "security_mode", said.security_mode ^ 3),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("dialect", [Dialect.SMB210, Dialect.SMB300, Dialect.SMB302])
def test_a_negotiation_that_was_changed_on_its_way_ends_the_connection(
    dialect: int, change: Callable[[ValidateNegotiateRequest], object]
) -> None:
    async def test(here: Whole) -> None:
        session = await here.session(Settings(dialects=(Dialect.SMB202, dialect), sign=True))
        tree = await session.connect(SHARE)
        await session.validate_negotiate(tree)
        asked = session.client.settings.request()
        said = ValidateNegotiateRequest(
            asked.capabilities, session.client.settings.guid, asked.security_mode, list(asked.dialects)
        )
        change(said)
        with pytest.raises(Lost):
            await tree.ioctl(Fsctl.VALIDATE_NEGOTIATE_INFO, said.pack(), 24)
        await here.serving[0]
        here.assert_nothing_kept()

    on_a_server(test)


def test_validating_a_3_1_1_negotiation_ends_the_connection() -> None:
    async def test(here: Whole) -> None:
        session = await here.session()
        with pytest.raises(Lost):
            await session.validate_negotiate(await session.connect(SHARE))

    on_a_server(test)


def test_a_delete_on_close_file_goes_with_a_session_that_is_replaced() -> None:
    async def test(here: Whole) -> None:
        old = await here.session()
        tree = await old.connect(SHARE)
        await tree.create("gone", disposition=Disposition.CREATE, options=CreateOptions.DELETE_ON_CLOSE)
        new = await Session.login(await here.client(), login(), previous=old.id)
        await settle()
        with pytest.raises(Status, match="NOT_FOUND"):
            await (await new.connect(SHARE)).create("gone")

    on_a_server(test)
