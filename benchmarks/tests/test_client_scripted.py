"""The client against a server that says what it is told: order, credits, signatures, answers that break the rules."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from benchmarks.client import Call, Client, Compound, Element, Settings
from benchmarks.client.security import Security
from server.messages.base import Request, Response
from server.messages.file import CloseRequest, CloseResponse, EchoRequest, EchoResponse, FlushRequest, FlushResponse
from server.messages.header import ErrorResponse, Flags, Header
from server.messages.negotiate import Dialect, NegotiateResponse, SecurityMode, SigningAlgorithm
from server.messages.oplock import OplockBreak, OplockBreakResponse
from server.messages.read_write import ReadRequest
from server.messages.registry import REQUESTS
from server.security.signing import signer
from server.status import NT, Status
from smbdirect.wire import Malformed
from transport.base import Limits, Lost, Reply
from transport.loopback import LoopbackConnection, pair
from transport.memory import Arena

KEY = bytes(range(16))
LIMITS = Limits(1 << 20, 1 << 20)
RESPONSE = NegotiateResponse(SecurityMode.SIGNING_ENABLED, Dialect.SMB302, bytes(16), 0x4, 1 << 20, 1 << 20, 1 << 20)


class Peer:
    """The server's end: requests as they come, and answers as they are given."""

    def __init__(self, connection: LoopbackConnection) -> None:
        self.connection = connection
        self.packet = b""
        """The last message received."""

    async def receive(self) -> list[tuple[Header, Request]]:
        """The requests of the next message."""
        message = await self.connection.receive()
        assert message is not None
        self.packet, found, at = bytes(message.view), [], 0
        while True:
            view = memoryview(self.packet)[at:]
            header = Header.unpack_from(view)
            found.append((header, REQUESTS[header.command].parse(view[: header.next_command or None])))
            if not header.next_command:
                return found
            at += header.next_command

    async def answer(
        self, to: Header, body: Response, status: int = NT.SUCCESS, credits: int = 1, key: bytes = b"", **fields: Any
    ) -> None:
        """One response to `to`, signed with `key` where there is one."""
        flags = Flags.RESPONSE | (Flags.SIGNED if key else 0) | fields.pop("flags", 0)
        header = Header(
            command=to.command, status=status, credits=credits, flags=flags, message_id=to.message_id,
            async_or_ids=to.async_or_ids, session_id=to.session_id,
        )  # fmt: skip
        for name, value in fields.items():
            setattr(header, name, value)
        parts = [header.pack(), *(bytes(part) for part in body.parts())]
        if key:
            header.signature = signer(SigningAlgorithm.HMAC_SHA256, key).sign([b"".join(parts)], header.message_id)
            parts[0] = header.pack()
        await self.connection.send(Reply(list(parts)))


def run(script: Callable[[Client, Peer], Awaitable[None]], credits: int = 16, settings: Settings | None = None) -> None:
    """Run `script` with a client that has negotiated and holds `credits`."""

    async def use() -> None:
        here, there = Arena(slab=1 << 20), Arena(slab=1 << 20)
        far, near = pair(there, here, LIMITS)
        peer = Peer(far)
        wanted = settings or Settings(dialects=(Dialect.SMB302,))
        starting = asyncio.ensure_future(Client.negotiate(near, wanted))
        ((header, _),) = await peer.receive()
        await peer.answer(header, RESPONSE, credits=credits)
        client = await starting
        try:
            await script(client, peer)
        finally:
            await client.close()
            await far.close()
        assert here.idle
        assert there.idle

    asyncio.run(use())


