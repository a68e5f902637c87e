"""The law of imports: smbdirect <- transport <- server, and RDMA's libraries under `transport/rdma` alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("smbdirect", "transport", "server")

LOWER = {"smbdirect": {"smbdirect"}, "transport": {"smbdirect", "transport"}, "server": set(OURS)}
"""What each package may know of the others."""

SEEN_BY_SERVER = {
    "smbdirect.wire",
    "smbdirect.packets",
    "transport.base",
    "transport.kept",
    "transport.memory",
    "transport.technology",
    "transport.discovery",
}
WIRING = {"server/main.py", "server/server.py", "server/listeners.py"}
"""Where listeners are made: these also see how."""
MAKERS = {"transport.tcp", "transport.rdma", "transport.loopback", "smbdirect.negotiate"}

SANS_IO = {"asyncio", "socket", "select", "selectors", "time", "threading", "os", "ctypes", "random", "secrets"}
"""What smbdirect does without: it is pure state, and time comes in as an argument."""


def sources(package: str) -> Iterator[Path]:
    """The package's modules, without its tests."""
    return (path for path in (ROOT / package).rglob("*.py") if "tests" not in path.relative_to(ROOT).parts)


def imported(path: Path, source: str) -> set[str]:
    """The modules that `source`, lying at `path` under the root, imports; `from a import b` is both a and a.b."""
    package = path.with_suffix("").parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join((*start, *((node.module or "").split(".") if node.module else ())))
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


def imports_of(path: Path) -> set[str]:
    return imported(path.relative_to(ROOT), path.read_text())


def inside(name: str, modules: set[str]) -> bool:
    return any(name == module or name.startswith(module + ".") for module in modules)


@pytest.mark.parametrize("package", OURS)
def test_a_package_imports_only_what_is_below_it(package: str) -> None:
    for path in sources(package):
        above = {name for name in imports_of(path) if name.split(".")[0] in set(OURS) - LOWER[package]}
        assert not above, f"{path.relative_to(ROOT)} imports {above}"


def test_smbdirect_has_no_io_and_no_clock() -> None:
    for path in sources("smbdirect"):
        outside = {name for name in imports_of(path) if name.split(".")[0] in SANS_IO}
        assert not outside, f"{path.relative_to(ROOT)} imports {outside}"


def test_pyverbs_and_librdmacm_appear_only_under_transport_rdma() -> None:
    for package in OURS:
        for path in sources(package):
            if (ROOT / "transport/rdma") in path.parents:
                continue
            assert not inside("pyverbs", {name.split(".")[0] for name in imports_of(path)}), path
            assert "librdmacm.so" not in path.read_text(), path


def test_the_server_sees_interfaces_and_not_transports() -> None:
    for path in sources("server"):
        allowed = SEEN_BY_SERVER | (MAKERS if str(path.relative_to(ROOT)) in WIRING else set())
        parents = {module.rsplit(".", 1)[0] for module in allowed}
        below = {name for name in imports_of(path) if name.split(".")[0] in ("smbdirect", "transport")}
        hidden = {name for name in below if not inside(name, allowed) and name not in parents}
        assert not hidden, f"{path.relative_to(ROOT)} imports {hidden}"


def test_the_test_sees_relative_and_nested_imports() -> None:
    source = "from ..base import Lost\nfrom . import verbs\ndef f():\n    import pyverbs.qp\nfrom a.b import c\n"
    assert imported(Path("transport/rdma/x.py"), source) == {
        *("transport.base", "transport.base.Lost", "transport.rdma", "transport.rdma.verbs"),
        *("pyverbs.qp", "a.b", "a.b.c"),
    }
