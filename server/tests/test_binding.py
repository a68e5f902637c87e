"""Binding a session to further connections: who may, who may not and why, and what each message then proves."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.client import AnonymousLogin, Client, Element, Session, SessionChannel, Settings
from benchmarks.client.security import Security
from server.config import Share
from server.handlers.session_binding import MAX_CHANNELS
from server.messages.create import CreateRequest, Disposition
from server.messages.file import EchoRequest, FlushRequest
from server.messages.header import Flags
from server.messages.negotiate import Capability, Cipher, Dialect, SigningAlgorithm
from server.messages.session import LogoffRequest, SessionSetupRequest, SetupFlags
from server.status import NT
from server.tests.served import SHARE, Whole, login, on_a_server, settle
from server.tests.stores import refused

SERVED: dict[str, Any] = {"shares": (Share("data"),), "users": ("root", "alice")}
CMAC = Settings(signing=(SigningAlgorithm.AES_CMAC,))
OTHER = (Cipher.AES256_CCM,)


async def further(here: Whole, session: Session, **other: Any) -> SessionChannel:
    """One more channel, by a client whose settings are the session's but for those in `other`."""
    return await session.bind(await here.client(replace(session.client.settings, **other)), login())


async def status(client: Client, request: Any, security: Security, tree_id: int = 0) -> int:
    answer = await (await client.post_one(Element(request, tree_id), security)).answer()
    answer.release()
    return answer.status


@pytest.mark.parametrize("dialect", [Dialect.SMB300, Dialect.SMB302, Dialect.SMB311])
@pytest.mark.parametrize("wish", [{}, {"sign": True}, {"encrypt": True}], ids=["plain", "signed", "sealed"])
def test_what_is_open_is_reached_over_every_channel(dialect: int, wish: dict[str, Any]) -> None:
    async def test(here: Whole) -> None:
        session = await here.session(Settings(dialects=(dialect,), **wish))
        file = await (await session.connect(SHARE)).create("file", disposition=Disposition.CREATE)
        channels = [session.channels.first, *[await further(here, session) for _ in range(2)]]
        for number in range(9):
            await file.write(number, bytes([number]))
            assert await file.read(0, 100) == bytes(range(number + 1))
        assert min(channel.client.posted for channel in channels) > 5
        (held,) = here.server.sessions.values()
        assert len(held.channels) == 3

    on_a_server(test, **SERVED)


def test_each_channel_signs_with_a_key_of_its_own() -> None:
    async def test(here: Whole) -> None:
        session = await here.session(Settings(sign=True))
        file = await (await session.connect(SHARE)).create("file", disposition=Disposition.CREATE)
        first, second = session.channels.first, await further(here, session)
        for channel, key, code in (
            (first, first, NT.SUCCESS), (second, second, NT.SUCCESS),
            (second, first, NT.ACCESS_DENIED), (first, second, NT.ACCESS_DENIED),
        ):  # fmt: skip
            call = await channel.client.post_one(Element(FlushRequest(file.id), file.tree.id), key.security)
            call.security = channel.security  # the answer is signed with the right one all the same
            answer = await call.answer()
            assert answer.status == code
            assert answer.header.flags & Flags.SIGNED

    on_a_server(test, **SERVED)


def test_logging_off_over_one_channel_ends_the_session_on_all() -> None:
    async def test(here: Whole) -> None:
        session = await here.session()
        tree = await session.connect(SHARE)
        await tree.create("file", disposition=Disposition.CREATE)
        channels = [session.channels.first, *[await further(here, session) for _ in range(2)]]
        assert await status(channels[2].client, LogoffRequest(), channels[2].security) == NT.SUCCESS
        assert not here.server.opens.by_volatile
        for channel in channels:
            gone = await status(channel.client, CreateRequest("file", 1), channel.security, tree.id)
            assert gone == NT.USER_SESSION_DELETED
            await Session.login(channel.client, login())

    on_a_server(test, **SERVED)


def test_a_login_repeated_over_one_channel_leaves_the_keys_of_all() -> None:
    async def test(here: Whole) -> None:
        session = await here.session(Settings(sign=True))
        tree = await session.connect(SHARE)
        await further(here, session)
        here.server.sessions[session.id].expired = True
        with refused(NT.NETWORK_SESSION_EXPIRED):
            await tree.directory()
        await session.reauthenticate(login())
        for _ in range(4):
            await (await tree.directory()).close()

    on_a_server(test, **SERVED)


# -- who may not -------------------------------------------------------------------------------------------------------
async def bound_with(here: Whole, session: Session, settings: Settings) -> None:
    await session.bind(await here.client(settings), login())


async def another_user(here: Whole, session: Session) -> None:
    await session.bind(await here.client(session.client.settings), login("alice"))


async def nobody_by_name(here: Whole, session: Session) -> None:
    await session.bind(await here.client(session.client.settings), AnonymousLogin())


async def a_wrong_password(here: Whole, session: Session) -> None:
    await session.bind(await here.client(session.client.settings), login(password="wrong"))


async def the_first_once_more(here: Whole, session: Session) -> None:
    await session.bind(session.client, login())


async def an_expired_login(here: Whole, session: Session) -> None:
    here.server.sessions[session.id].expired = True
    await further(here, session)


