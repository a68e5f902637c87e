"""File-system information classes (MS-FSCC 2.5). Sizes count allocation units, unless they say bytes."""

from dataclasses import dataclass
from typing import Self

from smbdirect.wire import Bytes16, Pdu, i32, i64, pdu, text, u8, u16, u32, u64, utf16

from .fscc_file import Information


class VolumeClass:
    VOLUME = 1
    LABEL = 2
    SIZE = 3
    DEVICE = 4
    ATTRIBUTE = 5
    CONTROL = 6
    FULL_SIZE = 7
    OBJECT_ID = 8
    DRIVER_PATH = 9
    VOLUME_FLAGS = 10
    SECTOR_SIZE = 11


class VolumeAttribute:
    """FileSystemAttributes, 2.5.1."""

    CASE_SENSITIVE_SEARCH = 0x00000001
    CASE_PRESERVED_NAMES = 0x00000002
    UNICODE_ON_DISK = 0x00000004
    PERSISTENT_ACLS = 0x00000008
    FILE_COMPRESSION = 0x00000010
    VOLUME_QUOTAS = 0x00000020
    SUPPORTS_SPARSE_FILES = 0x00000040
    SUPPORTS_REPARSE_POINTS = 0x00000080
    READ_ONLY_VOLUME = 0x00080000
    SUPPORTS_OBJECT_IDS = 0x00010000
    SUPPORTS_ENCRYPTION = 0x00020000
    NAMED_STREAMS = 0x00040000
    SUPPORTS_HARD_LINKS = 0x00400000
    SUPPORTS_EXTENDED_ATTRIBUTES = 0x00800000
    SUPPORTS_OPEN_BY_FILE_ID = 0x01000000
    SUPPORTS_POSIX_UNLINK_RENAME = 0x00000400
    SUPPORTS_INTEGRITY_STREAMS = 0x04000000
    SUPPORTS_BLOCK_REFCOUNTING = 0x08000000
    SUPPORTS_SPARSE_VDL = 0x10000000


DEVICE_CD_ROM = 0x02
DEVICE_DISK = 0x07
DEVICE_IS_MOUNTED = 0x20
DEVICE_READ_ONLY = 0x02


@pdu
class _Volume(Pdu):
    created: u64
    serial: u32
    label_length: u32
    supports_objects: u8
    reserved: u8


@dataclass(slots=True)
class Volume:
    """FileFsVolumeInformation, 2.5.9."""

    created: int
    serial: int
    label: str
    supports_objects: bool = False

    @classmethod
    def parse(cls, data: memoryview) -> Self:
        head = _Volume.unpack_from(data)
        label = text(data, _Volume.SIZE, head.label_length, "label")
        return cls(head.created, head.serial, label, bool(head.supports_objects))

    def pack(self) -> bytes:
        raw = utf16(self.label)
        return _Volume(self.created, self.serial, len(raw), self.supports_objects, 0).pack() + raw


@pdu
class Size(Information):
    """FileFsSizeInformation, 2.5.8."""

    total: i64
    available: i64
    sectors_per_unit: u32
    bytes_per_sector: u32


@pdu
class FullSize(Information):
    """FileFsFullSizeInformation, 2.5.4: `available` to the caller, `free` to anyone."""

    total: i64
    available: i64
    free: i64
    sectors_per_unit: u32
    bytes_per_sector: u32


@pdu
class Device(Information):
    """FileFsDeviceInformation, 2.5.10."""

    type: u32 = DEVICE_DISK
    characteristics: u32 = DEVICE_IS_MOUNTED


@pdu
class _Attribute(Pdu):
    attributes: u32
    max_name: i32
    name_length: u32


@dataclass(slots=True)
class Attribute:
    """FileFsAttributeInformation, 2.5.1: VolumeAttributes, the longest name component, the file system's name."""

    attributes: int
    max_name: int
    name: str

    @classmethod
    def parse(cls, data: memoryview) -> Self:
        head = _Attribute.unpack_from(data)
        return cls(head.attributes, head.max_name, text(data, _Attribute.SIZE, head.name_length))

    def pack(self) -> bytes:
        raw = utf16(self.name)
        return _Attribute(self.attributes, self.max_name, len(raw)).pack() + raw


NO_LIMIT = -1


@pdu
class Control(Information):
    """FileFsControlInformation, 2.5.2; bytes."""

    free_start: i64 = 0
    free_threshold: i64 = 0
    free_stop: i64 = 0
    quota_threshold: i64 = NO_LIMIT
    quota_limit: i64 = NO_LIMIT
    flags: u32 = 0
    padding: u32 = 0


@pdu
class VolumeObjectId(Information):
    """FileFsObjectIdInformation, 2.5.6."""

    object_id: Bytes16
    extended: Bytes16 = bytes(16)
    extended2: Bytes16 = bytes(16)
    extended3: Bytes16 = bytes(16)


SECTOR_ALIGNED_DEVICE = 0x1
SECTOR_PARTITION_ALIGNED = 0x2
SECTOR_TRIM_ENABLED = 0x8


@pdu
class SectorSize(Information):
    """FileFsSectorSizeInformation, 2.5.7; bytes."""

    logical: u32
    physical_atomicity: u32
    physical_performance: u32
    effective_atomicity: u32
    flags: u32 = SECTOR_ALIGNED_DEVICE | SECTOR_PARTITION_ALIGNED
    alignment_offset: u32 = 0
    partition_offset: u32 = 0


@pdu
class _DriverPath(Pdu):
    in_path: u8
    reserved: u8
    reserved2: u16
    name_length: u32


@dataclass(slots=True)
class DriverPath:
    """FileFsDriverPathInformation, 2.5.3."""

    name: str
    in_path: bool = False

    @classmethod
    def parse(cls, data: memoryview) -> Self:
        head = _DriverPath.unpack_from(data)
        return cls(text(data, _DriverPath.SIZE, head.name_length), bool(head.in_path))

    def pack(self) -> bytes:
        raw = utf16(self.name)
        return _DriverPath(self.in_path, 0, 0, len(raw)).pack() + raw
