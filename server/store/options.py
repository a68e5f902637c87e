"""How one share's files are kept: what a configuration says about storage, and the service's own account."""

import os
from dataclasses import dataclass, field

from .base import Identity
from .threads import IdentityThreads

SERVICE = Identity("service", os.geteuid(), os.getegid(), (), frozenset(), b"", b"", privileged=True)


@dataclass(slots=True)
class Options:
    """Modes are permission bits. `threads` may be shared by the stores of all shares."""

    threads: IdentityThreads = field(default_factory=IdentityThreads)
    create_mask: int = 0o744
    directory_mask: int = 0o755
    force_create_mode: int = 0
    force_directory_mode: int = 0
    inherit_owner: bool = False
    """A new file belongs to its directory's owner (as root only)."""
    read_only: bool = False
    hide_dot_files: bool = True
    """Names that begin with a dot have the HIDDEN attribute."""
    store_dos_attributes: bool = True
    streams_end_in_nul: bool = True
    """Named streams are kept as Samba does, with a NUL behind the data; else as ksmbd does, without. Reading them, a
    NUL at the end is taken for it: ksmbd's own streams that end in one must be read with False."""
    names_remembered: int = 500_000
    """Over all directories; some 200 bytes each."""

    def file_mode(self, directory: bool) -> int:
        """The permission bits of a new file."""
        if directory:
            return 0o777 & self.directory_mask | self.force_directory_mode
        return 0o777 & self.create_mask | self.force_create_mode
