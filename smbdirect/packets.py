"""The packets of MS-SMBD 2.2, and the buffer descriptor that READ and WRITE requests carry (2.2.3.1)."""

from .wire import Pdu, pdu, u32, u64


@pdu
class BufferDescriptor(Pdu):
    """SMB_DIRECT_BUFFER_DESCRIPTOR_V1 (MS-SMBD 2.2.3.1): `length` bytes at `offset` under the peer's `token`."""

    offset: u64 = 0
    token: u32 = 0
    length: u32 = 0
