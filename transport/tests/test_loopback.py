"""What loopback adds to the contract: the server's tests lean on it."""

import asyncio

import pytest

from smbdirect.wire import Malformed
from transport.base import Limits, Lost, Place, Reply
from transport.loopback import IN_FLIGHT, LoopbackConnection, pair
from transport.memory import SMALL, Arena


def ends(remote_memory: bool = True) -> tuple[LoopbackConnection, LoopbackConnection, Arena]:
    arena = Arena(slab=1 << 20, poison=True)
    server, client = pair(arena, arena, Limits(1 << 20, 1 << 20), remote_memory)
    return server, client, arena


def test_bytes_of_a_test_can_be_registered_as_well_as_blocks() -> None:
    async def main() -> None:
        server, client, arena = ends()
        target = bytearray(8)
        block = await arena.take(8)
        block.view[:] = b"abcdefgh"
        await server.send(Reply([b"x"], [block], [Place([client.memory.register(target)], block, 2, 6)]))
        assert target == b"cdefgh\0\0"
        await client.receive()
        assert arena.idle

    asyncio.run(main())


def test_a_stranger_is_limited_to_small_messages() -> None:
    async def main() -> None:
        server, client, _ = ends()
        await client.send(Reply([bytes(SMALL)]))
        assert await server.receive() is not None
        await client.send(Reply([bytes(SMALL + 1)]))
        with pytest.raises(Malformed):
            await server.receive()

    asyncio.run(main())


def test_without_remote_memory_the_server_has_none() -> None:
    server, _, _ = ends(remote_memory=False)
    assert server.remote is None


def test_a_sender_waits_for_a_receiver_that_does_not_keep_up() -> None:
    async def main() -> None:
        server, client, _ = ends()

        async def send() -> None:
            for _ in range(IN_FLIGHT + 1):
                await server.send(Reply([b"x"]))

        sending = asyncio.ensure_future(send())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not sending.done()
        await client.receive()
        await sending

    asyncio.run(main())


@pytest.mark.parametrize("lost", [False, True])
def test_an_ending_while_a_message_waits_for_memory_ends_the_receive(lost: bool) -> None:
    async def main() -> None:
        arena = Arena(limit=1 << 20, slab=1 << 20, poison=True)
        server, client = pair(arena, arena, Limits(1 << 20, 1 << 20))
        server.trust(1 << 20)
        held = await arena.take(900_000)
        await client.send(Reply([bytes(500_000)]))
        receiving = asyncio.ensure_future(server.receive())
        await asyncio.sleep(0)
        if lost:
            server.lose("the network is gone")
            with pytest.raises(Lost):
                await receiving
        else:
            await server.close()
            assert await receiving is None
        held.release()
        assert arena.idle

    asyncio.run(main())


def test_what_was_sent_before_close_is_received_and_costs_no_block() -> None:
    async def main() -> None:
        server, client, arena = ends()
        block = await arena.take(5)
        block.view[:] = b"bytes"
        await server.send(Reply([b"last ", block.view], [block]))
        await server.close()
        assert arena.idle
        message = await client.receive()
        assert message is not None
        assert bytes(message.view) == b"last bytes"
        assert await client.receive() is None
        with pytest.raises(Lost):
            await client.send(Reply([b"too late"]))

    asyncio.run(main())
