"""Requests with many buffer descriptors: vectors built by hand, and what tshark makes of what our client sends.

No kernel client ever sends more than one descriptor, so these are the judges. The client and the whole server talk
over loopback; what they say is then carried by two ends of SMB Direct, in RoCEv2 frames, which tshark puts together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.client import Client, Session, Settings, Windows, split
from server.messages.base import HEADER_SIZE
from server.messages.create import Disposition
from server.messages.read_write import Channel, ReadRequest, WriteRequest
from server.tests.served import SHARE, Whole, login, on_a_server, pattern
from smbdirect.packets import BufferDescriptor
from smbdirect.tests.capture import carried, decode, needs_tshark, record
from smbdirect.tests.ends import pair
from smbdirect.wire import Malformed
from transport.base import Connection, Message, Reply

FILE_ID = bytes.fromhex("a0a1a2a3a4a5a6a7 b0b1b2b3b4b5b6b7")
THREE = [
    BufferDescriptor(0x00007F1122334000, 0x00010203, 0x00010000),
    BufferDescriptor(0xFFFFFFFFFFFFF000, 0xDEADBEEF, 1),
    BufferDescriptor(0, 0, 0x00EFFFFF),
]
THREE_PACKED = """
    0040332211 7f0000  03020100  00000100
    00f0ffffffffffff   efbeadde  01000000
    0000000000000000   00000000  ffffef00
"""  # MS-SMBD 2.2.3.1: Offset 8, Token 4, Length 4

READ = """
    3100 50 00          StructureSize 49, Padding, Flags
    00001000            Length 1 MiB
    0100000002000000    Offset
    a0a1a2a3a4a5a6a7 b0b1b2b3b4b5b6b7
    07000000            MinimumCount
    02000000            Channel: SMB2_CHANNEL_RDMA_V1_INVALIDATE
    00000800            RemainingBytes
    7000 3000           ReadChannelInfoOffset 64 + 48, ReadChannelInfoLength 3 * 16
"""  # MS-SMB2 2.2.19
WRITE = """
    3100 a000           StructureSize 49, DataOffset behind the descriptors
    00000000            Length: nothing inline
    0100000002000000    Offset
    a0a1a2a3a4a5a6a7 b0b1b2b3b4b5b6b7
    01000000            Channel: SMB2_CHANNEL_RDMA_V1
    00001000            RemainingBytes: 1 MiB through the descriptors
    7000 3000           WriteChannelInfoOffset, WriteChannelInfoLength
    02000000            Flags: unbuffered
"""  # MS-SMB2 2.2.21


def octets(table: str) -> bytes:
    """The bytes of a table, whose comments begin with a capital letter."""
    words = []
    for line in table.splitlines():
        for word in line.split():
            if word[0].isupper():
                break
            words.append(word)
    return bytes.fromhex("".join(words))


VECTORS: list[tuple[ReadRequest | WriteRequest, str]] = [
    (
        ReadRequest(FILE_ID, 0x200000001, 1 << 20, 7, 0, 0x50, Channel.RDMA_V1_INVALIDATE, 1 << 19, THREE),
        READ + THREE_PACKED,
    ),
    (
        WriteRequest(FILE_ID, 0x200000001, b"", Channel.RDMA_V1, 1 << 20, 2, THREE),
        WRITE + THREE_PACKED,
    ),
]


@pytest.mark.parametrize(("request_", "table"), VECTORS, ids=["READ", "WRITE"])
def test_a_request_is_its_vector_both_ways(request_: ReadRequest | WriteRequest, table: str) -> None:
    assert b"".join(request_.parts()) == octets(table)
    assert type(request_).parse(memoryview(bytes(HEADER_SIZE) + octets(table))) == request_


@pytest.mark.parametrize(("request_", "table"), VECTORS, ids=["READ", "WRITE"])
def test_a_vector_cut_anywhere_is_malformed(request_: ReadRequest | WriteRequest, table: str) -> None:
    packet = bytes(HEADER_SIZE) + octets(table)
    for size in range(HEADER_SIZE, len(packet)):
        with pytest.raises(Malformed):
            type(request_).parse(memoryview(packet)[:size])


@pytest.mark.parametrize(("request_", "table"), VECTORS, ids=["READ", "WRITE"])
def test_descriptors_may_lie_further_on(request_: ReadRequest | WriteRequest, table: str) -> None:
    body = octets(table)
    at = body.index(b"\x70\x00\x30\x00")
    moved = body[:at] + b"\x78\x00" + body[at + 2 : 48] + b"\xee" * 8 + body[48:]
    assert type(request_).parse(memoryview(bytes(HEADER_SIZE) + moved)) == request_


def test_a_write_through_descriptors_need_not_say_where_its_data_is_not() -> None:
    body = bytearray(octets(WRITE + THREE_PACKED))
    body[2:4] = bytes(2)  # DataOffset, as the Linux client has it
    assert WriteRequest.parse(memoryview(bytes(HEADER_SIZE) + body)).descriptors == THREE


# -- tshark --------------------------------------------------------------------------------------------------------

COUNTS = (1, 2, 3, 16, 31, 64)
CHANNELS = (Channel.RDMA_V1, Channel.RDMA_V1_INVALIDATE)
FIELDS = ("cmd", "channel", "remaining_bytes", "file_offset",
          "buffer_descriptor.offset", "buffer_descriptor.token", "buffer_descriptor.length")  # fmt: skip
READ_COMMAND, WRITE_COMMAND = 8, 9


class Overheard(Connection):
    """A client's end that keeps what goes over it."""

    def __init__(self, near: Connection) -> None:
        self.near = near
        self.limits, self.peer, self.technology = near.limits, near.peer, near.technology
        self.said: list[tuple[int, bytes]] = []

    async def receive(self) -> Message | None:
        message = await self.near.receive()
        if message is not None:
            self.said.append((1, bytes(message.view)))
        return message

    async def send(self, reply: Reply) -> None:
        self.said.append((0, b"".join(map(bytes, reply.parts))))
        await self.near.send(reply)

    async def close(self) -> None:
        await self.near.close()


