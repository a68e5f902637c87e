"""Make `.venv` and install this project in it, with only python3 there to begin with.

The interpreter is the distribution's own where it is new enough, and sees the distribution's packages, so that
python3-pyverbs (which no index has) is found; else the newest other one. This runs under whatever python3 the
machine has, so it keeps to what Python 3.8 knows.

    python3 scripts/environment.py [EXTRA]...      extras of pyproject.toml: test, dev, fuzz
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import packages

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
OLDEST = (3, 11)
CANDIDATES = ("/usr/bin/python3", "python3", *(f"python3.{minor}" for minor in range(19, OLDEST[1] - 1, -1)))
_TRIAL = "import sys, venv, ensurepip; sys.exit(sys.version_info[:2] < {})"
_NEW_ENOUGH = "import sys; sys.exit(sys.version_info[:2] < {})"


def passes(python: str, trial: str) -> bool:
    path = shutil.which(python)
    return (
        path is not None
        and subprocess.run([path, "-c", trial.format(OLDEST)], stderr=subprocess.DEVNULL).returncode == 0
    )


def interpreter() -> str:
    """An interpreter that can make the environment; what it lacks is installed, or named."""
    usable = [python for python in CANDIDATES if passes(python, _TRIAL)]
    if usable:
        return usable[0]
    new = [python for python in CANDIDATES if passes(python, _NEW_ENOUGH)]
    name = Path(os.path.realpath(shutil.which(new[0]) or new[0])).name if new else "python3.11"
    packages.need([f"{name}-venv"] if new else [name, f"{name}-venv"])
    usable = [python for python in CANDIDATES if passes(python, _TRIAL)]
    if not usable:
        sys.exit("no python3 >= 3.11 with the venv module was found")
    return usable[0]


def create() -> None:
    if not passes(str(VENV / "bin/python"), _NEW_ENOUGH):
        python = interpreter()
        print(f"making {VENV} with {python}", flush=True)
        subprocess.run([python, "-m", "venv", "--clear", "--system-site-packages", str(VENV)], check=True)


def install(extras: list[str]) -> None:
    """Install the project editable, once for each state of pyproject.toml."""
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    done = [VENV / f"installed-{extra}" for extra in ["project", *extras]]
    if all(stamp.exists() and stamp.read_text() == wanted for stamp in done):
        return
    target = f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT)
    print("installing smbdirect" + f" for {', '.join(extras)}" * bool(extras), flush=True)
    subprocess.run([str(VENV / "bin/python"), "-m", "pip", "install", "--quiet", "--editable", target], check=True)
    for stamp in done:
        stamp.write_text(wanted)


def main() -> None:
    try:
        create()
        install(sys.argv[1:])
    except subprocess.CalledProcessError as error:
        sys.exit(f"failed: {' '.join(error.cmd)}")


if __name__ == "__main__":
    main()