async def refused(call: Call, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        await call.answer()


def secured(sign: bool = True) -> Security:
    return Security(7, signer(SigningAlgorithm.HMAC_SHA256, KEY), sign=sign)


def test_answers_in_any_order_reach_their_requests() -> None:
    async def script(client: Client, peer: Peer) -> None:
        calls = [await client.post_one(Element(request)) for request in (EchoRequest(), FlushRequest(bytes(16)))]
        (first, _), (second, _) = (await peer.receive())[0], (await peer.receive())[0]
        await peer.answer(second, FlushResponse())
        await peer.answer(first, EchoResponse())
        assert await calls[0].result(EchoResponse) == EchoResponse()
        assert await calls[1].result(FlushResponse) == FlushResponse()

    run(script)


def test_a_request_waits_for_its_credits() -> None:
    async def script(client: Client, peer: Peer) -> None:
        large = asyncio.ensure_future(client.post_one(Element(ReadRequest(bytes(16), 0, 4 * 65536))))
        await asyncio.sleep(0)
        assert not large.done()
        client.window.grant(2)
        ((header, _),) = await peer.receive()
        assert (header.credit_charge, header.message_id) == (4, 1)
        assert header.credits >= 4
        assert client.window.next == 5
        await large

    run(script, credits=2)


def test_an_interim_answer_gives_the_id_to_cancel_by() -> None:
    async def script(client: Client, peer: Peer) -> None:
        call = await client.post_one(Element(FlushRequest(bytes(16))))
        ((header, _),) = await peer.receive()
        await peer.answer(header, ErrorResponse(), NT.PENDING, flags=Flags.ASYNC, async_or_ids=99)
        await call.interim.wait()
        await client.cancel(call)
        ((cancel, _),) = await peer.receive()
        assert (cancel.message_id, cancel.async_or_ids) == (header.message_id, 99)
        assert cancel.flags & Flags.ASYNC
        await peer.answer(header, ErrorResponse(), NT.CANCELLED, credits=0, flags=Flags.ASYNC, async_or_ids=99)
        with pytest.raises(Status, match="CANCELLED"):
            await call.result(FlushResponse)

    run(script)


def test_a_compound_is_padded_chained_and_signed_one_by_one() -> None:
    async def script(client: Client, peer: Peer) -> None:
        chain = Compound(client, secured(), 5).add(EchoRequest()).add(CloseRequest(bytes(16)), related=True)
        calls = await chain.add(EchoRequest()).post()
        found = await peer.receive()
        assert [header.next_command for header, _ in found] == [72, 88, 0]
        assert [bool(header.flags & Flags.RELATED) for header, _ in found] == [False, True, False]
        assert [header.tree_id for header, _ in found] == [5, 0xFFFFFFFF, 5]
        view, check = memoryview(peer.packet), signer(SigningAlgorithm.HMAC_SHA256, KEY)
        assert all(check.verify(part) for part in (view[:72], view[72:160], view[160:]))
        for (header, _), body in zip(found, (EchoResponse(), CloseResponse(), EchoResponse()), strict=True):
            await peer.answer(header, body, key=KEY)
        assert [(await call.answer()).status for call in calls] == [NT.SUCCESS] * 3

    run(script)


@pytest.mark.parametrize(
    ("key", "why"), [(b"", "not signed"), (bytes(16), "wrong")], ids=["unsigned", "wrongly signed"]
)
def test_an_answer_that_should_be_signed_is_checked(key: bytes, why: str) -> None:
    async def script(client: Client, peer: Peer) -> None:
        call = await client.post_one(Element(EchoRequest()), secured())
        ((header, _),) = await peer.receive()
        assert header.flags & Flags.SIGNED
        await peer.answer(header, EchoResponse(), key=key)
        await refused(call, why)

    run(script)


def test_an_answer_in_the_clear_to_a_sealed_request_is_refused() -> None:
    async def script(client: Client, peer: Peer) -> None:
        call = await client.post_one(Element(EchoRequest()))
        call.security = Security(7, encrypt=True)
        ((header, _),) = await peer.receive()
        await peer.answer(header, EchoResponse())
        await refused(call, "not sealed")

    run(script)


@pytest.mark.parametrize("wrong", [{"message_id": 77}, {"command": 5}], ids=["id", "command"])
def test_an_answer_nobody_asked_for_ends_the_connection(wrong: dict[str, Any]) -> None:
    async def script(client: Client, peer: Peer) -> None:
        call = await client.post_one(Element(EchoRequest()))
        ((header, _),) = await peer.receive()
        await peer.answer(header, EchoResponse(), **wrong)
        await refused(call, "an answer to message")
        with pytest.raises(Lost):
            await client.post_one(Element(EchoRequest()))

    run(script)


def test_a_server_that_closes_ends_what_is_under_way() -> None:
    async def script(client: Client, peer: Peer) -> None:
        call = await client.post_one(Element(EchoRequest()))
        await peer.connection.close()
        with pytest.raises(Lost, match="closed"):
            await call.answer()

    run(script)


def test_a_break_comes_unasked() -> None:
    async def script(client: Client, peer: Peer) -> None:
        notice = OplockBreakResponse(OplockBreak(oplock_level=1))
        await peer.answer(Header(command=18), notice, credits=0, message_id=0xFFFF_FFFF_FFFF_FFFF)
        assert await client.notifications.get() == notice

    run(script)


def test_a_dialect_that_was_not_offered_is_refused() -> None:
    async def script(client: Client, peer: Peer) -> None:
        raise AssertionError("negotiated")

    with pytest.raises(Malformed, match="dialect 0x302"):
        run(script, settings=Settings(dialects=(Dialect.SMB210,)))
