"""What the Linux kernel's client does with mounts of this server; run inside the lab by test_linux.py.

    python -m server.tests.clients.lab_mounts TREE OPTIONS[:SUBTREE]...

For each mount OPTIONS: TREE (or its SUBTREE where that is named: the lab needs 20 ms a file) is copied in, compared
where the server stores it, copied out over a fresh mount and compared again; a file is written and verified by fio;
names are changed and removed. A line of JSON a mount says how it went: {"mount": OPTIONS, "failure": what went wrong
or "", "seconds": how long it took}.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from server.testing import PASSWORD, Ours, names

from .conftest import COMPLAINTS, digests

MOUNT = Path("/run/smbdirect-mount")
FIO = ("fio", "--name=verify", "--rw=randrw", "--bs=4k-1m", "--size=48m", "--ioengine=psync", "--verify=crc32c",
       "--verify_fatal=1", "--verify_state_save=0",
       "--do_verify=1", "--end_fsync=1", "--randseed=7", "--output-format=terse")  # fmt: skip


def run(*command: str | Path) -> str:
    """The output of `command`; what it complained of, as an error, where it failed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{' '.join(map(str, command))[:300]}: {(done.stderr or done.stdout)[-1500:]}")
    return done.stdout


@contextmanager
def mounted(server: Ours, options: str) -> Iterator[Path]:
    who = f"username={names()[0]},password={PASSWORD},port={server.port},file_mode=0644,dir_mode=0755"
    MOUNT.mkdir(exist_ok=True)
    run("mount", "-t", "cifs", "//127.0.0.1/data", MOUNT, "-o", f"{who},{options}")
    try:
        yield MOUNT
    finally:
        run("umount", MOUNT)


def copied_in_and_out(server: Ours, options: str, tree: Path) -> None:
    expected = digests(tree)
    with mounted(server, options) as mount:
        run("cp", "-r", tree, mount / "tree")
    same(expected, digests(server.path() / "tree"), "what was copied in")
    with mounted(server, options) as mount:
        back = Path("/srv/back")
        shutil.rmtree(back, ignore_errors=True)
        run("cp", "-r", mount / "tree", back)
        same(expected, digests(back), "what was copied out")
        shutil.rmtree(back)


def verified_by_fio(server: Ours, options: str, tree: Path) -> None:
    with mounted(server, options) as mount:
        run(*FIO, f"--filename={mount / 'fio'}")
    with mounted(server, options) as mount:
        run(*FIO, "--verify_only", f"--filename={mount / 'fio'}")


def names_changed(server: Ours, options: str, tree: Path) -> None:
    with mounted(server, options) as mount:
        (mount / "one").write_text("1")
        (mount / "one").rename(mount / "two")
        (mount / "sub").mkdir()
        (mount / "two").rename(mount / "sub/three")
        (mount / "other").write_text("other")
        (mount / "other").rename(mount / "sub/three")
        same({"three": "other"}, {path.name: path.read_text() for path in (mount / "sub").iterdir()}, "renamed")
        with (mount / "sub/three").open("r+") as file:
            file.truncate(2)
            file.seek(10)
            file.write("end")
        same("ot" + "\0" * 8 + "end", (mount / "sub/three").read_text(), "truncated and extended")
        run("rm", "-rf", mount / "sub", mount / "tree")
        same([], [path.name for path in mount.iterdir() if path.name in ("sub", "tree")], "removed")
        run("df", mount)


def same(expected: object, found: object, what: str) -> None:
    if expected == found:
        return
    if isinstance(expected, dict) and isinstance(found, dict):
        wrong = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
        raise AssertionError(f"{what}: {len(wrong)} differ: {wrong[:5]}")
    raise AssertionError(f"{what}: {found!r}, expected {expected!r}")


STEPS: tuple[Callable[[Ours, str, Path], None], ...] = (copied_in_and_out, verified_by_fio, names_changed)


def failure(server: Ours, options: str, tree: Path) -> str:
    server.clear()
    for step in STEPS:
        try:
            step(server, options, tree)
        except (AssertionError, OSError) as error:
            return f"{step.__name__}: {error}\n{server.tail()}"
    return ""


def main(tree: str, *mounts: str) -> None:
    server = Ours(under=Path("/srv"))
    with server:
        for mount in mounts:
            options, _, subtree = mount.partition(":")
            begun = time.monotonic()
            said = failure(server, options, Path(tree) / subtree)
            report = {"mount": options, "failure": said, "seconds": round(time.monotonic() - begun, 1)}
            print(json.dumps(report), flush=True)
        status = server.stop()
        log = server.log.read_text("utf-8", "replace")
        ended = "" if status == 0 and not any(word in log for word in COMPLAINTS) else f"status {status}\n{log[-3000:]}"
        print(json.dumps({"mount": "end", "failure": ended}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