@dataclass(frozen=True)
class Sent:
    """A request that went out: what tshark should see."""

    command: int
    channel: int
    length: int
    offset: int
    descriptors: Sequence[BufferDescriptor]

    def columns(self) -> list[str]:
        offsets = ",".join(str(each.offset) for each in self.descriptors)
        tokens = ",".join(f"0x{each.token:08x}" for each in self.descriptors)
        lengths = ",".join(str(each.length) for each in self.descriptors)
        return [
            str(self.command),
            f"0x{self.channel:08x}",
            str(self.length),
            str(self.offset),
            offsets,
            tokens,
            lengths,
        ]


def uneven(count: int) -> list[int]:
    return [1 + 977 * (at % 5) + at for at in range(count)]


async def converse(here: Whole) -> tuple[list[tuple[int, bytes]], list[Sent]]:
    """WRITE and READ a file with each count of descriptors and each channel; what was said, and what was meant."""
    near = here.connect()
    overheard = Overheard(near)
    client = await Client.negotiate(overheard, Settings())
    here.clients.append(client)
    tree = await (await Session.login(client, login())).connect(SHARE)
    file = await tree.create("file", disposition=Disposition.CREATE)
    sent = []
    for channel in CHANNELS:
        for count in COUNTS:
            lengths = uneven(count)
            total = sum(lengths)
            written = await Windows.open(near.memory, here.clients_arena, lengths)
            written.fill(pattern(total))
            sent.append(Sent(WRITE_COMMAND, channel, total, count, list(written.descriptors)))
            assert await file.write_placed(count, total, written.descriptors, channel) == total
            written.close()
            (block,) = await here.clients_arena.take_all([total])
            parts = split(near.memory.register(block), lengths)
            sent.append(Sent(READ_COMMAND, channel, total, count, parts))
            assert await file.read_placed(count, total, parts, channel) == total
            assert bytes(block.view) == pattern(total)
            near.memory.deregister(parts[0].token)
            block.release()
    return overheard.said, sent


@needs_tshark
def test_tshark_sees_the_descriptors_that_were_meant(tmp_path: Path) -> None:
    said: list[tuple[int, bytes]] = []
    sent: list[Sent] = []

    async def talk(here: Whole) -> None:
        heard, meant = await converse(here)
        said.extend(heard)
        sent.extend(meant)

    on_a_server(talk)
    ends = pair()
    wire = record(ends)
    ends[1].connection.trust()
    wire += carried(ends, said)
    only = "smb2.flags.response == 0 && (smb2.cmd == 8 || smb2.cmd == 9)"
    seen = decode(wire, tmp_path / "capture", *(f"smb2.{name}" for name in FIELDS), only=only)
    assert seen == [each.columns() for each in sent]
    assert len(sent) == 2 * len(COUNTS) * len(CHANNELS)