REFUSED: list[tuple[Callable[[Whole, Session], Awaitable[None]], int]] = [
    (lambda here, session: bound_with(here, session, replace(CMAC, dialects=(Dialect.SMB302,))), NT.INVALID_PARAMETER),
    (lambda here, session: bound_with(here, session, Settings(dialects=(Dialect.SMB210,))), NT.REQUEST_NOT_ACCEPTED),
    (lambda here, session: bound_with(here, session, replace(CMAC, ciphers=OTHER)), NT.INVALID_PARAMETER),
    (lambda here, session: bound_with(here, session, replace(CMAC, ciphers=())), NT.INVALID_PARAMETER),
    (lambda here, session: bound_with(here, session, Settings()), NT.NOT_SUPPORTED),
    (another_user, NT.ACCESS_DENIED),
    (nobody_by_name, NT.ACCESS_DENIED),
    (a_wrong_password, NT.LOGON_FAILURE),
    (the_first_once_more, NT.REQUEST_NOT_ACCEPTED),
    (an_expired_login, NT.NETWORK_SESSION_EXPIRED),
]
NAMES = [
    "another dialect", "2.1", "another cipher", "no cipher", "another signing algorithm", "another user", "anonymous",
    "a wrong password", "the first", "expired",
]  # fmt: skip


@pytest.mark.parametrize(("bind", "code"), REFUSED, ids=NAMES)
def test_a_binding_is_refused_and_the_session_goes_on(
    bind: Callable[[Whole, Session], Awaitable[None]], code: int
) -> None:
    async def test(here: Whole) -> None:
        session = await here.session(CMAC)
        file = await (await session.connect(SHARE)).create("file", disposition=Disposition.CREATE)
        with refused(code):
            await bind(here, session)
        here.server.sessions[session.id].expired = False
        await file.write(0, b"still")
        assert not any(connection.setups for connection in here.server.connections)

    on_a_server(test, **SERVED)


def test_a_session_that_signs_by_gmac_takes_no_channel_that_signs_by_cmac() -> None:
    async def test(here: Whole) -> None:
        session = await here.session()
        with refused(NT.REQUEST_OUT_OF_SEQUENCE):
            await bound_with(here, session, CMAC)

    on_a_server(test, **SERVED)


def test_another_client_guid_may_bind() -> None:
    async def test(here: Whole) -> None:
        session = await here.session()
        await further(here, session, guid=bytes(range(16)))
        await session.connect(SHARE)

    on_a_server(test, **SERVED)


def test_a_guest_cannot_bind() -> None:
    async def test(here: Whole) -> None:
        session = await here.session(how=login("whoever"))
        client = await here.client(session.client.settings)
        assert await status(client, binding(client), replace(session.security, sign=True)) == NT.INVALID_PARAMETER

    on_a_server(test, **SERVED, unknown_is_guest=True)


def binding(client: Client) -> SessionSetupRequest:
    token = login().step(client.agreement.token)
    return SessionSetupRequest(SetupFlags.BINDING, client.settings.security_mode, 0, 0, 0, token)


def test_a_binding_proves_that_it_knows_the_sessions_key() -> None:
    async def test(here: Whole) -> None:
        session, other = await here.session(), await here.session()
        client = await here.client(session.client.settings)
        strange = replace(other.security, session_id=session.id, sign=True)
        assert await status(client, binding(client), Security(session.id)) == NT.INVALID_PARAMETER
        assert await status(client, binding(client), strange) == NT.ACCESS_DENIED
        nobody = replace(session.security, session_id=session.id ^ 1, sign=True)
        assert await status(client, binding(client), nobody) == NT.USER_SESSION_DELETED
        assert await status(client, EchoRequest(), Security(0)) == NT.SUCCESS

    on_a_server(test, **SERVED)


def test_a_session_has_so_many_channels_and_no_more() -> None:
    async def test(here: Whole) -> None:
        session = await here.session()
        made = [await further(here, session) for _ in range(MAX_CHANNELS - 1)]
        with refused(NT.INSUFFICIENT_RESOURCES):
            await further(here, session)
        await made[7].client.close()
        await settle()
        await further(here, session)
        await session.connect(SHARE)

    on_a_server(test, **SERVED)


def test_a_channel_is_bound_once() -> None:
    async def test(here: Whole) -> None:
        session = await here.session()
        channel = await further(here, session)
        again = replace(channel.security, sign=True)
        assert await status(channel.client, binding(channel.client), again) == NT.REQUEST_NOT_ACCEPTED
        await session.connect(SHARE)

    on_a_server(test, **SERVED)


def test_of_two_that_bind_at_once_the_last_place_has_room_for_one() -> None:
    async def test(here: Whole) -> None:
        session = await here.session()
        for _ in range(MAX_CHANNELS - 2):
            await further(here, session)
        results = await asyncio.gather(further(here, session), further(here, session), return_exceptions=True)
        codes = [getattr(result, "code", NT.SUCCESS) for result in results]
        assert sorted(codes) == [NT.SUCCESS, NT.INSUFFICIENT_RESOURCES]
        assert len(here.server.sessions[session.id].channels) == MAX_CHANNELS

    on_a_server(test, **SERVED)


@pytest.mark.parametrize("dialect", [Dialect.SMB202, Dialect.SMB210, Dialect.SMB300, Dialect.SMB302, Dialect.SMB311])
def test_several_channels_are_offered_from_3_0_on(dialect: int) -> None:
    async def test(here: Whole) -> None:
        client = await here.client(Settings(dialects=(dialect,)))
        assert bool(client.agreement.capabilities & Capability.MULTI_CHANNEL) == (dialect >= Dialect.SMB300)

    on_a_server(test, **SERVED)
