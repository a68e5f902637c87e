"""The header before an encrypted message (MS-SMB2 2.2.41). What it says is judged in `security/sealing.py`."""

from smbdirect.wire import Bytes4, Bytes16, Pdu, pdu, u16, u32, u64

from .header import TRANSFORM_ID

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
