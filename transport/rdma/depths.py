"""How many RDMA READs may be under way in each direction: what the two sides offer, and what each device can do.

InfiniBand and RoCE carry both numbers in the connection manager's own messages. iWARP's MPA v1 carries none, so SMB
Direct peers there put them into eight bytes of private data, be32 IRD and be32 ORD, from the sender's view. A
peer whose private data says other than its event speaks MPA v1 and is answered the same way; old Linux
clients wrote little-endian, so what looks enormous is clamped to what the connection manager can say.
"""

import struct
from typing import NamedTuple

_PRIVATE = struct.Struct(">II")
MOST = 255
"""The connection manager's fields are one byte wide."""
OURS = 16
"""READs that we have under way on one connection, at most."""
THEIRS = 1
"""READs that we let a peer of the server have under way: it has none, and not every device takes a zero."""
EXPOSED = 32
"""READs that we, as a client, let the server have under way."""


class Depths(NamedTuple):
    """What a connection is made with: our READs, the peer's, and the private data that says so."""

    initiator: int
    responder: int
    private_data: bytes = b""


def accepting(
    iwarp: bool, offered_initiator: int, offered_responder: int, private_data: bytes, device: tuple[int, int]
) -> Depths:
    """What to answer a request with; what it offers is seen from our side.

    `device` is the most that ours can do as an initiator and as a responder. A depth of
    0 on iWARP means that the peer did not say.
    """
    legacy = b""
    if iwarp and len(private_data) >= _PRIVATE.size:
        theirs_in, theirs_out = (min(MOST, value) for value in _PRIVATE.unpack_from(private_data))
        if (theirs_in, theirs_out) != (offered_initiator, offered_responder):
            offered_initiator, offered_responder = theirs_in, theirs_out
            legacy = private_data[: _PRIVATE.size]
    initiator = min(offered_initiator or int(iwarp), device[0], OURS)
    responder = min(offered_responder or int(iwarp), device[1], THEIRS)
    return Depths(initiator, responder, _PRIVATE.pack(responder, initiator) if legacy else b"")


def connecting(iwarp: bool, device: tuple[int, int]) -> Depths:
    """What a client asks for."""
    initiator, responder = min(1, device[0]), min(EXPOSED, device[1])
    return Depths(initiator, responder, _PRIVATE.pack(responder, initiator) if iwarp else b"")
