"""The client against the server, in one process: every dialect, cipher and signature, and the channel."""

import asyncio
from itertools import accumulate

import pytest

from benchmarks.client import NtlmLogin, Session, Settings, Windows, split
from benchmarks.client.compound import PREVIOUS
from server.messages import fscc_file as fscc
from server.messages.create import CreateRequest, Disposition
from server.messages.directory import CompletionFilter
from server.messages.file import CloseRequest
from server.messages.negotiate import Cipher, Dialect, SigningAlgorithm
from server.messages.read_write import Channel, ReadRequest, ReadResponse
from server.status import NT, Status
from server.tests.served import pattern, served

DIALECTS = [Dialect.SMB202, Dialect.SMB210, Dialect.SMB300, Dialect.SMB302, Dialect.SMB311]
SETTINGS = [Settings(dialects=(dialect,), sign=sign) for dialect in DIALECTS for sign in (False, True)]
SETTINGS += [Settings(dialects=(dialect,), encrypt=True) for dialect in (Dialect.SMB300, Dialect.SMB302)]
SETTINGS += [
    Settings(encrypt=True, ciphers=(cipher,))
    for cipher in (Cipher.AES128_CCM, Cipher.AES128_GCM, Cipher.AES256_CCM, Cipher.AES256_GCM)
]
SETTINGS += [
    Settings(sign=True, signing=(algorithm,))
    for algorithm in (SigningAlgorithm.HMAC_SHA256, SigningAlgorithm.AES_CMAC, SigningAlgorithm.AES_GMAC)
]


def name(settings: Settings) -> str:
    way = f"sealed by {settings.ciphers[0]}" if settings.encrypt else f"signed by {settings.signing[0]}"
    return f"{settings.dialects[-1]:x} {way if settings.sign or settings.encrypt else 'plain'}"


@pytest.mark.parametrize("settings", SETTINGS, ids=name)
def test_what_is_written_is_read_whatever_was_negotiated(settings: Settings) -> None:
    async def use() -> None:
        async with served(settings) as here:
            session = await here.login()
            tree = await session.connect(r"\\server\data")
            if here.client.agreement.dialect < Dialect.SMB311:
                await session.validate_negotiate(tree)
            file = await tree.create("file", disposition=Disposition.CREATE)
            data = pattern(min(here.client.agreement.max_write, 200_000))
            assert await file.write(0, data) == len(data)
            assert await file.read(0, len(data)) == data
            every = fscc.All.parse(memoryview(await file.query(fscc.FileClass.ALL)))
            assert every.standard.size == len(data)
            assert (await file.close(query=True)).size == len(data)
            await session.echo()
            await tree.disconnect()
            await session.logoff()

    asyncio.run(use())


@pytest.mark.parametrize("channel", [Channel.RDMA_V1, Channel.RDMA_V1_INVALIDATE])
@pytest.mark.parametrize("lengths", [[100_000], [65536, 4096, 1, 30_000], [1000] * 40], ids=["one", "uneven", "forty"])
def test_data_goes_through_the_channel_both_ways(lengths: list[int], channel: int) -> None:
    async def use() -> None:
        async with served() as here:
            file = await (await here.tree()).create("file", disposition=Disposition.CREATE)
            data = pattern(sum(lengths))
            source = await Windows.open(here.memory, here.arena, lengths)
            source.fill(data)
            assert await file.write_placed(0, len(data), source.descriptors, channel) == len(data)
            source.close()
            sink = await Windows.open(here.memory, here.arena, lengths)
            assert await file.read_placed(0, len(data), sink.descriptors, channel) == len(data)
            assert sink.bytes() == data
            sink.close()
            assert await file.read(0, len(data)) == data

    asyncio.run(use())


def test_one_registered_run_is_named_in_pieces() -> None:
    async def use() -> None:
        async with served() as here:
            file = await (await here.tree()).create("file", disposition=Disposition.CREATE)
            data, lengths = pattern(30_000), [10_000, 1, 9_999, 10_000]
            run = await Windows.open(here.memory, here.arena, [len(data)])
            run.fill(data)
            parts = split(run.descriptors[0], lengths)
            base = run.descriptors[0].offset
            assert [part.offset - base for part in parts] == [0, *accumulate(lengths[:-1])]
            assert await file.write_placed(0, len(data), parts) == len(data)
            run.close()
            assert await file.read(0, len(data)) == data

    asyncio.run(use())


def test_answers_find_their_requests_when_hundreds_are_in_flight() -> None:
    async def use() -> None:
        async with served() as here:
            file = await (await here.tree()).create("file", disposition=Disposition.CREATE)
            data = pattern(400 * 512)
            await file.write(0, data)
            calls = [await file.tree.post(ReadRequest(file.id, at, 512)) for at in range(0, len(data), 512)]
            answers = [(await call.result(ReadResponse)).data for call in calls]
            assert b"".join(answers) == data

    asyncio.run(use())


@pytest.mark.parametrize("settings", [Settings(), Settings(sign=True), Settings(encrypt=True)], ids=name)
def test_a_compound_opens_reads_and_closes_in_one_message(settings: Settings) -> None:
    async def use() -> None:
        async with served(settings) as here:
            tree = await here.tree()
            file = await tree.create("file", disposition=Disposition.CREATE)
            await file.write(0, b"odd")
            await file.close()
            chain = tree.compound().add(CreateRequest("file", 1)).add(ReadRequest(PREVIOUS, 0, 99), related=True)
            answers = await chain.add(CloseRequest(PREVIOUS), related=True).send()
            assert [answer.status for answer in answers] == [NT.SUCCESS] * 3
            assert answers[1].read(ReadResponse).data == b"odd"

    asyncio.run(use())


def test_a_pending_request_is_cancelled() -> None:
    async def use() -> None:
        async with served() as here:
            directory = await (await here.tree()).directory()
            call = await directory.notify(CompletionFilter.FILE_NAME)
            await call.interim.wait()
            assert call.async_id
            await here.client.cancel(call)
            assert (await call.answer()).status == NT.CANCELLED

    asyncio.run(use())


def test_a_listing_is_read_to_its_end_in_small_answers() -> None:
    async def use() -> None:
        async with served() as here:
            tree = await here.tree()
            names = {f"file-{at:03}" for at in range(100)}
            for name in names:
                await (await tree.create(name, disposition=Disposition.CREATE)).close()
            found = await (await tree.directory()).listing(room=1000)
            assert {entry.name for entry in found} == names | {".", ".."}
            assert await (await tree.directory()).listing("none*") == []

    asyncio.run(use())


def test_a_wrong_password_is_refused_and_the_session_can_be_proved_again() -> None:
    async def use() -> None:
        async with served() as here:
            with pytest.raises(Status, match="LOGON_FAILURE"):
                await Session.login(here.client, NtlmLogin("root", "wrong"))
            session = await here.login()
            await session.reauthenticate(NtlmLogin("root", "secret", spnego_wrapped=False))
            await session.connect(r"\\server\data")

    asyncio.run(use())
