"""`Loan`: the outcome of what has the caller's buffers meanwhile."""

import asyncio
from typing import Any


class Loan(asyncio.Future[Any]):
    """A call's outcome. It cannot be cancelled: neither a thread nor the kernel can be stopped, and they hold the
    caller's buffers."""

    def cancel(self, msg: Any | None = None) -> bool:
        return False
