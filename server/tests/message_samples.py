"""One message of every kind and one payload of every structure, with no field left at its default.

The tests of `server/messages` read and write them, cut them at every byte, and break them.
"""

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, NamedTuple

from server.messages import create_contexts as context
from server.messages import fscc_ea, fscc_file, fscc_quota, fscc_set, fscc_volume, fsctl, negotiate, reparse
from server.messages.base import HEADER_SIZE, Body, Request, Response
from server.messages.create import CreateContext, CreateRequest, CreateResponse
from server.messages.directory import (
    Change,
    ChangeNotifyRequest,
    ChangeNotifyResponse,
    QueryDirectoryRequest,
    QueryDirectoryResponse,
    pack_changes,
    unpack_changes,
)
from server.messages.file import (
    CancelRequest,
    CloseRequest,
    CloseResponse,
    EchoRequest,
    EchoResponse,
    FlushRequest,
    FlushResponse,
    LockElement,
    LockRequest,
    LockResponse,
)
from server.messages.header import ErrorResponse
from server.messages.info import QueryInfoRequest, QueryInfoResponse, SetInfoRequest, SetInfoResponse
from server.messages.ioctl import Fsctl, IoctlRequest, IoctlResponse
from server.messages.negotiate import NegotiateContext, NegotiateRequest, NegotiateResponse
from server.messages.oplock import LeaseBreak, LeaseNotification, OplockBreak, OplockBreakRequest, OplockBreakResponse
from server.messages.read_write import Channel, ReadRequest, ReadResponse, WriteRequest, WriteResponse
from server.messages.session import LogoffRequest, LogoffResponse, SessionSetupRequest, SessionSetupResponse
from server.messages.tree import TreeConnectRequest, TreeConnectResponse, TreeDisconnectRequest, TreeDisconnectResponse
from server.store.base import Ea
from smbdirect.packets import BufferDescriptor

FILE_ID = bytes(range(1, 17))
GUID = bytes(range(100, 116))
KEY = bytes(range(50, 74))
CONTEXTS = [NegotiateContext(1, b"\x01\0\x03\0\x01\0abc"), NegotiateContext(0x7777, b"unknown")]
CREATE_CONTEXTS = [CreateContext(b"MxAc"), CreateContext(b"AlSi", bytes(8)), CreateContext(GUID, b"odd")]
DESCRIPTORS = [BufferDescriptor(1 << 40, 0xABCD, 65536), BufferDescriptor(4096, 0xEF, 7)]
SIDS = [bytes.fromhex("010100000000000512000000"), bytes.fromhex("01020000000000052000000020020000")]

REQUESTS: list[Request] = [
    NegotiateRequest([0x0202, 0x0311], 3, 0x7F, GUID, CONTEXTS),
    NegotiateRequest([0x0202, 0x0210, 0x0302], 1, 0x7F, GUID),
    SessionSetupRequest(1, 2, 3, 4, 5, b"token"),
    LogoffRequest(),
    TreeConnectRequest(0, r"\\server\share"),
    TreeConnectRequest(4, r"\\server\gr\xf6\xdfe"),
    TreeDisconnectRequest(),
    CreateRequest("dir\\na\u00efve \U0001f600.txt", 0x12019F, 3, 0x40, 5, 0x20, 9, 3, 1, CREATE_CONTEXTS),
    CreateRequest("unpaired \ud800", 1),
    CloseRequest(FILE_ID, 1),
    FlushRequest(FILE_ID),
    ReadRequest(FILE_ID, 1 << 33, 65536, 1, 1, 80),
    ReadRequest(FILE_ID, 4096, 65543, 0, 1, 80, Channel.RDMA_V1_INVALIDATE, 65543, DESCRIPTORS),
    WriteRequest(FILE_ID, 1 << 33, b"payload", 0, 7, 1),
    WriteRequest(FILE_ID, 4096, b"", Channel.RDMA_V1, 65543, 0, DESCRIPTORS),
    LockRequest(FILE_ID, [LockElement(1, 2, 0x12), LockElement(1 << 63, 1, 4)], 5, 9),
    IoctlRequest(Fsctl.SRV_COPYCHUNK, FILE_ID, b"input", 1, 2, 1),
    CancelRequest(),
    EchoRequest(),
    QueryDirectoryRequest(FILE_ID, 37, "*.txt", 65536, 3, 4),
    ChangeNotifyRequest(FILE_ID, 0xFFF, 4096, 1),
    QueryInfoRequest(FILE_ID, 1, 15, 4096, 7, 2, b"names"),
    SetInfoRequest(FILE_ID, 3, 0, b"descriptor", 7),
    OplockBreakRequest(OplockBreak(oplock_level=1, file_id=FILE_ID)),
    OplockBreakRequest(LeaseBreak(flags=1, key=GUID, state=3)),
]
RESPONSES: list[Response] = [
    NegotiateResponse(3, 0x0311, GUID, 0x7F, 1 << 20, 2 << 20, 3 << 20, 1 << 57, 1 << 56, b"token", CONTEXTS),
    NegotiateResponse(3, 0x0302, GUID, 0x7F, 1 << 20, 2 << 20, 3 << 20, 1 << 57, 1 << 56, b"token"),
    SessionSetupResponse(4, b"token"),
    LogoffResponse(),
    TreeConnectResponse(2, 0x8000, 0x10, 0x1F01FF),
    TreeDisconnectResponse(),
    CreateResponse(FILE_ID, 2, 1, 1, 11, 12, 13, 14, 4096, 99, 0x20, CREATE_CONTEXTS),
    CreateResponse(FILE_ID),
    CloseResponse(1, 11, 12, 13, 14, 4096, 99, 0x20),
    FlushResponse(),
    ReadResponse(b"payload", 7, 1),
    ReadResponse(b"", 65543),
    WriteResponse(65543, 1),
    LockResponse(),
    IoctlResponse(Fsctl.SRV_COPYCHUNK, FILE_ID, b"output", 1),
    EchoResponse(),
    QueryDirectoryResponse(b"entries"),
    ChangeNotifyResponse(b"changes"),
    QueryInfoResponse(b"information"),
    SetInfoResponse(),
    OplockBreakResponse(OplockBreak(oplock_level=1, file_id=FILE_ID)),
    OplockBreakResponse(LeaseBreak(flags=1, key=GUID, state=3)),
    OplockBreakResponse(LeaseNotification(epoch=9, flags=1, key=GUID, current_state=7, new_state=3)),
    ErrorResponse(b"error data", 2),
    ErrorResponse(),
]


