"""Login as the command core sees it: an `Acceptor` for the server, an `Exchange` for each session setup.

The core passes the client's security buffers to `Exchange.step` and sends what comes back, until there is an
`Outcome`. It never learns which mechanism was used. Mechanisms (NTLM; Kerberos later) stand behind `Mechanism`
and `Context`; what is between them and the core, SPNEGO, is `negotiate.py`'s.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """Who has logged on, and with what key."""

    name: str
    """As the users' file spells it; "" for an anonymous login."""
    domain: str
    """As the client gave it."""
    session_key: bytes
    """16 bytes; MS-SMB2's Session.SessionKey."""
    full_key: bytes
    """The same key in its whole length, for the 256-bit ciphers; MS-SMB2's Session.FullSessionKey."""
    guest: bool = False
    """An unknown name was let in as guest. The client's key is not known then: nothing can be signed."""
    anonymous: bool = False
    expires: float | None = None
    """When the login ends, in seconds since 1970, or None."""


class Context(ABC):
    """One login under way with one mechanism."""

    @abstractmethod
    async def step(self, token: bytes) -> tuple[bytes, Outcome | None]:
        """The client's token taken in: ours for the client, and the outcome once it is known.

        Raises Malformed where the token is no token, Status(LOGON_FAILURE) where the client is not let in.
        """

    @abstractmethod
    def sign(self, message: bytes) -> bytes | None:
        """Our signature over `message` (GSS_GetMIC) after the outcome, or None where the login has no integrity."""

    @abstractmethod
    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is the client's over `message`; also true where the login has no integrity."""


class Mechanism(ABC):
    """A way to log in, under the object identifiers it is offered by, the first being preferred."""

    oids: Sequence[str]

    @abstractmethod
    def start(self, peer: str) -> Context:
        """A login of a client at the address `peer`."""


class Exchange(ABC):
    """One session setup's login, from its first security buffer to its outcome."""

    @abstractmethod
    async def step(self, token: bytes) -> tuple[bytes, Outcome | None]:
        """The client's security buffer taken in: ours for the client, and the outcome once it is known.

        While that is None the answer is MORE_PROCESSING_REQUIRED. Raises Malformed where the bytes are no token,
        Status(LOGON_FAILURE) where the client is not let in, Status(INVALID_PARAMETER) where the tokens come in no
        order. It may wait before it answers (repeated failures slow down), so it must not run in the reader.
        """


class Acceptor(ABC):
    """The server's side of all logins."""

    @abstractmethod
    def hint(self) -> bytes:
        """The security buffer of a NEGOTIATE response: a SPNEGO NegTokenInit2 that names our mechanisms."""

    @abstractmethod
    def start(self, peer: str = "") -> Exchange:
        """A login of a client at the address `peer`."""
