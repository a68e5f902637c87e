"""atheris on one target, until its time is up or it finds something.

    python -m fuzz.hunt TARGET [libFuzzer's options and files]

A finding stays in a file `crash-...` (`-artifact_prefix` says where) and is tried again with that file as argument.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["smbdirect", "transport", "server"]):
    from .targets import TARGETS


def main() -> None:
    name, *options = sys.argv[1:]
    target = TARGETS[name]
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(target.seeds):
            Path(corpus, str(number)).write_bytes(seed)
        again = any(not option.startswith("-") for option in options)
        atheris.Setup([sys.argv[0], *options, *([] if again else [corpus])], target.one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
