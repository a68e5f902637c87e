"""Which answers are signed and with what, who may send what sealed, and how sessions get further connections."""

import asyncio
from dataclasses import replace

import pytest

from benchmarks.client import Session, Settings
from benchmarks.client.answer import Answer
from benchmarks.client.client import Client, Element
from benchmarks.client.login import AnonymousLogin, NtlmLogin
from benchmarks.client.security import Security
from server.messages.create import Disposition
from server.messages.file import EchoRequest
from server.messages.header import Command, Flags, Header
from server.messages.negotiate import Cipher, Dialect, NegotiateRequest, NegotiateResponse, SigningAlgorithm
from server.messages.session import LogoffRequest, SessionSetupRequest, SetupFlags
from server.messages.tree import TreeConnectRequest
from server.status import NT, Status
from server.tests.served import SHARE, USER, login, served, whole
from smbdirect.wire import Malformed
from transport.base import Lost, Reply


async def anonymous_key(client: Client) -> Security:
    """An anonymous session's keys: its session key is known to be all zeros (MS-NLMP 3.2.5.1.2)."""
    session = await Session.login(client, AnonymousLogin())
    return Security.from_key(client.agreement, session.id, bytes(16), client.preauth.value)


def test_a_refusal_of_a_wrong_signature_is_signed_itself() -> None:
    async def use() -> None:
        async with served(Settings(sign=True)) as here:
            session = await here.login()
            wrong = Security.from_key(here.client.agreement, session.id, b"not the key here", bytes(64))
            wrong.sign = True
            call = await here.client.post_one(Element(TreeConnectRequest(0, r"\\server\data")), wrong)
            with pytest.raises(Malformed, match="signature"):  # the client cannot know whose fault that is
                await call.answer()

    asyncio.run(use())


def test_an_anonymous_login_ends_unsigned() -> None:
    async def use() -> None:
        async with whole() as made:
            client = await made.client()
            setups: list[Header] = []
            check = client._deliver

            def deliver(answer: Answer) -> None:
                setups.append(answer.header)
                check(answer)

            client._deliver = deliver  # type: ignore[method-assign]
            await Session.login(client, AnonymousLogin())
            assert setups[-1].command == Command.SESSION_SETUP and setups[-1].status == NT.SUCCESS
            assert not setups[-1].flags & Flags.SIGNED

    asyncio.run(use())


def test_nobody_but_an_anonymous_client_has_come_so_nothing_is_taken_sealed() -> None:
    async def use() -> None:
        async with whole() as made:
            client = await made.client(Settings(dialects=(Dialect.SMB300,)))
            security = replace(await anonymous_key(client), encrypt=True)
            call = await client.post_one(Element(EchoRequest()), security)
            with pytest.raises(Lost):
                await call.answer()

    asyncio.run(use())


def test_once_somebody_has_logged_on_the_anonymous_may_seal_too() -> None:
    async def use() -> None:
        async with whole() as made:
            client = await made.client(Settings(dialects=(Dialect.SMB300,)))
            await Session.login(client, login())
            security = await anonymous_key(client)
            client.securities[security.session_id] = security
            call = await client.post_one(Element(EchoRequest()), replace(security, encrypt=True))
            assert (await call.answer()).keep().status == NT.SUCCESS

    asyncio.run(use())


def test_the_negotiate_after_a_multi_protocol_one_chooses_anew() -> None:
    async def use() -> None:
        async with whole() as made:
            near = made.connect()
            settled = []
            wildcard = NegotiateRequest([Dialect.WILDCARD])
            for number, request in enumerate((wildcard, Settings().request())):
                head = Header(command=Command.NEGOTIATE, message_id=number, credits=1).pack()
                await near.send(Reply([head, *request.parts()]))
                message = await near.receive()
                assert message is not None
                settled.append(NegotiateResponse.parse(message.view).dialect)
                message.release()
            assert settled == [Dialect.WILDCARD, Dialect.SMB311]
            (connection,) = made.server.connections
            assert connection.negotiated.signing == Settings().signing[0]
            assert connection.negotiated.cipher == Settings().ciphers[0]

    asyncio.run(use())


