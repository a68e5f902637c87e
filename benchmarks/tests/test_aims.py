"""Where the aims stand is read from the tables that the benchmarks write."""

from benchmarks import aims, ksmbd, loopback, rdma, results, samba, smbtorture
from benchmarks.peers import OURS, SAMBA, SERVERS
from benchmarks.samba import KINDS
from benchmarks.smbtorture import Turn

NAN = float("nan")


def beside_samba(figure: float) -> str:
    moved = [samba.Transfer(f"{name} 1G, {word}", "", lambda server: NAN) for name in ("put", "get")
             for word in samba.PROTECTIONS]  # fmt: skip
    asked = [samba.Requests(what, name, options) for what, (name, *options) in samba.BENCHES.items()]
    for row in moved:
        row.seconds.update({who: [1 / figure if who == OURS else 1.0] for who in KINDS})
    for each in asked:
        each.turns.update({who: [Turn(1.0 if who == SAMBA else figure, 0.5, 1e-5)] for who in KINDS})
    return samba.told(moved, asked, 1)


def on_the_loopback_address() -> str:
    parts = loopback.parts()
    for grid in (grid for part in parts for grid in part.grids):
        for work in grid.works:
            for who in grid.whose:
                for place in grid.places:
                    grid.add(work, who, place, 1.0)
    return loopback.told(parts, 1)


def in_the_lab() -> tuple[str, str]:
    cases = [ksmbd.Case(way, "") for way in ("rxe", "siw")]
    for case in cases:
        for who in SERVERS:
            case.add(who, {"read": 1.0, "write": 1.0})
    tables, bare = rdma.tables(), rdma.Bare()
    for table in tables:
        for way in rdma.DEVICES:
            for rw in rdma.DIRECTIONS:
                bare.add(way, rw, 1.0, 1.0)
                table.figures.update({(way, rw, place.name): [1.0] for place in table.places})
    return ksmbd.table(cases), rdma.told(tables, bare, 1)


def everything(figure: float = 1.0) -> str:
    linux, own = in_the_lab()
    sections = {
        samba.TITLE: beside_samba(figure),
        loopback.TITLE: on_the_loopback_address(),
        ksmbd.TITLE: linux,
        rdma.TITLE: own,
    }
    text = "# Results\n"
    for title, body in sections.items():
        text = results.put(text, title, body)
    return text


def test_every_aim_finds_its_figures() -> None:
    text = everything()
    lost = [(aim.work, name) for aim in aims.aims() for name, cell in aim.figures.items() if aims.find(text, cell) != 1]
    assert lost == []


def test_an_aim_is_met_when_all_its_figures_are() -> None:
    assert "put plain 2.00; " in aims.aims()[0].row(everything(2.0))[3]
    assert aims.aims()[0].row(everything(1.2))[4] == "yes"
    assert aims.aims()[0].row(everything(1.1))[4] == "0 of 6"
    assert aims.aims()[0].falls_short(everything(1.1))
    assert not aims.aims()[0].falls_short(everything(1.2))


def test_an_aim_without_figures_is_neither_met_nor_missed() -> None:
    for aim in aims.aims():
        assert aim.row("# Results\n")[4] == results.NONE
        assert not aim.falls_short("# Results\n")


def test_figures_that_are_missing_are_not_counted() -> None:
    text = everything().replace("| get 1G, sealed |", "| another |")
    assert aims.aims()[0].row(text)[4] == "0 of 5 measured"
    assert "get sealed -" in aims.aims()[0].row(text)[3]


def test_the_section_comes_first_and_is_the_same_when_written_again() -> None:
    text = everything()
    once = results.put(text, aims.TITLE, aims.section(text), first=True)
    assert once.index(aims.TITLE) < once.index(samba.TITLE)
    assert results.put(once, aims.TITLE, aims.section(once), first=True) == once


def test_each_reason_belongs_to_an_aim() -> None:
    assert set(aims.WHY) <= {aim.work for aim in aims.aims()}


def test_tables_are_read_as_they_are_written() -> None:
    written = results.table(["", "a"], [["**b**", "1"], ["c", "-"]])
    text = results.put("# Results\n", "One", f"{written}\n\nwords\n\n{written}")
    assert list(results.tables(text, "One")) == [(["", "a"], [["b", "1"], ["c", "-"]])] * 2
    assert list(results.tables(text, "Two")) == []


def test_smbtorture_that_failed_gives_no_figure() -> None:
    row = samba.Requests("what", "read", [], {OURS: [smbtorture.NONE]}).row()
    assert row[1:6] == [results.NONE] * 5
