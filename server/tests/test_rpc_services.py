"""The RPC services as impacket's client sees them."""

from typing import Any

import pytest
from impacket.dcerpc.v5 import rpcrt, srvs, wkst

from server.rpc.context import Context, Share

from .rpc_client import SHARES, client, named


# -- srvsvc -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("call", [srvs.hNetrShareEnum, srvs.hNetrShareEnumSticky])
def test_shares_are_listed(call: Any) -> None:
    dce, _ = client()
    answer = call(dce, 1)
    rows = answer["InfoStruct"]["ShareInfo"]["Level1"]["Buffer"]
    assert [(row["shi1_netname"], row["shi1_type"], row["shi1_remark"]) for row in rows] == [
        (named(share.name), share.type, named(share.comment)) for share in SHARES
    ]
    assert (answer["TotalEntries"], answer["ResumeHandle"], answer["ErrorCode"]) == (3, 0, 0)


@pytest.mark.parametrize("level", [0, 2, 501, 502])
def test_shares_are_listed_at_every_level(level: int) -> None:
    dce, _ = client()
    answer = srvs.hNetrShareEnum(dce, level)
    rows = answer["InfoStruct"]["ShareInfo"][f"Level{level}"]["Buffer"]
    assert [row[f"shi{level}_netname"] for row in rows] == [named(share.name) for share in SHARES]


def refusal(call: Any, *arguments: Any) -> int:
    with pytest.raises(rpcrt.DCERPCException) as refused:
        call(*arguments)
    return int(refused.value.get_error_code())


def test_a_sticky_listing_has_fewer_levels() -> None:
    dce, _ = client()
    assert refusal(srvs.hNetrShareEnumSticky, dce, 501) == 124


@pytest.mark.parametrize("level", [2, 502])
def test_who_gave_no_name_is_shown_no_paths(level: int) -> None:
    dce, _ = client(context=Context(SHARES, "FILER"))
    assert refusal(srvs.hNetrShareEnum, dce, level) == 5
    assert refusal(srvs.hNetrShareGetInfo, dce, named("public"), level) == 5
    assert srvs.hNetrShareEnum(dce, 1)["ErrorCode"] == 0


def test_no_shares_are_listed_as_none() -> None:
    dce, _ = client(context=Context((), "FILER"))
    answer = srvs.hNetrShareEnum(dce, 1)
    assert answer["InfoStruct"]["ShareInfo"]["Level1"]["EntriesRead"] == 0
    assert answer["ErrorCode"] == 0


def test_a_listing_too_long_for_the_client_is_resumed() -> None:
    dce, _ = client()
    names, resume = [], 0
    for left in (3, 2, 1):
        try:
            answer = srvs.hNetrShareEnum(dce, 1, resumeHandle=resume, preferedMaximumLength=64)
        except srvs.DCERPCSessionError as partial:
            answer = partial.get_packet()
        assert answer["ErrorCode"] == (234 if left > 1 else 0)
        assert answer["TotalEntries"] == left
        names += [row["shi1_netname"] for row in answer["InfoStruct"]["ShareInfo"]["Level1"]["Buffer"]]
        resume = answer["ResumeHandle"]
    assert names == [named(share.name) for share in SHARES]
    assert resume == 0


def test_a_long_listing_comes_in_fragments_and_whole() -> None:
    many = [Share(f"share-{number:04}", comment="x" * 40) for number in range(500)]
    dce, wire = client(context=Context(many, "FILER"))
    before = wire.fragments
    answer = srvs.hNetrShareEnum(dce, 1)
    rows = answer["InfoStruct"]["ShareInfo"]["Level1"]["Buffer"]
    assert [row["shi1_netname"] for row in rows] == [named(share.name) for share in many]
    assert wire.fragments - before > 10
    assert wire.pipe.available == 0


EXPECTED: dict[int, dict[str, Any]] = {
    0: {"netname": named("public")},
    1: {"netname": named("public"), "type": 0, "remark": named("for all of us")},
    2: {"type": 0, "permissions": 0, "max_uses": 0xFFFFFFFF, "current_uses": 2, "path": named("C:\\public")},
    501: {"netname": named("public"), "flags": 0x30},
    502: {"path": named("C:\\public"), "reserved": 0},
    1005: {"flags": 0x830},
}


@pytest.mark.parametrize("level", EXPECTED)
def test_a_share_tells_of_itself(level: int) -> None:
    dce, _ = client()
    row = srvs.hNetrShareGetInfo(dce, named("PUBLIC"), level)["InfoStruct"][f"ShareInfo{level}"]
    assert {key: row[f"shi{level}_{key}"] for key in EXPECTED[level]} == EXPECTED[level]


@pytest.mark.parametrize(("name", "level", "error"), [("absent", 1, 2310), ("public", 503, 124), ("public", 1006, 124)])
def test_an_absent_share_or_level_is_an_error(name: str, level: int, error: int) -> None:
    dce, _ = client()
    with pytest.raises(srvs.DCERPCSessionError) as refused:
        srvs.hNetrShareGetInfo(dce, named(name), level)
    assert refused.value.get_error_code() == error


@pytest.mark.parametrize("level", [100, 101, 102])
def test_the_server_tells_of_itself(level: int) -> None:
    dce, _ = client()
    row = srvs.hNetrServerGetInfo(dce, level)["InfoStruct"][f"ServerInfo{level}"]
    assert row[f"sv{level}_platform_id"] == 500
    assert row[f"sv{level}_name"] == named("FILER")
    if level > 100:
        assert (row[f"sv{level}_version_major"], row[f"sv{level}_version_minor"]) == (10, 0)
        assert row[f"sv{level}_comment"] == named("a filer")
    if level == 102:
        assert (row["sv102_users"], row["sv102_userpath"]) == (3, named("c:\\"))


def test_the_server_tells_the_time() -> None:
    dce, _ = client()
    row = srvs.hNetrRemoteTOD(dce)["BufferPtr"]
    fields = ("elapsedt", "hours", "mins", "secs", "hunds", "timezone", "day", "month", "year", "weekday")
    assert [row[f"tod_{name}"] for name in fields] == [1_700_000_000, 22, 13, 20, 25, 0, 14, 11, 2023, 2]


def test_what_is_not_offered_is_a_fault() -> None:
    dce, _ = client()
    with pytest.raises(rpcrt.DCERPCException, match="nca_s_op_rng_error"):
        srvs.hNetrSessionEnum(dce, "\0", "\0", 10)


@pytest.mark.parametrize("level", [100, 101, 102])
def test_the_workstation_tells_of_itself(level: int) -> None:
    dce, _ = client("wkssvc")
    row = wkst.hNetrWkstaGetInfo(dce, level)["WkstaInfo"][f"WkstaInfo{level}"]
    assert row[f"wki{level}_platform_id"] == 500
    assert row[f"wki{level}_computername"] == named("FILER")
    assert row[f"wki{level}_langroup"] == named("LAB")
    assert (row[f"wki{level}_ver_major"], row[f"wki{level}_ver_minor"]) == (10, 0)
    if level == 102:
        assert row["wki102_logged_on_users"] == 3


def test_an_unknown_level_of_server_or_workstation_is_an_error() -> None:
    dce, _ = client()
    with pytest.raises(srvs.DCERPCSessionError):
        srvs.hNetrServerGetInfo(dce, 503)
    dce, _ = client("wkssvc")
    with pytest.raises(wkst.DCERPCSessionError):
        wkst.hNetrWkstaGetInfo(dce, 502)
