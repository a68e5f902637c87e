"""The users' file: ksmbdpwd.db's format, one `name:base64(NT hash)` a line, so that a ksmbd site brings its own.

An NT hash is as good as the password to whoever can read it (NTLM proves knowledge of the hash), so a file that
everyone may read is refused, and every write leaves it readable by its owner alone. A change replaces the file whole,
under a lock on its directory: two changes at once lose nothing and a reader never sees half of one. Blank
lines and comments (";" or "#") are kept. Names are matched without case.
"""

import binascii
import fcntl
import os
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from spnego._ntlm_raw.md4 import md4

from smbdirect.wire import utf16

HASH_SIZE = 16
LONGEST_NAME = 256
_FORBIDDEN = frozenset(':\\\\/"[]|<>*?,;#')
_OTHERS = 0o007


@dataclass(frozen=True, slots=True)
class User:
    """A name as its owner spells it, and MD4 over the password in UTF-16."""

    name: str
    nt_hash: bytes = field(repr=False)


def nt_hash(password: str) -> bytes:
    """NTOWFv1 (MS-NLMP 3.3.1). OpenSSL 3 no longer has MD4."""
    digest: bytes = md4(utf16(password))
    return digest


class Users:
    """The users of a file, or of none. What is found stays as it was read until `reload`."""

    def __init__(self, users: Iterable[User] = (), path: Path | None = None) -> None:
        self._by_name = {_key(user.name): user for user in users}
        self._path = path

    @classmethod
    def load(cls, path: Path) -> "Users":
        """The users in the file at `path`. Raises OSError (everyone may read it: PermissionError), and ValueError
        naming file and line where it is broken."""
        return cls(_users(_lines(path), path), path)

    def reload(self) -> None:
        """Read the file again; where that raises, as `load` does, the users stay as they were."""
        if self._path is not None:
            self._by_name = Users.load(self._path)._by_name

    def find(self, name: str) -> User | None:
        return self._by_name.get(_key(name))

    def __iter__(self) -> Iterator[User]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)


def add(path: Path, user: User) -> None:
    """Put a user into the file, which is made where it is absent. Raises ValueError where the name is there."""

    def change(lines: list[str]) -> list[str]:
        if _numbers(lines, user.name):
            raise ValueError(f"user {user.name} is in {path} already")
        return [*lines, _line(user)]

    _check_name(user.name)
    _change(path, change)


def replace(path: Path, user: User) -> None:
    """Give a user another hash. Raises ValueError where the name is not there."""

    def change(lines: list[str]) -> list[str]:
        number = _number(lines, user.name, path)
        kept = User(lines[number].partition(":")[0], user.nt_hash)
        return [*lines[:number], _line(kept), *lines[number + 1 :]]

    _change(path, change)


def remove(path: Path, name: str) -> None:
    """Take a user out of the file. Raises ValueError where the name is not there."""

    def change(lines: list[str]) -> list[str]:
        number = _number(lines, name, path)
        return lines[:number] + lines[number + 1 :]

    _change(path, change)


def _key(name: str) -> str:
    return name.casefold()


def _check_name(name: str) -> None:
    if not name or len(name) > LONGEST_NAME or name != name.strip():
        raise ValueError(f"user name {name!r}: expected 1 to {LONGEST_NAME} characters, no blank at either end")
    wrong = [char for char in name if char in _FORBIDDEN or not char.isprintable()]
    if wrong:
        raise ValueError(f"user name {name!r}: {wrong[0]!r} may not be in it")


def _line(user: User) -> str:
    return f"{user.name}:{b64encode(user.nt_hash).decode()}"


def _is_entry(line: str) -> bool:
    return bool(line.strip()) and line.lstrip()[0] not in ";#"


def _numbers(lines: list[str], name: str) -> list[int]:
    """Where in `lines` the user stands."""
    return [
        number
        for number, line in enumerate(lines)
        if _is_entry(line) and _key(line.partition(":")[0].strip()) == _key(name)
    ]


def _number(lines: list[str], name: str, path: Path) -> int:
    numbers = _numbers(lines, name)
    if not numbers:
        raise ValueError(f"there is no user {name} in {path}")
    return numbers[0]


def _users(lines: list[str], path: Path) -> Iterator[User]:
    for number, line in enumerate(lines, 1):
        if not _is_entry(line):
            continue
        name, colon, encoded = line.strip().partition(":")
        try:
            digest = b64decode(encoded, validate=True)
        except binascii.Error:
            digest = b""
        if not name or not colon or len(digest) != HASH_SIZE:
            raise ValueError(f"{path}:{number}: expected name:hash, the hash being 16 bytes in base64")
        yield User(name, digest)


def _lines(path: Path) -> list[str]:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_mode & _OTHERS:
            raise PermissionError(f"{path}: everyone may open it, and its hashes are as good as passwords: chmod 600")
        data = file.read()
    try:
        return data.decode().splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 at byte {error.start}") from None


def _change(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    """Replace the file with what `change` makes of its lines; a symbolic link stays one."""
    path = Path(os.path.realpath(path))
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with _locked(path.parent) as directory:
        before = path.stat() if path.exists() else None
        lines = change(_lines(path) if before else [])
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                file.write("".join(line + "\n" for line in lines).encode())
                file.flush()
                if before is not None and os.geteuid() == 0:
                    os.fchown(file.fileno(), before.st_uid, before.st_gid)  # the server may run as its owner
                os.fsync(file.fileno())
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
        os.fsync(directory)


@contextmanager
def _locked(directory: Path) -> Iterator[int]:
    """The directory's descriptor, locked: a lock on the file itself would end with the file it replaces."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
