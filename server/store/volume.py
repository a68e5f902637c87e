"""What the file systems below a share can do, by device number: asked of the system once for each.

Which one a device number belongs to is asked through a descriptor of a file there: Btrfs gives its files other
numbers than the one its mount is listed under.
"""

import errno
import os

_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_WITHOUT_HOLES = frozenset({"vfat", "msdos", "exfat"})
_WITH_REFLINKS = frozenset({"btrfs", "xfs", "bcachefs", "ocfs2"})

_TELLING_CHANGES = _IN_MEMORY | {"ext2", "ext3", "ext4", "xfs", "btrfs", "bcachefs", "f2fs"}

_OF_THIS_MACHINE = _IN_MEMORY | _WITHOUT_HOLES | {
    "ext2", "ext3", "ext4", "xfs", "btrfs", "bcachefs", "f2fs", "zfs", "overlay",
}  # fmt: skip

_LARGEST_FILE = {"vfat": (1 << 32) - 1, "msdos": (1 << 32) - 1}
"""Bytes; where no other is told, what an offset holds."""


class Volumes:
    """Abilities by st_dev, learnt as they are met."""

    def __init__(self) -> None:
        self._nowait: dict[int, int | None] = {}
        self._kinds: dict[int, str] = {}

    def read_flags(self, device: int) -> int | None:
        """The flags with which a preadv on this device never waits for a disk; None where there are none."""
        return self._nowait.get(device, os.RWF_NOWAIT)

    def no_nowait(self, device: int, descriptor: int) -> None:
        """RWF_NOWAIT is not known to this device's file system. What lies in memory never waits anyway."""
        self._nowait[device] = 0 if self.kind(device, descriptor) in _IN_MEMORY else None

    def sparse(self, device: int, descriptor: int) -> bool:
        """Whether its files can have holes."""
        return self.kind(device, descriptor) not in _WITHOUT_HOLES

    def reflink(self, device: int, descriptor: int) -> bool:
        """Whether its files can share blocks."""
        return self.kind(device, descriptor) in _WITH_REFLINKS

    def locks_at_once(self, device: int, descriptor: int) -> bool:
        """Whether a lock on its files is a matter of memory, and no other machine is asked."""
        return self.kind(device, descriptor) in _OF_THIS_MACHINE

    def tells_changes(self, device: int, descriptor: int) -> bool:
        """Whether whatever changes of a file but its data moves its change time, as this machine sees it at once."""
        return self.kind(device, descriptor) in _TELLING_CHANGES

    def check_room(self, descriptor: int, size: int) -> None:
        """Whether an open file could grow to `size` bytes without holes; raises OSError as growing it would."""
        status = os.fstat(descriptor)
        if size > _LARGEST_FILE.get(self.kind(status.st_dev, descriptor), (1 << 63) - 1):
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        volume = os.fstatvfs(descriptor)
        if size - status.st_blocks * 512 > volume.f_bavail * volume.f_frsize:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def kind(self, device: int, descriptor: int) -> str:
        """The type of its file system, of which a file is open; "" where the system does not say."""
        found = self._kinds.get(device)
        if found is None:
            found = self._kinds[device] = _kind(descriptor)
        return found


def _kind(descriptor: int) -> str:
    with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as told:
        wanted = next((line.split()[1] for line in told if line.startswith("mnt_id:")), "")
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
        for line in mounts:
            fields = line.split()
            if fields[0] == wanted and "-" in fields:
                return fields[fields.index("-") + 1]
    return ""
