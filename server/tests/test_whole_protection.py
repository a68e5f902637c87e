"""Which answers are signed or sealed, and who may send what sealed."""

import asyncio
from dataclasses import replace

import pytest

from benchmarks.client import Session, Settings
from benchmarks.client.answer import Answer
from benchmarks.client.client import Client, Element
from benchmarks.client.login import AnonymousLogin
from benchmarks.client.security import Security
from server.messages.file import EchoRequest
from server.messages.header import Command, Flags, Header
from server.messages.negotiate import Dialect, NegotiateRequest, NegotiateResponse
from server.messages.tree import TreeConnectRequest
from server.status import NT
from server.tests.served import login, served, whole
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
