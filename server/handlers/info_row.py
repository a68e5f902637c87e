"""How one information class of QUERY_INFO is answered."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from ..messages.info import QueryInfoRequest
from ..open import Open
from ..work import Work


class Row(NamedTuple):
    answer: Callable[[Work, Open, QueryInfoRequest], Awaitable[bytes]]
    access: int = 0
    """Rights the open must have, all of them."""
    least: int = 0
    """Bytes the client's buffer must hold at least; else INFO_LENGTH_MISMATCH."""
    cut: bool = False
    """A longer answer is cut and sent with BUFFER_OVERFLOW."""
