"""Run smbtorture's smb2 tests one by one against a server of their own, and say what became of each.

One process a test and an empty share a test: no test sees another's leavings, and one that hangs costs its time
limit and nothing else. Each worker has a server to itself; a test that runs out of time, or after which the
server is gone or deaf, gets its worker a new one, and the line says so. With `--held FILE` only the tests listed
there run, and one that fails twice fails the run: so what has passed once is not lost again.
"""

import argparse
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from server.testing import PASSWORD, NotStarted, Ours, Running, Samba, missing, names

OUTSIDE = ("smb2.scan.", "smb2.bench.")
"""What is no test: walks over every command and level, and timings."""
SLOW = {"smb2.notify.mask.mask": 240.0}
"""Seconds for tests that sleep longer than others take: this one 400 times a fifth of a second."""
_RESULT = re.compile(r"^(success|failure|skip|error)\w*: ", re.MULTILINE)
_WORDS = {"success": "pass", "failure": "fail", "error": "fail", "skip": "skip"}
_SERVERS: dict[str, type[Running]] = {"ours": Ours, "samba": Samba}
_SETTINGS: dict[type[Running], dict[str, str]] = {
    Ours: {"max ip connections": "256"},
    Samba: {
        "vfs objects": "acl_xattr streams_xattr", "ea support": "yes", "kernel oplocks": "no",
        "kernel share modes": "no", "posix locking": "no", "map acl inherit": "yes",
        "smb3 unix extensions": "yes", "server min protocol": "SMB2_02",
    },
}  # fmt: skip

