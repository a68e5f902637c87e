"""What rides in the messages: contexts, information classes and control-code structures, both ways and cut."""

import pytest

from server.messages import create_contexts, fscc_file, fscc_set, fsctl, negotiate, reparse
from server.messages.create import CreateContext, find, pack_contexts, unpack_contexts
from smbdirect.wire import Malformed

from . import message_samples as samples

ALL = samples.PAYLOADS | samples.LISTS
WHOLE = [pytest.param(payload, id=name) for name, payload in ALL.items()]
SHORTER_IS_VALID = {"MaximalAccessRequest", "Lease", "Rename", "snapshots"}
"""Those that may end earlier, or end in filler; each has a test of its own below."""
CUT = [pytest.param(payload, id=name) for name, payload in ALL.items() if name not in SHORTER_IS_VALID]


@pytest.mark.parametrize("payload", WHOLE)
def test_what_is_packed_parses_to_the_same(payload: samples.Payload) -> None:
    assert payload.parse(memoryview(payload.packed)) == payload.value


@pytest.mark.parametrize("payload", CUT)
def test_cut_anywhere_it_is_malformed(payload: samples.Payload) -> None:
    for end in range(1, len(payload.packed)):
        with pytest.raises(Malformed):
            payload.parse(memoryview(payload.packed)[:end])


@pytest.mark.parametrize("kind", ["eas", "ea names", "quotas", "streams", "interfaces", "changes"])
def test_an_empty_list_is_no_bytes(kind: str) -> None:
    assert samples.LISTS[kind].parse(memoryview(b"")) == []


def test_maximal_access_may_come_without_a_timestamp() -> None:
    assert create_contexts.MaximalAccessRequest.parse(b"") == create_contexts.MaximalAccessRequest()
    assert create_contexts.MaximalAccessRequest().pack() == b""
    with pytest.raises(Malformed):
        create_contexts.MaximalAccessRequest.parse(bytes(7))


def test_a_lease_of_32_bytes_is_version_1() -> None:
    lease = create_contexts.Lease(samples.GUID, 7, 2)
    assert len(lease.pack()) == 32
    assert create_contexts.Lease.parse(lease.pack()) == lease
    assert len(samples.PAYLOADS["Lease"].packed) == 52
    for size in (0, 31, 33, 51, 53):
        with pytest.raises(Malformed):
            create_contexts.Lease.parse(bytes(size))


def test_a_rename_ends_in_filler_up_to_24_bytes() -> None:
    short = fscc_set.Rename("n", 1)
    assert len(short.pack()) == 24
    assert fscc_set.Rename.parse(short.pack()[:22]) == short
    for end in range(22):
        with pytest.raises(Malformed):
            fscc_set.Rename.parse(short.pack()[:end])


def test_only_the_first_byte_of_a_plain_rename_says_replace() -> None:
    packed = fscc_set.Rename("name", 0xFFFFFF43).pack()
    assert fscc_set.Rename.parse(packed).flags == fscc_set.RenameFlags.REPLACE_IF_EXISTS
    assert fscc_set.Rename.parse(packed, extended=True).flags == 0xFFFFFF43
    assert not fscc_set.Rename.parse(fscc_set.Rename("name", 0xFFFFFF00).pack()).replace


def test_app_instance_contexts_check_their_inner_size() -> None:
    for name in ("AppInstanceId", "AppInstanceVersion"):
        payload = samples.PAYLOADS[name]
        with pytest.raises(Malformed, match="StructureSize"):
            payload.parse(b"\x07" + payload.packed[1:])


def test_create_contexts_survive_with_names_of_any_length() -> None:
    packed = pack_contexts(samples.CREATE_CONTEXTS)
    assert unpack_contexts(memoryview(packed)) == samples.CREATE_CONTEXTS


def test_a_create_context_that_reaches_into_the_next_is_malformed() -> None:
    packed = bytearray(pack_contexts([CreateContext(b"AlSi", bytes(8)), CreateContext(b"MxAc")]))
    packed[12] = 200  # DataLength
    with pytest.raises(Malformed, match="data"):
        unpack_contexts(memoryview(packed))


def test_a_second_context_of_a_name_or_type_is_malformed() -> None:
    twice = [CreateContext(b"MxAc"), CreateContext(b"QFid"), CreateContext(b"MxAc")]
    assert find(twice, b"QFid") == CreateContext(b"QFid")
    assert find(twice, b"AlSi") is None
    with pytest.raises(Malformed, match="MxAc"):
        find(twice, b"MxAc")
    contexts = [negotiate.NegotiateContext(1, b"a"), negotiate.NegotiateContext(1, b"b")]
    with pytest.raises(Malformed, match="2 negotiate contexts"):
        negotiate.only(contexts, 1)
    assert negotiate.only(contexts, 2) is None
    assert negotiate.only(contexts[1:], 1) == b"b"


def test_an_ea_name_needs_its_nul() -> None:
    packed = bytearray(samples.LISTS["eas"].packed)
    packed[8 + 5] = 1
    with pytest.raises(Malformed, match="NUL"):
        samples.LISTS["eas"].parse(memoryview(packed))


