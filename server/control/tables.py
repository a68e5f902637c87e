"""Reports as a person reads them: aligned columns and plain words.

Names of files and users come from clients, and are printed on the terminal of root: whatever is not printable
is shown escaped.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

UNITS = ("B", "KiB", "MiB", "GiB", "TiB")

_LOST = ", and would be lost with the server: the state directory cannot be written"

Column = tuple[str, Callable[[Mapping[str, Any]], object]]


def printable(text: object) -> str:
    """`text` without anything that a terminal would take as more than a character."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in str(text))


def table(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> str:
    """One line a row under the columns' names; "" in place of what is not known."""
    lines = [[name for name, _ in columns]]
    lines += [[printable(_shown(value(row))) for _, value in columns] for row in rows]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, cells, widths)).rstrip() for cells in lines)


def size(count: int) -> str:
    """Bytes in the unit that reads best: 64 MiB, 1.5 GiB."""
    value, unit = float(count), 0
    while value >= 1024 and unit < len(UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f}".removesuffix(".0") + f" {UNITS[unit]}"


def speed(bits: int) -> str:
    """Bits a second: 100 Gbit/s, 10 Mbit/s."""
    return f"{bits / 10**9:g} Gbit/s" if bits >= 10**9 else f"{bits / 10**6:g} Mbit/s"


def moment(seconds: float) -> str:
    """Seconds since 1970 in local time."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().isoformat(" ", "seconds")


def counts(counted: Mapping[str, int]) -> str:
    """2 TCP, 1 RoCE."""
    return ", ".join(f"{count} {name}" for name, count in sorted(counted.items()))


def status(report: Mapping[str, Any]) -> str:
    arena, connections = report["arena"], report["connections"]
    kinds = "; ".join(filter(None, (counts(report["technologies"]), counts(report["dialects"]))))
    lines = {
        "server": f"{report['name']}, version {report['version'] or 'unknown'}",
        "since": moment(report["since"]),
        "shares": report["shares"],
        "connections": f"{connections} ({kinds})" if kinds else connections,
        "sessions": report["sessions"],
        "tree connects": report["trees"],
        "open files": f"{report['opens']}, {report['disconnected']} of them without their client",
        "persistent": f"{report['persistent']} of the open files{_LOST if report['persistent_lost'] else ''}",
        "locks": f"{report['locks']}, {report['locks_waiting']} waited for",
        "caching": f"{report['leases']} leases, {report['oplocks']} oplocks, {report['breaks']} breaks not answered",
        "kernel leases": report["kernel_leases"],
        "watches": report["watches"],
        "requests": f"{report['requests']}, {report['requests_waiting']} of them wait for others",
        "memory": f"{size(arena['used'])} in {arena['blocks']} blocks, {size(arena['kept'])} kept ready; "
        f"{size(arena['mapped'])} mapped, at most {size(arena['limit'])}",
        "tasks": report["tasks"],
    }
    return "\n".join(f"{name:<15}{printable(value)}" for name, value in lines.items())


def _session_user(row: Mapping[str, Any]) -> str:
    if row["user"] is None:
        return "(logging on)"
    if row["anonymous"]:
        return "(anonymous)"
    return str(row["user"]) + (" (guest)" if row["guest"] else "") + (" (expired)" if row["expired"] else "")


def _signing(row: Mapping[str, Any]) -> str:
    return (row["signing"] or "") + (" (required)" if row["signing_required"] else "")


def _path(row: Mapping[str, Any]) -> str:
    remarks = {" (to be deleted)": row["delete_pending"], " (disconnected)": row["disconnected"]}
    return (row["path"] or "(deleted)") + "".join(text for text, holds in remarks.items() if holds)


SESSIONS: Sequence[Column] = (
    ("SESSION", lambda row: row["id"]),
    ("USER", _session_user),
    ("ADDRESS", lambda row: row["addresses"]),
    ("CHANNELS", lambda row: counts(row["technologies"])),
    ("DIALECT", lambda row: row["dialect"]),
    ("CIPHER", lambda row: row["cipher"]),
    ("SIGNING", _signing),
    ("TREES", lambda row: row["trees"]),
    ("OPENS", lambda row: row["opens"]),
    ("SINCE", lambda row: moment(row["since"])),
)
OPENS: Sequence[Column] = (
    ("SHARE", lambda row: row["share"]),
    ("USER", lambda row: row["user"]),
    ("ACCESS", lambda row: row["access"] or "-"),
    ("SHARED", lambda row: row["shared"] or "-"),
    ("CACHES", lambda row: row["caches"] or "-"),
    ("LASTS", lambda row: row["lasts"] or "-"),
    ("LOCKS", lambda row: row["locks"]),
    ("KIND", lambda row: row["kind"]),
    ("PATH", _path),
)
INTERFACES: Sequence[Column] = (
    ("INTERFACE", lambda row: row["name"]),
    ("INDEX", lambda row: row["index"]),
    ("SPEED", lambda row: speed(row["bits_per_second"])),
    ("RSS", lambda row: "yes" if row["rss"] else "no"),
    ("RDMA", lambda row: f"{row['technology']} ({row['device']})" if row["device"] else "no"),
    ("ADDRESSES", lambda row: row["addresses"]),
)


def _shown(value: object) -> object:
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list) else value
