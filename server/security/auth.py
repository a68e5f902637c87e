"""Login as the command core sees it: an `Acceptor` for the server, an `Exchange` for each session setup.

The core passes the client's security buffers to `Exchange.step` and sends what comes back, until there is an
`Outcome`; it never learns by which mechanism. Mechanisms (NTLM; Kerberos later) stand behind `Mechanism` and
`Context`. Between them and the core is SPNEGO (RFC 4178, MS-SPNG), which is this file's: it picks the mechanism,
wraps the tokens and, where it matters, has both sides sign the list of mechanisms the client offered, so that
nobody in between can strike the better ones from it. A client may also leave SPNEGO out and speak NTLM bare
(MS-SMB2 3.3.5.5.3 allows it and the Linux client does it).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..status import NT, Status
from . import spnego
from .spnego import Init, Response, State

NTLM = spnego.oid("1.3.6.1.4.1.311.2.2.10")
_BARE_NTLM = b"NTLMSSP\0"

_HINT = b"not_defined_in_RFC4178@please_ignore"
"""What every server puts into NegHints (MS-SPNG 2.2.1)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Who has logged on, and with what key."""

    name: str
    """As the users' file spells it; "" for an anonymous login."""
    domain: str
    """As the client gave it."""
    session_key: bytes = field(repr=False)
    """16 bytes: MS-SMB2's Session.SessionKey. b"" for a guest."""
    full_key: bytes = field(repr=False)
    """The same key in its whole length, for the 256-bit ciphers: MS-SMB2's Session.FullSessionKey."""
    guest: bool = False
    """An unknown name was let in as guest. Its password and so its key is not known: nothing is signed or sealed."""
    anonymous: bool = False
    expires: float | None = None
    """When the login ends, in seconds since 1970, or None."""


class Context(ABC):
    """One login under way with one mechanism."""

    @abstractmethod
    async def step(self, token: bytes) -> tuple[bytes, Outcome | None]:
        """The client's token taken in: ours for the client, and the outcome once it is known.

        Raises Malformed where the token is none, Status(LOGON_FAILURE) where the client is not let in.
        """

    @abstractmethod
    def sign(self, message: bytes) -> bytes | None:
        """Our signature over `message` (GSS_GetMIC), or None where the login has no integrity."""

    @abstractmethod
    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is the client's over `message`; also true where the login has no integrity."""


class Mechanism(ABC):
    """A way to log in, under the object identifiers it is offered by, the preferred one first."""

    oids: Sequence[bytes]

    @abstractmethod
    def start(self, peer: str) -> Context:
        """A login of a client at the address `peer`."""


class Acceptor:
    """The server's side of all logins. `mechanisms` are offered in their order."""

    def __init__(self, mechanisms: Sequence[Mechanism]) -> None:
        self._by_oid = {oid: mechanism for mechanism in mechanisms for oid in mechanism.oids}

    def hint(self) -> bytes:
        """The security buffer of a NEGOTIATE response: a NegTokenInit2 that names our mechanisms."""
        return spnego.pack_hint(list(self._by_oid), _HINT)

    def start(self, peer: str = "") -> "Exchange":
        """A login of a client at the address `peer`."""
        return Exchange(self._by_oid, peer)


class Exchange:
    """One session setup's login, from its first security buffer to its outcome or its refusal."""

    def __init__(self, by_oid: dict[bytes, Mechanism], peer: str) -> None:
        self._by_oid = by_oid
        self._peer = peer
        self._context: Context | None = None
        self._bare = False
        self._offered = b""
        """The client's list of mechanisms as DER: what both sides sign."""
        self._signature_due = False
        self._outcome: Outcome | None = None
        """Known, but the client has yet to sign its list."""
        self._over = False

    async def step(self, token: bytes) -> tuple[bytes, Outcome | None]:
        """The client's security buffer taken in: ours for the client, and the outcome once it is known.

        Until then the answer is MORE_PROCESSING_REQUIRED. Raises Malformed where the bytes are no token,
        Status(LOGON_FAILURE) where the client is not let in, Status(INVALID_PARAMETER) where it is not this
        token's turn; after that nothing more is taken. It may wait (repeated failures slow down).
        """
        if self._over:
            raise Status(NT.INVALID_PARAMETER, "this login is over")
        self._over = True  # unless all goes well
        answer, outcome = await self._take(token)
        self._over = outcome is not None
        return answer, outcome

    async def _take(self, token: bytes) -> tuple[bytes, Outcome | None]:
        if self._context is None and token.startswith(_BARE_NTLM) and NTLM in self._by_oid:
            self._bare = True
            self._context = self._by_oid[NTLM].start(self._peer)
        if self._bare and self._context is not None:
            return await self._context.step(token)
        message = spnego.parse(token)
        if isinstance(message, Init) and self._context is None:
            return await self._begin(message)
        if isinstance(message, Response) and self._context is not None:
            return await self._go_on(self._context, message)
        raise Status(NT.INVALID_PARAMETER, f"{type(message).__name__} out of turn")

    async def _begin(self, message: Init) -> tuple[bytes, Outcome | None]:
        """Take the first of the client's mechanisms that we have (RFC 4178 4.2.1), and its token if it is for that."""
        offered = message.mechanisms
        chosen = next((oid for oid in offered if oid in self._by_oid), None)
        if chosen is None:
            raise Status(NT.LOGON_FAILURE, "the client offers no mechanism that we have")
        self._offered = message.offered
        mechanism = self._by_oid[chosen]
        self._context = mechanism.start(self._peer)
        if self._by_oid.get(offered[0]) is not mechanism:
            self._signature_due = True  # its token is for a mechanism we do not have (RFC 4178 4.2.2, request-mic)
            return Response(State.REQUEST_MIC, chosen).pack(), None
        answer, outcome = await self._context.step(message.token) if message.token else (b"", None)
        if outcome is None:
            return Response(State.ACCEPT_INCOMPLETE, chosen, answer).pack(), None
        return self._finish(self._context, outcome, Response(State.ACCEPT_COMPLETED, chosen, answer), message.mic)

    async def _go_on(self, context: Context, message: Response) -> tuple[bytes, Outcome | None]:
        if message.state == State.REJECT:
            raise Status(NT.LOGON_FAILURE, "the client ended the login")
        if self._outcome is not None:
            self._check(context, message.mic)
            return Response(State.ACCEPT_COMPLETED).pack(), self._outcome
        answer, outcome = await context.step(message.token)
        if outcome is None:
            return Response(State.ACCEPT_INCOMPLETE, token=answer).pack(), None
        return self._finish(context, outcome, Response(State.ACCEPT_COMPLETED, token=answer), message.mic)

    def _finish(
        self, context: Context, outcome: Outcome, answer: Response, signature: bytes
    ) -> tuple[bytes, Outcome | None]:
        """The mechanism is content: check the client's signature over its list and give ours (RFC 4178 5)."""
        if signature:
            self._check(context, signature)
        if signature or self._signature_due:
            answer.mic = context.sign(self._offered) or b""
        if answer.mic and not signature:
            self._outcome = outcome
            answer.state = State.ACCEPT_INCOMPLETE
            return answer.pack(), None
        return answer.pack(), outcome

    def _check(self, context: Context, signature: bytes) -> None:
        if not context.verify(self._offered, signature):
            raise Status(NT.LOGON_FAILURE, "the client's list of mechanisms was changed on the way")
