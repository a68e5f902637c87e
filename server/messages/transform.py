"""The headers of sealed (MS-SMB2 2.2.41) and compressed (2.2.42) messages, which stand before or for the SMB2 header."""

from smbdirect.wire import Bytes4, Bytes16, Pdu, pdu, u16, u32, u64

from .header import COMPRESSION_ID, TRANSFORM_ID

ENCRYPTED = 0x0001
"""The transform header's Flags (3.1.1); below it EncryptionAlgorithm, where 1 is AES-128-CCM."""
AAD_OFFSET = 20
"""From here on (Nonce to SessionId) the transform header is authenticated."""


@pdu
class TransformHeader(Pdu):
    """SMB2 TRANSFORM_HEADER; of `nonce` CCM uses the first 11 bytes, GCM the first 12."""

    protocol_id: Bytes4 = TRANSFORM_ID
    signature: Bytes16 = bytes(16)
    nonce: Bytes16 = bytes(16)
    original_size: u32 = 0
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
