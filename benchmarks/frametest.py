"""`smbdirect-frametest`: writes and reads frames as an editing room does, one after the other, and says how fast.

It takes the options of DVS frametest that its users know, sizes in KiB as there. What it measures is one place: a
mounted directory, or a share that it reaches itself, without a mount, over TCP or SMB Direct.

    smbdirect-frametest -w 2k -n 500 -t 4 /mnt/media/test
    smbdirect-frametest -r -n 500 -t 4 --floor 24 smb://user@host/share/test --rdma

The exit status is 1 where frames could not be transferred or the floor was not held, 2 for a wrong command line.
"""

import argparse
import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from server.options import shown, size_of
from server.status import Status
from smbdirect.wire import Malformed
from transport.base import Lost
from transport.memory import Arena

from .frames import report, target
from .frames.figures import Run
from .frames.mounted import mounted
from .frames.place import Mode, Names, Place, Refused, Task
from .frames.run import Progress, run
from .frames.schedule import Pace, Schedule, backwards, in_order, shuffled
from .frames.served import DEPTH, LARGEST, USUAL, Load, dialler, served
from .frames.sizes import KIB, NAMES, frame_size, kib, named

T = TypeVar("T", int, float)
SMALLEST_IO = 4096
FAILURES = (OSError, Refused, Lost, Malformed, Status)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        plan = _plan(options)
    except ValueError as error:
        parser.error(str(error))
    try:
        password = target.password(plan.share.user) if plan.share else ""
        done = asyncio.run(_transfer(plan, password, options))
        if options.export:
            with open(options.export, "w", encoding="utf-8", newline="") as out:
                report.export(done, out)
    except FAILURES as error:
        print(f"smbdirect-frametest: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    print(report.report(done, plan.task.mode))
    if options.floor is None:
        return 0
    print(f"\n{report.verdict(done, options.floor)}")
    return 0 if done.holds(options.floor) else 1


# -- what is asked for ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """A command line that makes sense. `share` None is a mounted path."""

    task: Task
    share: target.Share | None
    path: Path
    load: Load


def _whole(low: int, high: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        return _within(int(text), low, high)

    return number


def frame_rate(text: str) -> float:
    return _within(float(text), 0.001, 1e6)  # which no NaN is


def io_size(text: str) -> int:
    return _within(size_of(text), SMALLEST_IO, LARGEST)


def _within(value: T, low: T, high: T) -> T:
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{value} is not within {low} to {high}")
    return value


def _parser() -> argparse.ArgumentParser:
    sizes = ", ".join(f"{name} ({named(name) >> 10})" for name in NAMES)
    parser = argparse.ArgumentParser(
        prog="smbdirect-frametest",
        allow_abbrev=False,
        description="Write or read frames, and say how fast that went.",
        epilog=f"SIZE is KiB, or a name: {sizes}. A password is taken from ${target.VARIABLE}, a prompt or stdin.",
    )
    _add_work(parser)
    _add_pace(parser)
    _add_output(parser)
    _add_share(parser)
    parser.add_argument("where", nargs="?", help="a directory (with -s, a file), or smb://USER@HOST[:PORT]/SHARE/PATH")
    return parser


def _add_work(parser: argparse.ArgumentParser) -> None:
    work = parser.add_argument_group("what is done")
    modes = work.add_mutually_exclusive_group()
    modes.add_argument("-w", dest="write", metavar="SIZE", help="write frames of that size")
    modes.add_argument("-r", dest="read", metavar="SIZE", nargs="?", const="", help="read frames (the default)")
    modes.add_argument("-e", dest="empty", action="store_true", help="make frames without data: opens and closes")
    work.add_argument("-z", dest="size", metavar="KIB", help="size of a frame, whatever -w or -r says")
    work.add_argument("-n", dest="count", metavar="N", type=_whole(1, 10**7), default=1800, help="frames (1800)")
    work.add_argument("-t", dest="threads", metavar="N", type=_whole(1, 256), default=1, help="frames at a time (1)")
    work.add_argument("-i", dest="pieces", metavar="N", type=_whole(1, 4096), default=1, help="I/Os for each frame (1)")
    work.add_argument("-s", dest="stream", action="store_true", help="all frames in one file")
    work.add_argument("-l", dest="loop", metavar="N", type=_whole(1, 10**7), help="begin again after so many frames")
    orders = work.add_mutually_exclusive_group()
    add = orders.add_argument
    add("-v", dest="order", action="store_const", const=backwards, default=in_order, help="in reverse order")
    add("-m", dest="order", action="store_const", const=shuffled, help="in a random order")
    work.add_argument("--name", metavar="NAME", help="what the first frame is called (frame000000.tst)")
    work.add_argument("--buffered", action="store_true", help="go through the page cache")


def _add_pace(parser: argparse.ArgumentParser) -> None:
    pace = parser.add_argument_group("how fast")
    pace.add_argument("-f", dest="rate", metavar="FPS", type=frame_rate, help="no faster than so many frames a second")
    pace.add_argument(
        "-q", dest="queue", metavar="N", type=_whole(1, 10**6), help="with -f: drop frames when more than N wait"
    )
    pace.add_argument(
        "-b", dest="prebuffer", metavar="N", type=_whole(0, 10**6), default=5, help="with -f: begin so many early (5)"
    )
    pace.add_argument("--floor", metavar="FPS", type=frame_rate, help="exit with 1 unless this rate is held throughout")


def _add_output(parser: argparse.ArgumentParser) -> None:
    output = parser.add_argument_group("what is told")
    output.add_argument(
        "-u", dest="interval", metavar="S", type=frame_rate, default=1.0, help="seconds between lines of progress (1)"
    )
    output.add_argument("-x", dest="export", metavar="FILE", help="write the times of each frame there, as CSV")


def _add_share(parser: argparse.ArgumentParser) -> None:
    share = parser.add_argument_group("smb:// alone")
    share.add_argument("--rdma", action="store_true", help="over SMB Direct; else TCP")
    share.add_argument("--connections", metavar="N", type=_whole(1, 32), help="connections of the session (1)")
    share.add_argument("--io-size", metavar="SIZE", type=io_size, help=f"bytes of a request, say 512K ({shown(USUAL)})")
    share.add_argument(
        "-a",
        dest="depth",
        metavar="N",
        type=_whole(1, 256),
        help=f"requests in flight on each ({DEPTH})",
    )


def _plan(options: argparse.Namespace) -> Plan:
    """Raises ValueError, whose text is for who typed it."""
    where, wanted = options.where, options.write or options.read
    if where is None and options.read:
        where, wanted = options.read, None  # -r DIRECTORY: there was no size
    if where is None:
        raise ValueError("where to? A directory or smb://USER@HOST/SHARE is missing")
    if options.queue and not options.rate:
        raise ValueError("-q goes with -f")
    share = target.share(where) if where.startswith(target.SCHEME) else None
    given = {"--rdma": options.rdma, "--connections": options.connections}
    given |= {"--io-size": options.io_size, "-a": options.depth}
    local = {"-i": options.pieces > 1, "--buffered": options.buffered}
    for name in [name for name, value in (local if share else given).items() if value]:
        raise ValueError(f"{name} is for {'mounted paths' if share else 'smb://'}")
    load = Load(options.connections or 1, options.depth or DEPTH, options.io_size)
    return Plan(_task(options, wanted), share, Path(where), load)


def _task(options: argparse.Namespace, wanted: str | None) -> Task:
    mode = Mode.EMPTY if options.empty else Mode.WRITE if options.write is not None else Mode.READ
    size = frame_size(wanted) if wanted else None
    if options.size is not None:
        size = kib(options.size)
    if options.stream and (size is None or mode is Mode.EMPTY):
        raise ValueError("-s goes with -w, or with -r and a size")
    names = Names() if options.name is None else Names.like(options.name)
    return Task(mode, size, options.pieces, options.stream, names)


# -- what is done --------------------------------------------------------------------------------------------


async def _transfer(plan: Plan, password: str, options: argparse.Namespace) -> Run:
    pace = Pace(options.rate, options.queue or 0, options.prebuffer) if options.rate else None
    loop = options.loop or options.count
    schedule = Schedule([number % loop for number in options.order(options.count)], pace)
    progress = Progress(schedule.count, sys.stderr)
    async with _place(plan, password, options) as place:
        print(f"{options.where or plan.path}: {place.how}")
        print(_asked(plan, options), flush=True)
        return await run(place, schedule, options.threads, progress, options.interval)


@asynccontextmanager
async def _place(plan: Plan, password: str, options: argparse.Namespace) -> AsyncIterator[Place]:
    if plan.share is None:
        async with mounted(plan.path, plan.task, options.threads, options.buffered) as here:
            yield here
        return
    arena = Arena()
    with contextlib.closing(arena):
        dial = dialler(plan.share, options.rdma, arena)
        async with served(plan.share, password, plan.task, plan.load, dial, arena) as there:
            yield there


def _asked(plan: Plan, options: argparse.Namespace) -> str:
    size = "as long as they are" if plan.task.size is None else f"of {plan.task.size // KIB} KiB"
    paced = f", {options.rate:g} fps at most" if options.rate else ""
    verb = {Mode.READ: "read", Mode.WRITE: "write", Mode.EMPTY: "make"}[plan.task.mode]
    what = "empty" if plan.task.mode is Mode.EMPTY else size
    return f"{verb} {options.count} frames {what}, {options.threads} at a time{paced}\n"


if __name__ == "__main__":
    sys.exit(main())
