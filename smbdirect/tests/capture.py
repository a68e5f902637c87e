"""What two ends say to each other as a capture of RoCEv2 frames, and how tshark decodes it."""

import shutil
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from .ends import End

ROCE_PORT = 4791
SEND_ONLY = 0x04  # the opcode of a reliable connection's SEND in one packet
LINKTYPE_RAW = 101

Wire = list[tuple[int, bytes]]
"""(which end sent it: 0 the client, 1 the server; the packet), in the order sent."""

needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")


def frame(source: int, number: int, packet: bytes) -> bytes:
    """`packet` as an IPv4 datagram of RoCEv2 from end `source`, its invariant CRC left zero."""
    padding = -len(packet) % 4
    transport = struct.pack(">BBHII", SEND_ONLY, 0x40 | padding << 4, 0xFFFF, 2 + source, number)
    body = transport + packet + bytes(padding + 4)
    udp = struct.pack(">HHHH", 49152 + source, ROCE_PORT, 8 + len(body), 0)
    addresses = bytes([10, 0, 0, 1 + source, 10, 0, 0, 2 - source])
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 28 + len(body), number, 0, 64, 17, 0) + addresses
    return ip + udp + body


def decode(wire: Wire, capture: Path, *fields: str, only: str = "") -> list[list[str]]:
    """tshark's values of `fields` for each packet, or those that the display filter `only` lets through.

    A field that a packet has several times has its values joined by commas.
    """
    data = bytearray(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 16, LINKTYPE_RAW))
    for number, (source, packet) in enumerate(wire):
        whole = frame(source, number, packet)
        data += struct.pack("<IIII", number, 0, len(whole), len(whole)) + whole
    capture.write_bytes(data)
    command = ["tshark", "-r", str(capture), "-T", "fields", *(["-Y", only] if only else [])]
    command += [word for field in fields for word in ("-e", field)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return [line.split("\t") for line in done.stdout.rstrip("\n").split("\n")]


def record(ends: tuple[End, End]) -> Wire:
    """Let two ends settle one packet at a time."""
    wire: Wire = []
    while True:
        sent = [(which, packet) for which in (0, 1) for packet in ends[which].post(room=1)]
        if not sent:
            return wire
        for which, packet in sent:
            wire.append((which, b"".join(packet.pieces)))
            ends[1 - which].take()
            ends[1 - which].post_receives()


def carried(ends: tuple[End, End], messages: Iterable[tuple[int, bytes]]) -> Wire:
    """The packets that carry whole `messages`, each with the end that sends it."""
    wire: Wire = []
    for which, message in messages:
        ends[which].send(message)
        wire += record(ends)
        ends[1 - which].deliver()
    return wire
