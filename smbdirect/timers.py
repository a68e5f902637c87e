"""The time limits of a connection, in seconds of the caller's clock (MS-SMBD 3.1.2)."""

from .negotiate import Settings


class Timers:
    """When the peer was last heard, asked to show itself, and began to starve us of credits.

    `negotiating` until both agree. `ask` is set while a packet must carry the question.
    """

    __slots__ = ("_settings", "ask", "asked", "heard", "negotiating", "starved")

    def __init__(self, settings: Settings, now: float) -> None:
        self._settings = settings
        self.negotiating = True
        self.heard = now
        self.ask = False
        self.asked: float | None = None
        self.starved: float | None = None

    def hear(self, now: float) -> None:
        """A packet came."""
        self.heard = now
        self.asked = None
        self.ask = False

    def deadline(self) -> float:
        """When `expire` must be called next, unless something happens before."""
        settings = self._settings
        if self.negotiating:
            return self.heard + settings.negotiate_timeout
        if self.asked is not None:
            first = self.asked + settings.keepalive_timeout
        else:
            first = self.heard + settings.keepalive_interval
        return first if self.starved is None else min(first, self.starved + settings.credit_timeout)

    def expire(self, now: float, held_back: bool) -> str | None:
        """Ask the peer to show itself when it is time; returns why the peer is lost, where it is.

        A peer that is `held_back` has no credit to answer with by our own doing, and is not judged.
        """
        settings = self._settings
        if self.negotiating:
            if now >= self.heard + settings.negotiate_timeout:
                return f"no negotiation within {settings.negotiate_timeout:g} s"
        elif self.starved is not None and now >= self.starved + settings.credit_timeout:
            return f"no credits granted for {settings.credit_timeout:g} s"
        elif self.asked is not None:
            if now >= self.asked + settings.keepalive_timeout:
                return f"no answer to a keepalive within {settings.keepalive_timeout:g} s"
        elif now >= self.heard + settings.keepalive_interval:
            if held_back:
                self.heard = now
            else:
                self.asked = now
                self.ask = True
        return None
