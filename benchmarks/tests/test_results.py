"""How figures become sections, tables and pictures."""

import asyncio
import configparser
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import charts, ksmbd, mounts, peers, perftest, rdma, results
from benchmarks.load import cut
from smbdirect.packets import BufferDescriptor

NAN = float("nan")


def test_a_section_is_put_without_touching_the_others() -> None:
    first = results.put("# Results\n", "One", "1")
    both = results.put(first, "Two", "### inner\n\n2\n")
    assert both == "# Results\n\n## One\n\n1\n\n## Two\n\n### inner\n\n2\n"
    again = results.put(both, "One", "one")
    assert again == "# Results\n\n## One\n\none\n\n## Two\n\n### inner\n\n2\n"
    assert results.put(again, "One", "one") == again


def test_a_file_without_a_title_keeps_its_sections() -> None:
    assert results.put("## One\n\n1\n", "One", "2") == "\n## One\n\n2\n"


def test_a_record_begins_a_file(tmp_path: Path) -> None:
    results.record(tmp_path / "new.md", "One", "1")
    assert (tmp_path / "new.md").read_text() == "# Results\n\n## One\n\n1\n"


def test_a_section_that_comes_first_is_put_before_the_others_and_stays_there() -> None:
    once = results.put("# Results\n\n## One\n\n1\n", "Two", "2", first=True)
    assert once == "# Results\n\n## Two\n\n2\n\n## One\n\n1\n"
    assert results.put(once, "Two", "2", first=True) == results.put(once, "Two", "2") == once


def test_a_processor_without_a_name_is_an_architecture() -> None:
    assert results.processor("processor : 0\nmodel name\t: A good one\nflags : x\n") == "A good one"
    assert results.processor("")


def test_turns_that_failed_do_not_count() -> None:
    assert results.median([3.0, NAN, 1.0, 2.0]) == 2.0
    assert results.median([NAN]) != results.median([NAN])


def test_a_ratio_over_one_is_better() -> None:
    assert results.ratio(3, 2) == "1.50"
    assert results.ratio(2, 3, larger_is_better=False) == "1.50"
    assert results.ratio(2, 0) == "-"
    assert results.ratio(2, NAN) == results.ratio(NAN, 2) == "-"


def test_what_could_not_be_measured_stands_as_a_dash() -> None:
    assert [results.figure(1234.5678), results.figure(0.125, 2), results.figure(NAN, 2)] == ["1235", "0.12", "-"]


def test_a_chart_is_well_formed_and_within_its_frame() -> None:
    drawn = charts.line_chart("a < b", "x", "y", ["1", "2", "3"], {"line": [1.0, NAN, 97.0], "none": [NAN] * 3})
    found = ElementTree.fromstring(drawn)
    dots = [each for each in found.iter() if each.tag.endswith("circle")]
    assert len(dots) == 2
    assert all(charts.TOP <= float(dot.attrib["cy"]) <= charts.HEIGHT - charts.BOTTOM for dot in dots)


def test_the_largest_value_lies_under_the_top_line() -> None:
    for largest in (0.5, 5, 99, 100, 101, 1234, 99999):
        step = charts._step(largest)
        assert step * charts.LINES >= largest
        assert step == 1 or step * charts.LINES < largest * 2.6


def test_what_a_mount_was_granted_is_read_from_its_own_line() -> None:
    told = (
        "//10.99.0.1/data /tmp/other cifs rw,rsize=1,wsize=2 0 0\n"
        "//10.99.0.1/data /tmp/at cifs rw,rdma,rsize=8388608,wsize=4194304,bsize=1048576 0 0\n"
    )
    assert mounts.granted(told, Path("/tmp/at")) == (8388608, 4194304)


def test_fio_is_read_past_its_notes_and_a_job_that_failed_has_no_figure() -> None:
    quiet, busy = {"bw_bytes": 0}, {"bw_bytes": 123000000}
    jobs = [
        {"jobname": "write", "error": 0, "read": quiet, "write": busy},
        {"jobname": "read", "error": 103, "read": busy, "write": quiet},
    ]
    rates = mounts.rates("note: something\n" + json.dumps({"jobs": jobs}))
    assert rates["write"] == 123.0
    assert rates["read"] != rates["read"]


def test_a_fio_that_says_nothing_is_a_failure() -> None:
    for said in ("", "fio: no such option\n", '{"fio version": "fio-3.33"}'):
        with pytest.raises(mounts.Failed):
            mounts.rates(said)


