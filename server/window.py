"""The credits and message ids of one connection (MS-SMB2 3.3.1.1, 3.3.1.2): what a client may still send.

The ids from `low` to `high` have been granted; those of them that were used out of order are in `used`. The
span from the oldest unused id to the newest never exceeds `most`, so a client that skips an id and never comes
back to it runs dry instead of making the server remember without end.
"""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Window:
    most: int
    """Credits a client may hold (8192 by default)."""
    low: int = 0
    high: int = 1
    used: set[int] = field(default_factory=set)

    @property
    def outstanding(self) -> int:
        """Credits the client holds."""
        return self.high - self.low - len(self.used)

    def use(self, message_id: int, charge: int) -> bool:
        """Take `charge` ids from `message_id` on; False where one of them was never granted or is used."""
        end = message_id + charge
        if message_id < self.low or end > self.high:
            return False
        if message_id == self.low and not self.used:
            self.low = end
            return True
        ids = range(message_id, end)
        if not self.used.isdisjoint(ids):
            return False
        self.used.update(ids)
        while self.low in self.used:
            self.used.remove(self.low)
            self.low += 1
        return True

    def grant(self, requested: int) -> int:
        """Credits to answer with for `requested`: as many as fit, and never none to a client that holds none."""
        granted = max(min(requested, self.most - (self.high - self.low)), 0)
        if granted == 0 and self.outstanding == 0:
            granted = 1
        self.high += granted
        return granted
