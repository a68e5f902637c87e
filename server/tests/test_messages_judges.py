"""Messages that two independent libraries build are read by ours, and what ours pack is read by them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from impacket import smb3structs as impacket
from smbprotocol import change_notify, connection, create_contexts, file_info, ioctl, open, reparse_point, session, tree

from server.messages import create_contexts as contexts
from server.messages import entries, fscc_ea, fscc_file, fscc_set, fscc_volume, fsctl, negotiate, reparse
from server.messages.base import HEADER_SIZE, Body
from server.messages.create import CreateContext, CreateRequest, unpack_contexts
from server.messages.directory import ChangeNotifyRequest, QueryDirectoryRequest, pack_changes
from server.messages.file import CloseRequest, FlushRequest, LockElement, LockRequest
from server.messages.header import Flags, Header
from server.messages.info import QueryInfoRequest, SetInfoRequest
from server.messages.ioctl import Fsctl, IoctlRequest
from server.messages.negotiate import NegotiateContext, NegotiateRequest
from server.messages.read_write import ReadRequest, WriteRequest
from server.messages.session import SessionSetupRequest
from server.messages.transform import TransformHeader
from server.messages.tree import TreeConnectRequest
from server.store.base import Ea
from smbdirect.wire import utf16

from . import message_samples as samples
from .test_messages_entries import STAT

FILE_ID, GUID = samples.FILE_ID, samples.GUID
THEIR_GUID = UUID(bytes=GUID)
TIME = 133_000_000_000_000_000
WHEN = datetime(2022, 6, 18, 4, 26, 40, tzinfo=UTC)


def fill(structure: Any, **fields: Any) -> Any:
    """An smbprotocol structure with these fields."""
    for name, value in fields.items():
        structure[name] = value
    return structure


def theirs(structure: Any, data: bytes) -> Callable[[str], Any]:
    """How to get at the fields of `data`, as smbprotocol reads it."""
    structure.unpack(data)
    return lambda name: structure[name].get_value()


def body(message: Body) -> bytes:
    return samples.packet(message)[HEADER_SIZE:]


BUILT: list[tuple[Any, Body]] = [
    (
        fill(connection.SMB2NegotiateRequest(), dialects=[0x202, 0x302], security_mode=1, client_guid=THEIR_GUID),
        NegotiateRequest([0x202, 0x302], 1, 0, GUID),
    ),
    (
        fill(session.SMB2SessionSetupRequest(), security_mode=1, previous_session_id=5, buffer=b"token"),
        SessionSetupRequest(0, 1, 0, 0, 5, b"token"),
    ),
    (fill(tree.SMB2TreeConnectRequest(), buffer=utf16(r"\\s\share")), TreeConnectRequest(0, r"\\s\share")),
    (
        fill(
            open.SMB2CreateRequest(), impersonation_level=2, desired_access=0x12019F, file_attributes=0x20,
            share_access=3, create_disposition=3, create_options=0x40, buffer_path=utf16("a\\file"),
            buffer_contexts=create_contexts.SMB2CreateContextRequest.pack_multiple([
                fill(create_contexts.SMB2CreateContextRequest(), buffer_name=b"MxAc"),
                fill(create_contexts.SMB2CreateContextRequest(), buffer_name=b"AlSi", buffer_data=bytes(8)),
            ]),
        ),
        CreateRequest("a\\file", 0x12019F, 3, 0x40, 3, 0x20, 0, 2, 0,
                      [CreateContext(b"MxAc"), CreateContext(b"AlSi", bytes(8))]),
    ),
    (fill(open.SMB2CloseRequest(), file_id=FILE_ID, flags=1), CloseRequest(FILE_ID, 1)),
    (fill(open.SMB2FlushRequest(), file_id=FILE_ID), FlushRequest(FILE_ID)),
    (
        fill(open.SMB2ReadRequest(), file_id=FILE_ID, length=4096, offset=1 << 33, minimum_count=1, padding=b"\x50"),
        ReadRequest(FILE_ID, 1 << 33, 4096, 1, 0, 80),
    ),
    (
        fill(open.SMB2WriteRequest(), file_id=FILE_ID, offset=1 << 33, buffer=b"payload"),
        WriteRequest(FILE_ID, 1 << 33, b"payload"),
    ),
    (
        fill(
            open.SMB2LockRequest(), file_id=FILE_ID, lock_sequence=0x95,
            locks=[fill(open.SMB2LockElement(), offset=1, length=2, flags=0x12)],
        ),
        LockRequest(FILE_ID, [LockElement(1, 2, 0x12)], 5, 9),
    ),
    (
        fill(
            open.SMB2QueryDirectoryRequest(), file_information_class=37, flags=1, file_id=FILE_ID,
            output_buffer_length=65536, buffer=utf16("*"),
        ),
        QueryDirectoryRequest(FILE_ID, 37, "*", 65536, 1),
    ),
    (
        fill(
            change_notify.SMB2ChangeNotifyRequest(), flags=1, output_buffer_length=4096, file_id=FILE_ID,
            completion_filter=3,
        ),
        ChangeNotifyRequest(FILE_ID, 3, 4096, 1),
    ),
    (
        fill(
            open.SMB2QueryInfoRequest(), info_type=1, file_info_class=18, output_buffer_length=4096, file_id=FILE_ID,
            additional_information=7, buffer=b"input",
        ),
        QueryInfoRequest(FILE_ID, 1, 18, 4096, 7, 0, b"input"),
    ),
    (
        fill(open.SMB2SetInfoRequest(), info_type=1, file_info_class=13, file_id=FILE_ID, buffer=b"\x01"),
        SetInfoRequest(FILE_ID, 1, 13, b"\x01"),
    ),
    (
        fill(
            ioctl.SMB2IOCTLRequest(), ctl_code=Fsctl.SRV_COPYCHUNK, file_id=FILE_ID, max_output_response=12, flags=1,
            buffer=b"input",
        ),
        IoctlRequest(Fsctl.SRV_COPYCHUNK, FILE_ID, b"input", 0, 12, 1),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("built", "expected"), BUILT, ids=lambda value: type(value).__name__)
def test_a_request_of_smbprotocol_reads_as_it_was_meant(built: Any, expected: Body) -> None:
    assert type(expected).parse(memoryview(bytes(HEADER_SIZE) + built.pack())) == expected


@pytest.mark.parametrize(("built", "expected"), BUILT, ids=lambda value: type(value).__name__)
def test_smbprotocol_reads_our_requests_as_its_own(built: Any, expected: Body) -> None:
    mine = type(built)()
    mine.unpack(body(expected))
    assert mine.pack() == body(expected)
    skipped = {"padding", "structure_size"}
    for name in mine.fields.keys() - skipped:
        if isinstance(mine[name].get_value(), int | bytes) and not name.endswith("offset"):
            assert mine[name].get_value() == built[name].get_value(), name


def test_smbprotocol_negotiates_3_1_1_with_contexts() -> None:
    cipher = fill(connection.SMB2EncryptionCapabilities(), ciphers=[2, 1])
    hashes = fill(connection.SMB2PreauthIntegrityCapabilities(), hash_algorithms=[1], salt=bytes(32))
    signing = fill(connection.SMB2SigningCapabilities(), signing_algorithms=[2, 1, 0])
    wrap = connection.SMB2NegotiateContextRequest
    request = fill(
        connection.SMB3NegotiateRequest(), dialects=[0x300, 0x311], security_mode=1, capabilities=0x7F,
        client_guid=THEIR_GUID,
        negotiate_context_list=[
            fill(wrap(), context_type=1, data=hashes), fill(wrap(), context_type=2, data=cipher),
            fill(wrap(), context_type=8, data=signing),
        ],
    )  # fmt: skip
    parsed = NegotiateRequest.parse(memoryview(bytes(HEADER_SIZE) + request.pack()))
    assert (parsed.dialects, parsed.capabilities, parsed.client_guid) == ([0x300, 0x311], 0x7F, GUID)
    assert [context.type for context in parsed.contexts] == [1, 2, 8]
    assert negotiate.PreauthIntegrity.parse(parsed.contexts[0].data) == negotiate.PreauthIntegrity([1], bytes(32))
    assert negotiate.EncryptionCapabilities.parse(parsed.contexts[1].data).ciphers == [2, 1]
    assert negotiate.SigningCapabilities.parse(parsed.contexts[2].data).algorithms == [2, 1, 0]


def test_smbprotocol_reads_our_negotiate_response() -> None:
    listed = [
        NegotiateContext(1, negotiate.PreauthIntegrity([1], bytes(32)).pack()),
        NegotiateContext(2, negotiate.EncryptionCapabilities([2]).pack()),
        NegotiateContext(8, negotiate.SigningCapabilities([2]).pack()),
    ]
    ours = negotiate.NegotiateResponse(3, 0x311, GUID, 0x7F, 1, 2, 3, TIME, TIME, b"token", listed)
    response = connection.SMB2NegotiateResponse()
    get = theirs(response, body(ours))
    assert (get("dialect_revision"), get("buffer"), get("max_write_size")) == (0x311, b"token", 3)
    assert get("system_time") == WHEN.replace(tzinfo=None) or get("system_time") == WHEN
    found = get("negotiate_context_list")
    assert [context["context_type"].get_value() for context in found] == [1, 2, 8]
    assert found[2]["data"]["signing_algorithms"].get_value() == [2]


def test_smbprotocol_reads_our_responses() -> None:
    create = theirs(open.SMB2CreateResponse(), body(samples.RESPONSES[6]))
    assert (create("create_action"), create("end_of_file"), create("file_id")) == (2, 99, FILE_ID)
    assert [context["buffer_name"].get_value() for context in create("buffer")] == [b"MxAc", b"AlSi", GUID]
    close = theirs(open.SMB2CloseResponse(), body(samples.RESPONSES[8]))
    assert (close("allocation_size"), close("end_of_file"), close("file_attributes")) == (4096, 99, 0x20)
    read = theirs(open.SMB2ReadResponse(), body(samples.RESPONSES[10]))
    assert (read("data_length"), read("buffer")) == (7, b"payload")
    write = theirs(open.SMB2WriteResponse(), body(samples.RESPONSES[12]))
    assert (write("count"), write("remaining")) == (65543, 1)
    setup = theirs(session.SMB2SessionSetupResponse(), body(samples.RESPONSES[2]))
    assert (setup("session_flags"), setup("buffer")) == (4, b"token")
    connect = theirs(tree.SMB2TreeConnectResponse(), body(samples.RESPONSES[4]))
    assert (connect("share_type"), connect("maximal_access")) == (2, 0x1F01FF)
    control = theirs(ioctl.SMB2IOCTLResponse(), body(samples.RESPONSES[14]))
    assert (control("ctl_code"), control("buffer")) == (Fsctl.SRV_COPYCHUNK, b"output")
    info = theirs(open.SMB2QueryInfoResponse(), body(samples.RESPONSES[18]))
    assert info("buffer") == b"information"


ENTRIES = {
    entries.DirectoryClass.DIRECTORY: file_info.FileDirectoryInformation,
    entries.DirectoryClass.FULL: file_info.FileFullDirectoryInformation,
    entries.DirectoryClass.BOTH: file_info.FileBothDirectoryInformation,
    entries.DirectoryClass.ID_FULL: file_info.FileIdFullDirectoryInformation,
    entries.DirectoryClass.ID_BOTH: file_info.FileIdBothDirectoryInformation,
}


@pytest.mark.parametrize("kind", ENTRIES)
def test_smbprotocol_reads_our_directory_entries(kind: int) -> None:
    structure = ENTRIES[kind]()
    get = theirs(structure, entries.pack_entry(kind, "b.txt", STAT, 7, "SHORT~1"))
    assert (get("file_name"), get("end_of_file"), get("allocation_size")) == (utf16("b.txt"), 5000, 8192)
    assert (get("file_attributes"), get("file_index")) == (0x20, 7)
    expected = {"ea_size": 44, "short_name": utf16("SHORT~1"), "file_id": STAT.inode}
    for name in expected.keys() & structure.fields.keys():
        assert get(name) == expected[name]


def test_smbprotocol_reads_our_information() -> None:
    every = fscc_file.All(
        fscc_file.Basic(TIME, TIME, TIME, TIME, 0x20), fscc_file.Standard(8192, 5000, 2, 1), fscc_file.Internal(99),
        fscc_file.EaSize(4), fscc_file.Access(5), fscc_file.Position(6), fscc_file.Mode(2), fscc_file.Alignment(0),
        "\\name",
    )  # fmt: skip
    get = theirs(file_info.FileAllInformation(), every.pack())
    assert get("standard_information")["end_of_file"].get_value() == 5000
    assert get("internal_information")["index_number"].get_value() == 99
    assert get("access_information")["access_flags"].get_value() == 5
    assert get("position_information")["current_byte_offset"].get_value() == 6
    assert get("name_information")["file_name"].get_value() == "\\name"
    size = theirs(file_info.FileFsFullSizeInformation(), fscc_volume.FullSize(100, 40, 50, 8, 512).pack())
    assert (size("caller_available_units"), size("actual_available_units")) == (40, 50)
    volume = theirs(file_info.FileFsVolumeInformation(), fscc_volume.Volume(TIME, 0xABCD, "label").pack())
    assert (volume("volume_serial_number"), volume("volume_label")) == (0xABCD, "label")
    stream = theirs(file_info.FileStreamInformation(), fscc_file.pack_streams(samples.STREAMS[:1]))
    assert (stream("stream_name"), stream("stream_size")) == ("::$DATA", 5000)
    change = theirs(change_notify.FileNotifyInformation(), pack_changes(samples.CHANGES[:1]))
    assert (change("action"), change("file_name")) == (1, "added")


def test_we_read_the_information_smbprotocol_sets() -> None:
    rename = fill(file_info.FileRenameInformation(), replace_if_exists=True, file_name=utf16("new\\name"))
    assert fscc_set.Rename.parse(rename.pack()) == fscc_set.Rename("new\\name", 1)
    link = fill(file_info.FileLinkInformation(), replace_if_exists=False, file_name=utf16("new\\name"))
    assert fscc_set.Rename.parse(link.pack()) == fscc_set.Rename("new\\name", 0)
    eas = [
        fill(create_contexts.SMB2CreateEABuffer(), ea_name=b"FIRST\0", ea_value=b"value"),
        fill(create_contexts.SMB2CreateEABuffer(), flags=0x80, ea_name=b"x\0", ea_value=b""),
    ]
    packed = create_contexts.SMB2CreateEABuffer.pack_multiple(eas)
    assert fscc_ea.unpack_eas(memoryview(packed)) == [Ea(b"FIRST", b"value"), Ea(b"x", b"", 0x80)]
    assert fscc_ea.pack_eas([Ea(b"FIRST", b"value"), Ea(b"x", b"", 0x80)]) == packed


def test_create_contexts_of_smbprotocol_hold_what_was_meant() -> None:
    lease = fill(create_contexts.SMB2CreateRequestLease(), lease_key=GUID, lease_state=7)
    assert contexts.Lease.parse(lease.pack()) == contexts.Lease(GUID, 7)
    durable = fill(create_contexts.SMB2CreateDurableHandleRequestV2(), timeout=60000, create_guid=THEIR_GUID)
    assert contexts.DurableRequestV2.parse(durable.pack()) == contexts.DurableRequestV2(60000, 0, 0, GUID)
    app = fill(create_contexts.SMB2CreateAppInstanceId(), app_instance_id=GUID)
    assert contexts.AppInstanceId.parse(app.pack()) == contexts.AppInstanceId(app_instance_id=GUID)
    access = create_contexts.SMB2CreateQueryMaximalAccessResponse()
    get = theirs(access, contexts.MaximalAccessResponse(0, 0x1F01FF).pack())
    assert get("maximal_access") == 0x1F01FF
    disk = theirs(create_contexts.SMB2CreateQueryOnDiskIDResponse(), contexts.DiskId(7, 8).pack())
    assert (disk("disk_file_id"), disk("volume_id")) == (7, 8)


def test_control_structures_of_smbprotocol_and_ours_agree() -> None:
    chunk = fill(ioctl.SMB2SrvCopyChunk(), source_offset=1, target_offset=2, length=3)
    copy = fill(ioctl.SMB2SrvCopyChunkCopy(), source_key=samples.KEY, chunks=[chunk])
    assert fsctl.CopyChunkRequest.parse(copy.pack()) == fsctl.CopyChunkRequest(samples.KEY, [fsctl.CopyChunk(1, 2, 3)])
    validate = fill(
        ioctl.SMB2ValidateNegotiateInfoRequest(), capabilities=0x7F, guid=THEIR_GUID, security_mode=1,
        dialects=[0x202, 0x302],
    )  # fmt: skip
    ours = fsctl.ValidateNegotiateRequest(0x7F, GUID, 1, [0x202, 0x302])
    assert fsctl.ValidateNegotiateRequest.parse(validate.pack()) == ours
    assert ours.pack() == validate.pack()
    packed = fsctl.pack_interfaces(samples.INTERFACES)
    interfaces = ioctl.SMB2NetworkInterfaceInfo.unpack_multiple(packed)
    assert [each["link_speed"].get_value() for each in interfaces] == [each.link_speed for each in samples.INTERFACES]
    addresses = [each["sock_addr_storage"].get_value()["buffer"].get_value() for each in interfaces]
    assert addresses[0].get_ipaddress() == "192.0.2.7"
    assert addresses[1].get_ipaddress() == "2001:0db8:0000:0000:0000:0000:0000:0007"
    key = theirs(ioctl.SMB2SrvRequestResumeKey(), fsctl.ResumeKey(samples.KEY).pack())
    assert key("resume_key") == samples.KEY


def test_a_symbolic_link_of_smbprotocol_reads_as_ours() -> None:
    link = reparse_point.SymbolicLinkReparseDataBuffer()
    link["flags"] = 1
    link.set_name("..\\there", "..\\shown")
    buffer = reparse_point.ReparseDataBuffer()
    buffer["reparse_tag"] = reparse.ReparseTag.SYMLINK
    buffer["data_buffer"] = link
    read = reparse.ReparseBuffer.parse(buffer.pack())
    assert reparse.SymbolicLink.parse(read.data) == reparse.SymbolicLink("..\\there", "..\\shown", True)
    ours = theirs(reparse_point.ReparseDataBuffer(), reparse.SymbolicLink("a", "b", True).pack())
    link.unpack(ours("data_buffer"))
    assert (link.get_substitute_name(), link.get_print_name(), link["flags"].get_value()) == ("a", "b", 1)


def test_impacket_reads_our_header() -> None:
    header = Header(credit_charge=3, status=0xC0000022, command=5, credits=7, flags=Flags.RESPONSE, message_id=9,
                    async_or_ids=11 << 32 | 0xFEFF, session_id=13, signature=GUID)  # fmt: skip
    packet = impacket.SMB2Packet(header.pack())
    assert (packet["CreditCharge"], packet["Status"], packet["Command"]) == (3, 0xC0000022, 5)
    assert (packet["MessageID"], packet["TreeID"], packet["SessionID"]) == (9, 11, 13)
    assert packet["Signature"] == GUID
    sealed = impacket.SMB2_TRANSFORM_HEADER(
        TransformHeader(signature=GUID, nonce=FILE_ID, original_message_size=99, session_id=5).pack()
    )
    assert (sealed["OriginalMessageSize"], sealed["SessionID"], sealed["Nonce"]) == (99, 5, FILE_ID)


def test_impacket_reads_our_messages() -> None:
    create = impacket.SMB2Create(body(samples.REQUESTS[7]))
    assert (create["DesiredAccess"], create["CreateDisposition"], create["NameLength"]) == (0x12019F, 3, 32)
    listed = create["CreateContextsOffset"] - HEADER_SIZE
    raw = body(samples.REQUESTS[7])[listed : listed + create["CreateContextsLength"]]
    assert unpack_contexts(memoryview(raw)) == samples.CREATE_CONTEXTS
    lock = impacket.SMB2Lock(body(samples.REQUESTS[15]))
    assert (lock["LockCount"], lock["LockSequence"]) == (2, 0x95)
    notification = impacket.SMB2LeaseBreakNotification(body(samples.RESPONSES[22]))
    assert (notification["LeaseKey"], notification["NewLeaseState"]) == (GUID, 3)
    negotiated = impacket.SMB2Negotiate_Response(body(samples.RESPONSES[0]))
    assert (negotiated["DialectRevision"], negotiated["Buffer"]) == (0x311, b"token")
    assert negotiated["NegotiateContextOffset"] % 8 == 0
    link = impacket.SMB2ErrorSymbolicLink(reparse.SymbolicLinkError("a", "bc", True, 10).pack())
    assert (link["UnparsedPathLength"], link["SubstituteNameLength"], link["PrintNameLength"]) == (10, 2, 4)
    assert link["PathBuffer"] == utf16("abc")


def test_we_read_what_impacket_builds() -> None:
    request = impacket.SMB2Ioctl()
    request["CtlCode"] = Fsctl.PIPE_TRANSCEIVE
    request["FileID"] = impacket.SMB2_FILEID(FILE_ID)
    request["MaxOutputResponse"] = 4096
    request["InputCount"] = 5
    request["Buffer"] = b"input"
    request["Flags"] = 1
    parsed = IoctlRequest.parse(memoryview(bytes(HEADER_SIZE) + request.getData()))
    assert parsed == IoctlRequest(Fsctl.PIPE_TRANSCEIVE, FILE_ID, b"input", 0, 4096, 1)
    query = impacket.SMB2QueryInfo()
    query["InfoType"], query["FileInfoClass"], query["OutputBufferLength"] = 3, 0, 65536
    query["AdditionalInformation"], query["FileID"], query["Buffer"] = 7, impacket.SMB2_FILEID(FILE_ID), b"\0"
    parsed_query = QueryInfoRequest.parse(memoryview(bytes(HEADER_SIZE) + query.getData()))
    assert parsed_query == QueryInfoRequest(FILE_ID, 3, 0, 65536, 7)
