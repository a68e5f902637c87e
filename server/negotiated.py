"""`Negotiated`: what a connection agreed on (MS-SMB2 3.3.1.7), apart from how it is served."""

from dataclasses import dataclass

from .messages.negotiate import Dialect
from .security.preauth import Preauth


@dataclass(slots=True)
class Negotiated:
    """What NEGOTIATE settled, and what the client said in it: VALIDATE_NEGOTIATE_INFO compares both."""

    dialect: int = 0
    """0 until NEGOTIATE; Dialect.WILDCARD after a multi-protocol negotiate."""
    client_guid: bytes = bytes(16)
    client_capabilities: int = 0
    client_security_mode: int = 0
    client_dialects: tuple[int, ...] = ()
    capabilities: int = 0
    security_mode: int = 0
    cipher: int = 0
    """0: no encryption."""
    signing: int = -1
    """SigningAlgorithm of MS-SMB2 2.2.3.1.7; -1 until NEGOTIATE."""
    max_transact: int = 65536
    max_read: int = 65536
    max_write: int = 65536
    preauth: Preauth | None = None

    @property
    def multi_credit(self) -> bool:
        """Whether CreditCharge counts: dialect 2.1 and later (3.3.5.2.3)."""
        return self.dialect >= Dialect.SMB210 and self.dialect != Dialect.WILDCARD