_BESIDE: dict[str, dict[str, str]] = {"noperm": {}, "hideunread": {"hide unreadable": "true"}}
"""What some tests want beside the usual two shares."""
_SHARES: dict[type[Running], dict[str, dict[str, str]]] = {
    Ours: {"data": {"continuous availability": "true"}, **_BESIDE},
    Samba: _BESIDE,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one test: pass, fail, skip or timeout; how long it took in seconds; and a word on why."""

    test: str
    result: str
    seconds: float
    why: str = ""
    server: str = ""
    """What happened to the server, where anything did."""


def listed() -> list[str]:
    """Every smb2 test that the installed smbtorture has, in its own order."""
    out = subprocess.run(["smbtorture", "--list"], capture_output=True, text=True, check=True).stdout
    return [name for name in out.splitlines() if name.startswith("smb2.") and not name.startswith(OUTSIDE)]


def version() -> str:
    return subprocess.run(["smbtorture", "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]


def suite(test: str) -> str:
    """What names `test` on smbtorture's command line: its listed name ends with its own name twice."""
    stem, _, last = test.rpartition(".")
    return stem if stem.endswith(f".{last}") else test


class Worker:
    """A server and the tests run on it, one after the other."""

    def __init__(self, kind: type[Running], limit: float, logs: Path) -> None:
        self.kind = kind
        self.limit = limit
        self.logs = logs
        self.server: Running | None = None

    def run(self, test: str) -> Outcome:
        """Run `test` on an empty share; raises NotStarted when there is no server to run it on."""
        server = self._fresh()
        begun = time.monotonic()
        output, timed_out = self._smbtorture(server, test)
        result, why = ("timeout", f"over {self._limit(test):.0f} s") if timed_out else verdict(output)
        seconds = time.monotonic() - begun
        said = server.log.read_bytes()[self.mark :].decode("utf-8", "replace")
        trouble = self._trouble(server, said, timed_out)
        if result != "pass" or trouble:
            name = re.sub(r"[^\w.-]", "_", suite(test))
            (self.logs / name).write_text(f"{output}\n--- the server's log ---\n{said}")
        if timed_out or not server.alive:
            self.close()
        return Outcome(test, result, seconds, why, trouble)

    def close(self) -> None:
        if self.server is not None:
            self.server.remove()
            self.server = None

    def _fresh(self) -> Running:
        if self.server is None:
            self.server = self.kind(settings=_SETTINGS[self.kind], shares=_SHARES[self.kind])
            self.server.start()
        self.mark = self.server.log.stat().st_size
        self.server.clear()
        return self.server

    def _limit(self, test: str) -> float:
        return max(self.limit, SLOW.get(test, 0))

    def _smbtorture(self, server: Running, test: str) -> tuple[str, bool]:
        """Its output, and whether it ran out of time."""
        first, second = names()
        command = ["smbtorture", "//127.0.0.1/data", "-p", str(server.port), f"-U{first}%{PASSWORD}"]
        command += [f"--option=torture:user2name={second}", f"--option=torture:user2password={PASSWORD}"]
        command += ["--option=torture:share2=second", "--option=torture:progress=no"]
        command += ["--option=torture:sharedelay=100000", "--option=torture:writetimeupdatedelay=500000"]
        command.append("--target=samba3" if self.kind is Samba else "--option=torture:acl_xattr_name=NTACL")
        with tempfile.TemporaryFile() as out:
            process = subprocess.Popen(
                [*command, suite(test)], stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=server.root
            )
            try:
                process.wait(self._limit(test))
                timed_out = False
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                timed_out = True
            out.seek(0)
            return out.read().decode("utf-8", "replace"), timed_out

    def _trouble(self, server: Running, said: str, timed_out: bool) -> str:
        """What the test did to the server, in a few words."""
        words = []
        if not server.alive:
            words.append(f"server died ({server.process and server.process.returncode})")
        elif timed_out and not greets(server.port):
            words.append("server hangs")
        if "Traceback (most recent call last)" in said:
            words.append("traceback in the server's log")
        return ", ".join(words)


def verdict(output: str) -> tuple[str, str]:
    """The result that smbtorture's output tells, and the first line that says why it is no pass."""
    found = [_WORDS[word] for word in _RESULT.findall(output)]
    result = next((word for word in ("fail", "skip", "pass") if word in found), "fail")
    if result == "pass":
        return result, ""
    match = re.search(r"^(?:failure|error|skip)\w*: [^\n]*\[\n?(.*?)\n?\]?$", output, re.MULTILINE)
    lines = [line for line in output.splitlines() if line.strip()]
    return result, (match[1] if match else lines[-1] if lines else "no output").strip()[:160]


def greets(port: int) -> bool:
    """Whether a server on `port` still answers a client within ten seconds, whatever it answers."""
    command = ["smbclient", "-L", "127.0.0.1", "-p", str(port), "-N", "-t", "5"]
    try:
        result = subprocess.run(command, capture_output=True, timeout=10, check=False)
    except subprocess.TimeoutExpired:
        return False
    return b"TIMEOUT" not in result.stdout + result.stderr


def run_all(tests: Sequence[str], kind: type[Running], jobs: int, limit: float, logs: Path) -> list[Outcome]:
    """Run `tests` on `jobs` workers; prints a line a test. Raises NotStarted where no server would start."""
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for test in tests:
        waiting.put(test)
    outcomes: list[Outcome] = []
    failures: list[BaseException] = []

    workers = [Worker(kind, limit, logs) for _ in range(jobs)]

    def work(worker: Worker) -> None:
        try:
            while not failures:
                outcome = worker.run(waiting.get_nowait())
                outcomes.append(outcome)
                report(outcome, len(outcomes), len(tests))
        except queue.Empty:
            pass
        except BaseException as error:  # ends the run, in the thread that waits for this one
            failures.append(error)

    threads = [threading.Thread(target=work, args=(worker,), daemon=True) for worker in workers]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:  # also when the run is interrupted, no server is left behind
        for worker in workers:
            worker.close()
    if failures:
        raise failures[0]
    return sorted(outcomes, key=lambda outcome: tests.index(outcome.test))


def report(outcome: Outcome, number: int, total: int) -> None:
    remarks = ": ".join(word for word in (outcome.server.upper(), outcome.why) if word)
    print(
        f"{number:3}/{total} {outcome.result:7} {outcome.seconds:5.1f} s  {suite(outcome.test)}  {remarks}", flush=True
    )


def again(outcomes: Sequence[Outcome], kind: type[Running], limit: float, logs: Path) -> list[Outcome]:
    """`outcomes`, with a second try's for those that did not pass: a loaded machine can fail a test that is timed."""
    weak = [outcome.test for outcome in outcomes if outcome.result != "pass"]
    if not weak:
        return list(outcomes)
    print(f"{len(weak)} of the held tests did not pass; they get a second try", flush=True)
    second = {outcome.test: outcome for outcome in run_all(weak, kind, 1, limit, logs)}
    return [second.get(outcome.test, outcome) for outcome in outcomes]


def read_names(path: Path) -> list[str]:
    """The tests that `path` lists: a name a line, a result and a tab before it allowed, # begins a comment."""
    lines = (line.partition("#")[0].rstrip().rpartition("\t")[2] for line in path.read_text().splitlines())
    return [line for line in lines if line]


def hold(outcomes: Iterable[Outcome], path: Path) -> None:
    """Add the tests that passed, and did the server no harm, to those that `path` lists."""
    passed = {outcome.test for outcome in outcomes if outcome.result == "pass" and not outcome.server}
    known = set(read_names(path)) if path.exists() else set()
    head = f"# Tests that pass here with smbtorture {version()}; none is lost again.\n"
    path.write_text(head + "".join(f"{name}\n" for name in sorted(passed | known)))


def compare(outcomes: Iterable[Outcome], path: Path) -> None:
    """Print where `outcomes` differ from the results that `path` (result, tab, name) holds."""
    rows = (line.partition("\t") for line in path.read_text().splitlines())
    before = {name: result for result, _, name in rows}
    changed = [o for o in outcomes if before.get(o.test, o.result) != o.result]
    print(f"\nAgainst {path.name}: {len(changed)} of {len(before)} differ")
    for outcome in changed:
        print(f"  {before[outcome.test]} -> {outcome.result}  {suite(outcome.test)}  {outcome.why}")


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m torture.run", description=__doc__)
    add = parser.add_argument
    add("pattern", nargs="*", help="only tests whose name begins with one of these")
    add("--held", type=Path, metavar="FILE", help="only the tests in FILE, and fail when one does not pass")
    add("--server", choices=_SERVERS, default="ours")
    add("--limit", type=float, default=60, metavar="SECONDS", help="for one test (default 60)")
    add("--jobs", type=int, default=2, help="servers and tests at once (default 2)")
    add("--results", type=Path, metavar="TSV", help="write result and name of each test")
    add("--hold", type=Path, metavar="FILE", help="add the tests that passed to FILE, for --held")
    add("--compare", type=Path, metavar="TSV", help="print where results differ from these")
    add("--logs", type=Path, metavar="DIR", help="keep what was said by tests that do not pass")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments(sys.argv[1:] if argv is None else argv)
    kind = _SERVERS[options.server]
    absent = missing("smbtorture", "smbclient", *(("smbd", "smbpasswd") if kind is Samba else ()))
    if absent:
        print(f"missing: {', '.join(absent)}; install Debian's samba-testsuite, smbclient (and samba)")
        return 2
    tests = read_names(options.held) if options.held else listed()
    if options.pattern:
        tests = [test for test in tests if test.startswith(tuple(options.pattern))]
    logs = options.logs or Path(tempfile.mkdtemp(prefix="torture-"))
    logs.mkdir(parents=True, exist_ok=True)
    print(f"smbtorture {version()}, {len(tests)} tests against {options.server}, {options.jobs} at once", flush=True)
    begun = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        outcomes = run_all(tests, kind, options.jobs, options.limit, logs)
        if options.held:
            outcomes = again(outcomes, kind, options.limit, logs)
    except NotStarted as error:
        print(error)
        return 2
    if options.results:
        options.results.write_text("".join(f"{o.result}\t{o.test}\n" for o in outcomes))
    if options.hold:
        hold(outcomes, options.hold)
    if options.compare:
        compare(outcomes, options.compare)
    return summary(outcomes, time.monotonic() - begun, logs, bool(options.held))


def summary(outcomes: Sequence[Outcome], seconds: float, logs: Path, held: bool) -> int:
    """Print the totals; the exit status: a held test that does not pass, or a server that suffered, fails the run."""
    counts = Counter(outcome.result for outcome in outcomes)
    hurt = [outcome for outcome in outcomes if outcome.server]
    for outcome in hurt:
        print(f"{outcome.server}: {suite(outcome.test)}")
    print(f"{seconds:.0f} s; what tests that did not pass said is in {logs}")
    lost = len(outcomes) - counts["pass"]
    words = {"pass": "passed", "fail": "failed", "skip": "skipped", "timeout": "timed out"}
    print(", ".join(f"{counts[word]} {said}" for word, said in words.items()))
    return 1 if hurt or (held and lost) else 0


if __name__ == "__main__":
    sys.exit(main())
