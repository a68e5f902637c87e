"""Persistent opens on disk: an SQLite database with a row for each, so that they outlive the server.

A thread of its own writes. What has come while it wrote goes into the next transaction together, of each open only
its last state; whoever must not go on before that waits for `committed`. So the file is never behind an answer.

What is committed survives `kill -9`: it is in the kernel's cache, as all data that clients have written. In a power
cut both may lose their last seconds, and giving opens back then would hide from their clients what was lost. So the
opens of an earlier boot are given back only after a clean stop, and the write-ahead log is synced to disk at
checkpoints only (synchronous = NORMAL), which keeps the file whole whatever happens.

Where it cannot be written, because its disk is full, what has been done is done all the same, and nobody is refused for
it: instead what is in the file is disowned, until the last state of each open is in it again. A second file says so by
its absence, for what a full disk still lets us do is remove one. A server that is killed meanwhile gives nothing back:
better no open than one without the lock that its client was told it has.

A file that is not ours, damaged, of another version or in use by another server is refused at start with its name:
what is in it may be all that keeps a client's lock. Whoever knows better moves it away.
"""

import asyncio
import contextlib
import errno
import logging
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from .config import ConfigError
from .status import NT, Status

log = logging.getLogger("smbdirect.journal")

NAME = "opens.sqlite"
"""In the state directory."""
WHOLE = ".whole"
"""What the name of the file ends with that is there while the journal has all there is."""
RETRY = 5.0
"""Seconds after which what could not be written is written again, where nobody asks for it sooner."""
VERSION = 2
_APPLICATION = 0x534D4244
"""PRAGMA application_id of our files: "SMBD"."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")
MOVE, ROOM = "move it away where they are not missed", "make room for it"
WRITABLE, OWN = "make it writable", "give each server a state directory of its own"
_OF_DATABASE = {
    sqlite3.SQLITE_FULL: ROOM, sqlite3.SQLITE_READONLY: WRITABLE, sqlite3.SQLITE_CANTOPEN: WRITABLE,
    sqlite3.SQLITE_PERM: WRITABLE, sqlite3.SQLITE_BUSY: OWN,
}  # fmt: skip
_OF_SYSTEM = {
    errno.ENOSPC: ROOM, errno.EDQUOT: ROOM, errno.EROFS: WRITABLE, errno.EACCES: WRITABLE, errno.EPERM: WRITABLE
}  # fmt: skip
"""What to do about errors of either kind."""


@dataclass(frozen=True, slots=True)
class Row:
    """A persistent open, as plain values that SQLite knows."""

    persistent: bytes
    """Its id, the 8 bytes that FileIds begin with."""
    share: str
    path: bytes
    """Names with slashes between them, as the file system has them."""
    stream: bytes
    """As `path`: names of clients may be no UTF-8, which is all that SQLite takes for text."""
    identity: bytes
    """`File.identity`: what it is, whatever its name is by now."""
    user: str
    client_guid: bytes
    create_guid: bytes
    app_instance: bytes | None
    app_version: bytes | None
    """High and low, 8 bytes each."""
    action: int
    timeout: float
    resilient: int
    access: int
    share_access: int
    options: int
    write_through: int
    delete_on_close: int
    delete_pending: int
    deleter: bytes | None
    position: int
    held_times: int
    modified: int
    cached: int | None
    """The rights of its oplock or lease; None where it has neither."""
    lease_key: bytes | None
    lease_version: int
    lease_epoch: int
    lease_parent: bytes | None
    parent_key: bytes | None
    locks: bytes
    """Offset and length in 8 bytes each, and a byte that says whether it is exclusive."""
    sequences: bytes
    """Index and number of lock sequences, a byte each."""


_COLUMNS = [field.name for field in fields(Row)]
_KINDS = get_type_hints(Row)
_LENGTHS = {
    "persistent": 8, "client_guid": 16, "create_guid": 16, "app_instance": 16, "app_version": 16, "deleter": 16,
    "lease_key": 16, "lease_parent": 16, "parent_key": 16,
}  # fmt: skip
"""Bytes of what has always as many."""
_MULTIPLES = {"locks": 17, "sequences": 2}
"""Bytes of each of what there may be several of."""
_SCHEMA = (
    "CREATE TABLE server (name TEXT PRIMARY KEY, value BLOB NOT NULL)",
    f"CREATE TABLE opens ({', '.join(_COLUMNS)}, PRIMARY KEY (persistent)) WITHOUT ROWID",
)
_PUT = f"INSERT OR REPLACE INTO opens ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_DROP = "DELETE FROM opens WHERE persistent = ?"
_SAY = "INSERT OR REPLACE INTO server VALUES (?, ?)"


class Journal:
    """The file at `path`, open until `close`. All but the thread's own is called on the loop.

    Raises ConfigError, with the file's name, where it cannot be used.
    """

    def __init__(self, path: Path, guid: bytes, boot: str = "") -> None:
        self._boot = (boot or _boot_id()).encode()
        self._changes: dict[bytes, Row | None] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self._stop = False
        self._more = threading.Condition()
        self.rows: list[Row] = []
        """What the last server has left, for whom this one is to give it back."""
        self.lost = 0
        """Opens that are not given back, as `why` says."""
        self.why = ""
        self._there: set[bytes] = set()
        """What has a row in the file."""
        self._failing = False
        """Whether what was written last could not be."""
        self.behind = False
        """Whether something could not be written: then nothing that is in the file will be given back."""
        self._whole = path.with_suffix(WHOLE)
        with _refusing(path):
            self._database = _open(path)
            try:
                self._begin(guid)
                self._whole.touch(0o600)
            except BaseException:
                self._database.close()
                raise
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()

    def _begin(self, guid: bytes) -> None:
        """Read what is there, and from now on be a server that has not stopped cleanly."""
        said = dict(self._database.execute("SELECT name, value FROM server").fetchall())
        self.guid: bytes = said.get("guid", guid)
        """The server's, from its first life on."""
        if not isinstance(self.guid, bytes) or len(self.guid) != len(guid):
            raise ConfigError("is damaged: the server's GUID")
        rows = [_row(values) for values in self._database.execute(f"SELECT {', '.join(_COLUMNS)} FROM opens")]
        same = bool(self._boot) and said.get("boot") == self._boot
        if not same and said.get("clean") != b"1":
            self.why = "the machine has stopped without the server"
        elif not self._whole.exists():
            self.why = "the server has ended while it could not write them"
        if self.why:
            self.lost = len(rows)
        else:
            self.rows = rows
            self._there.update(row.persistent for row in rows)
        with self._transaction():
            if self.lost:
                self._database.execute("DELETE FROM opens")
            words = {"guid": self.guid, "boot": self._boot, "clean": b"0"}
            self._database.executemany(_SAY, words.items())

    # -- on the loop ----------------------------------------------------------------------------------------
    def put(self, row: Row) -> None:
        self._change(row.persistent, row)

    def drop(self, persistent: bytes) -> None:
        self._change(persistent, None)

    def _change(self, persistent: bytes, row: Row | None) -> None:
        with self._more:
            self._changes[persistent] = row
            self._more.notify()

    async def committed(self) -> None:
        """Until all that was changed before is committed, or the file is disowned (`behind`). Raises Status where not
        even that can be."""
        future = asyncio.get_running_loop().create_future()
        with self._more:
            self._waiting.append(future)
            self._more.notify()
        await future

    def close(self, clean: bool = True) -> None:
        """Write what is left, and end the thread. `clean`: what clients have written is as safe as it ever will be."""
        with self._more:
            self._stop = True
            self._more.notify()
        self._thread.join()
        with contextlib.suppress(sqlite3.Error):
            if clean and not self.behind:
                self._database.execute(_SAY, ("clean", b"1"))
        self._database.close()

    # -- the thread -----------------------------------------------------------------------------------------
    def _work(self) -> None:
        stopped = False
        while not stopped:
            with self._more:
                self._more.wait_for(self._is_asked, RETRY if self._failing else None)
                changes, self._changes = self._changes, {}
                waiting, self._waiting = self._waiting, []
                stopped = self._stop
            problem = self._write(changes)
            if problem is None:
                self._own()
            else:
                self._put_back(changes)
                problem = self._disown(problem)
            if waiting:
                with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits any more
                    waiting[0].get_loop().call_soon_threadsafe(_end, waiting, problem)

    def _put_back(self, changes: dict[bytes, Row | None]) -> None:
        """It is to be written with what comes next; but an open that has come and gone meanwhile need not be."""
        with self._more:
            both = changes | self._changes
            self._changes = {key: row for key, row in both.items() if row is not None or key in self._there}

    def _is_asked(self) -> bool:
        return bool(self._waiting or self._stop or (self._changes and not self._failing))

    def _own(self) -> None:
        """Everything is in the file."""
        if not self._failing:
            return
        with contextlib.suppress(OSError):
            self._whole.touch(0o600)
            self._failing = self.behind = False
            log.warning("persistent opens are written again")

    def _disown(self, problem: Status) -> Status | None:
        """What is in the file is not all there is; what keeps us from saying so."""
        self._failing = True
        try:
            self._whole.unlink(missing_ok=True)
        except OSError as error:
            return Status(problem.code, f"{problem}, nor disowned: {error}")
        if not self.behind:
            self.behind = True
            log.warning("%s; until they can be, a server that is killed gives none of them back", problem)
        return None

    def _write(self, changes: dict[bytes, Row | None]) -> Status | None:
        """One transaction; what has kept it from being made."""
        if not changes:
            return None
        try:
            with self._transaction():
                self._database.executemany(_DROP, [(key,) for key, row in changes.items() if row is None])
                self._database.executemany(_PUT, [astuple(row) for row in changes.values() if row is not None])
            for key, row in changes.items():
                (self._there.discard if row is None else self._there.add)(key)
        except sqlite3.Error as error:
            return Status(NT.DISK_FULL, f"persistent opens cannot be written: {error}")
        except Exception as error:  # the thread goes on, or all who wait would wait for ever
            if not self._failing:
                log.exception("bug while writing persistent opens")
            return Status(NT.INTERNAL_ERROR, f"persistent opens cannot be written: {error}")
        return None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise


