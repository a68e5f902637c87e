"""tshark as an independent judge: a conversation of two ends, as RoCEv2 frames, decoded by a stranger."""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from smbdirect.packets import RESPONSE_REQUESTED, DataTransfer, NegotiateResponse

from .ends import End, joined, pair, settle

ROCE_PORT = 4791
SEND_ONLY = 0x04  # the opcode of a reliable connection's SEND in one packet
LINKTYPE_RAW = 101

needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")


def frame(source: int, number: int, packet: bytes) -> bytes:
    """`packet` as an IPv4 datagram of RoCEv2 from end `source` (0 or 1), its invariant CRC left zero."""
    padding = -len(packet) % 4
    transport = struct.pack(">BBHII", SEND_ONLY, 0x40 | padding << 4, 0xFFFF, 2 + source, number)
    body = transport + packet + bytes(padding + 4)
    udp = struct.pack(">HHHH", 49152 + source, ROCE_PORT, 8 + len(body), 0)
    addresses = bytes([10, 0, 0, 1 + source, 10, 0, 0, 2 - source])
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 28 + len(body), number, 0, 64, 17, 0) + addresses
    return ip + udp + body


def decode(packets: list[tuple[int, bytes]], capture: Path, *fields: str) -> list[list[str]]:
    """tshark's values of `fields` for each packet."""
    data = bytearray(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 16, LINKTYPE_RAW))
    for number, (source, packet) in enumerate(packets):
        whole = frame(source, number, packet)
        data += struct.pack("<IIII", number, 0, len(whole), len(whole)) + whole
    capture.write_bytes(data)
    command = ["tshark", "-r", str(capture), "-T", "fields"]
    command += [word for field in fields for word in ("-e", f"smb_direct.{field}")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return [line.split("\t") for line in done.stdout.rstrip("\n").split("\n")]


def record(ends: tuple[End, End]) -> list[tuple[int, bytes]]:
    """Let two ends settle one packet at a time; returns (end, packet) in the order sent."""
    wire: list[tuple[int, bytes]] = []
    while True:
        sent = [(which, packet) for which in (0, 1) for packet in ends[which].post(room=1)]
        if not sent:
            return wire
        for which, packet in sent:
            wire.append((which, b"".join(packet.pieces)))
            ends[1 - which].take()
            ends[1 - which].post_receives()


@needs_tshark
def test_the_negotiation_is_decoded_as_meant(tmp_path: Path) -> None:
    wire = record(pair())[:2]
    fields = ["version.min", "version.max", "credits.requested", "preferred_send_size", "max_receive_size"]
    fields += ["max_fragmented_size", "version.negotiated", "credits.granted", "status", "max_read_write_size"]
    request, response = decode(wire, tmp_path / "capture", *fields)
    assert request == ["0x0100", "0x0100", "255", "1364", "1364", "173910", "", "", "", ""]
    common, own = request[:6], ["0x0100", "32", "0x00000000", str(8 << 20)]
    assert NegotiateResponse.unpack_from(wire[1][1]).credits_granted == 32
    assert response == common + own


@needs_tshark
def test_a_fragmented_message_and_a_keepalive_are_decoded_as_meant(tmp_path: Path) -> None:
    ends = client, server = joined()
    settle(ends)
    client.connection.tick(client.connection.settings.keepalive_interval)
    wire = record(ends)
    client.send(bytes(1340 * 2 + 5))
    wire += record(ends)
    fields = ["credits.requested", "credits.granted", "flags", "remaining_length", "data_offset", "data_length"]
    seen = decode(wire, tmp_path / "capture", *fields)
    assert len(seen) == len(wire) == 5
    for (_, packet), values in zip(wire, seen, strict=True):
        head = DataTransfer.unpack_from(packet)
        requested, granted, flags, remaining, offset, length = (int(value, 0) for value in values)
        assert head == DataTransfer(requested, granted, flags, 0, remaining, offset, length)
    assert [int(values[2], 0) for values in seen] == [RESPONSE_REQUESTED, 0, 0, 0, 0]
    assert [int(values[5], 0) for values in seen] == [0, 0, 1340, 1340, 5]
    assert not server.connection.waiting
