"""How the messages of one session are signed, sealed and checked."""

from collections.abc import Sequence
from dataclasses import dataclass

from server.messages.base import HEADER_SIZE
from server.messages.header import Command, Flags, Header
from server.messages.negotiate import Dialect
from server.security.keys import derive
from server.security.sealing import Sealer
from server.security.signing import SIGNATURE_AT, Signer, signer
from smbdirect.wire import Buffer, Malformed

from .settings import Agreement


@dataclass(slots=True)
class Security:
    """A session's keys in use; `signer` and `sealer` are None where it has none (guest, anonymous, 2.x)."""

    session_id: int
    signer: Signer | None = None
    sealer: Sealer | None = None
    sign: bool = False
    encrypt: bool = False
    dialect: int = 0

    @classmethod
    def from_key(cls, agreement: Agreement, session_id: int, key: bytes, preauth: bytes) -> "Security":
        """What the login's `key` gives; `preauth` is the value of the session's chain in 3.1.1."""
        keys = derive(key, agreement.dialect, agreement.cipher, preauth, key, client=True)
        made = cls(session_id, signer(agreement.signing, keys.signing), dialect=agreement.dialect)
        if agreement.cipher:
            made.sealer = Sealer(agreement.cipher, keys.seal, keys.unseal)
        made.sign = agreement.signing_required
        return made

    def signs(self, command: int) -> bool:
        """Whether a request of `command` is signed, if it is not sealed."""
        proof = command == Command.TREE_CONNECT and self.dialect == Dialect.SMB311  # 3.2.4.1.1
        return self.signer is not None and (self.sign or proof)

    def put_signature(self, parts: Sequence[Buffer], header: Header) -> None:
        """Sign the request in `parts`, whose header has the SIGNED flag."""
        assert self.signer is not None
        head = parts[0]
        assert isinstance(head, bytearray)
        cancel = header.command == Command.CANCEL
        head[SIGNATURE_AT:HEADER_SIZE] = self.signer.sign(parts, header.message_id, response=False, cancel=cancel)

    def check(self, packet: memoryview, header: Header) -> None:
        """Raise Malformed where an unsealed response ought to be signed and is not, or wrongly."""
        if self.signer is None:
            return
        if header.flags & Flags.SIGNED:
            if not self.signer.verify(packet, response=True):
                raise Malformed(f"the signature of message {header.message_id} is wrong")
        elif self.sign:
            raise Malformed(f"message {header.message_id} is not signed")