def _end(futures: "Sequence[asyncio.Future[None]]", problem: Status | None) -> None:
    for future in futures:
        if future.done():
            continue
        if problem is None:
            future.set_result(None)
        else:
            future.set_exception(Status(problem.code, str(problem)))


def _open(path: Path) -> sqlite3.Connection:
    """The database, which no other process has; made where there is none."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = _make_private(path)
    database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        if new:
            database.execute(f"PRAGMA application_id = {_APPLICATION}")
            database.execute(f"PRAGMA user_version = {VERSION}")
        else:
            _check(database)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("BEGIN IMMEDIATE")
        if not database.execute("SELECT 1 FROM sqlite_master").fetchall():
            for statement in _SCHEMA:
                database.execute(statement)
        database.execute("COMMIT")
    except BaseException:
        database.close()
        raise
    return database


def _make_private(path: Path) -> bool:
    """Whether the file had to be made. Nobody but its owner reads it: with it goes what users have open and locked."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError("is no file") from None
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))  # SQLite has no good word for one that is not to be written
        if status.st_mode & 0o077:
            path.chmod(0o600)
        return status.st_size == 0
    return True


def _check(database: sqlite3.Connection) -> None:
    [application] = database.execute("PRAGMA application_id").fetchone()
    [version] = database.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION:
        raise ConfigError("is another program's database")
    if version != VERSION:
        raise ConfigError(f"is of version {version}, this server's is {VERSION}")
    [verdict] = database.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise ConfigError(f"is damaged: {' '.join(verdict.split())}")


def _row(values: tuple[Any, ...]) -> Row:
    """Raises ConfigError where what has been read is nothing that was ever written."""
    for column, value in zip(_COLUMNS, values, strict=True):
        if not isinstance(value, _KINDS[column]):
            raise ConfigError(f"is damaged: {column} is {type(value).__name__}")
        if value is not None and column in _LENGTHS and len(value) != _LENGTHS[column]:
            raise ConfigError(f"is damaged: {column} of {len(value)} bytes")
        if column in _MULTIPLES and len(value) % _MULTIPLES[column]:
            raise ConfigError(f"is damaged: {column} of {len(value)} bytes")
    return Row(*values)


@contextlib.contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error, ConfigError, ValueError) as error:
        advice = MOVE
        if isinstance(error, sqlite3.Error):
            advice = _OF_DATABASE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, MOVE)
        elif isinstance(error, OSError):
            advice = _OF_SYSTEM.get(error.errno or 0, MOVE)
        raise ConfigError(f"{path}: {error}; clients' persistent opens are kept there: {advice}") from None


def _boot_id() -> str:
    """What this boot of the machine is called; "" where the system does not say."""
    try:
        return _BOOT.read_text("ascii").strip()
    except OSError:
        return ""
