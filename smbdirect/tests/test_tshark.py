"""tshark as an independent judge: a conversation of two ends, as RoCEv2 frames, decoded by a stranger."""

from pathlib import Path

from smbdirect.packets import RESPONSE_REQUESTED, DataTransfer, NegotiateResponse

from .capture import decode, needs_tshark, record
from .ends import joined, pair, settle


def fields(*names: str) -> list[str]:
    return [f"smb_direct.{name}" for name in names]


@needs_tshark
def test_the_negotiation_is_decoded_as_meant(tmp_path: Path) -> None:
    wire = record(pair())[:2]
    names = ["version.min", "version.max", "credits.requested", "preferred_send_size", "max_receive_size"]
    names += ["max_fragmented_size", "version.negotiated", "credits.granted", "status", "max_read_write_size"]
    request, response = decode(wire, tmp_path / "capture", *fields(*names))
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
    names = ["credits.requested", "credits.granted", "flags", "remaining_length", "data_offset", "data_length"]
    seen = decode(wire, tmp_path / "capture", *fields(*names))
    assert len(seen) == len(wire) == 5
    for (_, packet), values in zip(wire, seen, strict=True):
        head = DataTransfer.unpack_from(packet)
        requested, granted, flags, remaining, offset, length = (int(value, 0) for value in values)
        assert head == DataTransfer(requested, granted, flags, 0, remaining, offset, length)
    assert [int(values[2], 0) for values in seen] == [RESPONSE_REQUESTED, 0, 0, 0, 0]
    assert [int(values[5], 0) for values in seen] == [0, 0, 1340, 1340, 5]
    assert not server.connection.waiting
