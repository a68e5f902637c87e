"""What clients choose from: mostly what goes together, so that much is open at once, and now and then what does not."""

from typing import Any

from hypothesis import strategies as st

from server.messages.create import Disposition
from server.tests.model.asks import DELETE, HANDLE, READ, READ_ATTRIBUTES, READ_DATA, WRITE, WRITE_DATA

PEERS = 3
NAMES = ("a", "b", r"d\c")
STREAM = "e:s"
"""Of a file that is always there."""
AT_ONCE = 4
"""Requests that may be under way."""
FOREVER = 4000.0
"""Seconds after which no open is kept for a client that is away."""
LEASES = (READ, READ | HANDLE, READ | WRITE, READ | WRITE | HANDLE)
EVERYTHING = READ_DATA | WRITE_DATA | DELETE
ACCESSES = (
    *(EVERYTHING,) * 6, READ_DATA | WRITE_DATA, READ_DATA, WRITE_DATA, READ_ATTRIBUTES, DELETE | READ_ATTRIBUTES,
)  # fmt: skip
SHARES = (*(7,) * 8, 3, 1, 0)
DISPOSITIONS = (
    *(Disposition.OPEN_IF,) * 8, Disposition.OPEN, Disposition.OVERWRITE_IF, Disposition.CREATE, Disposition.OVERWRITE,
)  # fmt: skip
OPENS: dict[str, Any] = {
    "number": st.integers(0, 7),
    "name": st.sampled_from(("a", "a", "a", "b", r"d\c", STREAM)),
    "access": st.sampled_from(ACCESSES),
    "share": st.sampled_from(SHARES),
    "disposition": st.sampled_from(DISPOSITIONS),
    "delete": st.sampled_from((*(False,) * 7, True)),
    "oplock": st.sampled_from((0, READ, READ | WRITE, *(READ | WRITE | HANDLE,) * 2)),
    "lease": st.sampled_from((None, None, *LEASES, READ | HANDLE, READ | WRITE | HANDLE)),
    "odd": st.sampled_from((*(0,) * 7, 1)),
    "first": st.booleans(),
    "durable": st.integers(0, 2),
}
NUMBERS = st.integers(0, 7)
SELDOM = st.sampled_from((*(False,) * 5, True))
OFFSETS = st.integers(0, 12)
TURNS = 16
"""Of the loop, after which a server in memory has done what it can: more than enough, as nothing waits for a thread."""
