"""The headers before an encrypted message (MS-SMB2 2.2.41) and a compressed one (2.2.42).

What the first says is judged in `security/sealing.py`; the second is only known by name, to be refused.
"""

from smbdirect.wire import Bytes4, Bytes16, Pdu, pdu, u16, u32, u64

from .header import COMPRESSION_ID, TRANSFORM_ID

ENCRYPTED = 0x0001
"""Flags in 3.1.1; in 3.0 and 3.0.2 the same value is EncryptionAlgorithm's AES-128-CCM."""


@pdu
class TransformHeader(Pdu):
    """SMB2 TRANSFORM_HEADER: the tag, the nonce (11 bytes for CCM, 12 for GCM, then zeros), and whose keys."""

    protocol_id: Bytes4 = TRANSFORM_ID
    signature: Bytes16 = bytes(16)
    nonce: Bytes16 = bytes(16)
    original_message_size: u32 = 0
    reserved: u16 = 0
    flags: u16 = ENCRYPTED
    session_id: u64 = 0


@pdu
class CompressionTransformHeader(Pdu):
    """SMB2 COMPRESSION_TRANSFORM_HEADER_UNCHAINED (2.2.42.1)."""

    protocol_id: Bytes4 = COMPRESSION_ID
    original_size: u32 = 0
    algorithm: u16 = 0
    flags: u16 = 0
    offset: u32 = 0
