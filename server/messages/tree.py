"""TREE_CONNECT and TREE_DISCONNECT (MS-SMB2 2.2.9 - 2.2.12)."""

from dataclasses import dataclass
from typing import ClassVar, Self

from smbdirect.wire import Buffer, pdu, text, u8, u16, u32, utf16

from .base import HEADER_SIZE, Empty, Fixed, Request, Response, fixed_part
from .header import Command


class TreeConnectFlags:
    CLUSTER_RECONNECT = 0x0001
    REDIRECT_TO_OWNER = 0x0002
    EXTENSION_PRESENT = 0x0004


class ShareType:
    DISK = 1
    PIPE = 2
    PRINT = 3


class ShareFlags:
    MANUAL_CACHING = 0x00000000
    AUTO_CACHING = 0x00000010
    VDO_CACHING = 0x00000020
    NO_CACHING = 0x00000030
    DFS = 0x00000001
    DFS_ROOT = 0x00000002
    RESTRICT_EXCLUSIVE_OPENS = 0x00000100
    FORCE_SHARED_DELETE = 0x00000200
    ALLOW_NAMESPACE_CACHING = 0x00000400
    ACCESS_BASED_DIRECTORY_ENUM = 0x00000800
    FORCE_LEVELII_OPLOCK = 0x00001000
    ENABLE_HASH_V1 = 0x00002000
    ENABLE_HASH_V2 = 0x00004000
    ENCRYPT_DATA = 0x00008000
    IDENTITY_REMOTING = 0x00040000
    COMPRESS_DATA = 0x00100000
    ISOLATED_TRANSPORT = 0x00200000


class ShareCapability:
    DFS = 0x00000008
    CONTINUOUS_AVAILABILITY = 0x00000010
    SCALEOUT = 0x00000020
    CLUSTER = 0x00000040
    ASYMMETRIC = 0x00000080
    REDIRECT_TO_OWNER = 0x00000100


@pdu
class _TreeConnect(Fixed):
    structure_size: u16 = 9
    flags: u16 = 0
    path_offset: u16 = 0
    path_length: u16 = 0


BUFFER = HEADER_SIZE + _TreeConnect.SIZE
EXTENSION_SIZE = 16
"""TreeConnectContextOffset, the contexts' count and Reserved (2.2.9.1); the path follows them."""


@dataclass(slots=True)
class TreeConnectRequest(Request):
    r"""TREE_CONNECT request (2.2.9); `path` is \\server\share, read from behind the extension where there is one."""

    COMMAND: ClassVar[int] = Command.TREE_CONNECT
    flags: int
    path: str

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        fixed = fixed_part(_TreeConnect, packet, 9)
        offset = fixed.path_offset
        if fixed.flags & TreeConnectFlags.EXTENSION_PRESENT and offset == BUFFER:
            offset += EXTENSION_SIZE  # some count to the Buffer, which here begins with the extension
        return cls(fixed.flags, text(packet, offset, fixed.path_length, "path"))

    def parts(self) -> list[Buffer]:
        path = utf16(self.path)
        extension = bytes(EXTENSION_SIZE) if self.flags & TreeConnectFlags.EXTENSION_PRESENT else b""
        fixed = _TreeConnect(flags=self.flags, path_offset=BUFFER + len(extension), path_length=len(path))
        return [fixed.pack() + extension + (path or b"\0")]


@pdu
class _TreeConnectResponse(Fixed):
    structure_size: u16 = 16
    share_type: u8 = 0
    reserved: u8 = 0
    share_flags: u32 = 0
    capabilities: u32 = 0
    maximal_access: u32 = 0


@dataclass(slots=True)
class TreeConnectResponse(Response):
    """TREE_CONNECT response (2.2.10)."""

    COMMAND: ClassVar[int] = Command.TREE_CONNECT
    share_type: int = ShareType.DISK
    share_flags: int = 0
    capabilities: int = 0
    maximal_access: int = 0

    @classmethod
    def parse(cls, packet: memoryview) -> Self:
        fixed = fixed_part(_TreeConnectResponse, packet, 16)
        return cls(fixed.share_type, fixed.share_flags, fixed.capabilities, fixed.maximal_access)

    def parts(self) -> list[Buffer]:
        return [
            _TreeConnectResponse(
                share_type=self.share_type, share_flags=self.share_flags, capabilities=self.capabilities,
                maximal_access=self.maximal_access,
            ).pack()
        ]  # fmt: skip


@dataclass(slots=True)
class TreeDisconnectRequest(Empty, Request):
    COMMAND: ClassVar[int] = Command.TREE_DISCONNECT


@dataclass(slots=True)
class TreeDisconnectResponse(Empty, Response):
    COMMAND: ClassVar[int] = Command.TREE_DISCONNECT