def test_a_network_interface_takes_152_bytes_and_other_families_are_skipped() -> None:
    packed = bytearray(fsctl.pack_interfaces(samples.INTERFACES))
    assert len(packed) == 2 * 152
    packed[24] = 99
    assert fsctl.unpack_interfaces(memoryview(packed)) == samples.INTERFACES[1:]


def test_snapshots_that_do_not_fit_are_counted_only() -> None:
    short = fsctl.pack_snapshots(samples.SNAPSHOTS, 64)
    assert (len(short), short[:12]) == (16, bytes([2, 0, 0, 0, 0, 0, 0, 0, 102, 0, 0, 0]))
    assert fsctl.unpack_snapshots(short) == []
    assert len(fsctl.pack_snapshots([], 16)) == 16


def test_set_sparse_without_a_buffer_sets_it() -> None:
    assert [fsctl.parse_set_sparse(data) for data in (b"", b"\x01", b"\0")] == [True, True, False]


def test_a_pipe_wait_may_leave_the_time_to_the_pipe() -> None:
    assert fsctl.PipeWait.parse(fsctl.PipeWait("x").pack()) == fsctl.PipeWait("x", None)


def test_ranges_come_whole() -> None:
    ranges = [fsctl.Range(0, 4096), fsctl.Range(1 << 40, 1)]
    packed = b"".join(each.pack() for each in ranges)
    assert fsctl.unpack_ranges(memoryview(packed)) == ranges
    with pytest.raises(Malformed, match="whole ranges"):
        fsctl.unpack_ranges(memoryview(packed)[:-1])


def test_regions_tell_how_many_there_are() -> None:
    region = fsctl.Region(0, 4096, fsctl.REGION_VALID_CACHED_DATA)
    packed = fsctl.pack_regions([region], 5)
    assert packed[:16] == bytes([0] * 4 + [5, 0, 0, 0, 1] + [0] * 7)
    assert fsctl.Region.parse(packed[16:]) == region


@pytest.mark.parametrize("kind", [reparse.SymbolicLink("\\??\\C:\\x", "C:\\x", False), reparse.MountPoint("a", "bc")])
def test_links_lie_in_a_reparse_buffer(kind: reparse.SymbolicLink | reparse.MountPoint) -> None:
    buffer = reparse.ReparseBuffer.parse(kind.pack())
    assert type(kind).parse(buffer.data) == kind
    for end in range(len(buffer.data)):
        with pytest.raises(Malformed):
            type(kind).parse(buffer.data[:end])


def test_a_reparse_tag_that_is_not_microsofts_has_a_guid() -> None:
    buffer = reparse.ReparseBuffer(0x00000042, b"data", samples.GUID)
    assert reparse.ReparseBuffer.parse(buffer.pack()) == buffer
    with pytest.raises(Malformed):
        reparse.ReparseBuffer.parse(buffer.pack() + b"x")


def test_a_symbolic_link_error_is_judged_by_its_tags() -> None:
    packed = samples.PAYLOADS["SymbolicLinkError"].packed
    for at in (4, 8):
        with pytest.raises(Malformed, match="no symbolic link"):
            reparse.SymbolicLinkError.parse(packed[:at] + b"?" + packed[at + 1 :])


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        (fscc_file.Basic, 40), (fscc_file.Standard, 24), (fscc_file.NetworkOpen, 56), (fscc_file.Compression, 16),
        (fscc_file.RemoteProtocol, 116), (fscc_file.IdInformation, 24), (fscc_file.StandardLink, 12),
        (fscc_file.PipeLocal, 40), (create_contexts.DiskId, 32), (create_contexts.DurableReconnectV2, 36),
    ],
)  # fmt: skip
def test_sizes_are_the_specifications(kind: type[fscc_file.Information], size: int) -> None:
    assert size == kind.SIZE


def test_an_smb1_negotiate_names_its_dialects() -> None:
    names = b"\x02NT LM 0.12\0\x02SMB 2.002\0\x02SMB 2.???\0"
    packet = b"\xffSMB\x72" + bytes(28) + len(names).to_bytes(2, "little") + names
    assert negotiate.smb1_dialects(memoryview(packet)) == ["NT LM 0.12", "SMB 2.002", "SMB 2.???"]
    for end in range(len(packet)):
        with pytest.raises(Malformed):
            negotiate.smb1_dialects(memoryview(packet)[:end])


@pytest.mark.parametrize(
    ("at", "value"), [(0, 0xFE), (4, 0x73), (32, 1), (35, 1), (-1, 1)], ids=["id", "command", "words", "format", "end"]
)
def test_another_smb1_message_is_malformed(at: int, value: int) -> None:
    names = b"\x02SMB 2.???\0"
    packet = bytearray(b"\xffSMB\x72" + bytes(28) + len(names).to_bytes(2, "little") + names)
    packet[at] = value
    with pytest.raises(Malformed):
        negotiate.smb1_dialects(memoryview(packet))


def test_a_netname_is_all_of_its_context() -> None:
    assert negotiate.NetName.parse(negotiate.NetName("server").pack()) == negotiate.NetName("server")
    with pytest.raises(Malformed):
        negotiate.NetName.parse(b"odd")


def test_contexts_are_read_from_a_3_1_1_negotiate_only() -> None:
    request = negotiate.NegotiateRequest([0x0210], contexts=samples.CONTEXTS)
    assert negotiate.NegotiateRequest.parse(memoryview(samples.packet(request))).contexts == []
