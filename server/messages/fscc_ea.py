"""Extended attributes on the wire: FILE_FULL_EA_INFORMATION and FILE_GET_EA_INFORMATION (MS-FSCC 2.4.16)."""

from collections.abc import Iterable

from smbdirect.wire import Malformed, Pdu, chain, join_chain, pdu, span, u8, u16, u32

from ..store.base import Ea

NEED_EA = 0x80


@pdu
class _Full(Pdu):
    next: u32
    flags: u8
    name_length: u8
    value_length: u16


@pdu
class _Get(Pdu):
    next: u32
    name_length: u8


def unpack_eas(data: memoryview) -> list[Ea]:
    """The attributes of a chain, as CREATE's ExtA and FileFullEaInformation hold them."""
    eas = []
    for entry in chain(data, _Full.SIZE, "EA", align=4):
        head = _Full.unpack_from(entry)
        name = _name(entry, _Full.SIZE, head.name_length)
        value = span(entry, _Full.SIZE + head.name_length + 1, head.value_length, "EA's value")
        eas.append(Ea(name, bytes(value), head.flags))
    return eas


def pack_eas(eas: Iterable[Ea]) -> bytes:
    return join_chain((pack_ea(ea) for ea in eas), align=4)


def pack_ea(ea: Ea) -> bytes:
    """One attribute, as an entry for `join_chain(..., align=4)`."""
    return _Full(0, ea.flags, len(ea.name), len(ea.value)).pack() + ea.name + b"\0" + ea.value


def unpack_ea_names(data: memoryview) -> list[bytes]:
    """The names that a QUERY_INFO of FileFullEaInformation asks for."""
    entries = chain(data, _Get.SIZE, "EA name", align=4)
    return [_name(entry, _Get.SIZE, _Get.unpack_from(entry).name_length) for entry in entries]


def pack_ea_names(names: Iterable[bytes]) -> bytes:
    return join_chain((_Get(0, len(name)).pack() + name + b"\0" for name in names), align=4)


def _name(entry: memoryview, offset: int, length: int) -> bytes:
    """The name, whose ending NUL must be there."""
    raw = bytes(span(entry, offset, length + 1, "EA's name"))
    if raw[-1]:
        raise Malformed("an EA's name without its NUL")
    return raw[:-1]
