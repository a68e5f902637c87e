"""The two credit balances of a connection: nothing is promised before it is posted (MS-SMBD 3.1.5.9).

A credit is the right to send one packet, and stands for one receive posted at the other end. The last send
credit never goes without a grant (3.1.5.1), so never do both ends wait for each other: for that one the
reserve of `negotiate.RESERVE` receives may be promised even when the peer holds all it asked for, and while
grants are withheld.
"""

from .wire import Malformed

NONE = -1
"""`spend` has no credit to spend."""


class Credits:
    """The balances, in packets.

    `send`: what we may send. `posted`: receives on the NIC that no packet has arrived in. `promised`: how many
    of them the peer may use. `target`: how many it asked for, `most`: how many we are willing to promise;
    `withheld`: nothing is granted that need not be.
    """

    __slots__ = ("most", "posted", "promised", "send", "target", "withheld")

    def __init__(self, most: int) -> None:
        self.send = 0
        self.posted = 0
        self.promised = 0
        self.target = 0
        self.most = most
        self.withheld = False

    def arrived(self) -> None:
        """One packet came in: a receive and a promise are used up. Raises Malformed where none was promised."""
        if self.promised == 0:
            raise Malformed("a packet without a credit for it")  # MS-SMBD 3.1.5.9
        self.promised -= 1
        self.posted -= 1

    def grant(self) -> int:
        """Promise the peer all that it lacks and may have; returns how many that is."""
        granted = self._lacking()
        self.promised += granted
        return granted

    def spend(self, forced: bool) -> int:
        """Take one send credit; returns the credits to grant with its packet, or NONE where it must not go.

        A `forced` packet carries payload: where it takes the last credit it may promise against the rules of
        `withheld` and `most`.
        """
        if self.send == 0:
            return NONE
        granted = self._lacking()
        if granted == 0 and self.send == 1:
            if self.promised == self.posted or (self.withheld and not forced):
                return NONE  # MS-SMBD 3.1.5.1
            granted = 1
        self.send -= 1
        self.promised += granted
        return granted

    def due(self) -> bool:
        """Whether the peer runs so short of credits that a packet of its own is worth granting some."""
        return self.promised <= min(self.target, self.most) // 4 and self._lacking() > 0

    def _lacking(self) -> int:
        if self.withheld:
            return 0
        return max(0, min(self.target, self.most, self.posted) - self.promised)
