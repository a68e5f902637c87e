"""What the kernel says while a test runs, and what of it may stand there.

Every line of level warning or worse is an alarm unless it is listed here: because the same run leaves it against ksmbd
(`HWTEST_SERVER=ksmbd`, Linux 7.2) or Samba, or because no server can be the cause. Against ksmbd there is more, so some
of its runs end in alarms: signatures of sealed READs that do not verify, sealed WRITEs that the client does not send.
"""

import errno
import os
import re
from typing import Self

KMSG = "/dev/kmsg"
WARNING = 4
RECORD = 8192
"""Bytes; a record of the kernel's is smaller."""

ALSO_WITH_KSMBD = (
    r"CIFS: VFS: RDMA transport established",
    # it tries iWARP's port first, whatever the device
    r"CIFS: VFS: _smbd_get_connection:\d+ connect to \S+:5445\S* failed: -ENODEV",
    r"CIFS: VFS: Signing is enabled, and RDMA read/write will be disabled",
    r"callbacks suppressed",
    r"CIFS: VFS: too many channel open attempts",
)
ALSO_WITH_SAMBA = (
    # the lease on a directory is broken when a file in it is closed that has changed, and the client, unmounting, has
    # forgotten it. Over TCP 10 of 60 mounts said so against Samba 4.22 with `smb3 directory leases`, 13 of 60 here.
    r"CIFS: VFS: \S+ No task to wake, unknown frame received",
)
OF_THE_CLIENT = (
    # it makes and drops slab caches for each connection (smbdirect_connection_create_mem_pools), and mm/slub.c names
    # them in sysfs: the name of an old one may not have gone yet. This server has no part in the kernel.
    r"SLUB: Unable to add cache alias smbdirect_\w+ to sysfs",
)
OF_KSMBD = (r"^(ksmbd|smbdirect): ",) if os.environ.get("HWTEST_SERVER") == "ksmbd" else ()
"""What that server itself has to say."""
ORDINARY = (*ALSO_WITH_KSMBD, *ALSO_WITH_SAMBA, *OF_THE_CLIENT, *OF_KSMBD)
SLAB_TWICE = re.compile(
    r"^sysfs: cannot create duplicate filename '/kernel/slab/:\d+'$"
    r".*?^SLUB: Unable to add cache smbdirect_\w+ to sysfs$",
    re.MULTILINE | re.DOTALL,
)
"""The same, with a warning and its stack in between."""
LINK_LOST = (
    r"CIFS: VFS: smbdirect_\w+:\d+ .*(-ECONNABORTED|-ETIMEDOUT|-ENOTCONN|-ECONNRESET|-ERESTARTSYS|timeout)",
    r"CIFS: VFS: _smbd_get_connection:\d+ connect to \S+ failed: -(ETIMEDOUT|ERESTARTSYS|ECONNABORTED)",
    r"CIFS: VFS: failed to open extra channel on iface",
)
"""What a channel leaves that is lost with its link, and attempts to have another over it; against ksmbd too."""


class KernelLog:
    """The kernel's log from now on, in `lines` as far as it was looked at. It is never cleared: others read it too."""

    def __enter__(self) -> Self:
        self._fd = os.open(KMSG, os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self._fd, 0, os.SEEK_END)
        self.lines: list[str] = []
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._fd)

    def alarms(self, *also: str) -> list[str]:
        """The lines since the last call, level warning or worse, that neither ORDINARY nor `also` lists."""
        known = re.compile("|".join((*ORDINARY, *also)))
        told = [parsed(record) for record in self._records()]
        self.lines += [line for _, line in told]
        worse = "\n".join(line for level, line in told if level <= WARNING)
        return [line for line in SLAB_TWICE.sub("", worse).splitlines() if line and not known.search(line)]

    def _records(self) -> list[bytes]:
        records = []
        while True:
            try:
                records.append(os.read(self._fd, RECORD))
            except BlockingIOError:
                return records
            except OSError as error:
                if error.errno != errno.EPIPE:
                    raise
                records.append(b"4,0,0,-;more was said than the kernel keeps\n")


def parsed(record: bytes) -> tuple[int, str]:
    """A record's level, and its first line; what follows that are its keys."""
    head, _, text = record.decode("utf-8", "replace").partition(";")
    return int(head.partition(",")[0]) & 7, text.partition("\n")[0]
