"""What one side wants, what both agree on, and the rules between: pure functions of two sides' numbers.

The server calls `agree` on a request and `respond` with what came of it; the client calls `request` and `accept`.
"""

from dataclasses import dataclass

from .packets import (
    SMALLEST_FRAGMENTED,
    SMALLEST_PACKET,
    STATUS_NOT_SUPPORTED,
    STATUS_SUCCESS,
    VERSION,
    NegotiateRequest,
    NegotiateResponse,
)
from .wire import Malformed

RESERVE = 1
"""Receives posted beyond `receive_credit_max`, so that the last send credit can always carry a grant."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One side's parameters (MS-SMBD 3.1.1.1), sizes in bytes and times in seconds.

    The defaults are those of Windows, ksmbd and the Linux client. The backlog is what may lie received and not
    yet `delivered` before no new credits are granted; until `trust` the untrusted limits hold instead.
    """

    receive_credit_max: int = 255
    send_credit_target: int = 255
    max_send_size: int = 1364
    max_receive_size: int = 1364
    max_fragmented_size: int = 255 * 1364 // 2
    max_read_write_size: int = 8 << 20
    keepalive_interval: float = 120.0
    keepalive_timeout: float = 5.0
    negotiate_timeout: float = 5.0
    credit_timeout: float = 30.0
    backlog_messages: int = 256
    backlog_bytes: int = 1 << 20
    untrusted_messages: int = 8
    untrusted_bytes: int = 64 << 10
    untrusted_credits: int = 32

    def __post_init__(self) -> None:
        for name in ("receive_credit_max", "send_credit_target", "untrusted_credits"):
            if not 2 <= getattr(self, name) <= 0xFFFF - RESERVE:
                raise ValueError(f"{name} must be 2 to {0xFFFF - RESERVE}")
        for name in ("max_send_size", "max_receive_size"):
            if getattr(self, name) < SMALLEST_PACKET:
                raise ValueError(f"{name} must be at least {SMALLEST_PACKET}")
        if self.max_fragmented_size < SMALLEST_FRAGMENTED:
            raise ValueError(f"max_fragmented_size must be at least {SMALLEST_FRAGMENTED}")
        for name in ("backlog_messages", "backlog_bytes", "untrusted_messages", "untrusted_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")

    @property
    def receives(self) -> int:
        """How many receives of `max_receive_size` the transport keeps posted."""
        return self.receive_credit_max + RESERVE


CLIENT_SETTINGS = Settings(negotiate_timeout=120.0)
"""A client's defaults: it waits longer than a server, which may be busy with the pages of many queue pairs."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What both sides settled on, in bytes; `credit_target` is what the peer asked for, `granted` what it gave."""

    max_send_size: int
    max_receive_size: int
    max_fragmented_send: int
    max_fragmented_receive: int
    max_read_write: int
    credit_target: int
    granted: int = 0


def request(ours: Settings) -> NegotiateRequest:
    """What the connecting side asks for (MS-SMBD 3.1.5.2)."""
    return NegotiateRequest(
        credits_requested=ours.send_credit_target,
        preferred_send_size=ours.max_send_size,
        max_receive_size=ours.max_receive_size,
        max_fragmented_size=ours.max_fragmented_size,
    )


def agree(ours: Settings, theirs: NegotiateRequest) -> Agreement | int:
    """The listening side's answer to a request: an agreement, or the NT status that refuses it.

    The largest message we take does not depend on how many packets we take at once: credits are granted while it
    arrives. The Linux client sealing its writes needs that, it sends them whole whatever their length.

    Raises Malformed where the specification says to drop the peer without a word (MS-SMBD 3.1.5.6).
    """
    if not theirs.min_version <= VERSION <= theirs.max_version:
        return STATUS_NOT_SUPPORTED  # MS-SMBD 3.1.5.6: the only refusal that is answered
    _check(theirs, "3.1.5.6")
    max_receive_size = max(SMALLEST_PACKET, min(ours.max_receive_size, theirs.preferred_send_size))
    return Agreement(
        max_send_size=min(ours.max_send_size, theirs.max_receive_size),
        max_receive_size=max_receive_size,
        max_fragmented_send=theirs.max_fragmented_size,
        max_fragmented_receive=ours.max_fragmented_size,
        max_read_write=ours.max_read_write_size,
        credit_target=theirs.credits_requested,
    )


def respond(ours: Settings, agreed: Agreement, granted: int) -> NegotiateResponse:
    """The response that says so (MS-SMBD 3.1.5.3). Its preferred size never exceeds what the client receives."""
    return NegotiateResponse(
        negotiated_version=VERSION,
        credits_requested=ours.send_credit_target,
        credits_granted=granted,
        max_read_write_size=agreed.max_read_write,
        preferred_send_size=agreed.max_send_size,
        max_receive_size=agreed.max_receive_size,
        max_fragmented_size=agreed.max_fragmented_receive,
    )


def accept(ours: Settings, theirs: NegotiateResponse) -> Agreement | int:
    """What the connecting side makes of a response: the agreement, or the NT status it was refused with.

    Raises Malformed (MS-SMBD 3.1.5.7).
    """
    if theirs.status != STATUS_SUCCESS:
        return theirs.status
    if theirs.negotiated_version != VERSION:
        raise Malformed(f"NegotiatedVersion is {theirs.negotiated_version:#06x}")  # MS-SMBD 3.1.5.7
    _check(theirs, "3.1.5.7")
    if theirs.credits_granted == 0:
        raise Malformed("CreditsGranted is zero")  # MS-SMBD 3.1.5.7
    if theirs.preferred_send_size > ours.max_receive_size:
        raise Malformed(
            f"PreferredSendSize {theirs.preferred_send_size} where we receive {ours.max_receive_size}"
        )  # MS-SMBD 3.1.5.7
    return Agreement(
        max_send_size=min(ours.max_send_size, theirs.max_receive_size),
        max_receive_size=max(SMALLEST_PACKET, theirs.preferred_send_size),
        max_fragmented_send=theirs.max_fragmented_size,
        max_fragmented_receive=ours.max_fragmented_size,
        max_read_write=min(ours.max_read_write_size, theirs.max_read_write_size),
        credit_target=theirs.credits_requested,
        granted=theirs.credits_granted,
    )


def _check(theirs: NegotiateRequest | NegotiateResponse, section: str) -> None:
    """The floors that hold in both directions (MS-SMBD 3.1.5.6 and 3.1.5.7)."""
    if theirs.credits_requested == 0:
        raise Malformed(f"CreditsRequested is zero (MS-SMBD {section})")
    if theirs.max_receive_size < SMALLEST_PACKET:
        raise Malformed(f"MaxReceiveSize {theirs.max_receive_size} is below {SMALLEST_PACKET} (MS-SMBD {section})")
    if theirs.max_fragmented_size < SMALLEST_FRAGMENTED:
        raise Malformed(
            f"MaxFragmentedSize {theirs.max_fragmented_size} is below {SMALLEST_FRAGMENTED} (MS-SMBD {section})"
        )
