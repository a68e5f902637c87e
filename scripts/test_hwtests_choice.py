"""Where `make hwtest` runs: on devices there are, soft ones it makes, in the lab, or nowhere with all reasons."""

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hwtests import conftest, soft
from hwtests.kernel_log import LINK_LOST, KernelLog, parsed


class Machine:
    """What `conftest` asks, answered by a test: "" is yes, text is why not."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.lacks = "the system has no RDMA device"
        self.unmade = "rdma link add: Operation not supported"
        self.labless = "lab: no kernel"
        self.runs: list[tuple[Any, ...]] = []
        self.said: list[str] = []
        patch.delenv("LAB", raising=False)
        patch.setattr(conftest, "missing", lambda: self.lacks)
        patch.setattr(conftest, "make", self.make)
        patch.setattr(conftest, "lab_refuses", lambda: self.labless)
        patch.setattr(conftest, "repeat", self.repeat)
        self.config = SimpleNamespace(stash=pytest.Stash(), option=argparse.Namespace(collectonly=False))

    def make(self, stack: ExitStack) -> str:
        self.said.append("made")
        stack.callback(self.said.append, "unmade")
        return self.unmade

    def repeat(self, config: Any, *before: Any) -> int:
        self.said.append("run")
        self.runs.append(before)
        return 7

    def choose(self) -> int | None:
        return conftest.pytest_cmdline_main(self.config)  # type: ignore[arg-type]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_devices_that_are_here_are_taken(machine: Machine) -> None:
    machine.lacks = ""
    assert machine.choose() is None
    assert machine.said == []


def test_soft_devices_are_made_before_the_run_and_unmade_after_it(machine: Machine) -> None:
    machine.unmade = ""
    assert machine.choose() == 7
    assert machine.said == ["made", "run", "unmade"]
    assert machine.runs == [()]


def test_where_none_can_be_made_the_lab_is_taken(machine: Machine) -> None:
    machine.labless = ""
    assert machine.choose() == 7
    assert machine.said == ["made", "unmade", "run"], "the half that could be made is gone first"
    assert machine.runs[0][0] == conftest.LAB


def test_where_there_is_nothing_every_test_is_skipped_with_every_reason(machine: Machine) -> None:
    assert machine.choose() is None
    marks: list[Any] = []
    inside = SimpleNamespace(path=conftest.HERE / "test_data.py", add_marker=marks.append)
    outside = SimpleNamespace(path=Path("/elsewhere/test_x.py"), add_marker=marks.append)
    conftest.pytest_collection_modifyitems(machine.config, [inside, outside])  # type: ignore[arg-type,list-item]
    (mark,) = marks
    assert mark.mark.args == ("; ".join((machine.lacks, machine.unmade, machine.labless)),)


def test_inside_the_lab_nothing_is_made_and_no_other_lab_begun(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB", "1")
    assert machine.choose() is None
    assert machine.said == []
    assert machine.config.stash[conftest.REASON] == machine.lacks


def test_only_listing_the_tests_makes_nothing(machine: Machine) -> None:
    machine.config.option.collectonly = True
    assert machine.choose() is None
    assert machine.said == []


# -- soft devices --------------------------------------------------------------------------------------------------


def recorded(patch: pytest.MonkeyPatch, refuses: Callable[[str], bool]) -> list[str]:
    """The commands that are run; those that `refuses` tells are refused."""
    commands: list[str] = []

    def run(*words: str) -> None:
        commands.append(" ".join(words))
        if refuses(commands[-1]):
            raise soft.Refused(f"{commands[-1]}: Operation not supported")

    patch.setattr(soft, "run", run)
    return commands


def test_a_device_the_kernel_has_no_driver_for_leaves_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = recorded(monkeypatch, lambda command: "type siw" in command)
    with ExitStack() as stack:
        (refusal,) = soft.make(stack)
        assert refusal.startswith("rdma link add smbdsiw0 type siw netdev smbd1")
        assert commands[-1] == "ip link del smbd1"
        assert "rdma link add smbdrxe0 type rxe netdev smbd0" in commands
        made = len(commands)
    assert commands[made:] == ["rdma link delete smbdrxe0", "ip link del smbd0"]


def test_programs_that_are_missing_are_a_refusal() -> None:
    with pytest.raises(soft.Refused, match="no-such-program: No such file or directory"):
        soft.run("no-such-program")
    soft.load_modules(["no-such-module"])


def test_an_interface_on_top_goes_when_its_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = recorded(monkeypatch, lambda command: command.startswith("rdma"))
    with pytest.raises(soft.Refused), soft.STACKS["siw on a VLAN"].made(9):
        raise AssertionError("made")
    assert commands[-2:] == ["ip link del smbt9", "ip link del smbd9"]


# -- the kernel's log ----------------------------------------------------------------------------------------------


def alarms(patch: pytest.MonkeyPatch, *lines: tuple[int, str], also: tuple[str, ...] = ()) -> list[str]:
    log = KernelLog()
    log.lines = []
    patch.setattr(log, "_records", lambda: [f"{level},1,1,-;{line}\n".encode() for level, line in lines])
    return log.alarms(*also)


def test_a_record_has_a_level_and_a_line() -> None:
    assert parsed(b"14,339,5140900,-;NET: Registered\n SUBSYSTEM=net\n") == (6, "NET: Registered")
    assert parsed(b"4,1,2,-;a;b\n") == (4, "a;b")


def test_what_ksmbd_leaves_too_is_no_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    ordinary = (
        (3, "CIFS: VFS: RDMA transport established"),
        (3, "CIFS: VFS: _smbd_get_connection:326 connect to 10.99.0.1:5445 failed: -ENODEV"),
        (6, "CIFS: Attempting to mount //10.99.0.1/data"),
        (4, "sysfs: cannot create duplicate filename '/kernel/slab/:0001472'"),
        (4, "Call Trace:"),
        (3, "SLUB: Unable to add cache smbdirect_recv_io_cache_0000 to sysfs"),
    )
    assert alarms(monkeypatch, *ordinary) == []


@pytest.mark.parametrize(
    "line",
    [
        "WARNING: CPU: 0 PID: 1 at fs/smb/client/smbdirect.c:1", "BUG: unable to handle page fault", "Call Trace:",
        "CIFS: VFS: \\\\10.99.0.1 Send error in read = -5",
        "CIFS: VFS: _smbd_get_connection:326 connect to 10.99.0.1:445 failed: -ETIMEDOUT",
    ],
)  # fmt: skip
def test_anything_else_is_an_alarm(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    assert alarms(monkeypatch, (4, line)) == [line]


def test_a_lost_link_leaves_its_own_lines_only_where_one_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "CIFS: VFS: smbdirect_connect_sync:917 wait for smbdirect_connect(10.99.1.1:445) failed -ETIMEDOUT"
    assert alarms(monkeypatch, (3, line)) == [line]
    assert alarms(monkeypatch, (3, line), also=LINK_LOST) == []
