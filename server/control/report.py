"""What the server tells of itself: pure functions from a `Server` to values that JSON can carry.

The lists are generators, so that whoever sends one may give way to clients between rows; they walk a copy of
the table, and leave out what has been closed in the meantime. Sizes are bytes, times seconds since 1970, ids
and masks hexadecimal text (a JSON number of 64 bits is not safe everywhere).
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from importlib import metadata
from typing import TYPE_CHECKING, Any

from ..messages.create import ShareAccess
from ..messages.negotiate import Cipher, Dialect, SigningAlgorithm
from ..oplock import HANDLE, READ, WRITE, Oplock
from ..security.access import DELETE, FILE_APPEND_DATA, FILE_EXECUTE, FILE_READ_DATA, FILE_WRITE_DATA
from ..status import Status
from ..store import kernel_leases

if TYPE_CHECKING:
    from ..durable import Handle
    from ..open import Open
    from ..server import Server
    from ..session import Session

Row = dict[str, Any]

DIALECTS = {
    Dialect.SMB202: "2.0.2",
    Dialect.SMB210: "2.1",
    Dialect.SMB300: "3.0",
    Dialect.SMB302: "3.0.2",
    Dialect.SMB311: "3.1.1",
}
NEGOTIATING = "negotiating"
CIPHERS = {
    Cipher.AES128_CCM: "AES-128-CCM",
    Cipher.AES128_GCM: "AES-128-GCM",
    Cipher.AES256_CCM: "AES-256-CCM",
    Cipher.AES256_GCM: "AES-256-GCM",
}
SIGNINGS = {
    SigningAlgorithm.HMAC_SHA256: "HMAC-SHA256",
    SigningAlgorithm.AES_CMAC: "AES-CMAC",
    SigningAlgorithm.AES_GMAC: "AES-GMAC",
}
RIGHTS = {
    "r": FILE_READ_DATA,
    "w": FILE_WRITE_DATA | FILE_APPEND_DATA,
    "x": FILE_EXECUTE,
    "d": DELETE,
}
CACHED = {"r": READ, "w": WRITE, "h": HANDLE}
SHARED = {"r": ShareAccess.READ, "w": ShareAccess.WRITE, "d": ShareAccess.DELETE}


def status(server: "Server") -> Row:
    """How much there is of everything. To be called in the event loop, whose tasks it counts."""
    opens = server.opens.by_volatile.values()
    locks = [shared.locks for shared in {opened.shared for opened in opens} if shared.locks is not None]
    holders = {opened.caching for opened in opens if opened.caching is not None}
    leases = server.opens.breaks.leases.by_key
    connections = server.connections
    return {
        "version": _version(),
        "name": server.config.name,
        "since": server.started,
        "shares": len(server.config.shares),
        "connections": len(connections),
        "technologies": Counter(connection.transport.technology for connection in connections),
        "dialects": Counter(DIALECTS.get(connection.negotiated.dialect, NEGOTIATING) for connection in connections),
        "sessions": len(server.sessions),
        "trees": sum(len(session.trees) for session in server.sessions.values()),
        "opens": len(opens),
        "disconnected": len(server.durables.away),
        "persistent": len(server.keeping),
        "persistent_lost": server.keeping.behind,
        "locks": sum(len(each.held) for each in locks),
        "locks_waiting": sum(len(each.waiting) for each in locks),
        "oplocks": sum(isinstance(opened.caching, Oplock) for opened in opens),
        "leases": len(leases),
        "breaks": sum(holder.breaking for holder in holders),
        "kernel_leases": kernel_leases.held(),
        "watches": server.opens.changes.watches.count,
        "requests": sum(len(connection.pending.by_message) for connection in connections),
        "requests_waiting": sum(len(connection.pending.by_async) for connection in connections),
        "arena": {
            "used": server.arena.used,
            "kept": server.arena.kept,
            "mapped": server.arena.mapped,
            "limit": server.arena.limit,
            "blocks": server.arena.blocks,
        },
        "tasks": len(asyncio.all_tasks()),
    }


def sessions(server: "Server") -> Iterator[Row]:
    """Who is logged on, or logging on: then `user` is None."""
    for session in list(server.sessions.values()):
        yield _session(session)


def _session(session: "Session") -> Row:
    transports = [connection.transport for connection in session.channels]
    outcome, protection = session.outcome, session.protection
    return {
        "id": f"{session.id:#018x}",
        "user": session.user if outcome is not None else None,
        "guest": outcome is not None and outcome.guest,
        "anonymous": outcome is not None and outcome.anonymous,
        "account": session.who.name if session.who is not None else None,
        "since": session.created,
        "expired": session.expired,
        "addresses": sorted({transport.peer for transport in transports}),
        "technologies": Counter(transport.technology for transport in transports),
        "channels": len(transports),
        "dialect": DIALECTS.get(session.dialect),
        "cipher": CIPHERS.get(session.cipher) if protection.sealer is not None else None,
        "encryption_required": protection.encryption_required,
        "signing": SIGNINGS.get(session.signing),
        "signing_required": protection.signing_required,
        "trees": sorted(tree.share.name for tree in session.trees.values()),
        "opens": len(session.opens),
    }


def opens(server: "Server") -> Iterator[Row]:
    """Every open file, directory, stream and pipe."""
    found = list(server.opens.by_volatile.values())
    locks = Counter(
        lock.open
        for shared in {opened.shared for opened in found}
        if shared.locks is not None
        for lock in shared.locks.held
    )
    for opened in found:
        if not opened.closed:
            yield _open(opened, locks[opened])


def _open(opened: "Open", locks: int) -> Row:
    mode, file = opened.mode, opened.store_file
    return {
        "id": f"{opened.volatile:#x}",
        "session": f"{opened.session.id:#018x}",
        "user": opened.session.user,
        "disconnected": opened.away,
        "lasts": _lasts(opened.handle),
        "share": opened.tree.share.name,
        "path": _path(opened),
        "kind": file.kind.value if file is not None else "pipe",
        "access": _letters(RIGHTS, mode.access),
        "access_mask": f"{mode.access:#010x}",
        "shared": _letters(SHARED, mode.share),
        "caches": _letters(CACHED, opened.caching.rights) if opened.caching is not None else "",
        "locks": locks,
        "delete_pending": opened.shared.delete_pending,
    }


def _lasts(handle: "Handle | None") -> str | None:
    """What the open outlives: as a persistent one the server, else its connection. None where nothing."""
    if handle is None or not handle.lasting:
        return None
    return "persistent" if handle.persistent else "resilient" if handle.resilient else "durable"


def _path(opened: "Open") -> str | None:
    """Where it is below the share's root ("/"), with the stream's name behind a colon; None where no name is left."""
    if opened.pipe is not None:
        return opened.pipe.service
    file = opened.file
    try:
        path = "/" + "/".join(file.path())
    except (Status, OSError):
        return None
    return f"{path}:{file.stream}" if file.stream else path


def _letters(table: dict[str, int], mask: int) -> str:
    return "".join(letter for letter, bits in table.items() if mask & bits)


def interfaces(server: "Server") -> Iterator[Row]:
    """The interfaces that clients are told of."""
    for interface in server.interfaces.current:
        yield {
            "name": interface.name,
            "index": interface.index,
            "addresses": [str(address) for address in interface.addresses],
            "bits_per_second": interface.speed,
            "rss": interface.rss,
            "device": interface.device,
            "technology": interface.technology.name if interface.technology is not None else None,
        }


def _version() -> str | None:
    """The installed distribution's; None where the server runs from sources that are not installed."""
    try:
        return metadata.version("smbdirect")
    except metadata.PackageNotFoundError:
        return None
