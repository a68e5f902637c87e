"""What keeps a machine from RDMA, and where the listener listens."""

import ctypes
import importlib
import ipaddress
import logging
import resource
from types import SimpleNamespace
from typing import Any

import pytest

from transport import rdma
from transport.discovery import Interface
from transport.rdma import cm_abi
from transport.technology import IWARP, ROCE, Technology


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine that has everything, whatever this one has."""
    for check in ("_module", "_library", "_device", "_access", "_memory"):
        monkeypatch.setattr(rdma, check, lambda: None)
    return monkeypatch


@pytest.fixture
def originals() -> dict[str, Any]:
    return {name: getattr(rdma, name) for name in ("_module", "_library", "_device", "_access", "_memory")}


def restore(able: pytest.MonkeyPatch, originals: dict[str, Any], name: str) -> None:
    able.setattr(rdma, name, originals[name])


def test_nothing_is_missing_where_all_is_there(able: pytest.MonkeyPatch) -> None:
    assert rdma.probe() is None


def test_without_pyverbs_the_line_says_what_to_install(originals: dict[str, Any], able: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    restore(able, originals, "_module")
    able.setattr(importlib, "import_module", absent)
    assert rdma.probe() == (
        "the module pyverbs is missing: install python3-pyverbs; a venv needs --system-site-packages"
    )


def test_a_pyverbs_of_another_system_is_said(originals: dict[str, Any], able: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ImportError("version `IBVERBS_PRIVATE_59' not found")

    restore(able, originals, "_module")
    able.setattr(importlib, "import_module", broken)
    assert rdma.probe() == "pyverbs cannot be loaded: version `IBVERBS_PRIVATE_59' not found"


def test_without_the_library_the_line_names_it(originals: dict[str, Any], able: pytest.MonkeyPatch) -> None:
    def absent(name: str, **_: Any) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    restore(able, originals, "_library")
    cm_abi.library.cache_clear()
    able.setattr(ctypes, "CDLL", absent)
    assert "librdmacm.so.1" in (rdma.probe() or "")


def test_without_the_verbs_library_the_line_names_it(originals: dict[str, Any], able: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise OSError("libibverbs.so.1: cannot open shared object file")

    restore(able, originals, "_library")
    able.setattr(cm_abi, "library", lambda: None)
    able.setattr(cm_abi, "verbs_library", absent)
    assert rdma.probe() == ("a library is missing: libibverbs.so.1: cannot open shared object file; install librdmacm1")


def test_without_a_device_the_line_says_so(originals: dict[str, Any], able: pytest.MonkeyPatch) -> None:
    pyverbs = pytest.importorskip("pyverbs.device", reason="python3-pyverbs is not installed")
    error = pytest.importorskip("pyverbs.pyverbs_error").PyverbsError

    def refused() -> list[object]:
        raise error("Failed to get devices list")

    restore(able, originals, "_device")
    for listing in (list, refused):
        able.setattr(pyverbs, "get_device_list", listing)
        assert rdma.probe() == "the system has no RDMA device"
    able.setattr(pyverbs, "get_device_list", lambda: ["rxe0"])
    assert rdma.probe() is None


def test_the_first_that_is_missing_is_the_one_that_is_said(able: pytest.MonkeyPatch) -> None:
    for check in ("_memory", "_access", "_device", "_library", "_module"):
        able.setattr(rdma, check, lambda check=check: f"no {check}")
        assert rdma.probe() == f"no {check}"


def test_without_the_cm_device_the_line_names_its_module(originals: dict[str, Any], able: pytest.MonkeyPatch) -> None:
    restore(able, originals, "_access")
    able.setattr(rdma, "CM_DEVICE", "/nonexistent/rdma_cm")
    assert rdma.probe() == "/nonexistent/rdma_cm: No such file or directory; load the module rdma_ucm"


def test_too_little_lockable_memory_is_said(originals: dict[str, Any], able: pytest.MonkeyPatch) -> None:
    restore(able, originals, "_memory")
    able.setattr(resource, "getrlimit", lambda _: (8 << 20, 8 << 20))
    able.setattr(rdma, "_may_lock", lambda: False)
    assert "only 8192 KiB of memory may be locked" in (rdma.probe() or "")
    able.setattr(rdma, "_may_lock", lambda: True)
    assert rdma.probe() is None


def test_importing_pyverbs_leaves_the_root_logger_alone_and_its_objects_ask_for_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    base = SimpleNamespace()

    def noisy(name: str) -> SimpleNamespace:
        root.addHandler(logging.NullHandler())
        root.setLevel(logging.DEBUG)
        return base

    monkeypatch.setattr(importlib, "import_module", noisy)
    assert rdma._module() is None
    assert (root.level, list(root.handlers)) == before
    assert base.logging.getLogger("SendWR") is base.logging.getLogger("WC") is rdma.log


# -- addresses -----------------------------------------------------------------------------------------------------


def interface(address: str, technology: Technology | None) -> Interface:
    return Interface("x", 1, (ipaddress.ip_address(address),), 10**9, False, "dev", technology)


@pytest.mark.parametrize(
    ("found", "hosts", "wanted"),
    [
        ([], ["0.0.0.0", "::"], {("0.0.0.0", 445), ("0.0.0.0", 5445), ("::", 445), ("::", 5445)}),
        ([interface("10.0.0.1", ROCE)], ["0.0.0.0"], {("0.0.0.0", 445), ("0.0.0.0", 5445)}),
        (
            [interface("10.0.0.1", ROCE), interface("10.0.1.1", IWARP), interface("10.0.2.1", None)],
            ["0.0.0.0", "::"],
            {("10.0.0.1", 445), ("0.0.0.0", 5445), ("::", 5445)},
        ),
        (
            [interface("fd00::1", ROCE), interface("10.0.1.1", IWARP)],
            ["::"],
            {("fd00::1", 445), ("::", 5445)},
        ),
        ([interface("10.0.1.1", IWARP)], ["10.0.1.1"], {("10.0.1.1", 5445)}),
        (
            [interface("fd00::1", ROCE), interface("10.0.0.1", ROCE), interface("10.0.1.1", IWARP)],
            ["FD00:0::1", "127.0.0.1"],
            {("fd00::1", 445), ("FD00:0::1", 5445), ("127.0.0.1", 5445)},
        ),
        ([interface("10.0.0.1", ROCE)], ["10.0.0.1"], {("10.0.0.1", 445), ("10.0.0.1", 5445)}),
    ],
)
def test_where_an_iwarp_device_is_the_other_port_is_not_taken_from_tcp(
    found: list[Interface], hosts: list[str], wanted: set[tuple[str, int]]
) -> None:
    listener = pytest.importorskip("transport.rdma.listener", reason="python3-pyverbs is not installed")
    assert listener.wanted(found, hosts, (445, 5445)) == wanted
