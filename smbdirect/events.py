"""What a `Connection` tells its transport."""

from dataclasses import dataclass

from .negotiate import Agreement


@dataclass(frozen=True, slots=True)
class Negotiated:
    """Both sides agree; messages may be sent from now on."""

    agreement: Agreement


@dataclass(frozen=True, slots=True)
class Refused:
    """One side refused with an NT status (MS-SMBD 3.1.5.3).

    On the server `packets` holds the response that says so: post it, then drop the connection. On the client
    drop it at once.
    """

    status: int


@dataclass(slots=True)
class Received:
    """A whole message, in memory of its own (it may be unsealed in place); hand it back to `delivered`."""

    data: bytearray


@dataclass(frozen=True, slots=True)
class Lost:
    """The peer kept a time limit badly; `why` says which. Drop the connection."""

    why: str


Event = Negotiated | Refused | Received | Lost