def test_a_new_file_is_written_once_and_an_old_one_as_long_as_there_is_time() -> None:
    jobs = [mounts.Job("write", "write", 4096, mounts.NEW), mounts.Job("backward", "read:-8192", 4096)]
    told = configparser.ConfigParser(allow_no_value=True)
    told.read_string(mounts.job_file(Path("/at"), jobs, 0.25, 1 << 20))
    assert told["global"]["runtime"] == "250ms" and told["global"]["directory"] == "/at"
    assert "time_based" not in told["write"] and "unlink" in told["write"]
    assert "time_based" in told["backward"] and told["backward"]["rw"] == "read:-8192"
    assert all("stonewall" in told[job.name] for job in jobs)


def test_what_fio_reads_lies_there_whole(tmp_path: Path) -> None:
    mounts.lay(tmp_path, 2 << 20)
    assert (tmp_path / mounts.OLD).stat().st_size == 2 << 20


def test_a_mount_asks_for_rdma_and_protection_only_where_wanted() -> None:
    assert "rdma" not in mounts.options(False, "seal")
    assert mounts.options(True, "sign").endswith(",rdma,sign")
    assert mounts.options(True, "").endswith(",rdma")


def test_cases_show_each_servers_median_and_what_it_granted() -> None:
    case = ksmbd.Case("rxe", "seal")
    for ours in (30.0, 10.0, 20.0):
        case.add(peers.OURS, {"write": ours})
        case.add(peers.KSMBD, {"write": 10.0} if ours > 10 else {})
    case.sizes = {peers.OURS: "8M, 8M"}
    assert next(case.rows()) == ["write, rxe, seal", "20", "10", "-", "2.00", "-", "8M, 8M / - / -"]


def test_no_server_is_always_first() -> None:
    rounds = [peers.order(number) for number in range(3)]
    assert {names[0] for names in rounds} == {names[2] for names in rounds} == set(peers.SERVERS)
    assert all(set(names) == set(peers.SERVERS) for names in rounds)


def test_samba_is_not_asked_for_over_rdma() -> None:
    assert [who for who in peers.SERVERS if peers.serves(who, "siw")] == [peers.OURS, peers.KSMBD]
    assert all(peers.serves(who, "TCP") for who in peers.SERVERS)


def test_descriptors_cover_the_whole_in_order() -> None:
    parts = cut(BufferDescriptor(4096, 7, 1000), 31)
    assert len(parts) == 31
    assert parts[0].offset == 4096 and sum(part.length for part in parts) == 1000
    assert all(part.length for part in parts)


def test_the_devices_figure_stands_beside_this_servers() -> None:
    bare = rdma.Bare()
    for ours, raw in ((450.0, 500.0), (NAN, 500.0), (440.0, NAN)):
        bare.add("siw", "read", ours, raw)
    assert "| read, siw | 445 | 500 | 0.89 | ib_write_bw |" in bare.text()
    assert "| read, rxe | - | - | - | ib_write_bw |" in bare.text()


def test_a_place_that_was_not_measured_is_a_dash() -> None:
    table = rdma.tables()[0]
    table.figures["siw", "read", "16"] = [450.0]
    assert "| read, siw | - | - | - | 450 | - |" in table.text()


def test_a_figure_that_never_comes_is_given_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def stay(*_: object) -> float:
        await asyncio.Event().wait()
        return 1.0

    monkeypatch.setattr(rdma, "once", stay)
    monkeypatch.setattr(rdma, "PATIENCE", 0)
    figure = asyncio.run(rdma.tried("Sizes", "rxe", rdma.WHOLE, "read", 1))
    assert figure != figure
    assert "Sizes: read, rxe, 8M: TimeoutError" in capsys.readouterr().out


def test_more_connections_have_no_more_memory_to_go_through() -> None:
    connections = next(table for table in rdma.tables() if table.across == "connections")
    assert {place.connections * place.load.depth for place in connections.places} == {rdma.WHOLE.load.depth}


def test_a_picture_has_a_chart_for_each_way() -> None:
    drawn = ElementTree.fromstring(rdma.tables()[0].picture())
    assert len([each for each in drawn if each.tag.endswith("svg")]) == len(rdma.DEVICES)


def test_perftest_takes_its_turns_through_the_connection_manager() -> None:
    assert "-R" in perftest.command("ib_read_bw", "siw0", 8 << 20, 4)  # iWARP has no other way


def test_perftest_is_timed_between_the_head_of_its_figures_and_the_figures() -> None:
    lines = ["--------", " Number of qps : 1", " #bytes     #iterations    BW peak[MB/sec]", " 8388608    24    0.00"]
    timed = list(zip((1.0, 2.0, 3.5, 5.0), lines, strict=True))
    assert perftest.span(timed) == 1.5
    for count in range(len(lines)):
        assert perftest.span(timed[:count]) != perftest.span(timed[:count])
