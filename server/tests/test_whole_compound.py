"""Compounds on the whole server: one answer for a chain, several where one message or the memory does not hold it."""

import asyncio

import pytest

from benchmarks.client import Settings, Windows
from benchmarks.client.compound import PREVIOUS
from server.messages.create import CreateOptions, CreateRequest, Disposition
from server.messages.file import CloseRequest, EchoRequest
from server.messages.read_write import Channel, ReadRequest, ReadResponse, WriteRequest
from server.status import NT
from server.tests.served import pattern, served
from smbdirect.packets import BufferDescriptor
from transport.base import Limits

SECURITIES = [Settings(), Settings(sign=True), Settings(encrypt=True)]
IDS = ["plain", "signed", "sealed"]


@pytest.mark.parametrize("settings", SECURITIES, ids=IDS)
def test_three_reads_of_odd_lengths_are_one_reply(settings: Settings) -> None:
    async def use() -> None:
        async with served(settings) as here:
            tree = await here.tree()
            file = await tree.create("file", disposition=Disposition.CREATE)
            await file.write(0, pattern(200_000))
            before = here.far.sends
            chain = tree.compound()
            for offset, length in ((1, 70_001), (3, 5), (100_000, 99_999)):
                chain.add(ReadRequest(file.id, offset, length))
            answers = await chain.send()
            assert here.far.sends == before + 1
            assert [answer.read(ReadResponse).data for answer in answers] == [
                pattern(200_000)[1:70_002], pattern(200_000)[3:8], pattern(200_000)[100_000:199_999],
            ]  # fmt: skip

    asyncio.run(use())


@pytest.mark.parametrize("settings", SECURITIES, ids=IDS)
def test_answers_that_do_not_fit_one_message_come_in_several(settings: Settings) -> None:
    async def use() -> None:
        limits = Limits(max_message=400_000, max_read_write=200_000)
        async with served(settings, limits=limits) as here:
            tree = await here.tree()
            file = await tree.create("file", disposition=Disposition.CREATE)
            length = limits.max_message // 4
            await file.write(0, pattern(length))
            before = here.far.sends
            chain = tree.compound()
            for _ in range(6):
                chain.add(ReadRequest(file.id, 0, length))
            for call in await chain.post():
                answer = await call.answer()
                assert answer.read(ReadResponse).data == pattern(length)
                answer.release()
            assert before + 2 <= here.far.sends <= before + 3

    asyncio.run(use())


def test_a_chain_that_wants_more_memory_than_its_connection_may_have_gets_it_in_turn() -> None:
    async def use() -> None:
        async with served(io_size=1 << 16) as here:
            tree = await here.tree()
            file = await tree.create("file", disposition=Disposition.CREATE)
            await file.write(0, pattern(1 << 16))
            windows = await Windows.open(here.memory, here.arena, [1 << 16] * 12)
            chain = tree.compound()
            for descriptor in windows.descriptors:
                chain.add(ReadRequest(file.id, 0, 1 << 16, channel=Channel.RDMA_V1, descriptors=[descriptor]))
            assert [answer.status for answer in await chain.send()] == [NT.SUCCESS] * 12
            assert windows.bytes() == pattern(1 << 16) * 12
            windows.close()

    asyncio.run(use())


def test_a_chain_of_channel_writes_and_reads_is_carried_out_in_order() -> None:
    async def use() -> None:
        async with served() as here:
            tree = await here.tree()
            file = await tree.create("file", disposition=Disposition.CREATE)
            windows = await Windows.open(here.memory, here.arena, [5000, 5000])
            windows.fill(pattern(5000))
            source, sink = windows.descriptors
            chain = tree.compound()
            chain.add(WriteRequest(file.id, 0, channel=Channel.RDMA_V1, remaining_bytes=5000, descriptors=[source]))
            chain.add(ReadRequest(file.id, 0, 5000, channel=Channel.RDMA_V1, descriptors=[sink]))
            assert [answer.status for answer in await chain.send()] == [NT.SUCCESS] * 2
            assert windows.bytes() == pattern(5000) * 2
            windows.close()

    asyncio.run(use())


def test_what_builds_on_a_failed_create_fails_with_it() -> None:
    async def use() -> None:
        async with served() as here:
            chain = (await here.tree()).compound().add(CreateRequest("absent", 1))
            chain.add(ReadRequest(PREVIOUS, 0, 9), related=True).add(CloseRequest(PREVIOUS), related=True)
            answers = await chain.add(EchoRequest()).send()
            assert [answer.status for answer in answers] == [NT.OBJECT_NAME_NOT_FOUND] * 3 + [NT.SUCCESS]

    asyncio.run(use())


def test_a_chain_that_begins_related_is_refused_up_to_the_next_that_is_not() -> None:
    async def use() -> None:
        async with served() as here:
            chain = (await here.tree()).compound().add(ReadRequest(PREVIOUS, 0, 9), related=True)
            answers = await chain.add(CloseRequest(PREVIOUS), related=True).add(EchoRequest()).send()
            assert [answer.status for answer in answers] == [NT.INVALID_PARAMETER] * 2 + [NT.SUCCESS]

    asyncio.run(use())


def test_what_follows_an_unknown_command_is_related_to_that_and_not_to_the_file_before() -> None:
    class Unknown(EchoRequest):
        COMMAND = 0x77

    async def use() -> None:
        async with served() as here:
            tree = await here.tree()
            chain = tree.compound().add(CreateRequest("kept", 0x110000, Disposition.CREATE)).add(Unknown())
            answers = await chain.add(CloseRequest(PREVIOUS), related=True).send()
            assert [answer.status for answer in answers] == [NT.SUCCESS, NT.INVALID_PARAMETER, NT.FILE_CLOSED]
            assert len(here.server.opens.by_volatile) == 1

    asyncio.run(use())


def test_one_failure_in_the_middle_leaves_the_unrelated_rest_alone() -> None:
    async def use() -> None:
        async with served() as here:
            tree = await here.tree()
            options = CreateOptions.DELETE_ON_CLOSE
            chain = tree.compound().add(CreateRequest("gone", 0x110000, Disposition.CREATE, options))
            chain.add(ReadRequest(PREVIOUS, 0, 9), related=True).add(CloseRequest(PREVIOUS), related=True)
            answers = await chain.add(EchoRequest()).send()
            assert [answer.status for answer in answers] == [
                NT.SUCCESS, NT.ACCESS_DENIED, NT.SUCCESS, NT.SUCCESS,
            ]  # fmt: skip

    asyncio.run(use())


def test_a_thousand_requests_in_one_message_are_all_answered() -> None:
    async def use() -> None:
        async with served(Settings(credits=4000)) as here:
            tree = await here.tree()
            chain = tree.compound()
            for _ in range(1000):
                chain.add(EchoRequest())
            assert {answer.status for answer in await chain.send()} == {NT.SUCCESS}

    asyncio.run(use())


def test_a_broken_descriptor_in_a_chain_fails_alone() -> None:
    async def use() -> None:
        async with served() as here:
            tree = await here.tree()
            file = await tree.create("file", disposition=Disposition.CREATE)
            await file.write(0, b"12345678")
            nothing = BufferDescriptor(0, 1, 0)
            chain = tree.compound().add(ReadRequest(file.id, 0, 8, channel=Channel.RDMA_V1, descriptors=[nothing]))
            answers = await chain.add(ReadRequest(file.id, 0, 8)).send()
            assert [answer.status for answer in answers] == [NT.INVALID_PARAMETER, NT.SUCCESS]

    asyncio.run(use())
