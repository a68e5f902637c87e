"""What a volume can do and has room for."""

from typing import NamedTuple


class Shape(NamedTuple):
    """What a volume is: bytes and units for the file-system queries (MS-FSCC 2.5)."""

    total: int
    """Bytes."""
    free: int
    available: int
    block: int
    """Bytes in an allocation unit."""
    name_max: int
    serial: int
    created: int
    sparse: bool
    streams: bool
    eas: bool
    acls: bool
    reflink: bool
    read_only: bool
    case_preserved: bool = True
