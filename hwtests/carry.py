"""Carry data over one interface, both ends here: `python -m hwtests.carry INTERFACE`.

A process of its own, because librdmacm keeps every device open that it has seen, and the kernel would wait for this
one's end before it lets go a soft device.
"""

import asyncio
import sys

from transport.base import Reply
from transport.check_base import expect, filled, same
from transport.discovery import Interface, interfaces

from .pairs import ends

LENGTH = 1 << 20


async def carry(interface: Interface) -> None:
    """An RDMA READ and a message."""
    async with ends(interface) as both:
        source, target = await filled(both.client_arena, LENGTH), await both.server_arena.take(LENGTH)
        assert both.server.remote is not None
        await both.server.remote.read([both.memory.register(source)], target, LENGTH)
        same(target.view, source.view)
        await both.server.send(Reply([b"done"]))
        await expect(both.client, b"done")
        source.release()
        target.release()


if __name__ == "__main__":
    asyncio.run(carry(next(each for each in interfaces() if each.name == sys.argv[1])))
