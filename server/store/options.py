"""How one share's files are kept: what a configuration says about storage."""

from collections.abc import Callable
from dataclasses import dataclass, field

from .names import compile_pattern
from .threads import IdentityThreads


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
    hide_dot_files: bool = True
    """Names that begin with a dot have the HIDDEN attribute."""
    hide_unreadable: bool = False
    """Listings leave out what whoever lists may not read."""
    veto_files: tuple[str, ...] = ()
    """Patterns with * and ? of names that are neither shown nor found."""
    store_dos_attributes: bool = True
    like_ksmbd: bool = False
    """Where Samba and ksmbd keep things differently, ksmbd's way: named streams without the NUL that Samba puts
    behind the data (and that is taken off in reading), descriptors with the hash that ksmbd insists on. Both kinds
    of descriptors are always read."""
    posix_locking: bool = True
    """Byte-range locks are locks of the system's too."""
    names_remembered: int = 500_000
    """Over all directories; some 200 bytes each."""

    def vetoed(self) -> Callable[[str], bool] | None:
        """Says of a name whether it is neither shown nor found; None where all are."""
        if not self.veto_files:
            return None
        patterns = [compile_pattern(pattern) for pattern in self.veto_files]
        return lambda name: any(matches(name) for matches in patterns)

    def file_mode(self, directory: bool) -> int:
        """The permission bits of a new file."""
        if directory:
            return 0o777 & self.directory_mask | self.force_directory_mode
        return 0o777 & self.create_mask | self.force_create_mode
