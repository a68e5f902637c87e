"""What a run comes to, as text and as a table for other programs."""

import csv
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TextIO

from .figures import EDGES, Frame, Run, brackets, spread
from .place import Mode

BAR = 40
DONE = {Mode.READ: "read", Mode.WRITE: "written", Mode.EMPTY: "made"}
PARTS: dict[str, Callable[[Frame], float]] = {
    "open": lambda frame: frame.opening,
    "disk": lambda frame: frame.moving,
    "close": lambda frame: frame.closing,
    "overall": lambda frame: frame.taken,
}
"""What the time of a frame is made of: `disk` is the reading or writing alone."""


def report(run: Run, mode: Mode) -> str:
    return "\n\n".join([_summary(run, mode), _times(run.frames), histogram(run.frames)])


def verdict(run: Run, floor: float) -> str:
    """Whether the rate held, in a line."""
    held = "held" if run.holds(floor) else "NOT held"
    slowest = run.slowest_second
    second = "" if slowest is None else f", {slowest} frames in the slowest second"
    return f"Floor of {floor:g} fps: {held} ({run.rate:.2f} fps over all{second})"


def _summary(run: Run, mode: Mode) -> str:
    lines = [f"Frames     {len(run.frames)} {DONE[mode]}, {run.size / 1e6:.1f} MB, in {run.seconds:.2f} s"]
    lines += [f"Rate       {run.rate:.2f} fps, {run.bandwidth / 1e6:.1f} MB/s"]
    if run.slowest_second is not None:
        lines += [f"           {run.slowest_second} frames in the slowest second"]
    if run.dropped:
        lines += [f"Dropped    {run.dropped}"]
    return "\n".join(lines)


def _times(frames: Sequence[Frame]) -> str:
    lines = ["Time of a frame, ms   shortest   average    median       99 %   longest"]
    for name, part in PARTS.items():
        figures = spread([part(frame) * 1000 for frame in frames])
        lines.append(f"  {name:<18}" + "".join(f"{figure:10.3f}" for figure in figures))
    return "\n".join(lines)


def histogram(frames: Sequence[Frame]) -> str:
    """How many frames took how long: the reading or writing alone, and from opening to closing with a bar."""
    names = [f"under {EDGES[0]:g}", *(f"{low:g} to {high:g}" for low, high in pairwise(EDGES))]
    names.append(f"{EDGES[-1]:g} and more")
    disk, overall = (brackets([PARTS[part](frame) for frame in frames]) for part in ("disk", "overall"))
    lines = ["Frames by time, ms      disk   overall"]
    for name, moving, taken in zip(names, disk, overall, strict=True):
        bar = "#" * -(-taken * BAR // len(frames))
        lines.append(f"  {name:<16}{moving:>10}{taken:>10}  {bar}".rstrip())
    return "\n".join(lines)


def export(run: Run, out: TextIO) -> None:
    """A line of comma-separated figures for each frame, in the order in which they began."""
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["frame", "begun s", *(f"{name} ms" for name in PARTS), "bytes"])
    for frame in sorted(run.frames, key=lambda frame: frame.begun):
        times = [f"{part(frame) * 1000:.3f}" for part in PARTS.values()]
        table.writerow([frame.number, f"{frame.begun - run.begun:.6f}", *times, frame.size])
