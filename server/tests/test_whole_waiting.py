"""What a request that waits for others keeps meanwhile."""

import asyncio

from benchmarks.client import Settings
from server.messages.create import Disposition
from server.messages.directory import ChangeNotifyRequest, CompletionFilter
from server.messages.file import LockElement, LockFlags, LockRequest, LockResponse
from server.messages.read_write import WriteRequest
from server.status import NT
from server.tests.served import pattern, served


def test_a_lock_that_waits_behind_a_large_write_gives_the_messages_memory_back() -> None:
    async def use() -> None:
        async with served(Settings(sign=True)) as here:
            tree = await here.tree()
            file = await tree.create("file", disposition=Disposition.CREATE)
            other = await tree.create("file")
            await other.lock(0, 10)
            wait = LockRequest(file.id, [LockElement(0, 10, LockFlags.EXCLUSIVE)])
            chain = tree.compound().add(WriteRequest(file.id, 100, pattern(100_000))).add(wait)
            write, lock = await chain.post()
            await lock.interim.wait()
            assert (await write.answer()).keep().status == NT.SUCCESS
            assert here.whole.messages.idle
            await other.unlock(0, 10)
            await lock.result(LockResponse)
            assert await file.read(100, 100_000) == pattern(100_000)

    asyncio.run(use())


def test_a_notify_that_waits_keeps_no_message() -> None:
    async def use() -> None:
        async with served() as here:
            tree = await here.tree()
            root = await tree.directory()
            file = await tree.create("file", disposition=Disposition.CREATE)
            chain = tree.compound().add(WriteRequest(file.id, 0, pattern(100_000)))
            _, notify = await chain.add(ChangeNotifyRequest(root.id, CompletionFilter.FILE_NAME, 100)).post()
            await notify.interim.wait()
            assert here.whole.messages.idle
            await root.close()
            assert (await notify.answer()).keep().status == NT.NOTIFY_CLEANUP

    asyncio.run(use())
