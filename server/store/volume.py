"""What the file systems below a share can do, asked once for each: by device number."""

import errno
import os


class Volumes:
    """Abilities by st_dev, learnt as they are met."""

    def __init__(self) -> None:
        self._nowait: dict[int, int | None] = {}

    def read_flags(self, device: int) -> int | None:
        """The flags with which a preadv on this device never waits for a disk; None where there are none."""
        return self._nowait.get(device, os.RWF_NOWAIT)

    def no_nowait(self, device: int) -> None:
        """RWF_NOWAIT is not known to this device's file system. What lies in memory never waits anyway."""
        self._nowait[device] = 0 if kind(device) in ("tmpfs", "ramfs") else None


def kind(device: int) -> str:
    """The type of the file system with this st_dev, "" where it is not found."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                fields = line.split()
                if fields[2] == wanted and "-" in fields:
                    return fields[fields.index("-") + 1]
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
    return ""
