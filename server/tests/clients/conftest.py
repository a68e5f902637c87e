"""The server the clients meet, and the data they carry: a started process, trees of files, a large file.

The server ends with each module of tests, and has to end as it should: asked once, with status 0, and without a
traceback or a complaint of asyncio's in its log.
"""

import hashlib
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest

from server.testing import PASSWORD, Ours, names

COMPLAINTS = ("Traceback (most recent call last)", "was never retrieved", "was never awaited", "was destroyed but")
SHARES = {
    "ro": {"read only": "true"},
    "guest": {"guest ok": "true", "comment": '"For everyone"'},
    "sealed": {"encryption required": "true"},
    "hidden": {"browseable": "false"},
    "private": {"valid users": f'["{names()[1]}"]'},
}
ROOT = Path(__file__).parents[3]


def pattern(path: Path, size: int) -> Path:
    """A file in which each 8-byte word holds its own offset, so that a block in the wrong place shows."""
    with path.open("wb") as file:
        for start in range(0, size, 8 << 20):
            words = numpy.arange(start, min(start + (8 << 20), size), 8, dtype="<u8")
            file.write(words.tobytes()[: size - start])
    return path


def digests(root: Path) -> dict[str, str]:
    """The SHA-256 of every file under `root`, and "" for every directory, by relative path."""
    return {
        str(path.relative_to(root)): digest(path) if path.is_file() else ""
        for path in root.rglob("*")
        if not path.is_symlink()
    }


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def start(settings: dict[str, str] | None = None) -> Iterator[Ours]:
    """A server for a fixture: started, and asked at the end to stop."""
    with Ours(settings={"map to guest": '"bad user"', **(settings or {})}, shares=SHARES) as server:
        yield server
        assert server.alive, server.tail()
        assert server.stop() == 0, server.tail()
        log = server.log.read_text("utf-8", "replace")
        assert not [word for word in COMPLAINTS if word in log], log


@pytest.fixture(scope="module")
def server() -> Iterator[Ours]:
    """A server that knows both accounts of `server.testing`, with shares `data`, `second` and those above."""
    yield from start()


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python standard library's own sources, without what is compiled or installed beside them."""
    root = tmp_path_factory.mktemp("library") / "lib"
    skipped = shutil.ignore_patterns("__pycache__", "dist-packages", "site-packages", "config-*", "*.so", "*.pyc")
    shutil.copytree(sysconfig.get_path("stdlib"), root, ignore=skipped, ignore_dangling_symlinks=True)
    return root


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git clone of this repository: many small files, read-only ones among them."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("git or the repository's own .git is missing")
    root = tmp_path_factory.mktemp("clone") / "clone"
    command = ["git", "-c", "safe.directory=*", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(root)]
    subprocess.run(command, check=True, capture_output=True)
    return root


def credentials() -> str:
    return f"{names()[0]}%{PASSWORD}"
