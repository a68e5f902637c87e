"""Protection on the whole server: what must be signed, what sealed, and that nobody changed the negotiation."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.client import AnonymousLogin, Element, Session, Settings
from server.config import Share
from server.messages.base import Request
from server.messages.create import CreateRequest, Disposition
from server.messages.file import FlushRequest
from server.messages.fsctl import ValidateNegotiateRequest
from server.messages.header import Flags
from server.messages.ioctl import Fsctl
from server.messages.negotiate import Dialect, SecurityMode
from server.messages.session import SessionSetupRequest
from server.messages.tree import TreeConnectRequest
from server.status import NT
from server.tests.served import SHARE, Whole, login, on_a_server
from server.tests.stores import refused
from transport.base import Lost

SIGNED, SEALED = Settings(sign=True), Settings(encrypt=True)
SHARES = (
    Share("data"),
    Share("secret", encryption_required=True),
)
SERVED: dict[str, Any] = {"shares": SHARES, "users": ("root", "alice")}


async def status(session: Session, request: Request, tree_id: int = 0) -> int:
    call = await session.client.post_one(Element(request, tree_id), session.security)
    answer = await call.answer()
    answer.release()
    return answer.status


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

    on_a_server(test, **SERVED, signing="required" if who == "the server" else "auto")


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

    on_a_server(test, **SERVED)


def test_a_3_1_1_tree_connect_in_the_clear_ends_the_connection() -> None:
    async def test(here: Whole) -> None:
        session = await here.session()
        session.security.dialect = 0
        with pytest.raises(Lost):
            await session.connect(SHARE)

    on_a_server(test, **SERVED)


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

    on_a_server(test, **SERVED, encryption="required")


@pytest.mark.parametrize("dialect", [Dialect.SMB202, Dialect.SMB210])
def test_who_cannot_seal_is_not_let_in_where_the_server_demands_it(dialect: int) -> None:
    async def test(here: Whole) -> None:
        with refused(NT.ACCESS_DENIED):
            await here.session(Settings(dialects=(dialect,)))
        with refused(NT.ACCESS_DENIED):
            await here.session(how=AnonymousLogin())
        assert not here.server.sessions

    on_a_server(test, **SERVED, encryption="required")


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

    on_a_server(test, **SERVED)


@pytest.mark.parametrize("settings", [Settings(dialects=(Dialect.SMB210,)), Settings(ciphers=())])
def test_a_share_that_demands_it_is_closed_to_who_cannot(settings: Settings) -> None:
    async def test(here: Whole) -> None:
        session = await here.session(settings)
        with refused(NT.ACCESS_DENIED):
            await session.connect(r"\\server\secret")

    on_a_server(test, **SERVED)


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

    on_a_server(test, **SERVED)


def test_a_session_is_not_renewed_under_the_seal_of_another() -> None:
    async def test(here: Whole) -> None:
        client = await here.client(SEALED)
        mine = await Session.login(client, login("alice"))
        other = await Session.login(client, login())
        renewal = SessionSetupRequest(0, SecurityMode.SIGNING_ENABLED, 0, 0, 0, login("alice").step(b""))
        call = client._prepare(Element(renewal), client.window.next, 1, other.security)
        client.window.next += 1
        client.window.credits -= 1
        await client._send([call], mine.security)
        assert (await call.answer()).status == NT.USER_SESSION_DELETED
        await other.connect(SHARE)

    on_a_server(test, **SERVED)


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

    on_a_server(test, **SERVED)


def test_validating_a_3_1_1_negotiation_ends_the_connection() -> None:
    async def test(here: Whole) -> None:
        session = await here.session()
        with pytest.raises(Lost):
            await session.validate_negotiate(await session.connect(SHARE))

    on_a_server(test, **SERVED)