def packet(body: Body) -> bytes:
    """`body` behind a header of which its parser reads nothing."""
    return bytes(HEADER_SIZE) + b"".join(bytes(part) for part in body.parts())


class Payload(NamedTuple):
    """A value, its bytes, and how to read them."""

    value: Any
    packed: bytes
    parse: Callable[[Any], Any]


def _itself(value: Any) -> Payload:
    return Payload(value, value.pack(), type(value).parse)


PAYLOADS: dict[str, Payload] = {
    type(value).__name__: _itself(value)
    for value in (
        negotiate.PreauthIntegrity([1, 2], b"salt"),
        negotiate.EncryptionCapabilities([2, 4, 1]),
        negotiate.SigningCapabilities([2, 1, 0]),
        negotiate.CompressionCapabilities(0x10001, [1, 2, 3]),
        negotiate.RdmaTransformCapabilities([1, 2]),
        negotiate.TransportCapabilities(1),
        context.AllocationSize(1 << 40),
        context.MaximalAccessRequest(1 << 57),
        context.MaximalAccessResponse(0, 0x1F01FF),
        context.TimeWarp(1 << 57),
        context.DiskId(7, 8, GUID),
        context.Lease(GUID, 7, 2, FILE_ID, 3),
        context.DurableRequest(),
        context.DurableResponse(),
        context.DurableReconnect(FILE_ID),
        context.DurableRequestV2(60000, 2, 0, GUID),
        context.DurableResponseV2(60000, 2),
        context.DurableReconnectV2(FILE_ID, GUID, 2),
        context.AppInstanceId(app_instance_id=GUID),
        context.AppInstanceVersion(high=1, low=2),
        fscc_file.Basic(-1, -2, 0, 1 << 57, 0x20),
        fscc_file.Standard(8192, 5000, 2, 1, 1),
        fscc_file.Internal(99),
        fscc_file.EaSize(99),
        fscc_file.Access(0x1F01FF),
        fscc_file.Position(1 << 40),
        fscc_file.Mode(2),
        fscc_file.Alignment(511),
        fscc_file.All(
            fscc_file.Basic(1, 2, 3, 4, 0x20), fscc_file.Standard(8192, 5000), fscc_file.Internal(99),
            fscc_file.EaSize(4), fscc_file.Access(5), fscc_file.Position(6), fscc_file.Mode(7),
            fscc_file.Alignment(8), "\\name",
        ),
        fscc_file.Compression(99, 2, 3, 4, 5),
        fscc_file.NetworkOpen(1, 2, 3, 4, 8192, 5000, 0x20),
        fscc_file.AttributeTag(0x400, 0xA000000C),
        fscc_file.StandardLink(1, 2, 1, 1),
        fscc_file.IdInformation(7, GUID),
        fscc_file.CaseSensitive(1),
        fscc_file.RemoteProtocol(major=3, minor=1, revision=1),
        fscc_file.Pipe(1, 1),
        fscc_file.PipeLocal(*range(10)),
        fscc_file.PipeRemote(1, 2),
        fscc_set.Disposition(1),
        fscc_set.DispositionEx(3),
        fscc_set.Allocation(1 << 40),
        fscc_set.EndOfFile(-1),
        fscc_set.ValidDataLength(1 << 40),
        fscc_set.Rename("new\\name", 1, 0),
        fscc_volume.Volume(1 << 57, 0xABCD, "label", True),
        fscc_volume.Size(100, 50, 8, 512),
        fscc_volume.FullSize(100, 40, 50, 8, 512),
        fscc_volume.Device(7, 0x20),
        fscc_volume.Attribute(0xC700FF, 255, "NTFS"),
        fscc_volume.Control(1, 2, 3, 4, 5, 6),
        fscc_volume.VolumeObjectId(GUID),
        fscc_volume.SectorSize(512, 4096, 4096, 4096),
        fscc_volume.DriverPath("driver", True),
        fscc_quota.QuotaQuestion(SIDS, b"", True, True),
        fsctl.ValidateNegotiateRequest(0x7F, GUID, 1, [0x202, 0x311]),
        fsctl.ValidateNegotiateResponse(0x7F, GUID, 1, 0x302),
        fsctl.CopyChunkRequest(KEY, [fsctl.CopyChunk(1, 2, 3), fsctl.CopyChunk(4, 5, 6)]),
        fsctl.CopyChunkResponse(1, 2, 3),
        fsctl.ResumeKey(KEY),
        fsctl.ZeroData(1, 1 << 40),
        fsctl.Range(1, 1 << 40),
        fsctl.DuplicateExtents(FILE_ID, 1, 2, 3),
        fsctl.DuplicateExtentsEx(48, FILE_ID, 1, 2, 3, 1),
        fsctl.TrimResponse(3),
        fsctl.RegionQuestion(1, 2, 3),
        fsctl.Region(1, 2, 3),
        fsctl.ResiliencyRequest(60000),
        fsctl.PipeWait("srvsvc", 10_000_000),
        fsctl.PipePeek(3, 1, 1, 99),
        fsctl.ObjectId(GUID, FILE_ID, GUID, FILE_ID),
        reparse.ReparseBuffer(reparse.ReparseTag.NFS, b"LNK\0"),
        reparse.SymbolicLinkError("..\\there", "..\\there", True, 10),
    )
}  # fmt: skip