def test_a_failed_reauthentication_ends_the_session() -> None:
    async def use() -> None:
        async with served(Settings(sign=True)) as here:
            session = await here.login()
            tree = await session.connect(SHARE)
            await tree.create("file", disposition=Disposition.CREATE)
            with pytest.raises(Status) as refused:
                await session.reauthenticate(NtlmLogin(USER, "wrong"))
            assert refused.value.code == NT.LOGON_FAILURE
            assert not here.server.sessions and not here.server.opens.by_volatile
            with pytest.raises(Status) as gone:
                await tree.create("file")
            assert gone.value.code == NT.USER_SESSION_DELETED

    asyncio.run(use())


# -- bindings -------------------------------------------------------------------------------------------------------
ONE = Settings(dialects=(Dialect.SMB300,), sign=True, guid=bytes(15) + b"\1")
GMAC = Settings(dialects=(Dialect.SMB311,), sign=True, signing=(SigningAlgorithm.AES_GMAC,))
CMAC = Settings(dialects=(Dialect.SMB311,), sign=True, signing=(SigningAlgorithm.AES_CMAC,))


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        (ONE, ONE, NT.MORE_PROCESSING_REQUIRED),
        (ONE, replace(ONE, dialects=(Dialect.SMB210,)), NT.REQUEST_NOT_ACCEPTED),
        (ONE, replace(ONE, dialects=(Dialect.SMB302,)), NT.INVALID_PARAMETER),
        (GMAC, CMAC, NT.REQUEST_OUT_OF_SEQUENCE),
        (CMAC, GMAC, NT.NOT_SUPPORTED),
        (CMAC, replace(CMAC, ciphers=(Cipher.AES256_CCM,)), NT.INVALID_PARAMETER),
    ],
    ids=["allowed", "2.1", "another dialect", "from GMAC", "to GMAC", "another cipher"],
)
def test_what_a_binding_is_answered_is_signed_with_the_sessions_key(
    first: Settings, second: Settings, code: int
) -> None:
    async def use() -> None:
        async with whole() as made:
            session = await made.session(first)
            other = await made.client(second)
            token = login().step(b"")
            request = SessionSetupRequest(SetupFlags.BINDING, 1, token=token)
            call = await other.post_one(Element(request), session.security)
            answer = (await call.answer()).keep()
            assert answer.status == code
            assert answer.header.flags & Flags.SIGNED
            session.security.check(answer.packet, answer.header)
            await session.echo()

    asyncio.run(use())


def test_a_binding_that_is_not_signed_or_wrongly_signed_is_refused() -> None:
    async def use() -> None:
        async with whole() as made:
            session = await made.session(ONE)
            other = await made.client(ONE)
            wrong = Security.from_key(session.client.agreement, session.id, b"not the key here", b"")
            wrong.sign = True
            for security, code in ((Security(session.id), NT.INVALID_PARAMETER), (wrong, NT.ACCESS_DENIED)):
                request = SessionSetupRequest(SetupFlags.BINDING, 1, token=login().step(b""))
                call = await other.post_one(Element(request), security)
                assert (await call.answer()).keep().status == code

    asyncio.run(use())


def test_a_refusal_for_an_unknown_session_gives_back_the_requests_signature() -> None:
    async def use() -> None:
        async with served(Settings(sign=True)) as here:
            session = await here.login()
            stranger = replace(session.security, session_id=session.id ^ 1)
            for security, signed in ((stranger, True), (replace(stranger, signer=None), False)):
                call = await here.client.post_one(Element(LogoffRequest()), security)
                sent = Header.unpack_from(b"".join(call.parts))
                header = (await call.answer()).keep().header
                assert header.status == NT.USER_SESSION_DELETED
                assert bool(header.flags & Flags.SIGNED) is signed
                assert header.signature == sent.signature

    asyncio.run(use())
