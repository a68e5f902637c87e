"""Quotas on the wire: the question (MS-SMB2 2.2.37.1), its list of SIDs, and the entries that answer it
(MS-FSCC 2.4.36, 2.4.41)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Self

from smbdirect.wire import Pdu, chain, i64, join_chain, pdu, span, u8, u16, u32


@pdu
class _Question(Pdu):
    single: u8
    restart: u8
    reserved: u16
    list_length: u32
    start_length: u32
    start_offset: u32


@pdu
class _Get(Pdu):
    next: u32
    sid_length: u32


@pdu
class _Entry(Pdu):
    next: u32
    sid_length: u32
    changed: i64
    used: i64
    threshold: i64
    limit: i64


@dataclass(slots=True)
class QuotaQuestion:
    """SMB2_QUERY_QUOTA_INFO: the SIDs asked for, or where to start (b"": at the first)."""

    sids: list[bytes]
    start: bytes = b""
    single: bool = False
    restart: bool = False

    @classmethod
    def parse(cls, data: bytes) -> Self:
        head = _Question.unpack_from(data)
        buffer = memoryview(data)[_Question.SIZE :]
        start = span(buffer, head.start_offset, head.start_length, "start SID")
        listed = span(buffer, 0, head.list_length, "SID list")
        return cls(unpack_sids(listed), bytes(start), bool(head.single), bool(head.restart))

    def pack(self) -> bytes:
        listed = join_chain((_Get(0, len(sid)).pack() + sid for sid in self.sids), align=4)
        buffer = listed or self.start
        head = _Question(self.single, self.restart, 0, len(listed), 0 if listed else len(self.start), 0)
        return head.pack() + buffer


def unpack_sids(data: memoryview) -> list[bytes]:
    """FILE_GET_QUOTA_INFORMATION."""
    entries = chain(data, _Get.SIZE, "SID", align=4)
    return [bytes(span(entry, _Get.SIZE, _Get.unpack_from(entry).sid_length, "SID")) for entry in entries]


class Quota(NamedTuple):
    """FILE_QUOTA_INFORMATION; bytes, -1 for no limit."""

    sid: bytes
    changed: int
    used: int
    threshold: int
    limit: int


def pack_quotas(quotas: Iterable[Quota]) -> bytes:
    return join_chain(_Entry(0, len(sid), *numbers).pack() + sid for sid, *numbers in quotas)


def unpack_quotas(data: memoryview) -> list[Quota]:
    quotas = []
    for entry in chain(data, _Entry.SIZE, "quota", align=8):
        head = _Entry.unpack_from(entry)
        sid = bytes(span(entry, _Entry.SIZE, head.sid_length, "SID"))
        quotas.append(Quota(sid, head.changed, head.used, head.threshold, head.limit))
    return quotas