NAMES = [b"FIRST", b"second-name", b"x"]
EAS = [Ea(b"FIRST", b"value"), Ea(b"SECOND", bytes(1000), 0x80), Ea(b"x", b"")]
QUOTAS = [fscc_quota.Quota(SIDS[0], 1, 2, -1, 4), fscc_quota.Quota(SIDS[1], 5, 6, 7, -1)]
STREAMS = [fscc_file.StreamEntry("::$DATA", 5000, 8192), fscc_file.StreamEntry(":a stream:$DATA", 7, 4096)]
LINKS = [fscc_file.HardLink(99, "one"), fscc_file.HardLink(1 << 40, "another")]
INTERFACES = [
    fsctl.NetworkInterface(2, 1, 10_000_000_000, ip_address("192.0.2.7")),
    fsctl.NetworkInterface(3, 3, 100_000_000_000, ip_address("2001:db8::7")),
]
CHANGES = [Change(1, "added"), Change(4, "old\\name"), Change(5, "new")]
TRIM = [(4096, 8192), (1 << 40, 1)]
SNAPSHOTS = ["@GMT-2026.01.02-03.04.05", "@GMT-2025.01.02-03.04.05"]
REDIRECTS = [reparse.ErrorContext(b"first"), reparse.ErrorContext(b"12345678", 0x72645253)]

LISTS: dict[str, Payload] = {
    "eas": Payload(EAS, fscc_ea.pack_eas(EAS), fscc_ea.unpack_eas),
    "ea names": Payload(NAMES, fscc_ea.pack_ea_names(NAMES), fscc_ea.unpack_ea_names),
    "quotas": Payload(QUOTAS, fscc_quota.pack_quotas(QUOTAS), fscc_quota.unpack_quotas),
    "streams": Payload(STREAMS, fscc_file.pack_streams(STREAMS), fscc_file.unpack_streams),
    "links": Payload(LINKS, fscc_file.pack_links(LINKS), fscc_file.unpack_links),
    "name": Payload("na\u00efve", fscc_file.pack_name("na\u00efve"), fscc_file.unpack_name),
    "interfaces": Payload(INTERFACES, fsctl.pack_interfaces(INTERFACES), fsctl.unpack_interfaces),
    "changes": Payload(CHANGES, pack_changes(CHANGES), unpack_changes),
    "trim": Payload(TRIM, fsctl.pack_trim(TRIM), fsctl.parse_trim),
    "snapshots": Payload(SNAPSHOTS, fsctl.pack_snapshots(SNAPSHOTS, 4096), fsctl.unpack_snapshots),
    "error contexts": Payload(
        REDIRECTS,
        reparse.pack_error_contexts(REDIRECTS),
        lambda data: reparse.unpack_error_contexts(bytes(data), len(REDIRECTS)),
    ),
}
