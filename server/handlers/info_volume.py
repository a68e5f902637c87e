"""The file-system information classes of QUERY_INFO (MS-FSCC 2.5)."""

from ..messages.fscc_volume import (
    DEVICE_IS_MOUNTED,
    DEVICE_READ_ONLY,
    Attribute,
    Control,
    Device,
    FullSize,
    SectorSize,
    Size,
    Volume,
    VolumeAttribute,
    VolumeClass,
    VolumeObjectId,
)
from ..messages.info import QueryInfoRequest
from ..open import Open
from ..security.access import FILE_WRITE_DATA
from ..store.shape import Shape
from ..work import Work
from .info_row import Row

SECTOR = 512
"""Bytes a client is told a sector has: what everything was written for."""
FILE_SYSTEM = "NTFS"
"""Some Windows programs refuse to work on anything else."""


async def _shape(opened: Open) -> Shape:
    store = opened.tree.share.store
    assert store is not None
    return await store.shape(opened.tree.who)


async def _volume(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    shape = await _shape(opened)
    return Volume(shape.created, shape.serial & 0xFFFFFFFF, opened.tree.share.name).pack()


async def _size(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    shape = await _shape(opened)
    unit = shape.block
    return Size(shape.total // unit, shape.available // unit, max(unit // SECTOR, 1), SECTOR).pack()


async def _full_size(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    shape = await _shape(opened)
    unit = shape.block
    return FullSize(
        shape.total // unit, shape.available // unit, shape.free // unit, max(unit // SECTOR, 1), SECTOR
    ).pack()


async def _device(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    read_only = _read_only(opened, await _shape(opened))
    return Device(characteristics=DEVICE_IS_MOUNTED | (DEVICE_READ_ONLY if read_only else 0)).pack()


def _read_only(opened: Open, shape: Shape) -> bool:
    """To this client: because the volume is, or because of the share."""
    return shape.read_only or not opened.tree.access & FILE_WRITE_DATA


async def _attribute(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    shape = await _shape(opened)
    attributes = VolumeAttribute.CASE_PRESERVED_NAMES | VolumeAttribute.UNICODE_ON_DISK
    attributes |= VolumeAttribute.CASE_SENSITIVE_SEARCH | VolumeAttribute.SUPPORTS_REPARSE_POINTS
    attributes |= VolumeAttribute.SUPPORTS_HARD_LINKS | VolumeAttribute.SUPPORTS_OBJECT_IDS
    for has, flag in (
        (shape.acls, VolumeAttribute.PERSISTENT_ACLS),
        (shape.sparse, VolumeAttribute.SUPPORTS_SPARSE_FILES),
        (shape.streams, VolumeAttribute.NAMED_STREAMS),
        (shape.eas, VolumeAttribute.SUPPORTS_EXTENDED_ATTRIBUTES),
        (shape.reflink, VolumeAttribute.SUPPORTS_BLOCK_REFCOUNTING),
        (_read_only(opened, shape), VolumeAttribute.READ_ONLY_VOLUME),
    ):
        attributes |= flag if has else 0
    return Attribute(attributes, shape.name_max, FILE_SYSTEM).pack()


async def _control(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    return Control().pack()


async def _object_id(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    shape = await _shape(opened)
    return VolumeObjectId((shape.serial & ((1 << 64) - 1)).to_bytes(16, "little")).pack()


async def _sector_size(work: Work, opened: Open, request: QueryInfoRequest) -> bytes:
    block = (await _shape(opened)).block
    return SectorSize(SECTOR, block, block, block).pack()


TABLE: dict[int, Row] = {
    VolumeClass.VOLUME: Row(_volume, 0, 24, True),
    VolumeClass.SIZE: Row(_size, 0, Size.SIZE),
    VolumeClass.DEVICE: Row(_device, 0, Device.SIZE),
    VolumeClass.ATTRIBUTE: Row(_attribute, 0, 16, True),
    VolumeClass.CONTROL: Row(_control, 0, Control.SIZE),
    VolumeClass.FULL_SIZE: Row(_full_size, 0, FullSize.SIZE),
    VolumeClass.OBJECT_ID: Row(_object_id, 0, VolumeObjectId.SIZE),
    VolumeClass.SECTOR_SIZE: Row(_sector_size, 0, SectorSize.SIZE),
}
