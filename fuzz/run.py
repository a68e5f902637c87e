"""Hunt with every target in turn, and say what was found.

    python -m fuzz.run [--seconds N] [--found DIRECTORY] [TARGET]...

The exit status is 1 where a target found something; its inputs lie in the directory, and
`python -m fuzz.hunt TARGET FILE` tries one again.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

TARGETS = ("messages", "smbdirect", "spnego", "logins", "descriptors", "rpc", "names", "whole")
GRACE = 300
"""Seconds that a hunt may take beyond its time before it counts as hung."""


def hunt(target: str, seconds: int, found: Path) -> bool:
    """Whether `target` held for so long; a line says so."""
    log = found / f"{target}.log"
    command = [sys.executable, "-m", "fuzz.hunt", target, f"-max_total_time={seconds}", "-timeout=20"]
    command += ["-rss_limit_mb=2048", f"-artifact_prefix={found}/{target}-"]
    with log.open("wb") as output:
        try:
            ended = subprocess.run(command, stdout=output, stderr=output, timeout=seconds + GRACE, check=False)
            held = ended.returncode == 0
        except subprocess.TimeoutExpired:
            held = False
    runs = re.search(r"Done (\d+) runs", log.read_text("utf-8", "replace"))
    print(f"{target}: {'held' if held else f'FOUND SOMETHING, see {log}'}, {runs[1] if runs else 'unknown'} inputs")
    return held


def main() -> int:
    parser = argparse.ArgumentParser(description="Hunt with atheris over every parser.")
    parser.add_argument("--seconds", type=int, default=60, help="for each target; default 60")
    parser.add_argument("--found", type=Path, default=Path("fuzz/found"), help="where logs and findings go")
    parser.add_argument("targets", nargs="*", default=TARGETS, metavar="TARGET", help=", ".join(TARGETS))
    options = parser.parse_args()
    options.found.mkdir(parents=True, exist_ok=True)
    held = [hunt(target, options.seconds, options.found.resolve()) for target in options.targets]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
