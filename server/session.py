"""Sessions (MS-SMB2 3.3.1.8) and their channels: who logged on, with which keys, over which connections."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from .security.auth import Exchange, Outcome
from .security.keys import Keys
from .security.preauth import Preauth
from .security.sealing import Sealer
from .security.signing import Signer
from .store.base import Identity

if TYPE_CHECKING:
    from .connection import ServerConnection
    from .open import Open
    from .tree import Tree


@dataclass(slots=True)
class Channel:
    """A connection that a session uses, with the key its messages there are signed with."""

    connection: "ServerConnection"
    signer: Signer | None = None


@dataclass(slots=True)
class Setup:
    """An authentication under way on one connection: a new session, a re-authentication, or a binding."""

    exchange: Exchange
    preauth: Preauth | None = None
    binding: bool = False


@dataclass(slots=True)
class Protection:
    """How a session's messages are protected once it is valid."""

    keys: Keys | None = None
    sealer: Sealer | None = None
    signing_required: bool = False
    encryption_required: bool = False


@dataclass(slots=True, eq=False)
class Session:
    id: int
    created: float
    """Wall clock, seconds."""
    protection: Protection = field(default_factory=Protection)
    channels: dict["ServerConnection", Channel] = field(default_factory=dict)
    who: Identity | None = None
    outcome: Outcome | None = None
    trees: dict[int, "Tree"] = field(default_factory=dict)
    opens: dict[int, "Open"] = field(default_factory=dict)
    """By volatile id."""
    next_tree: int = 1
    dialect: int = 0
    client_guid: bytes = bytes(16)
    cipher: int = 0
    signing: int = -1
    expired: bool = False

    def remnant(self) -> "Session":
        """What is left once it has ended, for opens that are kept: who it was, but no keys and no way to the client."""
        outcome = replace(self.outcome, session_key=b"", full_key=b"") if self.outcome is not None else None
        return replace(self, outcome=outcome, protection=Protection(), channels={}, trees={}, opens={})

    @property
    def valid(self) -> bool:
        """Whether a login has succeeded."""
        return self.who is not None

    @property
    def user(self) -> str:
        return self.outcome.name if self.outcome is not None else ""

    @property
    def trusted(self) -> bool:
        """Whether a person with a key stands behind it: neither anonymous nor guest."""
        return self.outcome is not None and not self.outcome.anonymous and not self.outcome.guest
