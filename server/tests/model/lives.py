"""Time that passes, clients that come and go, and servers that end."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from server.breaks import TIMEOUT
from server.tests.model.asks import Resume
from server.tests.model.base import Base
from server.tests.model.choices import FOREVER, NUMBERS, PEERS, SELDOM
from server.tests.model.state import Handle


class Lives(Base):
    @precondition(lambda self: bool(self._breaking()))
    @rule()
    def time_out(self) -> None:
        self._run(self._compare(self.clock, TIMEOUT))
        self.world.time_out()
        self._settle()

    @precondition(lambda self: any(handle.away for handle in self.world.handles))
    @rule()
    def expire(self) -> None:
        self._run(self._compare(self.long_clock, FOREVER))
        self.world.expire()
        self._settle()

    # -- coming and going -----------------------------------------------------------------------------------
    @precondition(lambda self: bool(self._leaving()))
    @rule(number=NUMBERS, politely=st.booleans())
    def leave(self, number: int, politely: bool) -> None:
        """Lose the connection, or log off and on."""
        self._leave(self._leaving()[number % len(self._leaving())], politely)

    @precondition(lambda self: not all(peer.present for peer in self.peers))
    @rule(number=NUMBERS)
    def come_back(self, number: int) -> None:
        gone = [peer for peer in self.peers if not peer.present]
        self._run(gone[number % len(gone)].come(self.here))

    @precondition(lambda self: self._room() and bool(self._resumable()))
    @rule(number=NUMBERS)
    def resume(self, number: int) -> None:
        handle = self._resumable()[number % len(self._resumable())]
        self.lost.remove(handle)
        self._ask(Resume(peer=handle.peer, handle=handle))

    def _resumable(self) -> list[Handle]:
        return [handle for handle in self.lost if self.peers[handle.peer].present]

    @precondition(lambda self: len(self._leaving()) == PEERS)
    @rule(really=SELDOM)
    def restart(self, really: bool) -> None:
        """The server ends, and another begins on the same files."""
        if really:
            self._restart(PEERS)

    @rule(really=SELDOM)
    def kill(self, really: bool) -> None:
        """The server is no more, in the middle of everything, and another begins."""
        if really:
            self._kill()
